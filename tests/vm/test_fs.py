# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x512M
# hotplug: 1
# timeout: 1800
"""Pools of type fs on real disks: every file system that this machine can make, over the bus."""

import os
import statistics
import subprocess
import threading
import time
from pathlib import Path

import pytest

from client import MIB, iterate, iterate_until, refused

MAKEABLE = ["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "udf", "ocfs2", "gfs2"]
# What the refusal names.
NOT_MADE_HERE = {"hfs+": "mkfs.hfsplus", "ufs": "mkfs.ufs", "gfs": "mkfs.gfs", "vmfs": "vmfs", "iso9660": "iso9660"}
# How long other calls are measured after a disk is gone, in seconds.
WATCHED_FOR = 4.0
# What other calls take while a disk goes away, on a busy emulated processor: usually, and at most. Whoever waited for
# the disk would wait for longer.
PROMPT, LATE = 0.5, 5.0


@pytest.fixture
def target():
    path = Path("/srv/pools/tank")
    if path.exists():
        path.rmdir()
    return path


@pytest.fixture
def define(service, target):
    """Defines the pool tank: define(device, format, key=value of the definition, options of DefinePool as a dict)."""
    def make(device, fmt="ext4", options=None, name="tank", **definition):
        keys = {"source-devices": [device], "source-format": fmt, "target-path": str(target)} | definition
        path, job = service.manager.DefinePool(name, "fs", keys, options or {})
        assert job == "/"
        return service.pool(path)
    return make


@pytest.fixture
def started(define):
    def make(device, fmt="ext4", **definition):
        return define(device, fmt, {"build": True, "start": True}, **definition)
    return make


def mounts(path):
    """(source, type, options of the mount, options of the file system) of each mount there."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, rest = (part.split() for part in line.split(" - "))
        if fields[4] == str(path):
            found.append((rest[1], rest[0], fields[5].split(","), rest[2].split(",")))
    return found


def on_disk(disk):
    return subprocess.run(["blkid", "-p", "-o", "value", "-s", "TYPE", disk], capture_output=True, text=True,
                          timeout=30, check=False).stdout.strip()


def by_id(number):
    return f"/dev/disk/by-id/virtio-disk{number}"


def sizes(pool):
    return tuple(pool.get(name) for name in ("Capacity", "Allocation", "Available"))


def statvfs_sizes(path):
    v = os.statvfs(path)
    return v.f_blocks * v.f_frsize, (v.f_blocks - v.f_bavail) * v.f_frsize, v.f_bavail * v.f_frsize


def since(begin):
    return time.monotonic() - begin


@pytest.mark.parametrize("fmt", MAKEABLE)
def test_made_used_and_deleted(service, disks, started, target, fmt):
    pool = started(disks[0], fmt)
    assert pool.get("State") == "active" and pool.get("Health") == "ok"
    assert on_disk(disks[0]) == fmt
    (source, kind, options, _), = mounts(target)
    assert (source, kind) == (disks[0], fmt)
    assert {"nodev", "nosuid", "noexec"} <= set(options)
    service.make_volume(pool, "image", 8 * MIB, format="qcow2")
    service.make_volume(pool, "disk", 8 * MIB, allocation=0)
    volumes = service.volumes(pool)
    assert (volumes["image"]["Format"], volumes["image"]["Capacity"]) == ("qcow2", 8 * MIB)
    assert (volumes["disk"]["Format"], volumes["disk"]["Capacity"]) == ("raw", 8 * MIB)
    assert volumes["disk"]["Path"] == str(target / "disk")
    os.sync()
    pool.Refresh()
    assert sizes(pool) == statvfs_sizes(target)
    pool.Stop()
    assert mounts(target) == [] and os.listdir(target) == []
    with refused("Failed") as refusal:
        pool.Delete()
    assert "not empty" in refusal.text
    pool.Start()
    assert {"image", "disk"} <= set(service.volumes(pool))
    for name in ("image", "disk"):
        service.volume(pool.GetVolume(name)).Delete()
    pool.Stop()
    pool.Delete()
    assert on_disk(disks[0]) == "" and not target.exists()


@pytest.mark.parametrize("fmt", NOT_MADE_HERE)
def test_what_cannot_be_made_says_why(disks, define, target, fmt):
    pool = define(disks[0], fmt)
    with refused("Unsupported") as refusal:
        pool.Build()
    assert NOT_MADE_HERE[fmt] in refusal.text
    assert on_disk(disks[0]) == "" and not target.exists()


def test_auto_cannot_be_made_but_started(disks, define, target, command):
    pool = define(disks[0], "auto")
    with refused("InvalidArgument"):
        pool.Build()
    with refused("Failed") as refusal:
        pool.Start()
    assert "build" in refusal.text
    command("mkfs.xfs", "-q", disks[0])
    pool.Start()
    assert mounts(target)[0][:2] == (disks[0], "xfs")


def test_read_only_media(service, disks, define, target, command, tmp_path):
    command("qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "install.qcow2"), "64M")
    command("xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(tmp_path / "out.iso"), str(tmp_path))
    command("dd", f"if={tmp_path}/out.iso", f"of={disks[0]}", "bs=1M", "conv=fsync", "status=none")
    command("blockdev", "--setro", disks[0])
    try:
        pool = define(disks[0], "iso9660", {"start": True})
        assert mounts(target)[0][1] == "iso9660" and "ro" in mounts(target)[0][2]
        assert service.volumes(pool)["install.qcow2"]["Capacity"] == 64 * MIB
        assert pool.get("Health") == "ok"
        with refused("Failed", "Unsupported", "Inaccessible") as refusal:
            pool.CreateVolume("a", MIB, {})
        assert "read-only" in refusal.text.lower()
        pool.Stop()
        with refused("Failed"):
            pool.Delete()
    finally:
        command("blockdev", "--setrw", disks[0])


def medium(name, folder, *files):
    """An ISO of empty files that can be put into a drive."""
    folder.mkdir()
    for file in files:
        (folder / file).write_bytes(bytes(MIB))
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", name.upper(), "-o", f"/srv/out/{name}",
                    str(folder)], check=True, timeout=60)


def test_a_medium_is_changed(service, define, monitor, command, tmp_path):
    """systemd unmounts what was on the one that is gone; whoever does, it is told."""
    medium("first", tmp_path / "a", "one")
    medium("second", tmp_path / "b", "two")
    drive = monitor.plug_drive("drive")
    monitor.insert("drive", "first")
    iterate_until(lambda: on_disk(drive) == "iso9660", 30, "the medium")
    pool = define(drive, "iso9660", {"start": True})
    assert set(service.volumes(pool)) == {"one"} and pool.get("Health") == "ok"
    log = service.log()
    monitor.eject("drive", "first")
    log.wait_changed(pool.path, "Health", "inaccessible", 30)
    assert pool.get("Problems") and set(service.volumes(pool)) == {"one"}
    # Another one is not what was mounted, until it is asked for.
    monitor.insert("drive", "second")
    iterate_until(lambda: command("blkid", "-p", "-o", "value", "-s", "LABEL", drive).strip() == "SECOND", 30,
                  "the second medium")
    pool.Refresh()
    assert pool.get("Health") == "inaccessible" and set(service.volumes(pool)) == {"one"}
    pool.Stop()
    pool.Start()
    assert pool.get("Health") == "ok" and set(service.volumes(pool)) == {"two"}
    pool.Stop()
    monitor.eject("drive", "second")
    monitor.unplug_drive("drive")


def test_nothing_is_overwritten_unasked(disks, define, started, target, command):
    command("mkfs.ext4", "-q", "-L", "precious", disks[0])
    before = Path(disks[0]).open("rb").read(MIB)
    pool = define(disks[0], "xfs")
    with refused("Exists") as refusal:
        pool.Build()
    assert "precious" in refusal.text and "overwrite" in refusal.text
    with refused("Failed") as refusal:
        pool.Start()
    assert "ext4" in refusal.text and "xfs" in refusal.text
    with refused("Failed"):
        pool.Delete()
    assert Path(disks[0]).open("rb").read(MIB) == before
    assert mounts(target) == []
    pool.Build({"overwrite": True})
    assert on_disk(disks[0]) == "xfs"
    pool.Start()
    assert mounts(target)[0][1] == "xfs"


def test_a_disk_in_use_is_never_overwritten(disks, define, command, tmp_path):
    command("mkfs.ext4", "-q", disks[0])
    command("mount", disks[0], str(tmp_path))
    try:
        pool = define(disks[0], "xfs")
        for options in ({}, {"overwrite": True}):
            with refused("InUse") as refusal:
                pool.Build(options)
            assert str(tmp_path) in refusal.text
    finally:
        command("umount", str(tmp_path))
    assert on_disk(disks[0]) == "ext4"


def test_delete_leaves_what_is_mounted(disks, define, command, tmp_path):
    pool = define(disks[0], "ext4", {"build": True})
    command("mount", disks[0], str(tmp_path))
    try:
        with refused("InUse") as refusal:
            pool.Delete()
        assert str(tmp_path) in refusal.text
    finally:
        command("umount", str(tmp_path))
    assert on_disk(disks[0]) == "ext4"


def test_define_that_fails_leaves_nothing(service, disks, define, target):
    with refused("Failed", "InvalidArgument"):
        define(disks[0], "ext4", {"build": True, "start": True}, **{"mount-options": ["no-such-option"]})
    assert service.pool_names() == []
    assert on_disk(disks[0]) == "" and not target.exists()


def test_mount_options(disks, started, target):
    started(disks[0], **{"mount-options": ["noatime", "data=journal", "exec"]})
    _, _, options, super_options = mounts(target)[0]
    assert "noatime" in options and "noexec" not in options and "nosuid" in options
    assert "data=journal" in super_options


def test_by_id_name(service, disks, started, target):
    pool = started(by_id(0))
    assert mounts(target)[0][0] == disks[0]
    service.make_volume(pool, "a", MIB, allocation=0)
    assert pool.get("Definition")["source-devices"] == [by_id(0)]
    pool.Stop()
    assert mounts(target) == []


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_restart_finds_it_mounted(service, daemon, disks, started, target, how):
    pool = started(disks[0])
    service.make_volume(pool, "a", MIB, allocation=0)
    mounted = mounts(target)
    getattr(daemon, how)()
    assert mounts(target) == mounted
    daemon.start()
    pool.wait_for("State", "active")
    pool.wait_for("VolumeCount", 2)  # and lost+found
    assert mounts(target) == mounted
    pool.Stop()
    assert mounts(target) == []


def test_mounted_already(disks, define, target, command):
    pool = define(disks[0], "ext4", {"build": True})
    command("mount", disks[0], str(target))
    pool.Start()
    assert len(mounts(target)) == 1
    pool.Stop()
    assert mounts(target) == []
    command("mkfs.ext4", "-q", disks[1])
    command("mount", disks[1], str(target))
    try:
        with refused("InUse") as refusal:
            pool.Start()
        assert disks[1] in refusal.text
        assert pool.get("State") == "inactive" and mounts(target)[0][0] == disks[1]
    finally:
        command("umount", str(target))


def test_busy_says_who_holds_it(disks, started, target):
    pool = started(disks[0])
    with subprocess.Popen(["sleep", "300"], cwd=target) as holder:
        try:
            with refused("InUse") as refusal:
                pool.Stop()
        finally:
            holder.kill()
    assert f"process {holder.pid} (sleep)" in refusal.text
    assert pool.get("State") == "active" and pool.get("Health") == "ok"
    pool.Stop()
    assert mounts(target) == []


def test_unmounted_and_mounted_by_others(service, disks, started, target, command):
    pool = started(disks[0])
    service.make_volume(pool, "a", MIB, allocation=0)
    log = service.log()
    command("umount", str(target))
    log.wait_changed(pool.path, "Health", "inaccessible")
    assert any("not mounted" in text for _code, text in pool.get("Problems"))
    assert "a" in service.volumes(pool)
    with refused("Inaccessible"):
        pool.CreateVolume("b", MIB, {})
    assert os.listdir(target) == []
    log.clear()
    command("mount", disks[0], str(target))
    log.wait_changed(pool.path, "Health", "ok")
    service.make_volume(pool, "b", MIB, allocation=0)


def test_a_disk_is_pulled_during_a_create(service, started, target, monitor):
    node = Path(monitor.plug_disk("pulled", 512 * MIB))
    pool = started("/dev/disk/by-id/virtio-pulled")
    log = service.log()
    pending = pool.start("CreateVolume", "big", 300 * MIB, {"preallocation": "full"})
    time.sleep(0.3)
    assert not pending.done
    # The kernel tries to write what is left before it lets go of the disk.
    puller = threading.Thread(target=monitor.unplug_disk, args=["pulled"])
    puller.start()
    answers, begin, gone = [], time.monotonic(), None
    while gone is None or since(gone) < WATCHED_FOR:
        asked = time.monotonic()
        service.manager.get("Version")
        answers.append(since(asked))
        iterate()
        if gone is None and not node.exists():
            gone = time.monotonic()
        assert since(begin) < 60
    puller.join()
    assert statistics.median(answers) < PROMPT and max(answers) < LATE
    with refused("Failed", "Inaccessible"):
        pending.wait()
    log.wait_for(lambda s: s.path == pool.path and s.member == "PropertiesChanged" and
                 s.args[1].get("Health") == "inaccessible")
    assert any("gone" in text for _code, text in pool.get("Problems"))
    with refused("Inaccessible"):
        pool.CreateVolume("b", MIB, {})
    pool.Stop()
    assert mounts(target) == []
    with refused("NotFound"):
        pool.Start()


def test_a_disk_that_comes_back(service, started, target, monitor):
    monitor.plug_disk("back", 64 * MIB)
    pool = started("/dev/disk/by-id/virtio-back")
    service.make_volume(pool, "a", MIB, allocation=0)
    os.sync()
    monitor.unplug_disk("back", keep=True)
    pool.wait_for("Health", "inaccessible")
    monitor.plug_disk("back", 64 * MIB)
    pool.Refresh()
    assert pool.get("Health") == "inaccessible" and any("dead" in text for _code, text in pool.get("Problems"))
    pool.Stop()
    pool.Start()
    assert pool.get("Health") == "ok" and "a" in service.volumes(pool)
    pool.Stop()
    monitor.unplug_disk("back")
