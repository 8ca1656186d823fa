# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was broken once, each in the smallest form that showed it."""

import contextlib
import os
import signal
import tempfile
import time

import pytest
from gi.repository import GLib

import images
from client import MIB, error_name, refused, vardict
from harness import ONE_POOL, SLOWNESS, find_binary, name_owner, wait_until

pytestmark = pytest.mark.private


def outcome(pending):
    """How a call ended: "ok", or the last word of the error's name."""
    try:
        pending.wait()
        return "ok"
    except GLib.Error as error:
        return error_name(error).rsplit(".", 1)[-1]


@pytest.mark.parametrize("length", range(509, 513))
def test_a_name_cut_within_a_character_is_answered(service, length):
    with refused("NotFound"):
        service.manager.GetPoolByName("x" * length + "é")


def test_adopted_transient_pool_whose_folder_is_gone(world, daemon, service, folder):
    path = folder + "/sub"
    os.mkdir(path)
    service.make_pool("t", path, transient=True)
    daemon.kill()
    os.rmdir(path)
    daemon.start()
    client = world.client(daemon)
    wait_until(lambda: not client.pool_names(), what="the end of the pool")


def test_end_while_pools_are_found_again_loses_none(world, daemon, service, folder):
    service.make_pool("t", folder, transient=True)
    for _ in range(8):
        daemon.kill()
        daemon.start()
        daemon.stop()
        assert os.listdir(daemon.runtime_dir + "/active") == ["t.xml"]
    daemon.start()
    assert world.client(daemon).pool_names() == ["t"]


def test_worker_killed_while_pools_are_found_again(world, daemon, service, folder):
    with open(folder + "/a", "w", encoding="ascii"):
        pass
    service.make_pool("t", folder, transient=True)
    daemon.kill()
    daemon.start()
    killed = wait_until(lambda: list(daemon.workers("pool")), what="the worker")
    os.kill(killed[0], signal.SIGKILL)
    client = world.client(daemon)
    assert client.pool_names() == ["t"]
    pool = client.pool(client.manager.GetPoolByName("t"))

    def found():
        try:
            return [row[1] for row in pool.ListVolumes({})[0]] == ["a"]
        except GLib.Error as error:
            assert error_name(error).endswith(".Inaccessible")
            return False
    wait_until(found, 20, "its volume")


def stopped_worker(daemon):
    """A worker program that stops itself before it begins, until the file that is returned exists."""
    go, wrapper = daemon.base + "/go", daemon.base + "/worker"
    real = find_binary("storaged-worker")
    with open(wrapper, "w", encoding="utf-8") as f:
        f.write(f'#!/bin/sh\n[ "$1" != pool ] || while [ ! -e {go} ]; do sleep 0.05; done\nexec {real} "$@"\n')
    os.chmod(wrapper, 0o755)
    daemon.args = (*daemon.args, "--worker", wrapper)
    return go


def test_held_calls_of_those_who_left_do_not_keep_it(world, folder):
    daemon = world.daemon("--idle-timeout", "1")
    client = world.client(daemon)
    pool = client.make_pool("t", folder, transient=True)
    client.connection.close_sync(None)
    daemon.kill()
    go = stopped_worker(daemon)
    daemon.start()
    leaving, client = world.client(daemon), world.client(daemon)
    for _ in range(20):
        leaving.start("/org/example/Storage1", "Manager", "GetVolumeByPath", "(s)", (folder + "/a",))
    leaving.connection.flush_sync(None)
    time.sleep(0.3)
    leaving.connection.close_sync(None)
    held = client.pool(pool.path).start("Stop", {"force": True})
    with open(go, "w", encoding="ascii"):
        pass
    assert outcome(held) == "ok"
    client.connection.close_sync(None)
    wait_until(lambda: not name_owner(daemon.connection), 15, "its end when idle")
    assert daemon.process.wait(10) == 0
    daemon.process = None


def test_update_beside_the_stop_of_a_transient_pool(daemon, service, folder):
    for _ in range(10):
        pool = service.make_pool("t", folder, transient=True)
        stop = pool.start("Stop", {})
        update = pool.start("Update", {"target-path": folder, "mode": 0o711}, {})
        assert outcome(stop) == "ok"
        kept = outcome(update) == "ok"
        assert service.pool_names() == (["t"] if kept else [])
        assert os.listdir(daemon.config_dir + "/pools") == (["t.xml"] if kept else [])
        if kept:
            service.pool(service.manager.GetPoolByName("t")).Undefine()


def test_autostart_beside_undefine_leaves_no_link(daemon, service, folder):
    pool = service.make_pool("t", folder, start=False)
    undefine = pool.start("Undefine", {})
    outcome(pool.start("SetAutostart", True, {}))
    assert outcome(undefine) == "ok"
    assert os.listdir(daemon.config_dir + "/autostart") == []


def test_base_is_kept_while_an_overlay_is_made(service, pool):
    base = service.make_volume(pool, "base", format="qcow2")
    create = pool.start("CreateVolume", "top", MIB, vardict({"format": "qcow2", "backing": base.path}))
    delete = base.start("Delete", {})
    assert outcome(create) == "ok"
    assert outcome(delete) in ("Busy", "HasDependents")
    assert base.path in service.objects(pool.get("Volumes"))


def test_backing_follows_the_coming_and_going_of_the_base(service, pool, folder):
    log = service.log()
    base = service.make_volume(pool, "base", format="qcow2")
    top = service.make_volume(pool, "top", format="qcow2", backing=base.path)
    os.rename(folder + "/base", folder + "/../base-elsewhere")
    log.wait_changed(top.path, "Backing", "/")
    log.clear()
    os.rename(folder + "/../base-elsewhere", folder + "/base")
    log.wait_changed(top.path, "Backing", base.path)


def test_callers_hear_of_the_end(daemon, service, pool):
    calls = [pool.start("CreateVolume", f"v{i}", 2048 * MIB, vardict({"preallocation": "full"})) for i in range(6)]
    time.sleep(0.3)
    daemon.stop()
    assert {outcome(call) for call in calls} <= {"ok", "Interrupted"}


def test_long_names_do_not_end_the_service(service, folder):
    for i in range(9990):
        with open(f"{folder}/{'-' * 250}{i:05}", "w", encoding="ascii"):
            pass
    pool = service.make_pool("p", folder)
    with refused("LimitsExceeded"):
        service.volumes(pool)
    assert len(pool.ListVolumes({})[0]) == 9990


def test_ended_jobs_are_kept_in_limits(service, pool):
    for _ in range(15):
        for call in [pool.start("Refresh", {"wait": 0}) for _ in range(100)]:
            outcome(call)
    wait_until(lambda: sum("/job/" in path for path in service.objects()) <= 1024, 30, "fewer jobs")


def test_half_written_files_are_removed(daemon):
    folder = daemon.state_dir + "/intents"
    with open(folder + "/.#0123456789abcdef", "w", encoding="ascii"):
        pass
    daemon.restart()
    assert os.listdir(folder) == []


@contextlib.contextmanager
def asleep(daemon):
    """Calls are taken, but the pools' workers see and do nothing."""
    stopped = daemon.workers("pool")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("change", [{"allocate": True}, {"delta": True}, {"delta": True, "shrink": True}],
                         ids=["allocate", "more", "less"])
def test_resize_of_what_others_resize(daemon, service, pool, folder, change):
    """What somebody else added in the same moment is not cut off: neither by a change that was meant for the old size, nor
    by what undoes it."""
    volume, path = service.make_volume(pool, "v", 8 * MIB), f"{folder}/v"
    with asleep(daemon):
        with open(path, "r+b") as f:
            f.truncate(32 * MIB)
            f.seek(30 * MIB)
            f.write(b"precious")
        pending = volume.start("Resize", (4 if "delta" in change else 16) * MIB, change)
        service.manager.ListPools({})  # so the one before was taken, too
    with refused("Busy") as e:
        pending.wait()
    assert "meanwhile" in e.text
    with open(path, "rb") as f:
        f.seek(30 * MIB)
        assert f.read(8) == b"precious"
    assert os.stat(path).st_size == 32 * MIB
    volume.wait_for("Capacity", 32 * MIB)
    volume.Resize((40 if "delta" not in change else 8) * MIB, change)
    assert os.stat(path).st_size == (24 if "shrink" in change else 40) * MIB


def test_growth_that_others_have_done(daemon, service, pool, folder):
    """A growth that found the volume changed has done nothing, and so undoes nothing: not even what is as large as it
    would have made it."""
    volume, path = service.make_volume(pool, "v", 8 * MIB), f"{folder}/v"
    with asleep(daemon):
        with open(path, "r+b") as f:
            f.truncate(16 * MIB)
            f.seek(12 * MIB)
            f.write(b"precious")
        pending = volume.start("Resize", 16 * MIB, {"allocate": True})
        service.manager.ListPools({})
    with refused("Busy"):
        pending.wait()
    assert os.stat(path).st_size == 16 * MIB
    with open(path, "rb") as f:
        f.seek(12 * MIB)
        assert f.read(8) == b"precious"


def test_a_users_folder_leads_to_no_others(world):
    """Who has the rights on one pool, and the folder that it is in, gets by no link what is elsewhere."""
    daemon = world.daemon(polkit=True)
    root, own = world.client(daemon), world.client(daemon, ONE_POOL)
    theirs, home = world.folder(), world.folder()
    os.chown(home, ONE_POOL, ONE_POOL)
    os.mkdir(f"{home}/disks")
    os.chown(f"{home}/disks", ONE_POOL, ONE_POOL)
    for folder in (theirs, f"{home}/disks"):
        with open(f"{folder}/v", "wb") as f:
            f.write(b"secret" if folder == theirs else b"public")
    os.chmod(f"{theirs}/v", 0o600)
    root.make_pool("mine", f"{home}/disks")
    pool = own.pool(own.manager.GetPoolByName("mine"))
    volume = own.wait_volume(pool, "v")

    def lead_to(target):
        with contextlib.suppress(OSError):
            os.rename(f"{home}/disks", f"{home}/away")
        with contextlib.suppress(OSError):
            os.unlink(f"{home}/disks")
        os.symlink(target, f"{home}/disks")
        os.lchown(f"{home}/disks", ONE_POOL, ONE_POOL)

    def read():
        with tempfile.TemporaryFile() as f:
            own.call(volume.path, "Volume", "Download", "(ha{sv})", (0, {}), fds=[f.fileno()])
            f.seek(0)
            return f.read()
    assert read() == b"public"
    # Where it is still thought to be as it was, too.
    for target in (theirs, f"{home}/back/../../{os.path.basename(theirs)}", "theirs"):
        os.makedirs(f"{home}/back", exist_ok=True)
        if target == "theirs":
            os.symlink(theirs, f"{home}/theirs")
        lead_to(target)
        for call in (read, lambda: pool.CreateVolume("new", MIB), volume.Wipe, volume.Delete, lambda: volume.Open("r")):
            with refused("Inaccessible", "NotFound") as e:
                call()
            assert e.name.endswith(".NotFound") or "symbolic link" in e.text
        with contextlib.suppress(GLib.Error):
            pool.Refresh()
        assert sorted(os.listdir(theirs)) == ["v"] and open(f"{theirs}/v", "rb").read() == b"secret"
    pool.wait_for("Health", "inaccessible")
    # To what is his own he may lead it.
    lead_to("away")
    pool.Refresh()
    pool.wait_for("Health", "ok")
    volume = own.wait_volume(pool, "v")
    assert read() == b"public"


def keeps_attributes(folder):
    try:
        os.setxattr(folder, "user.test", b"")
    except OSError:
        return False
    os.removexattr(folder, "user.test")
    return True


@pytest.mark.parametrize("source", ["qcow2", "stale"])
@pytest.mark.parametrize("where", ["disk", "tmpfs"])
def test_a_guests_header_makes_no_image_of_its_disk(world, daemon, service, source, where):
    """What a guest writes to the begin of its disk is data there; in a raw file it would be a header, and name the disks of
    others as what that is built on, if it were not known of that that it is raw."""
    folder = world.folder() if where == "disk" else world.tmpfs("64m")
    pool = service.make_pool("p", folder)
    service.make_volume(pool, "theirs", MIB)
    is_known = keeps_attributes(folder)
    header, disk = f"{folder}/header", f"{folder}/disk"
    images.qemu_img("create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", f"{folder}/theirs", header, MIB)
    guests = service.make_volume(pool, "disk", 4 * MIB, format="qcow2" if source == "qcow2" else "raw")
    if source == "qcow2":
        images.qemu_img("convert", "-n", "-f", "raw", "-O", "qcow2", header, disk)
        pending = pool.start("CloneVolume", guests.path, "moved", {"format": "raw"})
    else:
        with asleep(daemon):
            with open(header, "rb") as f, open(disk, "r+b") as out:
                out.write(f.read())
            pending = pool.start("CloneVolume", guests.path, "moved", {})
            service.manager.ListPools({})
    if is_known:
        moved = service.volume(pending.wait()[0])
        assert (moved.get("Format"), moved.get("BackingPath")) == ("raw", "")
        with open(moved.get("Path"), "rb") as f:
            assert f.read(4) == b"QFI\xfb"
        moved.Delete()
    else:
        with refused("InvalidArgument") as e:
            pending.wait()
        assert "qcow2, not raw" in e.text
    assert sorted(os.listdir(folder)) == ["disk", "header", "theirs"]
    # As what it is, it may be copied.
    clone, _ = pool.CloneVolume(guests.path, "copy", {"format": "qcow2"})
    assert service.volume(clone).get("Format") == "qcow2"


@pytest.mark.limit(120)
def test_dependents_in_a_pool_that_is_not_known_yet(world, daemon):
    """After a restart a base may be known before those that are built on it."""
    client = world.client(daemon)
    bases, many = world.folder(), world.tmpfs("64m", ",nr_inodes=200k")
    pool = client.make_pool("bases", bases)
    client.make_volume(pool, "base", MIB)
    images.qemu_img("create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", f"{bases}/base", f"{many}/overlay", MIB)
    for i in range(50000):
        os.close(os.open(f"{many}/{i}", os.O_CREAT | os.O_WRONLY))
    client.make_pool("many", many)
    for method, arguments in (("Delete", ()), ("Wipe", ()), ("Resize", (0, {"shrink": True}))):
        daemon.kill()
        daemon.start()
        client = world.client(daemon)
        volume = client.volume(client.pool(client.manager.GetPoolByName("bases")).GetVolume("base"))
        with refused("HasDependents"):
            getattr(volume, method)(*arguments)


def test_a_vmdks_parent_leads_nowhere_else(service, pool, folder):
    """What a descriptor names would be opened while an overlay of it is made: here for ever."""
    os.mkfifo(f"{folder}/fifo")
    for kind, extent in (("FLAT", "0"), ("SPARSE", "")):
        name = f"parent-{kind}"
        with open(f"{folder}/{name}", "w", encoding="ascii") as f:
            f.write("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
                    f'createType="monolithic{kind.capitalize()}"\nRW 2048 {kind} "{folder}/fifo" {extent}\n\nddb.adapterType = "ide"\n')
        service.wait_volume(pool, name)
        started = time.monotonic()
        with refused("Unsupported") as e:
            pool.CreateVolume("overlay", MIB, {"format": "vmdk", "backing-path": f"{folder}/{name}"})
        assert name in e.text and time.monotonic() - started < 5 * SLOWNESS
    images.make(f"{folder}/raw", MIB, format="raw")
    with refused("Unsupported"):
        pool.CreateVolume("overlay", MIB, {"format": "vmdk", "backing-path": f"{folder}/raw"})
    parent = service.make_volume(pool, "parent", format="vmdk")
    overlay = service.make_volume(pool, "overlay", format="vmdk", backing=parent.path)
    assert overlay.get("Backing") == parent.path
