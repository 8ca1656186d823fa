# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what. The table of methods is the interface XML itself: a new method cannot be forgotten."""

import json
import os
import subprocess
import tempfile
import time

import pytest
from gi.repository import Gio, GLib

from client import BUS_NAME, INTERFACES, MIB, ROOT, error_name, full_name, pack, refused, steady
from harness import ASKED, NOBODY, ON_SYSTEM, ONE_POOL, OWN, SLOWNESS, SMALL, wait_until

ACTION = "org.example.Storage1.PolkitAction"
INTERACTIVE = Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION
AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flood.py")


def actions_of(method):
    return {a.key: a.value for a in method.annotations}[ACTION].split()


METHODS = [(i.name.removeprefix(BUS_NAME + "."), m.name) for i in INTERFACES.values() for m in i.methods]
GUARDED = [(i, m) for i, m in METHODS if actions_of(INTERFACES[full_name(i)].lookup_method(m))]
OPEN = [(i, m) for i, m in METHODS if (i, m) not in GUARDED]

XML = "<volume><name>evil</name><capacity>4096</capacity></volume>"


class Scene:
    """A pool, a volume and a job that belong to root, and arguments that would change them."""

    def __init__(self, world, daemon):
        self.root = world.client(daemon)
        self.nobody = world.client(daemon, NOBODY)
        self.daemon = daemon
        self.folder = world.folder()
        self.evil = world.folder()
        self.pool = self.root.make_pool("p", self.folder)
        self.idle = self.root.make_pool("idle", self.evil + "/idle", build=True, start=False)
        self.array = self.root.pool(self.root.manager.DefinePool("array", "fs", {
            "target-path": self.evil + "/array",
            "raid": {"level": "raid1", "devices": ["/dev/no-such-a", "/dev/no-such-b"]}})[0])
        self.volume = self.root.make_volume(self.pool, "v", MIB)
        self.other = self.root.make_volume(self.pool, "w", MIB)
        self.image = self.root.make_volume(self.pool, "image", MIB, format="qcow2")
        self.root.proxy(self.image.path, "Volume.Snapshots").CreateSnapshot("there")
        _, self.job = self.pool.CreateVolume("x", MIB, {"wait": 0})
        self.root.wait_job(self.job)
        # What a file allocates may change until it is on the disk.
        for name in os.listdir(self.folder):
            with open(f"{self.folder}/{name}", "rb") as f:
                os.fsync(f.fileno())
        self.pool.Refresh()

    def arguments(self, interface, method):
        """The path to call, and arguments with which root would get an effect where there can be one."""
        pool_xml = (f"<pool type='dir'><name>evil</name><target><path>{self.evil}/evil</path></target></pool>")
        definition = {"target-path": self.evil + "/evil"}
        path = {"Manager": ROOT, "Pool": self.pool.path, "Pool.Raid": self.array.path, "Volume": self.volume.path,
                "Volume.Snapshots": self.image.path, "Job": self.job}[interface]
        if (interface, method) in (("Pool", "Start"), ("Pool", "Build"), ("Pool", "Undefine")) or (
                (interface, method) == ("Pool", "Delete")):
            path = self.idle.path
        special = {
            "DefinePool": ("evil", "dir", definition, {"build": True, "start": True}),
            "DefinePoolFromXML": (pool_xml, {"build": True, "start": True}),
            "EnsurePool": ("evil", "dir", definition, {"build": True, "start": True}),
            "EnsurePoolFromXML": (pool_xml, {"build": True}),
            "GetPoolByName": ("p",), "GetPoolByUUID": (self.pool.get("UUID"),),
            "GetPoolByTargetPath": (self.folder,), "GetVolumeByPath": (self.folder + "/v",),
            "GetVolumesByKey": (self.folder + "/v",), "GetVolume": ("v",),
            "FindPoolSources": ("dir", {}, {}), "FindPoolSourcesXML": ("dir", "<source/>", {}),
            "Update": (definition, {}), "UpdateFromXML": (self.pool.GetXML().replace("/pool-", "/evil-"), {}),
            "CreateVolume": ("evil", 4096, {}), "CreateVolumeFromXML": (XML, {}),
            "EnsureVolume": ("evil", 4096, {}), "EnsureVolumeFromXML": (XML, {}),
            "CloneVolume": (self.other.path, "evil", {}), "CloneVolumeFromXML": (self.other.path, XML, {}),
            "ImportVolume": ("evil", 0, {}), "OpenImport": ("evil", 10, {}), "SetAutostart": (True, {}),
            "AddDevice": ("/dev/null", {}), "FailDevice": ("/dev/null", {}), "RemoveDevice": ("/dev/null", {}),
            "Resize": (2 * MIB, {}), "Rebase": (self.other.path, {}), "Open": ("rw", {}),
            "Upload": (0, {}), "Download": (0, {}), "OpenUpload": (10, {}),
            "CreateSnapshot": ("evil", {}), "RevertSnapshot": ("there", {}), "DeleteSnapshot": ("there", {}),
            "SetSecret": ("evil", b"secret", {}), "RemoveSecret": ("evil", {}),
        }
        return path, special.get(method, ({},))

    def call(self, service, interface, method, **how):
        path, args = self.arguments(interface, method)
        info = INTERFACES[full_name(interface)].lookup_method(method)
        args = args[:len(info.in_args)]
        signature = "(" + "".join(a.signature for a in info.in_args) + ")"
        if "h" in signature:
            with tempfile.TemporaryFile() as f:
                return service.call(path, interface, method, signature, args, fds=[f.fileno()], **how)
        return service.call(path, interface, method, signature, args, **how)

    def snapshot(self):
        """All that a call could change: objects, folders, definitions."""
        found = {"root": self.root.steady_objects(), "volumes": self.root.volumes(self.pool)}
        for top in (self.folder, self.evil, self.daemon.config_dir, self.daemon.state_dir):
            for folder, _, files in os.walk(top):
                found[folder] = os.lstat(folder).st_mtime_ns
                for name in files:
                    st = os.lstat(f"{folder}/{name}")
                    found[f"{folder}/{name}"] = (st.st_size, st.st_mtime_ns, st.st_mode, st.st_uid)
        return found


@pytest.fixture
def scene(world):
    return Scene(world, world.daemon(polkit=True))


def test_every_guarded_method_is_denied_before_any_effect(scene):
    before = scene.snapshot()
    for interface, method in GUARDED:
        for flags in (0, INTERACTIVE):
            with refused("AccessDenied"):
                scene.call(scene.nobody, interface, method, flags=flags)
                print(f"{interface}.{method} was not denied")
        after = scene.snapshot()
        changed = {k: (before.get(k), after.get(k)) for k in before.keys() | after.keys()
                   if before.get(k) != after.get(k)}
        assert not changed, f"{interface}.{method} was denied, but changed {changed}"


def test_table_is_not_empty():
    assert len(GUARDED) > 35 and len(OPEN) >= 10
    assert ("Pool", "CreateVolume") in GUARDED and ("Pool", "ListVolumes") in OPEN


def test_open_methods_and_properties_are_open(scene):
    for interface, method in OPEN:
        try:
            scene.call(scene.nobody, interface, method)
        except GLib.Error as error:
            assert error_name(error) == f"{BUS_NAME}.Error.Unsupported", (method, error)
    for path, interface in ((ROOT, "Manager"), (scene.pool.path, "Pool"), (scene.volume.path, "Volume"),
                            (scene.job, "Job")):
        seen, by_root = (who.proxy(path, interface).all() for who in (scene.nobody, scene.root))
        assert seen.keys() == by_root.keys() and steady(seen) == steady(by_root)
    assert scene.nobody.volumes(scene.pool).keys() == {"v", "w", "x", "image"}
    assert scene.nobody.steady_objects() == scene.root.steady_objects()


def test_root_is_allowed(scene):
    """The same arguments do have their effect when root calls: so the denial was not of the arguments."""
    for interface, method in (("Pool", "SetAutostart"), ("Pool", "CreateVolume"), ("Volume", "Resize"),
                              ("Volume.Snapshots", "CreateSnapshot"), ("Volume.Snapshots", "DeleteSnapshot"),
                              ("Manager", "DefinePool"), ("Volume", "Delete"), ("Pool", "Delete")):
        before = scene.snapshot()
        scene.call(scene.root, interface, method)
        assert scene.snapshot() != before, method


def test_rules_for_one_pool(world):
    daemon = world.daemon(polkit=True)
    root, user = world.client(daemon), world.client(daemon, ONE_POOL)
    pools = {name: root.make_pool(name, world.folder()) for name in ("mine", "theirs")}
    mine, theirs = (user.pool(pools[n].path) for n in ("mine", "theirs"))
    volume = user.make_volume(mine, "v", 4096)
    volume.Resize(8192)
    mine.Refresh()
    fds = user.call(volume.path, "Volume", "Open", "(sa{sv})", ("rw", {}), want_fds=True)[1]
    os.close(fds[0])
    volume.Delete()
    for call, args in ((theirs.CreateVolume, ("v", 4096)), (theirs.Refresh, ()), (theirs.Stop, ()),
                       (theirs.SetAutostart, (True,))):
        with refused("AccessDenied"):
            call(*args)
    with refused("AccessDenied"):
        user.manager.DefinePool("else", "dir", {"target-path": world.folder()})
    path, _ = user.manager.EnsurePool("mine", "dir", {"target-path": mine.get("TargetPath")})[:2]
    assert path == mine.path
    root_volume = root.make_volume(pools["theirs"], "v", 4096)
    with refused("AccessDenied"):
        user.volume(root_volume.path).Delete()


def test_rules_see_the_capacity(world):
    daemon = world.daemon(polkit=True)
    pool = world.client(daemon).make_pool("p", world.folder())
    user = world.client(daemon, SMALL)
    mine = user.pool(pool.path)
    mine.CreateVolume("small", MIB)
    with refused("AccessDenied"):
        mine.CreateVolume("large", MIB + 1)
    with refused("AccessDenied"):
        mine.CreateVolumeFromXML(XML.replace("4096", str(MIB + 1)))
    mine.CreateVolumeFromXML(XML)
    assert list(user.volumes(pool)) == ["evil", "small"] or set(user.volumes(pool)) == {"evil", "small"}


class Shared:
    """A pool in which a user has some volumes, and another one a secret."""

    def __init__(self, world):
        daemon = world.daemon(polkit=True)
        self.root, self.user, self.folder = world.client(daemon), world.client(daemon, OWN), world.folder()
        self.pool = self.root.make_pool("p", self.folder)
        self.mine = self.user.pool(self.pool.path)
        with open(self.folder + "/secret", "wb") as f:
            f.write(b"TOPSECRET" + bytes(MIB - 9))
        self.secret = self.root.wait_volume(self.pool, "secret")

    def overlay(self, name, backing):
        """Made by root; the user's by its name."""
        return self.user.volume(self.root.make_volume(self.pool, name, MIB, format="qcow2", backing=backing.path).path)

    def refuse_to_read(self, volume):
        """What is behind a volume of the user, who tries all that reads or copies it."""
        before = self.root.volumes(self.pool)
        plain = self.root.make_volume(self.pool, "mine-plain", MIB)
        for call, args in ((self.mine.CloneVolume, (volume.path, "mine-c", {"format": "raw"})),
                           (self.mine.CloneVolume, (volume.path, "mine-c", {"linked": True})),
                           (self.mine.CreateVolume, ("mine-c", MIB, {"format": "qcow2", "backing": volume.path})),
                           (volume.Flatten, ()), (volume.Rebase, ("/",)), (volume.Rebase, (plain.path,))):
            with refused("AccessDenied"):
                call(*args)
                print(f"{args} was not denied")
        plain.Delete()
        assert self.root.volumes(self.pool).keys() == before.keys()


@pytest.fixture
def shared(world):
    return Shared(world)


def test_overlay_of_what_may_not_be_read(shared):
    xml = (f"<volume><name>mine-o</name><capacity>4096</capacity><target><format type='qcow2'/></target><backingStore>"
           f"<path>{shared.folder}/secret</path><format type='raw'/></backingStore></volume>")
    for key, value in (("backing", shared.secret.path), ("backing-path", shared.folder + "/secret"),
                       ("backing-path", "secret")):
        for call in (shared.mine.CreateVolume, shared.mine.EnsureVolume):
            with refused("AccessDenied"):
                call("mine-o", 0, {key: value, "format": "qcow2"})
    for call in (shared.mine.CreateVolumeFromXML, shared.mine.EnsureVolumeFromXML):
        with refused("AccessDenied"):
            call(xml)
    assert shared.root.volumes(shared.pool).keys() == {"secret"}


def test_overlay_of_another_is_not_read(shared):
    overlay = shared.overlay("mine-o", shared.secret)
    shared.refuse_to_read(overlay)
    top = shared.overlay("mine-top", overlay)
    shared.refuse_to_read(top)
    with refused("AccessDenied"):
        top.Commit()
    plain = shared.user.volume(shared.root.make_volume(shared.pool, "mine-q", MIB, format="qcow2").path)
    for backing in (shared.secret, overlay):
        with refused("AccessDenied"):
            plain.Rebase(backing.path)


def test_header_that_names_another_volume(shared):
    """Nobody was asked when the image came: its header is read afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", shared.folder + "/secret", "-F", "raw",
                        folder + "/crafted", "1M"], check=True)
        with open(folder + "/crafted", "rb") as f:
            shared.user.call(shared.pool.path, "Pool", "ImportVolume", "(sha{sv})",
                             ("mine-i", 0, {"length": os.stat(f.fileno()).st_size}), fds=[f.fileno()])
    volume = shared.user.volume(shared.mine.GetVolume("mine-i"))
    assert volume.get("Backing") == shared.secret.path
    shared.refuse_to_read(volume)


def test_long_chain_of_ones_own(shared):
    """Each of its members is asked about, and whoever may read them all may do everything."""
    volume = shared.user.volume(shared.root.make_volume(shared.pool, "mine-0", MIB, format="qcow2").path)
    for i in range(1, 12):
        volume = shared.overlay(f"mine-{i}", volume)
    shared.mine.CloneVolume(volume.path, "mine-c", {"format": "raw"})
    volume.Commit()
    volume.Flatten()
    assert volume.get("Backing") == "/"


def test_rules_see_what_a_volume_grows_to(shared):
    shared.mine.CreateVolume("mine-v", MIB)
    volume = shared.user.volume(shared.mine.GetVolume("mine-v"))
    volume.Resize(MIB, {"delta": True})
    for size in (1, 2 * MIB, 2**63, 2**64 - 1):
        with refused("AccessDenied"):
            volume.Resize(size, {"delta": True})
    volume.Resize(MIB, {"delta": True, "shrink": True})
    assert volume.get("Capacity") == MIB


def test_rules_see_the_capacity_of_an_overlay(shared):
    """Without one of its own it is as large as what it is built on."""
    large = shared.root.make_volume(shared.pool, "mine-large", 512 * MIB)
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/foreign", "wb") as f:
            f.truncate(512 * MIB)
        for backing in ({"backing": large.path}, {"backing-path": "mine-large"},
                        {"backing-path": folder + "/foreign"}):
            with refused("AccessDenied"):
                shared.mine.CreateVolume("mine-o", 0, {"format": "qcow2", "backing-format": "raw", **backing})
    shared.mine.CreateVolume("mine-o", MIB, {"format": "qcow2", "backing": large.path})
    shared.root.make_volume(shared.pool, "mine-small", MIB)
    shared.mine.CreateVolume("mine-p", 0, {"format": "qcow2", "backing-path": "mine-small"})


def test_interaction_is_asked_for(world):
    daemon = world.daemon(polkit=True)
    pool = world.client(daemon).make_pool("p", world.folder())
    user = world.client(daemon, ASKED)
    with refused("InteractiveAuthorizationRequired"):
        user.pool(pool.path).Refresh()
    # With the flag polkit looks for an agent, and there is none.
    with refused("InteractiveAuthorizationRequired", "AccessDenied"):
        user.call(pool.path, "Pool", "Refresh", "(a{sv})", ({},), flags=INTERACTIVE)


def test_caller_that_is_another_process(world):
    """As a real user's program: another process with another user from its start."""
    daemon = world.daemon(polkit=True)
    pool = world.client(daemon).make_pool("mine", world.folder())
    argv = ["busctl", "--address=" + daemon.bus.address, "call", BUS_NAME, pool.path, full_name("Pool"), "CreateVolume",
            "sta{sv}", "v", "4096", "0"]
    results = [subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv],
                              capture_output=True, text=True, check=False, timeout=30 * SLOWNESS)
               for uid in (NOBODY, ONE_POOL)]
    assert results[0].returncode != 0 and "denied" in results[0].stderr.lower(), results[0].stderr
    assert results[1].returncode == 0, results[1].stderr


def test_job_of_another_user(world):
    """Who made a job may cancel it; others need more."""
    daemon = world.daemon(polkit=True)
    root, user = world.client(daemon), world.client(daemon, ONE_POOL)
    pool = root.make_pool("mine", world.folder())
    size = 512 * MIB
    _, theirs = root.pool(pool.path).CreateVolume("root", size, {"preallocation": "full", "wait": 0})
    _, mine = user.pool(pool.path).CreateVolume("user", size, {"preallocation": "full", "wait": 0})
    assert root.job(mine).get("StartedByUID") == ONE_POOL and root.job(theirs).get("StartedByUID") == 0
    with refused("AccessDenied"):
        world.client(daemon, NOBODY).job(mine).Cancel()
    user.job(mine).Cancel()
    root.job(theirs).Cancel()
    assert root.wait_job(mine)["State"] in ("cancelled", "succeeded")
    root.wait_job(theirs)


@pytest.mark.private
def test_without_polkit(world):
    """Nobody to ask: root goes on, others are refused, soon."""
    daemon = world.daemon()
    pool = world.client(daemon).make_pool("p", world.folder())
    with refused("AccessDenied", "Failed"):
        world.client(daemon, NOBODY).pool(pool.path).Refresh()
    pool.Refresh()


@pytest.mark.private
def test_flood_of_pending_questions(world):
    """One user lets hundreds of questions to an agent of his hang; everybody else is served as ever."""
    daemon = world.daemon(polkit=True)
    root = world.client(daemon)
    pool = root.make_pool("mine", world.folder())
    flood = subprocess.Popen(
        ["setpriv", f"--reuid={ASKED}", f"--regid={ASKED}", "--clear-groups", "/usr/bin/python3", AGENT,
         daemon.bus.address, pool.path, "300"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        state = json.loads(flood.stdout.readline())
        assert state["pending"] >= 1, f"no question hangs: {state}"
        assert state["pending"] <= 64 and state["refused"].keys() == {"org.freedesktop.DBus.Error.LimitsExceeded"}
        user, nobody = world.client(daemon, ONE_POOL), world.client(daemon, NOBODY)
        start = time.monotonic()
        user.make_volume(user.pool(pool.path), "v", 4096).Delete()
        with refused("AccessDenied"):
            nobody.pool(pool.path).Refresh()
        nobody.pool(pool.path).ListVolumes()
        pool.Refresh()
        assert time.monotonic() - start < 2 * SLOWNESS
    finally:
        flood.communicate(timeout=20)
    user.pool(pool.path).Refresh()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_descriptors_nobody_asked_for(world):
    """They are closed with their message: sd-bus does not tell a service that they came."""
    daemon = world.daemon(polkit=True)
    root, nobody = world.client(daemon), world.client(daemon, NOBODY)
    pool = root.make_pool("p", world.folder())
    before = descriptors(daemon.pid())
    with tempfile.TemporaryFile() as f:
        for service, path, interface, method, signature, args in (
                (nobody, ROOT, "Manager", "ListPools", "(a{sv})", ({},)),
                (nobody, pool.path, "Pool", "Refresh", "(a{sv})", ({},)),
                (nobody, pool.path, "Pool", "CreateVolume", "(sta{sv})", ("v", 4096, {})),
                (nobody, pool.path, "org.freedesktop.DBus.Properties", "Get", "(ss)", (full_name("Pool"), "Name")),
                (nobody, ROOT, "Manager", "NoSuchMethod", "()", ())):
            for _ in range(40):
                try:
                    service.call(path, interface, method, signature, args, fds=[f.fileno()] * 15)
                except GLib.Error as error:
                    assert error_name(error), error
    wait_until(lambda: descriptors(daemon.pid()) <= before + 2, what="the descriptors to be closed")
    assert root.volumes(pool) == {}


def test_unread_replies_hurt_nobody(world):
    """A caller who asks and never reads: others do not wait for it."""
    daemon = world.daemon(polkit=True)
    root = world.client(daemon)
    pool = root.make_pool("p", world.folder())
    for i in range(50):
        root.make_volume(pool, f"v{i}", 512)
    script = ("import sys,time; from harness import connect; from gi.repository import GLib;"
              "c=connect(sys.argv[1]);\n"
              "for i in range(3000): c.call('org.example.Storage1', sys.argv[2],"
              "'org.example.Storage1.Pool','ListVolumes',GLib.Variant('(a{sv})',({},)),None,0,-1,None,None)\n"
              "print('sent',flush=True); time.sleep(60)")
    env = dict(os.environ, PYTHONPATH=os.path.dirname(AGENT))
    greedy = subprocess.Popen(["/usr/bin/python3", "-c", script, daemon.bus.address, pool.path], env=env,
                              stdout=subprocess.PIPE)
    try:
        assert greedy.stdout.readline() == b"sent\n"
        greedy.send_signal(19)
        start = time.monotonic()
        for _ in range(20):
            root.make_volume(pool, "x", 512).Delete()
        assert time.monotonic() - start < 5 * SLOWNESS
    finally:
        greedy.kill()
        greedy.wait()


@pytest.mark.skipif(ON_SYSTEM, reason="the machine's service is a system service")
def test_session_mode_asks_nobody(world):
    daemon = world.daemon(kind="session")
    service = world.client(daemon)
    pool = service.make_pool("p", world.folder())
    service.make_volume(pool, "v", 4096)
    assert list(service.volumes(pool)) == ["v"]
    assert pack("(s)", ("x",)).unpack() == ("x",)
