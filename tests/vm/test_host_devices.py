# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 1x64M
# hotplug: 2
# timeout: 300
"""The host's own devices as volumes, by names that last: whole disks, partitions, a CD-ROM drive and its media."""

import os
import subprocess
import time
from pathlib import Path

import pytest

import qmp
from client import full_name
from udev import UdevMonitor

BY_ID = "/dev/disk/by-id"


@pytest.fixture
def monitor():
    with qmp.Monitor() as connection:
        yield connection


@pytest.fixture
def pool(service):
    path, _ = service.manager.DefinePool("devices", "dir", {"target-path": BY_ID}, {"start": True})
    return service.pool(path)


def names(service, pool):
    return set(service.volumes(pool))


def sizes(service, pool):
    return {name: v["Capacity"] for name, v in service.volumes(pool).items()}


def wait(condition, seconds=30):
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it did not happen"
        time.sleep(0.02)


def volume(service, pool, name):
    return service.volume(pool.GetVolume(name))


def test_disks_and_partitions_by_stable_names(service, pool, disks, command):
    link = next(p for p in Path(BY_ID).iterdir() if os.path.realpath(p) == disks[0])
    disk = volume(service, pool, link.name)
    assert disk.get("Path") == str(link) and disk.get("Type") == "block" and disk.get("Format") == "raw"
    assert disk.get("Capacity") == 64 << 20
    command("parted", "-s", disks[0], "mklabel", "gpt", "mkpart", "one", "1MiB", "17MiB")
    try:
        # A new table makes udev take the links away and put them back.
        command("udevadm", "settle")
        wait(lambda: sizes(service, pool).get(link.name + "-part1") == 16 << 20)
        # What a GUI would look a guest's disk up by.
        assert service.manager.GetVolumeByPath(str(link)) == disk.path
    finally:
        command("parted", "-s", disks[0], "rm", "1")
    wait(lambda: link.name + "-part1" not in names(service, pool))


def test_a_disk_comes_and_goes(service, pool, monitor):
    log = service.log()
    monitor.plug_disk("hot", 32 << 20)
    wait(lambda: sizes(service, pool).get("virtio-hot") == 32 << 20)
    monitor.unplug_disk("hot")
    wait(lambda: "virtio-hot" not in names(service, pool))
    log.settle()
    assert [s for s in log.signals if s.member == "InterfacesAdded" and "virtio" in str(s.args[0])]


@pytest.fixture
def plug_drive(monitor):
    """plug_drive(name) plugs a drive for CDs in, for the time of the test."""
    plugged = []

    def plug(name):
        plugged.append(name)
        return monitor.plug_drive(name, 1)
    yield plug
    for name in plugged:
        monitor.unplug_drive(name)


def test_a_medium_is_changed(service, pool, monitor, plug_drive, tmp_path):
    iso = Path("/srv/out/medium")
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", str(iso), str(tmp_path)], check=True, timeout=60)
    size = iso.stat().st_size
    plug_drive("drive")
    wait(lambda: any("drive" in name for name in names(service, pool)))
    name = next(n for n in sorted(names(service, pool)) if "drive" in n)
    drive = volume(service, pool, name)
    assert drive.get("Capacity") == 0 and "medium" in drive.get("Problem")
    log = service.log()
    with UdevMonitor(tmp_path / "events") as udev:
        monitor.insert("drive", "medium")
        changed = log.wait_changed(drive.path, "Capacity", size, 30)
        wait(lambda: any(e.by_udev for e in udev.events()))
    # The kernel looks for a new medium every two seconds.
    assert any(changed.time - e.time < 1 for e in udev.events() if e.by_udev), (changed.time, udev.events())
    assert drive.get("Problem") == ""
    monitor.eject("drive", "medium")
    wait(lambda: drive.get("Capacity") == 0 and "medium" in drive.get("Problem"))


def test_a_drive_is_shown_as_udev_has_described_it(service, pool, monitor):
    """Its link is there before that, for a moment: the kernel has a size for an empty drive."""
    burners = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(3)]
    log = service.log()
    try:
        for i in range(8):
            monitor.plug_drive(f"drive{i}", 1)
            wait(lambda: any(f"drive{i}" in name for name in names(service, pool)))
            monitor.unplug_drive(f"drive{i}")
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    log.settle()
    shown = [interfaces[full_name("Volume")] for path, interfaces in
             (s.args for s in log.signals if s.member == "InterfacesAdded") if "drive" in path]
    assert len(shown) >= 8 and all("medium" in volume["Problem"] for volume in shown), shown


def test_luns_by_stable_names(service, pool, command):
    """Two LUNs of one target, with names that are theirs and not the order's."""
    before = names(service, pool)
    command("modprobe", "scsi_debug", "dev_size_mb=8", "num_tgts=1", "max_luns=2", "vpd_use_hostno=0")
    try:
        wait(lambda: len({os.path.realpath(f"{BY_ID}/{n}") for n in names(service, pool) - before}) == 2)
        for name in names(service, pool) - before:
            lun = volume(service, pool, name)
            assert lun.get("Path") == f"{BY_ID}/{name}" and name.startswith(("scsi-", "wwn-"))
            assert (lun.get("Type"), lun.get("Format"), lun.get("Capacity")) == ("block", "raw", 8 << 20)
        command("udevadm", "settle")
    finally:
        command("rmmod", "scsi_debug")
    wait(lambda: names(service, pool) == before)
