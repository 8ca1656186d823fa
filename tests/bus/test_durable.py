# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was told to be done is on the disk: the power is lost right after the answer. The file system is one of our own on
a loop device, and is told to forget what it has not written yet."""

import fcntl
import os
import random
import struct
import subprocess

import pytest

import images
from client import iterate_until
from data_operations import MIB, NEW, OLD, OPERATIONS, Changes, Makes, Place, look, told
from filesystems import FileSystem
from harness import wait_until
from pullable import has_loop_devices

pytestmark = [pytest.mark.private, pytest.mark.skipif(not has_loop_devices(), reason="no loop devices here")]

# _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN, with the flag that not even the journal is written.
FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
SIZE = 2 * MIB


class CreateQuickly(Makes):
    """Nothing to fill: it is made at once, and there with its first data that is made durable."""

    kind, empty = "qcow2", True

    def contents(self):
        return bytes(self.size)

    def start(self, place, **options):
        return place.pool.start("CreateVolume", self.made, self.size, {"format": self.kind, **options})


class CreateVMDK(CreateQuickly):
    """Its name is in it, and put there when QEMU is done with it."""

    kind = "vmdk"

    def state(self, place):
        state = super().state(place)
        if state == NEW:
            with open(f"{place.folder}/{self.made}", "rb") as f:
                assert f'"{self.made}"'.encode() in f.read(MIB)
        return state


class CloneLinked(Makes):
    """An overlay, empty itself."""

    kind, empty = "qcow2", True

    def prepare(self, place):
        super().prepare(place)
        self.source_name = self.source(place, self.kind)

    def start(self, place, **options):
        return place.pool.start("CloneVolume", place.volume(self.source_name).path, self.made,
                                {"linked": True, **options})


class Grow(Changes):
    """An image's size is in its header."""

    kind = "qcow2"

    def contents(self):
        return self.data + bytes(self.size)

    def start(self, place, **options):
        return place.volume(self.name).start("Resize", 2 * self.size, options)


class GrowRaw(Grow):
    kind = "raw"


class SnapshotOf(Changes):
    """A qcow2 image, into which a snapshot is put."""

    kind = "qcow2"

    def start(self, place, **options):
        return place.service.proxy(place.volume(self.name).path, "Volume.Snapshots").start("CreateSnapshot", "s", options)

    def contents(self):
        return self.data

    def state(self, place):
        path = f"{place.folder}/{self.name}"
        look("check", "-q", "-f", "qcow2", path)
        assert [s["name"] for s in images.info(path)["snapshots"]] == ["s"]
        return super().state(place)


class SnapshotFile(Changes):
    """A snapshot that is a file of its own, and shares its blocks."""

    def start(self, place, **options):
        return place.service.proxy(place.volume(self.name).path, "Volume.Snapshots").start("CreateSnapshot", "s", options)

    def contents(self):
        return self.data

    def state(self, place):
        snapshots = place.service.proxy(place.volume(self.name).path, "Volume.Snapshots").get("Snapshots")
        assert len(snapshots) == 1
        place.service.proxy(place.volume(self.name).path, "Volume.Snapshots").RevertSnapshot("s")
        return super().state(place)


class RevertToFile(SnapshotFile):
    def prepare(self, place):
        super().prepare(place)
        snapshots = place.service.proxy(place.volume(self.name).path, "Volume.Snapshots")
        snapshots.CreateSnapshot("s")
        with open(f"{place.folder}/{self.name}", "r+b") as f:
            f.write(bytes(self.size))

    def start(self, place, **options):
        snapshots = place.service.proxy(place.volume(self.name).path, "Volume.Snapshots")
        return snapshots.start("RevertSnapshot", "s", options)

    def state(self, place):
        return Changes.state(self, place)


class CloneSharing(Makes):
    """A copy that shares its blocks."""

    def prepare(self, place):
        super().prepare(place)
        self.source_name = self.source(place)

    def start(self, place, **options):
        return place.pool.start("CloneVolume", place.volume(self.source_name).path, self.made,
                                {"reflink": "always", **options})


ANYWHERE = [*OPERATIONS, CreateQuickly, CreateVMDK, CloneLinked, Grow, GrowRaw, SnapshotOf]
SHARING = [SnapshotFile, RevertToFile, CloneSharing]
CASES = [("ext4", kind) for kind in ANYWHERE] + [("xfs", kind) for kind in [*ANYWHERE, *SHARING]]


class Disk(FileSystem):
    """Nothing is written to it by itself while a test lasts."""

    def __init__(self, world, kind):
        super().__init__(world, kind, ["commit=900"] if kind == "ext4" else [])

    def make_folder(self):
        folder = self.path + "/pool"
        os.mkdir(folder)
        return folder

    def lose_power(self):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)


def sync(path):
    subprocess.run(["sync", "-f", path], check=True)


def come_back(daemon, disk, place):
    """The service finds what was on the disk."""
    daemon.kill()
    disk.unmount()
    disk.mount()
    daemon.start()
    place.reconnect(daemon)
    wait_until(lambda: place.pool.get("LastRefresh"), what="the pool to be looked at")


@pytest.mark.parametrize("filesystem, kind", CASES, ids=[f"{f}-{k.__name__}" for f, k in CASES])
def test_power_is_lost_after_the_answer(world, daemon, service, filesystem, kind):
    disk = Disk(world, filesystem)
    place = Place(world, service, disk.make_folder())
    operation = kind(random.Random(kind.__name__), SIZE)
    operation.prepare(place)
    sync(place.folder)
    pending = operation.start(place)
    iterate_until(lambda: pending.done, 60, "an answer")
    disk.lose_power()
    assert pending.error is None, told(pending.error)
    come_back(daemon, disk, place)
    assert operation.state(place) in ((OLD, NEW) if getattr(operation, "empty", False) else (NEW,))


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_an_empty_volume_is_there_with_its_first_durable_byte(world, daemon, service, filesystem):
    disk = Disk(world, filesystem)
    place = Place(world, service, disk.make_folder())
    sync(place.folder)
    kinds = ("raw", "qcow2", "vmdk")
    for kind in kinds:
        for name in ("used", "unused"):
            service.make_volume(place.pool, f"{name}.{kind}", SIZE, allocation=0, format=kind)
        images.qemu_io(f"{place.folder}/used.{kind}", "write -P 7 0 64k", "flush", kind=kind)
    disk.lose_power()
    come_back(daemon, disk, place)
    volumes = place.service.volumes(place.pool)
    assert {v["Capacity"] for v in volumes.values()} == {SIZE}
    for kind in kinds:
        images.qemu_io(f"{place.folder}/used.{kind}", "read -P 7 0 64k", kind=kind)


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_what_was_incomplete_does_not_come_back_as_whole(world, daemon, service, filesystem):
    """The mark goes with the volume, and so the volume must be gone by then."""
    disk = Disk(world, filesystem)
    place = Place(world, service, disk.make_folder())
    volume = service.make_volume(place.pool, "v", SIZE)
    (_, job), (fd,) = volume.OpenUpload(SIZE, want_fds=True)
    os.write(fd, b"x" * 512)
    os.close(fd)
    assert service.wait_job(job)["State"] == "failed" and "incomplete" in volume.get("Problem")
    sync(place.folder)
    volume.Delete()
    wait_until(lambda: os.listdir(f"{daemon.state_dir}/incomplete") == [], what="the end of the mark")
    disk.lose_power()
    come_back(daemon, disk, place)
    assert list(place.service.volumes(place.pool)) == []
