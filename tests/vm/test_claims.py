# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 5x64M
# hotplug: 1
# timeout: 1200
"""What the service knows of pools' devices: who claims which, by whatever name, and when to try again."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from client import refused
from harness import wait_until

MIB = 1 << 20
# In the emulated machine an array takes longer to make than callers usually wait for.
PATIENT = {"wait": 200_000_000}


def by_id(n):
    return f"/dev/disk/by-id/virtio-disk{n}"


@pytest.fixture
def by_hand(disks):
    """A link that no udev made."""
    link = Path("/dev/my-disk")
    link.symlink_to(disks[0])
    yield str(link)
    link.unlink()


@pytest.fixture
def define(service):
    def make(name, pool_type="fs", options=None, **definition):
        if pool_type == "fs":
            definition.setdefault("target-path", f"/srv/pools/{name}")
        if pool_type == "disk":
            definition.setdefault("target-path", "/dev")
        path, job = service.manager.DefinePool(name, pool_type, definition, PATIENT | (options or {}), timeout=60)
        assert job == "/"
        return service.pool(path)
    return make


def test_a_device_belongs_to_one_pool_whatever_its_name(service, disks, define, by_hand):
    define("first", **{"source-devices": [by_id(0)]})
    for name, pool_type in (("second", "fs"), ("second", "disk"), ("second", "logical")):
        for spelling in (by_id(0), disks[0], by_hand):
            with refused("Conflict") as e:
                define(name, pool_type, **{"source-devices": [spelling]})
            assert "'first'" in e.text and by_id(0) in e.text and spelling in e.text
    define("second", "logical", **{"source-devices": [disks[1]]})
    with refused("Conflict"):
        service.pool(service.manager.GetPoolByName("second")).Update({"source-devices": [disks[1], disks[0]]})


def test_members_and_arrays_are_claimed(service, disks, define):
    members = {"level": "raid1", "devices": [by_id(1), by_id(2)]}
    define("array", raid=members)
    for devices in ([disks[1]], [disks[2]], ["/dev/md/array"]):
        with refused("Conflict") as e:
            define("other", **{"source-devices": devices})
        assert "'array'" in e.text
    with refused("Conflict"):
        define("other", raid={"level": "raid1", "devices": [disks[2], disks[3]]})
    define("other", raid={"level": "raid1", "devices": [disks[3], disks[4]]})


def test_two_definitions_that_meet_later_are_both_kept(service, daemon, define, disks):
    """Names are dealt out anew by each boot: what was accepted once is not thrown away for that."""
    define("first", **{"source-devices": [by_id(0)]})
    define("second", **{"source-devices": ["/dev/later"]})
    os.symlink(disks[0], "/dev/later")
    try:
        daemon.restart()
        assert {name for _, name, *_ in service.manager.ListPools()} >= {"first", "second"}
    finally:
        os.unlink("/dev/later")


def test_what_meets_later_does_not_run_at_once(service, define, disks):
    """Nor is built or deleted what another pool has, even if that does not run."""
    first = define("first", **{"source-devices": [by_id(0)], "source-format": "ext4"}, options={"build": True})
    second = define("second", "disk", **{"source-devices": ["/dev/later"], "source-format": "gpt"})
    os.symlink(disks[0], "/dev/later")
    try:
        for overwrite in (False, True):
            with refused("Conflict") as e:
                second.Build(PATIENT | {"overwrite": overwrite}, timeout=60)
            assert "'first'" in e.text and "/dev/later" in e.text and by_id(0) in e.text
        with refused("Conflict"):
            second.Delete(PATIENT, timeout=60)
        first.Start(PATIENT, timeout=60)
        with refused("Conflict"):
            second.Start(PATIENT, timeout=60)
        assert second.get("State") == "inactive" and first.get("State") == "active"
        first.Stop(PATIENT, timeout=60)
        # Which of the two was meant is for who starts them to know.
        with refused("Failed") as e:
            second.Start(PATIENT, timeout=60)
        assert "ext4" in e.text
    finally:
        os.unlink("/dev/later")


def test_a_volume_that_a_pool_is_on_stays(service, define, disks):
    """Also while that pool does not run, and nobody has the volume open."""
    node = f"{disks[0]}1"
    first = define("first", "disk", **{"source-devices": [by_id(0)], "source-format": "gpt"},
                   options={"build": True, "start": True})
    path, _ = first.CreateVolume(Path(node).name, 32 * MIB, PATIENT, timeout=60)
    volume = service.volume(path)
    second = define("second", **{"source-devices": [f"{by_id(0)}-part1"], "source-format": "ext4"},
                    options={"build": True})
    for call in (lambda: volume.Delete(PATIENT, timeout=60), lambda: volume.Wipe(PATIENT, timeout=60),
                 lambda: volume.Resize(16 * MIB, PATIENT | {"shrink": True}, timeout=60)):
        with refused("HasDependents") as e:
            call()
        assert "'second'" in e.text
    volume.Resize(40 * MIB, PATIENT, timeout=60)
    second.Start(PATIENT, timeout=60)
    second.Stop(PATIENT, timeout=60)
    second.Undefine()
    volume.Delete(PATIENT, timeout=60)


def test_search_tells_whose_a_device_is(service, disks, define):
    define("first", **{"source-devices": [by_id(0)]})
    found, _ = service.manager.FindPoolSources("fs", {}, {})
    mine = {d: s for s in found for d in s["source-devices"] + s.get("links", [])}
    first, second = mine[by_id(0)], mine[by_id(1)]
    assert first["used-by-pool"] == "first" and "'first'" in first["unsuitable"]
    assert "used-by-pool" not in second and "unsuitable" not in second
    assert second["size"] == 64 * MIB and second["serial"] == "disk1"
    xml, _ = service.manager.FindPoolSourcesXML("fs", "", {})
    assert xml.count("<source>") >= 1 and all(d not in xml for d in first["source-devices"])


def wait_link_gone():
    """udev removes it a moment after the array is stopped."""
    wait_until(lambda: not Path("/dev/md/array").exists(), 30, "the end of the array's link")


def test_array_beneath_a_pool(service, disks, define, command):
    pool = define("array", options={"build": True}, raid={
        "level": "raid1", "devices": [by_id(0), by_id(1)]}, **{"source-format": "ext4"})
    wait_link_gone()
    assert service.proxy(pool.path, "Pool.Raid").get("Level") == ""
    pool.Start(PATIENT, timeout=60)
    array = service.proxy(pool.path, "Pool.Raid")
    assert array.get("Level") == "raid1"
    assert [d[0] for d in array.get("Devices")] == [by_id(0), by_id(1)]
    array.wait_for("SyncAction", "idle", 60)
    log = service.log()
    array.FailDevice(disks[1], PATIENT, timeout=60)
    log.wait_changed(pool.path, "Degraded", 1)
    pool.wait_for("Health", "degraded")
    array.RemoveDevice(by_id(1), PATIENT, timeout=60)
    array.AddDevice(by_id(2), PATIENT, timeout=60)
    assert pool.get("Definition")["raid"]["devices"] == [by_id(0), by_id(2)]
    array.wait_for("Degraded", 0, 60)
    pool.wait_for("Health", "ok")
    with refused("Conflict"):
        define("other", **{"source-devices": [disks[2]]})
    define("other", **{"source-devices": [disks[1]]})
    assert by_id(2) in Path("/etc/storaged/pools/array.xml").read_text()
    service.make_volume(pool, "v", MIB)
    pool.Stop(PATIENT, timeout=60)
    assert array.get("Level") == ""
    wait_link_gone()
    pool.Start(PATIENT, timeout=60)
    assert set(service.volumes(pool)) - {"lost+found"} == {"v"}
    service.volume(pool.GetVolume("v")).Delete()
    pool.Stop(PATIENT, timeout=60)
    pool.Delete(PATIENT, timeout=60)
    assert command("wipefs", "--noheadings", disks[0], disks[2]).strip() == ""


def test_libvirt_passes_over_what_it_does_not_know(service, define, virsh):
    """To it this is a pool on a device that is not there while the array does not run."""
    pool = define("array", raid={"level": "raid1", "devices": [by_id(0), by_id(1)]}, **{"source-format": "btrfs"})
    xml = pool.GetXML({"inactive": True})
    assert "level='raid1'" in xml and "type='btrfs'" in xml
    virsh.define(xml)
    theirs = virsh("pool-dumpxml", "array")
    assert "<device path='/dev/md/array'/>" in theirs and "<format type='auto'/>" in theirs
    assert virsh.run("pool-start", "array").returncode != 0


def test_daemon_that_died_finds_its_array_again(service, daemon, disks, define):
    pool = define("array", options={"build": True, "start": True}, raid={
        "level": "raid1", "devices": [by_id(0), by_id(1)]}, **{"source-format": "ext4"})
    daemon.kill()
    daemon.start()
    pool.wait_for("State", "active")
    array = service.proxy(pool.path, "Pool.Raid")
    array.wait_for("Level", "raid1", 20)


def test_pool_starts_when_its_disk_comes(service, daemon, define, monitor):
    disk = monitor.plug_disk("late", 64 * MIB)
    pool = define("late", options={"build": True, "autostart": True}, **{
        "source-devices": ["/dev/disk/by-id/virtio-late"], "source-format": "ext4"})
    subprocess.run(["udevadm", "settle"], check=True)
    monitor.unplug_disk("late", keep=True)
    daemon.restart()
    # Until the next try by itself would be far.
    pool.wait_for("Problems", lambda p: p and p[0][0] == "autostart", 20)
    time.sleep(15)
    assert pool.get("State") == "inactive"
    assert monitor.plug_disk("late", 64 * MIB) == disk
    began = time.monotonic()
    pool.wait_for("State", "active", 10)
    print(f"active {time.monotonic() - began:.1f} s after the disk came")
    pool.Stop(PATIENT, timeout=60)
    monitor.unplug_disk("late")
