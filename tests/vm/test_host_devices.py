# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 1x64M
# hotplug: 2
"""The host's own devices as volumes, by names that last: whole disks, partitions, a CD-ROM drive and its media."""

import os
import subprocess
import time
from pathlib import Path

import pytest

import qmp

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


def test_a_medium_is_changed(service, pool, monitor, tmp_path):
    iso = Path("/srv/out/medium.iso")
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", str(iso), str(tmp_path)], check=True, timeout=60)
    size = iso.stat().st_size
    monitor.execute("device_add", driver="virtio-scsi-pci", id="scsi", bus="slot1")
    monitor.execute("device_add", driver="scsi-cd", id="cd", bus="scsi.0", serial="drive")
    wait(lambda: any("drive" in name for name in names(service, pool)))
    name = next(n for n in sorted(names(service, pool)) if "drive" in n)
    drive = volume(service, pool, name)
    assert drive.get("Capacity") == 0 and "medium" in drive.get("Problem")
    monitor.execute("blockdev-add", driver="raw", **{"node-name": "iso", "read-only": True}, file={
        "driver": "file", "filename": f"{os.environ['STORAGED_VM_OUT']}/medium.iso"})
    monitor.execute("blockdev-open-tray", id="cd", force=True)
    monitor.execute("blockdev-insert-medium", id="cd", **{"node-name": "iso"})
    monitor.execute("blockdev-close-tray", id="cd")
    wait(lambda: drive.get("Capacity") == size)
    assert drive.get("Problem") == ""
    monitor.execute("blockdev-open-tray", id="cd", force=True)
    wait(lambda: drive.get("Capacity") == 0 and "medium" in drive.get("Problem"))


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
