# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 3x512M
# timeout: 3000
"""Clones to and from block devices: compared bit for bit, cut off at random moments, with disks that are full."""

import hashlib
import os
import random
from pathlib import Path

import pytest

import devices
from client import MIB, refused
from devices import dirty, make_disk_pool, partitions, run
from harness import wait_until
from moments import cut_off

SIZE = 24 * MIB
TAG = "storaged-unfinished"
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))


def write_sparse(path, size=SIZE):
    """Data at the beginning, in the middle and at the very end, and holes between them."""
    with open(path, "wb") as f:
        f.truncate(size)
        for at in (0, size // 2 + 4096, size - 65536):
            f.seek(at)
            f.write(os.urandom(65536))
        os.fsync(f.fileno())


def digest(path, size):
    """Of the first bytes; what is behind them must be zero. Read from the device itself, not from memory."""
    run("blockdev", "--flushbufs", path) if Path(path).is_block_device() else None
    with open(path, "rb") as f:
        found = hashlib.sha256(f.read(size)).hexdigest()
        while rest := f.read(MIB):
            assert not rest.strip(b"\0"), f"{path} has something behind {size}"
    return found


def lvs():
    """{name: [tags, attributes, how much of a thin one there is]}"""
    return devices.lvs("lv_tags", "lv_attr", "data_percent")


def clone(pool, source, name, **options):
    path, job = pool.CloneVolume(source.path, name, {"wait": 120_000_000, **options})
    assert job == "/"
    return pool.service.volume(path)


@pytest.fixture
def files(service, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    return service.make_pool("files", str(folder))


@pytest.fixture
def source(service, files):
    write_sparse(files.get("TargetPath") + "/source")
    return service.wait_volume(files, "source")


def test_file_to_thick_and_back(files, vg, source):
    folder = files.get("TargetPath")
    expected = digest(folder + "/source", SIZE)
    lv = clone(vg, source, "thick", capacity=SIZE + MIB)
    assert lv.get("Capacity") == SIZE + 4 * MIB and lvs()["thick"][0] == ""
    assert digest("/dev/vg0/thick", SIZE) == expected
    back = clone(files, lv, "back")
    assert back.get("Format") == "raw" and digest(folder + "/back", SIZE) == expected
    assert os.stat(folder + "/back").st_blocks * 512 <= 6 * 65536, "zeros are holes"
    image = clone(files, lv, "back.qcow2", format="qcow2")
    assert image.get("Format") == "qcow2"
    run("qemu-img", "check", "-q", folder + "/back.qcow2")
    run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", "/dev/vg0/thick", folder + "/back.qcow2")
    other = clone(vg, image, "of-image")
    assert other.get("Capacity") == lv.get("Capacity") and digest("/dev/vg0/of-image", SIZE) == expected


def test_overlay_to_volume(files, vg, source):
    folder = files.get("TargetPath")
    overlay = clone(files, source, "overlay", linked=True, capacity=SIZE + 2 * MIB)
    run("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 1M", folder + "/overlay")
    lv = clone(vg, overlay, "flat")
    run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", folder + "/overlay", lv.get("Path"))
    assert digest("/dev/vg0/flat", SIZE + 2 * MIB)


def test_thick_to_thick_and_thin(vg, source):
    thick = clone(vg, source, "a")
    copy = clone(vg, thick, "b")
    expected = digest("/dev/vg0/a", SIZE)
    assert digest("/dev/vg0/b", SIZE) == expected and copy.get("Capacity") == SIZE
    thin = clone(vg, source, "t", allocation=0)
    assert lvs()["t"][1][0] == "V" and digest("/dev/vg0/t", SIZE) == expected
    assert float(lvs()["t"][2]) < 50, "what is not written has no room"
    again = clone(vg, thin, "u", allocation=0)
    assert digest("/dev/vg0/u", SIZE) == expected and float(lvs()["u"][2]) < 50
    assert again.get("Capacity") == SIZE
    linked = clone(vg, thin, "s", linked=True)
    assert lvs()["s"][1][0] == "V" and digest("/dev/vg0/s", SIZE) == expected
    assert linked.get("Backing") == thin.path


def test_group_is_full(service, vg, source):
    vg.CreateVolume("most", vg.get("Available") - 8 * MIB, {"wait": 60_000_000})
    before = lvs()
    with refused("NoSpace"):
        clone(vg, source, "no")
    assert lvs() == before
    with refused("NoSpace"):
        clone(vg, source, "no", allocation=0)
    assert lvs() == before and list(service.volumes(vg)) == ["most"]


@pytest.mark.parametrize("kind", ["dos", "gpt"])
def test_partitions(service, files, source, disks, kind):
    dirty(disks[1])
    pool, folder = make_disk_pool(service, disks[1], kind), files.get("TargetPath")
    expected = digest(folder + "/source", SIZE)
    first, second, third = (Path(disks[1]).name + n for n in "123")
    log = service.log()
    part = clone(pool, source, first)
    assert digest(f"/dev/{first}", SIZE) == expected and list(partitions(disks[1])) == [first]
    log.wait_added(part.path)
    back = clone(files, part, "back")
    assert digest(folder + "/back", SIZE) == expected and back.get("Capacity") == part.get("Capacity")
    assert os.stat(folder + "/back").st_blocks * 512 <= 6 * 65536, "zeros are holes"
    overlay = clone(files, source, "overlay", linked=True, capacity=SIZE + 2 * MIB)
    run("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 3k", "-c", "write -P 8 5M 1M", folder + "/overlay")
    clone(pool, overlay, second)
    run("qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", folder + "/overlay", f"/dev/{second}")
    clone(pool, part, third)
    assert digest(f"/dev/{third}", SIZE) == expected
    before = partitions(disks[1])
    with refused("NoSpace"):
        clone(pool, source, Path(disks[1]).name + "4", capacity=480 * MIB)
    with refused("InvalidName"):
        clone(pool, source, "whatever")
    assert partitions(disks[1]) == before


def test_cancel(service, files, vg, source, disks):
    """It ends at once, and nothing is left."""
    with open(files.get("TargetPath") + "/large", "wb") as f:
        for _ in range(300):
            f.write(b"x" * MIB)
    large = service.wait_volume(files, "large")
    pool = make_disk_pool(service, disks[1], "gpt")
    for target, name in ((vg, "c"), (pool, Path(disks[1]).name + "1")):
        log = service.log()
        _, job = target.CloneVolume(large.path, name, {"wait": 0})
        log.wait_changed(job, "BytesDone", timeout=60)
        assert target.get("Problems") == [], "what is being made is no problem"
        service.job(job).Cancel()
        got = service.wait_job(job)
        assert got["State"] == "cancelled" and got["BytesDone"] < got["BytesTotal"], got
        log.close()
    wait_until(lambda: lvs() == {}, 30, "no logical volume")
    assert partitions(disks[1]) == {} and service.volumes(pool) == {} and service.volumes(vg) == {}


def test_host_device(service, files, vg, disks):
    """A disk of the machine as it is, by its stable name, into a file and into a volume."""
    with open(disks[2], "r+b", buffering=0) as f:
        for at in (0, 5 * MIB, os.lseek(f.fileno(), 0, os.SEEK_END) - 65536):
            os.pwrite(f.fileno(), os.urandom(65536), at)
        size = os.lseek(f.fileno(), 0, os.SEEK_END)
        os.fsync(f.fileno())
    path, _ = service.manager.DefinePool("devices", "dir", {"target-path": "/dev/disk/by-id"}, {"start": True})
    source = service.volume(service.pool(path).GetVolume("virtio-disk2"))
    clone(files, source, "of-disk")
    made = files.get("TargetPath") + "/of-disk"
    assert digest(made, size) == digest(disks[2], size)
    assert os.stat(made).st_blocks * 512 <= 6 * 65536, "zeros are holes"
    with refused("NoSpace"):
        clone(vg, source, "no")
    with refused("Unsupported"):
        clone(service.pool(path), source, "no")


def test_import_that_is_cut_off(daemon, service, disks):
    """A partition is no volume before all of it is there, and goes with the service that began to fill it."""
    pool, part = make_disk_pool(service, disks[1], "dos"), Path(disks[1]).name + "1"
    data = os.urandom(3 * MIB)
    for whole in (False, True):
        reader, writer = os.pipe()
        _path, _result, job = pool.ImportVolume(part, 0, {"length": len(data), "wait": 0}, fds=[reader])
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(data if whole else data[:2 * MIB])
            pipe.flush()
            if whole:
                continue
            # A pipe holds less than that: most of it is written.
            assert list(partitions(disks[1])) == [part] and service.volumes(pool) == {}
            daemon.kill()
        daemon.start()
        wait_until(lambda: partitions(disks[1]) == {}, 60, "the partition to go")
        assert service.volumes(pool) == {}
    service.wait_job(job, 120)
    with open(f"/dev/{part}", "rb") as f:
        assert f.read(len(data)) == data and list(service.volumes(pool)) == [part]


def test_leftover_of_a_pool_that_was_away(daemon, service, disks):
    """At the start that finds what was cut off its pool is not defined: the partition goes when it is, with that UUID."""
    pool = make_disk_pool(service, disks[1], "dos")
    part, xml, name = Path(disks[1]).name + "1", pool.GetXML(), pool.get("Name")
    data = os.urandom(4 * MIB)
    reader, writer = os.pipe()
    pool.ImportVolume(part, 0, {"length": len(data), "wait": 0}, fds=[reader])
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(data[:2 * MIB])
        pipe.flush()
        # systemd starts it again at once.
        for path in (f"/etc/storaged/pools/{name}.xml", f"/run/storaged/active/{name}.xml"):
            os.unlink(path)
        daemon.kill()
    for _ in range(2):
        daemon.start()
        assert name not in service.pool_names()
        daemon.stop()
        assert len(os.listdir("/var/lib/storaged/intents")) == 1 and list(partitions(disks[1])) == [part]
    daemon.start()
    path, _job = service.manager.DefinePoolFromXML(xml, {"start": True, "wait": 60_000_000})
    wait_until(lambda: partitions(disks[1]) == {}, 60, "the partition to go")
    assert service.volumes(service.pool(path)) == {}
    wait_until(lambda: os.listdir("/var/lib/storaged/intents") == [], 10, "the intent to go")


def test_cut_off(daemon, service, files, vg, source):
    """What is there after that is whole, and nothing else is there."""
    expected = digest(files.get("TargetPath") + "/source", SIZE)

    def settled():
        wait_until(lambda: not any(TAG in row[0] for row in lvs().values()), 60, f"no leftovers, seed {SEED}")
        wait_until(lambda: set(service.volumes(vg)) == set(lvs()), 60, f"the group as it is, seed {SEED}")
        for name in lvs():
            assert digest(f"/dev/vg0/{name}", SIZE) == expected, (name, SEED)
            service.volume(vg.GetVolume(name)).Delete()

    cut_off(daemon, random.Random(SEED),
            lambda i: vg.start("CloneVolume", source.path, f"c{i}", {"wait": 120_000_000}), settled)


def test_cut_off_partitions(daemon, service, files, source, disks):
    dirty(disks[1])
    pool = make_disk_pool(service, disks[1], "dos")
    expected = digest(files.get("TargetPath") + "/source", SIZE)
    part = Path(disks[1]).name + "1"

    def settled():
        wait_until(lambda: set(service.volumes(pool)) == set(partitions(disks[1])), 60, f"the table, seed {SEED}")
        assert os.listdir("/var/lib/storaged/intents") == [], SEED
        for name in partitions(disks[1]):
            assert digest(f"/dev/{name}", SIZE) == expected, (name, SEED)
            service.volume(pool.GetVolume(name)).Delete()

    cut_off(daemon, random.Random(SEED),
            lambda i: pool.start("CloneVolume", source.path, part, {"wait": 120_000_000}), settled, 9)
