# SPDX-License-Identifier: LGPL-2.1-or-later
"""Directory pools from definition to the end, one client, as root."""

import os
import stat
import subprocess
import uuid

import pytest

from client import MIB, ROOT, refused, steady

POOL_XML = """<pool type='dir'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <target>
    <path>{path}</path>
  </target>
</pool>
"""


def definition_file(daemon, name):
    return f"{daemon.config_dir}/pools/{name}.xml"


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def assert_valid(schema, text, tmp_path):
    path = tmp_path / "checked.xml"
    path.write_text(text)
    result = subprocess.run(["xmllint", "--noout", "--relaxng", f"/usr/share/libvirt/schemas/{schema}", str(path)],
                            check=False, capture_output=True, text=True)
    assert result.returncode == 0, f"{result.stderr}\n{text}"


def test_define(daemon, service, folder):
    log = service.log()
    path, job = service.manager.DefinePool("images", "dir", {"target-path": folder}, {})
    assert job == "/" and path.startswith(ROOT + "/pool/")
    pool = service.pool(path)
    log.wait_added(path)
    got = pool.all()
    assert got["Name"] == "images" and got["Type"] == "dir" and got["State"] == "inactive"
    assert got["Persistent"] and not got["Autostart"] and not got["UpdatePending"]
    assert got["TargetPath"] == folder and got["Definition"]["target-path"] == folder
    assert str(uuid.UUID(got["UUID"])) == got["UUID"]
    assert path.endswith(got["UUID"].replace("-", "_")) or path.endswith(got["UUID"].replace("-", "_2d"))
    assert got["VolumeCount"] == 0 and got["Capacity"] == 0 and got["SourceFormat"] == ""
    assert {"build", "delete", "refresh"} <= set(got["Operations"])
    assert path in service.objects()
    with open(definition_file(daemon, "images"), encoding="utf-8") as f:
        text = f.read()
    assert folder in text and got["UUID"] in text


def test_define_from_xml(service, folder):
    chosen = str(uuid.uuid4())
    path, _ = service.manager.DefinePoolFromXML(POOL_XML.format(name="x", uuid=chosen, path=folder), {})
    pool = service.pool(path)
    assert pool.get("UUID") == chosen and pool.get("Name") == "x" and pool.get("TargetPath") == folder


def test_define_with_uuid(service, folder):
    chosen = str(uuid.uuid4())
    pool = service.make_pool("u", folder, start=False, uuid=chosen)
    assert pool.get("UUID") == chosen
    with refused("InvalidArgument"):
        service.manager.DefinePool("u2", "dir", {"target-path": folder + "/2"}, {"uuid": "not-a-uuid"})


def test_names_that_need_escaping(service, world):
    for name in ("with space", "ünïcode", "dots.and-dashes_", "a" * 200, "%41&<>'\""):
        pool = service.make_pool(name, world.folder())
        assert pool.get("Name") == name
        assert service.manager.GetPoolByName(name) == pool.path


def test_dry_run_changes_nothing(daemon, service, folder):
    known = [row[0] for row in service.pool_rows()]
    log = service.log()
    service.manager.DefinePool("dry", "dir", {"target-path": folder + "/new"},
                               {"dry-run": True, "build": True, "start": True, "autostart": True})
    assert service.pool_names() == [] and not os.path.exists(folder + "/new")
    assert not os.path.exists(definition_file(daemon, "dry"))
    log.settle()
    assert log.of_new_pools(known) == []
    service.make_pool("there", folder)
    with refused("Conflict"):
        service.manager.DefinePool("dry", "dir", {"target-path": folder}, {"dry-run": True})


def test_define_build_start_autostart_at_once(daemon, service, folder):
    pool = service.make_pool("all", folder + "/a/b", build=True, autostart=True)
    got = pool.all()
    assert got["State"] == "active" and got["Health"] == "ok" and got["Autostart"]
    assert got["Capacity"] > 0 and got["Capacity"] >= got["Allocation"] and got["Available"] > 0
    assert got["LastRefresh"] > 0 and os.path.isdir(folder + "/a/b")
    assert os.path.islink(f"{daemon.config_dir}/autostart/all.xml")


def test_transient(daemon, service, folder):
    log = service.log()
    pool = service.make_pool("passing", folder, transient=True)
    assert not pool.get("Persistent") and pool.get("State") == "active"
    assert not os.path.exists(definition_file(daemon, "passing"))
    with refused("InvalidArgument", "Unsupported", "Failed"):
        pool.SetAutostart(True)
    pool.Stop()
    log.wait_removed(pool.path)
    assert service.pool_names() == []


def test_transient_autostart_is_refused(service, folder):
    with refused("InvalidArgument"):
        service.manager.DefinePool("t", "dir", {"target-path": folder},
                                   {"transient": True, "start": True, "autostart": True})
    assert service.pool_names() == []


def test_start_and_stop(service, folder):
    with open(folder + "/one.img", "wb") as f:
        f.truncate(4096)
    pool = service.make_pool("p", folder, start=False)
    log = service.log()
    assert pool.Start() == "/"
    assert pool.get("State") == "active" and pool.get("VolumeCount") == 1
    log.wait_changed(pool.path, "State", "active")
    log.wait_changed(pool.path, "VolumeCount", 1)
    assert list(service.volumes(pool)) == ["one.img"]
    with refused("Active"):
        pool.Start()
    assert pool.Stop() == "/"
    log.wait_changed(pool.path, "State", "inactive")
    assert os.path.exists(folder + "/one.img")
    assert pool.get("State") == "inactive" and pool.get("VolumeCount") == 0
    with refused("NotActive"):
        pool.Stop()
    with refused("NotActive"):
        pool.GetVolume("one.img")


def test_inactive_pool_refuses_what_needs_storage(service, folder):
    pool = service.make_pool("p", folder, start=False)
    with refused("NotActive"):
        pool.Refresh()
    with refused("NotActive"):
        pool.CreateVolume("v", 4096, {})
    with refused("NotActive"):
        pool.ListVolumes()
    assert os.listdir(folder) == []


def test_active_pool_refuses_what_needs_peace(service, pool, folder):
    for call in (pool.Build, pool.Delete, pool.Undefine):
        with refused("Active"):
            call()
    assert os.path.isdir(folder) and service.pool_names() == ["p"]


def test_start_without_folder(service, folder):
    pool = service.make_pool("p", folder + "/missing", start=False)
    with refused("NotFound", "Inaccessible") as refusal:
        pool.Start()
    assert folder + "/missing" in refusal.text
    assert pool.get("State") == "inactive"


def test_start_of_a_file(service, folder):
    with open(folder + "/file", "wb"):
        pass
    pool = service.make_pool("p", folder + "/file", start=False)
    with refused("NotFound", "Inaccessible", "Failed", "InvalidArgument"):
        pool.Start()
    assert pool.get("State") == "inactive"


def test_build_makes_parents_and_leaf(service, folder):
    pool = service.make_pool("p", folder + "/one/two/leaf", start=False)
    pool.Build()
    assert mode_of(folder + "/one/two/leaf") == 0o711
    assert os.path.isdir(folder + "/one/two")
    pool.Start()
    assert pool.get("State") == "active"


def test_build_with_permissions(service, folder):
    path, _ = service.manager.DefinePool("p", "dir", {"target-path": folder + "/leaf", "mode": 0o750, "owner": 1234,
                                                      "group": 4321}, {"build": True})
    assert mode_of(folder + "/leaf") == 0o750
    assert (os.stat(folder + "/leaf").st_uid, os.stat(folder + "/leaf").st_gid) == (1234, 4321)
    assert service.pool(path).get("Definition")["mode"] == 0o750


def test_build_changes_an_existing_leaf_only_as_specified(service, folder):
    os.chmod(folder, 0o700)
    os.chown(folder, 77, 88)
    pool = service.make_pool("p", folder, start=False)
    pool.Build()
    assert mode_of(folder) == 0o700 and os.stat(folder).st_uid == 77
    pool.Update({"target-path": folder, "mode": 0o755}, {})
    pool.Build()
    assert mode_of(folder) == 0o755
    assert (os.stat(folder).st_uid, os.stat(folder).st_gid) == (77, 88)


def test_delete_removes_an_empty_folder(service, folder):
    pool = service.make_pool("p", folder + "/leaf", start=False, build=True)
    pool.Delete()
    assert not os.path.exists(folder + "/leaf") and os.path.isdir(folder)
    assert service.pool_names() == ["p"]


def test_delete_refuses_a_full_folder(service, folder):
    pool = service.make_pool("p", folder + "/leaf", start=False, build=True)
    with open(folder + "/leaf/precious", "wb"):
        pass
    with refused("InUse", "Busy", "Failed", "HasDependents") as refusal:
        pool.Delete()
    assert folder + "/leaf" in refusal.text
    assert os.path.exists(folder + "/leaf/precious")


def test_undefine(daemon, service, folder):
    pool = service.make_pool("p", folder, start=False, autostart=True)
    log = service.log()
    pool.Undefine()
    log.wait_removed(pool.path)
    assert not os.path.lexists(definition_file(daemon, "p"))
    assert not os.path.lexists(f"{daemon.config_dir}/autostart/p.xml")
    assert service.pool_names() == [] and os.path.isdir(folder)
    with refused("UnknownObject", "UnknownMethod", "UnknownInterface"):
        pool.Start()


def test_refresh(service, pool):
    log = service.log()
    before = pool.get("LastRefresh")
    assert pool.Refresh() == "/"
    log.wait_for(lambda s: s.member == "Refreshed" and s.path == pool.path)
    assert pool.get("LastRefresh") >= before


def test_autostart(daemon, service, folder):
    pool = service.make_pool("p", folder, start=False)
    log = service.log()
    link = f"{daemon.config_dir}/autostart/p.xml"
    pool.SetAutostart(True)
    log.wait_changed(pool.path, "Autostart", True)
    assert os.path.realpath(link) == os.path.realpath(definition_file(daemon, "p"))
    pool.SetAutostart(True)
    pool.SetAutostart(False)
    log.wait_changed(pool.path, "Autostart", False)
    assert not os.path.lexists(link)


def test_update_of_an_inactive_pool(service, folder, world):
    other = world.folder()
    pool = service.make_pool("p", folder, start=False)
    pool.Update({"target-path": other}, {})
    assert pool.get("TargetPath") == other and not pool.get("UpdatePending")
    pool.Start()
    service.make_volume(pool, "v")
    assert os.listdir(other) == ["v"]


def test_update_of_an_active_pool_waits(service, pool, folder, world):
    other = world.folder()
    log = service.log()
    pool.Update({"target-path": other}, {})
    log.wait_changed(pool.path, "UpdatePending", True)
    assert pool.get("TargetPath") == folder and pool.get("Definition")["target-path"] == other
    assert folder in pool.GetXML({}) and other in pool.GetXML({"inactive": True})
    service.make_volume(pool, "still-here")
    assert os.listdir(folder) == ["still-here"]
    pool.Stop()
    assert not pool.get("UpdatePending")
    pool.Start()
    assert pool.get("TargetPath") == other and pool.get("VolumeCount") == 0


def test_update_from_xml(service, pool, world):
    other = world.folder()
    same = pool.get("UUID")
    pool.UpdateFromXML(POOL_XML.format(name="p", uuid=same, path=other), {})
    assert pool.get("Definition")["target-path"] == other
    for xml in (POOL_XML.format(name="q", uuid=same, path=other),
                POOL_XML.format(name="p", uuid=uuid.uuid4(), path=other)):
        with refused("Conflict", "Exists", "InvalidArgument"):
            pool.UpdateFromXML(xml, {})
    with refused("InvalidXML"):
        pool.UpdateFromXML("<pool", {})


def test_ensure(service, folder):
    target = folder + "/leaf"
    options = {"build": True, "start": True, "autostart": True}
    path, changes, job = service.manager.EnsurePool("e", "dir", {"target-path": target}, options)
    assert job == "/" and set(changes) == {"defined", "built", "started", "autostart"}
    again = service.manager.EnsurePool("e", "dir", {"target-path": target}, options)
    assert again == (path, [], "/")
    service.pool(path).Stop()
    assert service.manager.EnsurePool("e", "dir", {"target-path": target}, options)[1] == ["started"]
    _, changes, _ = service.manager.EnsurePool("e", "dir", {"target-path": target, "mode": 0o700}, {})
    assert changes == ["updated"] and service.pool(path).get("UpdatePending")


def test_ensure_from_xml(service, folder):
    xml = POOL_XML.format(name="e", uuid=uuid.uuid4(), path=folder)
    path, changes, _ = service.manager.EnsurePoolFromXML(xml, {})
    assert changes == ["defined"]
    assert service.manager.EnsurePoolFromXML(xml, {}) == (path, [], "/")


def test_ensure_destroys_nothing(service, folder, world):
    pool = service.make_pool("e", folder)
    service.make_volume(pool, "v")
    with refused("Conflict", "Exists", "InvalidArgument", "Active"):
        service.manager.EnsurePoolFromXML(POOL_XML.format(name="e", uuid=uuid.uuid4(), path=world.folder()), {})
    assert "v" in service.volumes(pool)


def test_lookups(service, folder, world):
    pool = service.make_pool("p", folder)
    service.make_pool("q", world.folder())
    manager = service.manager
    assert manager.GetPoolByName("p") == pool.path
    assert manager.GetPoolByUUID(pool.get("UUID")) == pool.path
    assert manager.GetPoolByUUID(pool.get("UUID").upper()) == pool.path
    for path in (folder, folder + "/", folder + "//."):
        assert manager.GetPoolByTargetPath(path) == pool.path
    for call, argument in ((manager.GetPoolByName, "none"), (manager.GetPoolByUUID, str(uuid.uuid4())),
                           (manager.GetPoolByTargetPath, "/nowhere")):
        with refused("NotFound") as refusal:
            call(argument)
        assert argument in refusal.text
    with refused("InvalidArgument", "NotFound"):
        manager.GetPoolByUUID("rubbish")


def test_list_pools(service, world):
    # Each on a file system of its own: of one that others write to, the sizes would not keep still.
    pools = {name: service.make_pool(name, world.tmpfs(MIB), start=name != "b") for name in ("c", "a", "b")}
    rows = service.manager.ListPools()
    assert service.pool_names() == ["a", "b", "c"] and [row[1] for row in rows] == sorted(row[1] for row in rows)
    by_name = {row[1]: row for row in rows}
    for name, pool in pools.items():
        got = pool.all()
        assert by_name[name][:10] == (pool.path, name, "dir", got["State"], got["Health"], got["Autostart"],
                                      got["Persistent"], got["Capacity"], got["Allocation"], got["Available"])
    assert service.pool_names(state="active") == ["a", "c"]
    assert service.pool_names(type="dir") == ["a", "b", "c"]
    assert service.pool_names(type="netfs") == []
    with refused("InvalidArgument"):
        service.manager.ListPools({"colour": "green"})


def test_conflicts_name_the_other_pool(service, folder):
    service.make_pool("first", folder, start=False)
    for target in (folder, folder + "/", folder.replace("/", "//")):
        with refused("Conflict") as refusal:
            service.manager.DefinePool("second", "dir", {"target-path": target}, {})
        assert "first" in refusal.text
    assert service.pool_names() == ["first"]


def test_update_into_a_conflict(service, folder, world):
    service.make_pool("first", folder, start=False)
    other = service.make_pool("second", world.folder(), start=False)
    with refused("Conflict") as refusal:
        other.Update({"target-path": folder}, {})
    assert "first" in refusal.text


def test_same_name_or_uuid(service, folder, world):
    pool = service.make_pool("p", folder, start=False)
    free = world.folder()
    with refused("Exists"):
        service.manager.DefinePool("p", "dir", {"target-path": free}, {})
    same = pool.get("UUID")
    with refused("Exists", "Conflict") as refusal:
        service.manager.DefinePoolFromXML(POOL_XML.format(name="other", uuid=same, path=free), {})
    assert "p" in refusal.text
    with refused("Exists", "Conflict"):
        service.manager.DefinePoolFromXML(POOL_XML.format(name="p", uuid=uuid.uuid4(), path=free), {})
    assert service.pool_names() == ["p"] and pool.get("TargetPath") == folder


@pytest.mark.parametrize("method,args", [
    ("Build", ()), ("Start", ()), ("Stop", ()), ("Delete", ()), ("Refresh", ()), ("Undefine", ()),
    ("SetAutostart", (True,)), ("Update", ({"target-path": "/x"},)), ("CreateVolume", ("v", 4096)),
    ("EnsureVolume", ("v", 4096)), ("ListVolumes", ()), ("GetXML", ()),
])
def test_unknown_options_are_refused(service, pool, method, args):
    before = (steady(pool.all()), service.pool_rows())
    with refused("InvalidArgument") as refusal:
        getattr(pool, method)(*args, {"no-such-option": True})
    assert "no-such-option" in refusal.text
    assert (steady(pool.all()), service.pool_rows()) == before


def test_unknown_options_of_the_manager(service, folder):
    for method in ("DefinePool", "EnsurePool"):
        with refused("InvalidArgument") as refusal:
            getattr(service.manager, method)("n", "dir", {"target-path": folder}, {"colour": "green"})
        assert "colour" in refusal.text
    with refused("InvalidArgument") as refusal:
        service.manager.DefinePool("n", "dir", {"target-path": folder, "shape": "round"}, {})
    assert "shape" in refusal.text
    with refused("InvalidArgument"):
        service.manager.DefinePool("n", "dir", {"target-path": folder}, {"start": "yes"})
    assert service.pool_names() == []


def test_bad_definitions(service, folder):
    manager = service.manager
    with refused("InvalidArgument", "Unsupported"):
        manager.DefinePool("n", "nonsense", {"target-path": folder}, {})
    with refused("InvalidArgument"):
        manager.DefinePool("n", "dir", {}, {})
    for path in ("relative", "/a/../b", ""):
        with refused("InvalidArgument"):
            manager.DefinePool("n", "dir", {"target-path": path}, {})
    with refused("InvalidArgument"):
        manager.DefinePool("n", "dir", {"target-path": folder, "mode": 0o7777}, {})
    assert service.pool_names() == []


def test_types_without_backend(service):
    """They can be understood, but not be run."""
    with refused("Unsupported"):
        service.manager.DefinePool("n", "netfs", {"target-path": "/mnt/x", "source-dir": "/export",
                                                  "source-hosts": [("server", 0)]}, {})


def test_failed_start_undoes_the_rest(daemon, service, folder):
    """All or nothing: not a file, not an object, not a signal remains."""
    known = [row[0] for row in service.pool_rows()]
    log = service.log()
    with refused("NotFound", "Inaccessible"):
        service.manager.DefinePool("p", "dir", {"target-path": folder + "/missing"},
                                   {"start": True, "autostart": True})
    assert service.pool_names() == []
    assert not os.path.exists(definition_file(daemon, "p"))
    assert not os.path.lexists(f"{daemon.config_dir}/autostart/p.xml")
    log.settle()
    assert log.of_new_pools(known) == []
    service.make_pool("p", folder)


def test_failed_build_undoes_the_rest(daemon, service, folder):
    with open(folder + "/file", "wb"):
        pass
    with refused("NotFound", "Exists", "Failed", "InvalidArgument"):
        service.manager.DefinePool("p", "dir", {"target-path": folder + "/file/leaf"},
                                   {"build": True, "start": True})
    assert service.pool_names() == [] and not os.path.exists(definition_file(daemon, "p"))


def test_pool_xml_validates(service, folder, tmp_path):
    path, _ = service.manager.DefinePool("p", "dir", {"target-path": folder, "mode": 0o755, "owner": 0, "group": 0},
                                         {})
    pool = service.pool(path)
    assert_valid("storagepool.rng", pool.GetXML({}), tmp_path)
    pool.Start()
    text = pool.GetXML({})
    assert_valid("storagepool.rng", text, tmp_path)
    assert f"<capacity unit='bytes'>{pool.get('Capacity')}<" in text.replace('"', "'")
    assert_valid("storagepool.rng", pool.GetXML({"inactive": True}), tmp_path)


def test_own_xml_is_read_back(service, pool, folder):
    text = pool.GetXML({})
    pool.Stop()
    pool.Undefine()
    path, _ = service.manager.DefinePoolFromXML(text, {"start": True})
    assert path == pool.path and service.pool(path).get("TargetPath") == folder


def test_unsupported_methods(service):
    with refused("Unsupported"):
        service.manager.FindPoolSources("dir", {}, {})
    with refused("Unsupported", "InvalidArgument"):
        service.manager.FindPoolSourcesXML("dir", "<source/>", {})


def test_order_of_signals_and_reply(service, folder):
    """What concerns a call is announced before its reply."""
    log = service.log()
    service.make_pool("p", folder)
    log.settle(0)
    assert log.select("InterfacesAdded")


def test_xml_shows_the_real_permissions(service, pool, folder):
    """An active pool shows what its folder has, its definition only what was asked for."""
    os.chmod(folder, 0o2751)
    pool.Refresh()
    assert "<mode>02751</mode>" in pool.GetXML() or "<mode>2751</mode>" in pool.GetXML()
    assert "<mode>" not in pool.GetXML({"inactive": True})
