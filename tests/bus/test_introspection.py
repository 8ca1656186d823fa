# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interface files and what the service says of itself are the same thing."""

import re
import subprocess

import pytest
from gi.repository import Gio, GLib

from client import BUS_NAME, INTERFACES, INTROSPECTABLE, OBJECT_MANAGER, ROOT, full_name, iterate_until, refused
from harness import SOURCE, find_source

EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"
DOC = "org.gtk.GDBus.DocString"
ACTION = "org.example.Storage1.PolkitAction"
STANDARD = {"org.freedesktop.DBus.Peer", INTROSPECTABLE, "org.freedesktop.DBus.Properties", OBJECT_MANAGER}


def annotations(info):
    return {a.key: a.value for a in info.annotations or []}


def shape(interface):
    """What must be equal: members, argument names, types and directions, access, how changes are told."""
    methods = {m.name: ([(a.name, a.signature) for a in m.in_args or []],
                        [(a.name, a.signature) for a in m.out_args or []]) for m in interface.methods or []}
    signals = {s.name: [(a.name, a.signature) for a in s.args or []] for s in interface.signals or []}
    properties = {p.name: (p.signature, bool(p.flags & Gio.DBusPropertyInfoFlags.WRITABLE),
                           annotations(p).get(EMITS, "true")) for p in interface.properties or []}
    return {"methods": methods, "signals": signals, "properties": properties}


def introspect(service, path):
    text = service.call(path, INTROSPECTABLE, "Introspect")
    return Gio.DBusNodeInfo.new_for_xml(text)


# Pools, never started, that have the interfaces which only some have: by these, their type and definition.
PARTS = {
    "Pool.Logical": ("logical", {"source-name": "no-such-group"}),
    "Pool.Disk": ("disk", {"source-devices": ["/dev/no-such-disk"], "target-path": "/dev"}),
    "Pool.Raid": ("fs", {"target-path": "/run/no-such", "raid": {
        "level": "raid1", "devices": ["/dev/no-such-a", "/dev/no-such-b"]}}),
}


def define_part(service, name):
    pool_type, definition = PARTS[name]
    return service.manager.DefinePool(name.rsplit(".", 1)[1], pool_type, definition)[0]


@pytest.fixture
def paths(service, pool):
    """An object of each kind, by the short name of its interface."""
    volume, job = pool.CreateVolume("v", 1 << 20, {"wait": 0})
    assert job != "/"
    service.wait_job(job)
    parts = {name: define_part(service, name) for name in PARTS}
    image = service.make_volume(pool, "image", format="qcow2").path
    return {"Manager": ROOT, "Pool": pool.path, "Volume": volume, "Volume.Snapshots": image, "Job": job, **parts}


def test_live_objects_are_as_described(service, paths):
    for name, path in paths.items():
        live = {i.name: i for i in introspect(service, path).interfaces}
        assert full_name(name) in live
        for interface, info in live.items():
            if interface in STANDARD:
                continue
            assert shape(info) == shape(INTERFACES[interface]), interface


def test_every_interface_file_is_served(paths):
    assert {full_name(name) for name in paths} == set(INTERFACES)


def test_pools_have_their_own_interfaces_only(service, paths):
    objects = service.objects()
    for name, path in paths.items():
        if "Pool" in name:
            has = {i for i in objects[path] if i.startswith(full_name("Pool"))}
            assert has == {full_name("Pool"), full_name(name)}
            assert has == {i.name for i in introspect(service, path).interfaces} - STANDARD


def test_parts_of_pools_come_and_go_by_signal(service):
    log = service.log()
    raid, plain = PARTS["Pool.Raid"][1], {"source-devices": ["/dev/no-such-a"], "target-path": "/run/no-such"}
    pool = service.pool(define_part(service, "Pool.Raid"))
    assert set(log.wait_added(pool.path).args[1]) == {full_name("Pool"), full_name("Pool.Raid")}
    log.signals.clear()
    pool.Update(plain)
    assert log.wait_removed(pool.path).args[1] == [full_name("Pool.Raid")]
    assert "raid" not in pool.get("Definition")
    assert full_name("Pool.Raid") not in service.objects()[pool.path]
    pool.Update(raid)
    assert set(log.wait_added(pool.path).args[1]) == {full_name("Pool.Raid")}
    assert pool.get("Definition")["raid"] == {"level": "raid1", "devices": raid["raid"]["devices"]}
    assert pool.get("Definition")["source-devices"] == ["/dev/md/Raid"]
    log.signals.clear()
    pool.Undefine()
    assert set(log.wait_removed(pool.path).args[1]) == {full_name("Pool"), full_name("Pool.Raid")}


def test_object_managers(service, pool):
    for path in (ROOT, pool.get("Volumes")):
        assert OBJECT_MANAGER in {i.name for i in introspect(service, path).interfaces}
    assert OBJECT_MANAGER not in {i.name for i in introspect(service, pool.path).interfaces}


def test_tree_can_be_walked(service, pool):
    """As d-feet and busctl tree do: from the root to each volume by the nodes' names."""
    service.make_volume(pool, "vol-1.img")
    seen = []

    def walk(path):
        node = introspect(service, path)
        seen.append(path)
        for child in node.nodes or []:
            walk(f"{path.rstrip('/')}/{child.path}")
    walk(ROOT)
    assert pool.path in seen
    assert pool.GetVolume("vol-1.img") in seen


def test_properties_have_the_described_types(service, paths):
    for name, path in paths.items():
        reply = service.connection.call_sync(
            BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll", GLib.Variant("(s)", (full_name(name),)),
            None, 0, 20000, None).get_child_value(0)
        found = {}
        for i in range(reply.n_children()):
            entry = reply.get_child_value(i)
            found[entry.get_child_value(0).get_string()] = entry.get_child_value(1).get_variant().get_type_string()
        assert found == {p.name: p.signature for p in INTERFACES[full_name(name)].properties}


def test_managed_objects_carry_all_properties(service, pool, paths):
    objects = {**service.objects(), **service.objects(pool.get("Volumes"))}
    for name in ("Pool", "Volume", "Job"):
        expected = {p.name for p in INTERFACES[full_name(name)].properties}
        assert set(objects[paths[name]][full_name(name)]) == expected


def test_properties_are_read_only(service, paths):
    for name, path in paths.items():
        for info in INTERFACES[full_name(name)].properties:
            assert info.flags == Gio.DBusPropertyInfoFlags.READABLE
    pending = service.start(paths["Pool"], "org.freedesktop.DBus.Properties", "Set", "(ssv)",
                            (full_name("Pool"), "Autostart", GLib.Variant("b", True)))
    iterate_until(lambda: pending.done)
    assert pending.error and not service.pool(paths["Pool"]).get("Autostart")


def test_every_member_is_documented():
    for interface in INTERFACES.values():
        for info in [interface, *interface.methods, *(interface.signals or []), *(interface.properties or [])]:
            text = annotations(info).get(DOC, "")
            assert len(text) > 4 and text.endswith("."), f"{interface.name} {info.name}"


def policy_actions():
    with open(find_source("*.policy*"), encoding="utf-8") as f:
        text = f.read()
    return {part.split('"')[0] for part in text.split('<action id="')[1:]}


def test_every_method_names_its_polkit_action():
    """An empty annotation is a decision too: open to all. A missing one is an oversight."""
    known = policy_actions()
    used = set()
    for interface in INTERFACES.values():
        for method in interface.methods:
            actions = annotations(method).get(ACTION)
            assert actions is not None, f"{interface.name}.{method.name} has no {ACTION}"
            for action in actions.split():
                assert action in known, f"{interface.name}.{method.name}: no action {action} in the policy"
                used.add(action)
    assert used <= known


def test_every_long_method_takes_options():
    for interface in INTERFACES.values():
        for method in interface.methods:
            outs = [a.name for a in method.out_args or []]
            if "job" in outs:
                assert outs[-1] == "job"
                assert method.in_args[-1].name == "options" and method.in_args[-1].signature == "a{sv}"


def test_known_keys_are_documented():
    """Each key of a definition and each option of volumes is told where a reader looks for it."""
    doc = annotations(INTERFACES[full_name("Manager")].lookup_method("DefinePool"))[DOC]
    for key in ("source-hosts", "source-devices", "target-path", "adapter", "mount-options", "volume-allocation", "raid",
                "build", "overwrite", "start", "autostart", "transient", "dry-run", "uuid", "wait"):
        assert key in doc, key
    doc = annotations(INTERFACES[full_name("Pool")].lookup_method("CreateVolume"))[DOC]
    for key in ("format", "preallocation", "compat", "backing-path", "allocation", "cluster-size", "mode", "owner",
                "group", "nocow", "lazy-refcounts", "extended-l2", "wait"):
        assert key in doc, key


def test_manager_properties(service):
    with open(SOURCE + "/meson.build", encoding="utf-8") as f:
        version = f.read().split("version : '")[1].split("'")[0]
    everything = service.manager.all()
    assert everything["Version"] == version
    doc = annotations(INTERFACES[full_name("Manager")].lookup_property("Features"))[DOC]
    assert "dir-pools" in everything["Features"] and len(everything["Features"]) > 15
    assert all(re.search(rf"\b{word}\b", doc) for word in everything["Features"])
    directory = everything["PoolTypes"]["dir"]
    assert {"operations", "source-formats", "volume-formats", "source-keys", "missing-tools"} <= set(directory)
    assert {"build", "delete", "refresh"} <= set(directory["operations"])
    assert {"raw", "qcow2", "vmdk", "iso"} <= set(directory["volume-formats"])


def test_instance_id_differs_after_a_restart(world, daemon, service):
    before = service.manager.get("InstanceID")
    assert before and before == world.client(daemon).manager.get("InstanceID")
    daemon.restart()
    assert world.client(daemon).manager.get("InstanceID") not in ("", before)


def test_unknown_objects(service, pool):
    for path in (ROOT + "/pool/00000000_0000_4000_8000_000000000000", ROOT + "/job/999999",
                 pool.get("Volumes") + "/nothing", ROOT + "/else"):
        with refused("UnknownObject", "UnknownMethod", "UnknownInterface"):
            service.call(path, "org.freedesktop.DBus.Properties", "GetAll", "(s)", (full_name("Pool"),))


def test_capabilities(service, tmp_path):
    path = tmp_path / "capabilities.xml"
    path.write_text(service.manager.GetCapabilities())
    subprocess.run(["xmllint", "--noout", "--relaxng", "/usr/share/libvirt/schemas/storagepoolcaps.rng", str(path)],
                   check=True, capture_output=True)
