# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x300M
# hotplug: 1
# timeout: 3000
"""Pools on partitioned disks: what the service makes and shows, parted, sfdisk and the kernel read the same."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from client import MIB, refused
from moments import answered
from partitions import SECTOR, extents, kernel, parted

TABLES = ("dos", "dvh", "gpt", "mac", "bsd", "pc98", "sun")
CYLINDER = 255 * 2 * SECTOR  # what sun and pc98 partitions are made of, as libparted has it
SFDISK_READS = ("dos", "gpt", "sun", "dvh")
FORMATS = ("none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid")
HAVE = {  # the formats that a table has types for
    "dos": FORMATS, "gpt": FORMATS, "mac": FORMATS,
    "dvh": ("none", "linux", "linux-swap", "linux-lvm", "linux-raid"),
    "sun": ("none", "linux", "linux-swap", "linux-lvm", "linux-raid"),
    "bsd": ("none", "linux", "linux-swap", "linux-raid"),
    "pc98": ("none", "linux", "fat16", "fat32"),
}


def run(*argv, check=True):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=check).stdout


def sfdisk_rows(disk):
    """{number: partition} as sfdisk reads them; none if it does not know such a table."""
    found = run("sfdisk", "--json", disk, check=False)
    rows = json.loads(found)["partitiontable"].get("partitions", []) if found.strip() else []
    return {int(row["node"][len(disk):]): row for row in rows}


def sfdisk(disk):
    """{number: (start, end)}"""
    return {n: (row["start"] * SECTOR, (row["start"] + row["size"]) * SECTOR) for n, row in sfdisk_rows(disk).items()}


def sfdisk_types(disk):
    """{number: type}"""
    return {n: row["type"] for n, row in sfdisk_rows(disk).items()}


def define(service, disk, table="gpt", name="d", target="/dev", **options):
    definition = {"source-devices": [disk], "target-path": target}
    if table:
        definition["source-format"] = table
    path, job = service.manager.DefinePool(name, "disk", definition, {"wait": 60_000_000, **options})
    assert job == "/"
    return service.pool(path)


def built(service, disk, table="gpt", **options):
    return define(service, disk, table, build=True, start=True, **options)


def create(service, pool, name, capacity=8 * MIB, **options):
    path, job = pool.CreateVolume(name, capacity, {"wait": 60_000_000, **options})
    assert job == "/"
    return service.volume(path)


def name_of(disk, number):
    return f"{Path(disk).name}{number}"


def free_extents(service, pool):
    return service.proxy(pool.path, "Pool.Disk").get("FreeExtents")


def check_same(service, pool, disk, numbers):
    """The service, parted and the kernel agree on exactly these partitions."""
    shown = extents(service, pool)
    assert set(shown) == {name_of(disk, n) for n in numbers}
    (label, by_parted), by_kernel, by_sfdisk = parted(disk), kernel(disk), sfdisk(disk)
    for number in numbers:
        assert by_parted[number] == shown[name_of(disk, number)], number
        assert label not in SFDISK_READS or by_sfdisk[number] == shown[name_of(disk, number)], number
        assert by_kernel[number][0] == shown[name_of(disk, number)][0], number
        if not (label == "dos" and by_kernel[number][1] - by_kernel[number][0] == 1024):
            assert by_kernel[number] == shown[name_of(disk, number)], number
        assert Path("/dev", name_of(disk, number)).is_block_device()


@contextlib.contextmanager
def mounted(node):
    run("mkfs.ext4", "-q", node)
    run("mount", node, "/mnt")
    try:
        yield
    finally:
        run("umount", "/mnt")


def blank(disk):
    return run("wipefs", "--no-act", disk) == ""


@pytest.mark.parametrize("table", TABLES)
def test_table(service, disks, table):
    """Made, listed, grown and deleted; of each format that the table has a type for."""
    disk, formats = disks[0], HAVE[table]
    pool = built(service, disk, table)
    assert parted(disk)[0] == table
    assert pool.get("SourceFormat") == table and pool.get("VolumeCount") == 0
    numbers = [n for n in range(1, 20) if (table, n) not in {("mac", 1), ("sun", 3), ("dvh", 9), ("dvh", 11)}]
    primaries = formats[:4] if table == "dos" else formats
    for number, kind in zip(numbers, primaries):
        volume = create(service, pool, name_of(disk, number), 10 * MIB, format=kind)
        assert volume.get("Format") == kind
        assert volume.get("Path") == volume.get("Key") == f"/dev/{name_of(disk, number)}"
        assert volume.get("Type") == "block" and not volume.get("InUse")
        size = 10 * MIB if table not in ("sun", "pc98") else -(-10 * MIB // CYLINDER) * CYLINDER
        assert volume.get("Capacity") == volume.get("Allocation") == size
        start = extents(service, pool)[name_of(disk, number)][0]
        assert start % (CYLINDER if table in ("sun", "pc98") else MIB) == 0
    used = numbers[:len(primaries)]
    check_same(service, pool, disk, used)
    # Grown as far as it goes; the kernel and parted see it.
    last = service.volume(pool.GetVolume(name_of(disk, used[-1])))
    with refused("NoSpace") as refusal:
        last.Resize(1 << 40)
    most = int(refusal.text.split(" bytes at most")[0].split()[-1])
    assert most > 150 * MIB
    last.Resize(most)
    assert last.get("Capacity") == most
    check_same(service, pool, disk, used)
    with refused("InvalidArgument"):
        last.Resize(10 * MIB)
    last.Resize(20 * MIB, {"shrink": True})
    assert 20 * MIB <= last.get("Capacity") < 21 * MIB
    check_same(service, pool, disk, used)
    # One in the middle goes, and a new one takes its place and number.
    service.volume(pool.GetVolume(name_of(disk, used[1]))).Delete()
    check_same(service, pool, disk, [used[0], *used[2:]])
    with refused("InvalidName") as refusal:
        create(service, pool, name_of(disk, used[-1] + 5))
    assert f"'{name_of(disk, used[1])}'" in refusal.text
    create(service, pool, name_of(disk, used[1]), 4 * MIB, format="linux")
    check_same(service, pool, disk, used)
    # What is read afresh is the same.
    before = {name: p["Format"] for name, p in service.volumes(pool).items()}
    assert before[name_of(disk, used[0])] == "none"
    pool.Stop()
    pool.Start()
    assert {name: p["Format"] for name, p in service.volumes(pool).items()} == before
    check_same(service, pool, disk, used)
    # A table with partitions does not go: its disk may be another one by now.
    pool.Stop()
    with refused("HasDependents") as refusal:
        pool.Delete()
    assert f"{len(used)} partitions" in refusal.text and name_of(disk, used[0]) in refusal.text
    assert set(kernel(disk)) >= set(used)
    pool.Start()
    check_same(service, pool, disk, used)
    for number in used:
        service.volume(pool.GetVolume(name_of(disk, number))).Delete()
    pool.Stop()
    pool.Delete()
    assert blank(disk) and kernel(disk) == {}


def test_unsupported_format_is_told(service, disks):
    pool = built(service, disks[0], "sun")
    with refused("Unsupported") as refusal:
        create(service, pool, name_of(disks[0], 1), format="fat16")
    assert "linux-lvm" in refusal.text
    with refused("Unsupported"):
        create(service, pool, name_of(disks[0], 1), format="extended")


def test_types_are_those_of_sfdisk(service, disks):
    disk = disks[0]
    pool = built(service, disk, "dos")
    create(service, pool, name_of(disk, 1), format="linux")
    create(service, pool, name_of(disk, 2), 150 * MIB, format="extended")
    for i, kind in enumerate(FORMATS):
        create(service, pool, name_of(disk, 5 + i), format=kind)
    types = {n: int(kind, 16) for n, kind in sfdisk_types(disk).items()}
    assert types == {1: 0x83, 2: 0x0f, 5: 0xda, 6: 0x83, 7: 0x0e, 8: 0x0c, 9: 0x82, 10: 0x8e, 11: 0xfd}
    check_same(service, pool, disk, types)
    extended = service.volumes(pool)[name_of(disk, 2)]
    assert (extended["Format"], extended["Capacity"]) == ("extended", 150 * MIB)
    assert extended["Allocation"] == 7 * 8 * MIB
    assert run("sfdisk", "--verify", disk)


def test_gpt_types(service, disks):
    disk = disks[0]
    pool = built(service, disk)
    for number, kind in enumerate(FORMATS, 1):
        create(service, pool, name_of(disk, number), format=kind)
    types = sfdisk_types(disk)
    assert types[2].startswith("0FC63DAF") and types[5].startswith("0657FD6D")
    assert types[6].startswith("E6D6D379") and types[7].startswith("A19D880F")
    assert "No problems found" in run("sgdisk", "--verify", disk)


def test_dos_logical(service, disks):
    disk = disks[0]
    pool = built(service, disk, "dos")
    for number in (1, 2, 3):
        create(service, pool, name_of(disk, number))
    with refused("InvalidName"):
        create(service, pool, name_of(disk, 5))
    extended = create(service, pool, name_of(disk, 4), 100 * MIB, format="extended")
    with refused("Exists"):
        create(service, pool, name_of(disk, 5), format="extended")
    volumes = [create(service, pool, name_of(disk, n), 10 * MIB, format=f)
               for n, f in ((5, "linux"), (6, "linux-swap"), (7, "linux-lvm"))]
    check_same(service, pool, disk, (1, 2, 3, 4, 5, 6, 7))
    with refused("HasDependents"):
        extended.Delete()
    with refused("Unsupported"):
        extended.Open("r")
    with refused("NoSpace") as refusal:
        create(service, pool, name_of(disk, 8), 90 * MIB)
    assert "extended" in refusal.text
    # The first goes: the others move down, unless they are used.
    with mounted(f"/dev/{name_of(disk, 7)}"):
        with refused("InUse") as refusal:
            volumes[0].Delete()
        assert name_of(disk, 7) in refusal.text and "/mnt" in refusal.text
        check_same(service, pool, disk, (1, 2, 3, 4, 5, 6, 7))
    # Who has asked for something before the others got their names gets nothing of theirs.
    first, *others = [volumes[0].start("Delete", {}), volumes[1].start("Delete", {}), volumes[1].start("Wipe", {}),
                      volumes[2].start("Resize", 1 * MIB, {"shrink": True})]
    first.wait()
    for pending in others:
        with refused("NotFound", "Busy") as refusal:
            pending.wait()
        print(refusal.text)

    def renamed():
        formats = {name: p["Format"] for name, p in service.volumes(pool).items()}
        return (formats.get(name_of(disk, 5)), formats.get(name_of(disk, 6)), len(formats)) == \
            ("linux-swap", "linux-lvm", 6)
    wait_until(renamed, "the volumes to have their new names")
    check_same(service, pool, disk, (1, 2, 3, 4, 5, 6))


def wait_until(condition, what, timeout=10):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def test_never_overwritten_without_overwrite(service, disks):
    disk = disks[0]
    run("mkfs.ext4", "-q", "-L", "precious", disk)
    pool = define(service, disk)
    with refused("Exists") as refusal:
        pool.Build()
    assert "precious" in refusal.text
    assert "precious" in run("blkid", "-p", disk)
    with refused("Failed") as refusal:
        pool.Start()
    assert "ext4" in refusal.text
    pool.Build({"overwrite": True})
    pool.Start()
    create(service, pool, name_of(disk, 1))
    pool.Stop()
    with refused("Exists"):
        pool.Build()
    assert 1 in kernel(disk)
    # Not even with it, when it is used.
    with mounted(f"/dev/{name_of(disk, 1)}"):
        for call in (lambda: pool.Build({"overwrite": True}), pool.Delete):
            with refused("InUse") as refusal:
                call()
            assert name_of(disk, 1) in refusal.text and "/mnt" in refusal.text
    assert 1 in parted(disk)[1]


def test_other_table_than_the_pools(service, disks):
    run("parted", "--script", disks[0], "mklabel", "msdos", "mkpart", "primary", "ext2", "1MiB", "9MiB")
    pool = define(service, disks[0], "gpt")
    with refused("Failed") as refusal:
        pool.Start()
    assert "dos" in refusal.text and "gpt" in refusal.text
    with refused("Failed"):
        pool.Delete()
    assert 1 in parted(disks[0])[1]
    # Without a format it is taken as found.
    taken = define(service, disks[1], None, name="e")
    with refused("Failed"):
        taken.Start()
    run("parted", "--script", disks[1], "mklabel", "mac", "mkpart", "p", "1MiB", "9MiB")
    taken.Start()
    assert set(service.volumes(taken)) == {name_of(disks[1], 2)}


def test_one_device_two_spellings(service, disks):
    built(service, disks[0])
    link = "/dev/disk/by-id/virtio-disk0"
    assert os.path.realpath(link) == disks[0]
    with refused("Conflict"):
        define(service, link, name="other")


def test_stable_paths(service, disks):
    pool = built(service, "/dev/disk/by-id/virtio-disk0", target="/dev/disk/by-id")
    volume = create(service, pool, name_of(disks[0], 1))
    assert volume.get("Path") == volume.get("Key") == "/dev/disk/by-id/virtio-disk0-part1"
    assert os.path.realpath(volume.get("Path")) == f"/dev/{name_of(disks[0], 1)}"


def test_mounted_partition_stays(service, disks):
    """Beside a partition in use others are made, grown and deleted, and the kernel never lets go of it."""
    disk = disks[0]
    pool = built(service, disk)
    create(service, pool, name_of(disk, 1), 32 * MIB)
    second = create(service, pool, name_of(disk, 2))
    with mounted(f"/dev/{name_of(disk, 1)}"):
        Path("/mnt/file").write_bytes(os.urandom(MIB))
        third = create(service, pool, name_of(disk, 3))
        third.Resize(20 * MIB)
        second.Delete()
        third.Delete()
        check_same(service, pool, disk, (1,))
        used = service.volume(pool.GetVolume(name_of(disk, 1)))
        wait_until(lambda: used.get("InUse"), "the volume to be in use")
        with refused("InUse") as refusal:
            used.Delete()
        assert "/mnt" in refusal.text
        with refused("InUse"):
            used.Resize(16 * MIB, {"shrink": True})
        with refused("InUse"):
            used.Open("rw")
        # It grows while it is used, and the file system with it.
        used.Resize(64 * MIB)
        check_same(service, pool, disk, (1,))
        run("resize2fs", f"/dev/{name_of(disk, 1)}")
        assert os.statvfs("/mnt").f_blocks * os.statvfs("/mnt").f_frsize > 40 * MIB
    used.Delete()
    check_same(service, pool, disk, ())


def test_open_partition_is_not_deleted(service, disks):
    """Somebody who has it open without telling: only the kernel knows."""
    disk = disks[0]
    pool = built(service, disk)
    volume = create(service, pool, name_of(disk, 1))
    with open(f"/dev/{name_of(disk, 1)}", "rb"):
        with refused("InUse"):
            volume.Delete()
        check_same(service, pool, disk, (1,))
    volume.Delete()


def test_open(service, disks):
    disk = disks[0]
    pool = built(service, disk)
    volume = create(service, pool, name_of(disk, 1))
    _, (fd,) = service.call(volume.path, "Volume", "Open", "(sa{sv})", ("rw", {}), want_fds=True)
    with os.fdopen(fd, "r+b", buffering=0) as f:
        assert f.seek(0, os.SEEK_END) == 8 * MIB
        with refused("InUse"):
            service.call(volume.path, "Volume", "Open", "(sa{sv})", ("rw", {}))


def test_new_partition_shows_no_old_file_system(service, disks):
    disk = disks[0]
    pool = built(service, disk)
    volume = create(service, pool, name_of(disk, 1), 64 * MIB)
    run("mkfs.ext4", "-q", f"/dev/{name_of(disk, 1)}")
    run("udevadm", "settle")
    volume.Delete()
    create(service, pool, name_of(disk, 1), 64 * MIB)
    assert blank(f"/dev/{name_of(disk, 1)}")


def test_free_extents_and_sums(service, disks):
    disk = disks[0]
    pool = built(service, disk)
    assert free_extents(service, pool) == [(17408, 300 * MIB - 33 * SECTOR)]
    for number in (1, 2, 3):
        create(service, pool, name_of(disk, number), 20 * MIB)
    service.volume(pool.GetVolume(name_of(disk, 2))).Delete()
    wait_until(lambda: len(free_extents(service, pool)) == 3, "the free extents to follow")
    assert free_extents(service, pool)[1] == (21 * MIB, 41 * MIB)
    assert pool.get("Capacity") == 300 * MIB - 33 * SECTOR
    assert pool.get("Allocation") == 40 * MIB
    assert pool.get("Available") == sum(end - start for start, end in free_extents(service, pool))
    # The smallest that fits is the hole.
    create(service, pool, name_of(disk, 2), 12 * MIB)
    assert extents(service, pool)[name_of(disk, 2)] == (21 * MIB, 33 * MIB)


@pytest.mark.parametrize("table", ("gpt", "dos", "pc98"))
def test_parted_outside_is_seen_by_signal(service, disks, table):
    disk = disks[0]
    pool = built(service, disk, table)
    log = service.log()
    cylinders = ("-a", "none") if table == "pc98" else ()
    start, end = ("20cyl", "60cyl") if table == "pc98" else ("1MiB", "9MiB")
    began = time.monotonic()
    kind = () if table == "pc98" else ("primary",)
    run("parted", "--script", *cylinders, disk, "mkpart", *kind, "ext2", start, end)
    done = time.monotonic()
    path = f"{pool.get('Volumes')}/{name_of(disk, 1)}"
    signal = log.wait_for(lambda s: s.member == "InterfacesAdded" and s.args[0] == path, 10, "the partition")
    assert signal.time - done < 1, (began, done, signal.time)
    run("parted", "--script", disk, "rm", "1")
    done = time.monotonic()
    signal = log.wait_removed(path)
    assert signal.time - done < 1
    # And then it is quiet: reading causes no events of its own.
    log.clear()
    log.settle(1)
    assert not [s for s in log.signals if s.path.startswith((pool.path, pool.get("Volumes")))]
    log.close()


def test_reading_causes_no_events(service, disks):
    for table in ("gpt", "pc98"):
        pool = define(service, disks[0], table, name=table, build=True, start=True, overwrite=True)
        run("udevadm", "settle")
        with subprocess.Popen(["udevadm", "monitor", "--kernel", "--subsystem-match=block"],
                              stdout=subprocess.PIPE, text=True) as monitor:
            time.sleep(0.5)
            for _ in range(3):
                pool.Refresh()
            time.sleep(0.5)
            monitor.terminate()
            events = [line for line in monitor.stdout if line.startswith("KERNEL[")]
        assert not events, events
        pool.Stop()
        pool.Undefine()


def test_kernel_is_told_again(service, disks):
    """No kernel reads pc98 tables: whoever makes it read this one again makes it forget all partitions."""
    disk = disks[0]
    pool = built(service, disk, "pc98")
    create(service, pool, name_of(disk, 1))
    before = kernel(disk)
    assert set(before) == {1}
    run("blockdev", "--rereadpt", disk)
    wait_until(lambda: kernel(disk) == before, "the kernel to be told")
    volume = service.volume(pool.GetVolume(name_of(disk, 1)))
    wait_until(lambda: volume.get("Problem") == "", "the problem to be gone")


def test_table_rewritten_outside(service, disks):
    disk = disks[0]
    pool = built(service, disk)
    create(service, pool, name_of(disk, 1))
    # parted writes in steps, and the service looks between them: at a disk without a table, at one without partitions.
    run("parted", "--script", disk, "mklabel", "msdos")
    pool.wait_for("Problems", lambda problems: problems and "dos" in problems[0][1])
    assert pool.get("Health") == "inaccessible"
    run("parted", "--script", disk, "mklabel", "gpt", "mkpart", "x", "5MiB", "9MiB")
    pool.wait_for("Health", "ok")
    wait_until(lambda: extents(service, pool) == {name_of(disk, 1): (5 * MIB, 9 * MIB)}, "the partition")


def test_disk_is_pulled(service, monitor):
    disk = monitor.plug_disk("hot", 64 * MIB)
    link = "/dev/disk/by-id/virtio-hot"
    pool = built(service, link)
    volume = create(service, pool, name_of(disk, 1))
    monitor.unplug_disk("hot")
    pool.wait_for("Health", "inaccessible")
    with refused("Inaccessible"):
        create(service, pool, name_of(disk, 2))
    with refused("Inaccessible"):
        volume.Delete()
    # Another in its place is told by what is on it.
    monitor.plug_disk("hot", 64 * MIB)
    run("udevadm", "settle")
    assert pool.get("Health") == "inaccessible"
    pool.Stop()
    monitor.unplug_disk("hot")


def test_a_disk_is_pulled_during_a_create(service, monitor):
    """One that is so slow that it happens in the midst; others are answered all the while."""
    disk = monitor.plug_disk("slow", 64 * MIB)
    pool = built(service, "/dev/disk/by-id/virtio-slow", "dos")
    create(service, pool, name_of(disk, 1))
    monitor.slow_down("slow", writes=1)
    pending = pool.start("CreateVolume", name_of(disk, 2), 32 * MIB, {"wait": 60_000_000})
    time.sleep(1)
    assert not pending.done
    with answered(service):
        monitor.unplug_disk("slow", keep=True)
    with refused("Failed", "Inaccessible", "NotFound"):
        pending.wait(60)
    pool.wait_for("Health", "inaccessible")
    assert "virtio-slow" in pool.get("Problems")[0][1] and set(service.volumes(pool)) == {name_of(disk, 1)}
    # Back again it is as it was.
    assert monitor.plug_disk("slow", 64 * MIB) == disk
    pool.wait_for("Health", "ok", 30)
    check_same(service, pool, disk, (1,))
    create(service, pool, name_of(disk, 2), 32 * MIB)
    check_same(service, pool, disk, (1, 2))
    pool.Stop()
    monitor.unplug_disk("slow")


def test_aligned_to_what_the_disk_likes(service):
    """A disk that says that it likes 4 MiB at a time."""
    run("modprobe", "scsi_debug", "dev_size_mb=64", "opt_blks=8192", "opt_xferlen_exp=0")
    run("udevadm", "settle")
    try:
        disk = f"/dev/{next(Path('/sys/bus/pseudo/drivers/scsi_debug').glob('adapter*/host*/target*/*/block/*')).name}"
        assert Path("/sys/class/block", Path(disk).name, "queue/optimal_io_size").read_text().strip() == str(4 * MIB)
        pool = built(service, disk)
        for number in (1, 2):
            create(service, pool, name_of(disk, number), 5 * MIB)
        assert extents(service, pool) == {name_of(disk, 1): (4 * MIB, 9 * MIB), name_of(disk, 2): (12 * MIB, 17 * MIB)}
        pool.Stop()
        pool.Undefine()
        run("udevadm", "settle")
    finally:
        run("rmmod", "scsi_debug")


def test_many(service, disks):
    """One after the other, each seen by the kernel."""
    disk = disks[0]
    pool = built(service, disk)
    for number in range(1, 13):
        create(service, pool, name_of(disk, number), MIB)
    check_same(service, pool, disk, range(1, 13))
