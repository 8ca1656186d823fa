# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots of raw files on file systems whose files can share blocks, and where they cannot."""

import os
import random
import subprocess
import time

import pytest

import images
from client import MIB, full_name, refused
from filesystems import FileSystem
from harness import wait_until
from killing import Killings

SNAPSHOTS = "Volume.Snapshots"
SIZE = 8 * MIB
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))


@pytest.fixture(params=["xfs", "btrfs"])
def shared(request, world):
    """A folder on a file system that can share blocks."""
    return FileSystem(world, request.param).path


@pytest.fixture
def pool(service, shared):
    return service.make_pool("shared", shared)


@pytest.fixture
def raw(service, pool, shared):
    """A raw volume, as (its file, its Volume, its Volume.Snapshots)."""
    volume = service.make_volume(pool, "disk@1.raw", SIZE)
    path = f"{shared}/disk@1.raw"
    images.write(path, 1, 0, 4 * MIB, "raw")
    return path, volume, service.proxy(volume.path, SNAPSHOTS)


def names(snapshots):
    return sorted(row[0] for row in snapshots.get("Snapshots"))


def hidden(folder):
    return sorted(name for name in os.listdir(folder) if name.startswith(".storaged"))


def test_going_back_makes_it_whole(service, raw):
    """All of an incomplete volume is replaced, unless by what was incomplete when others made its snapshot."""
    path, volume, snapshots = raw
    snapshots.CreateSnapshot("whole")
    (_, job), (fd,) = volume.OpenUpload(SIZE, {}, want_fds=True)
    os.write(fd, b"x" * 4096)
    os.close(fd)
    assert service.wait_job(job)["State"] == "failed" and "incomplete" in volume.get("Problem")
    with refused("Failed"):
        snapshots.CreateSnapshot("damaged")
    damaged = f"{os.path.dirname(path)}/.storaged-snap-disk@1.raw@damaged"
    subprocess.run(["cp", "--reflink=always", path, damaged], check=True)
    wait_until(lambda: "damaged" in names(snapshots), 10, "the snapshot to be seen")
    snapshots.RevertSnapshot("damaged")
    assert "incomplete" in volume.get("Problem")
    snapshots.RevertSnapshot("whole")
    assert volume.get("Problem") == ""


def test_made_listed_gone_back_to_deleted(daemon, service, pool, shared, raw):
    path, volume, snapshots = raw
    os.chmod(path, 0o640)
    log, first, before = service.log(), images.contents(path, "raw"), time.time()
    snapshots.CreateSnapshot("first")
    (name, when, size, where, more), = snapshots.get("Snapshots")
    assert (name, where, more) == ("first", "/", {"kind": "reflink"}) and size >= 4 * MIB
    assert before - 5 < when / 1e6 < time.time() + 5
    assert log.wait_changed(volume.path, "Snapshots").args[0] == full_name(SNAPSHOTS)
    images.write(path, 2, 2 * MIB, 4 * MIB, "raw")
    second = images.contents(path, "raw")
    snapshots.CreateSnapshot("second")
    assert names(snapshots) == ["first", "second"]
    assert service.volumes(pool).keys() == {"disk@1.raw"} and pool.get("VolumeCount") == 1
    assert hidden(shared) == [".storaged-snap-disk@1.raw@first", ".storaged-snap-disk@1.raw@second"]
    for wanted, name in ((first, "first"), (second, "second"), (first, "first")):
        snapshots.RevertSnapshot(name)
        assert images.contents(path, "raw") == wanted, name
        assert names(snapshots) == ["first", "second"] and os.stat(path).st_mode & 0o777 == 0o640
    # They survive a restart, and changes by hand are seen.
    pool.Stop()
    pool.Start()
    assert names(snapshots) == ["first", "second"]
    log.clear()
    os.unlink(f"{shared}/.storaged-snap-disk@1.raw@second")
    log.wait_changed(volume.path, "Snapshots")
    assert names(snapshots) == ["first"]
    with refused("HasDependents") as refusal:
        volume.Delete()
    assert "first" in refusal.text
    snapshots.DeleteSnapshot("first")
    assert names(snapshots) == [] and hidden(shared) == [] and images.contents(path, "raw") == first
    volume.Delete()


def test_volumes_whose_names_are_alike(service, pool, shared):
    volumes = {}
    for name in ("a", "a@b", "a@b@c"):
        volume = service.make_volume(pool, name, MIB)
        volumes[name] = service.proxy(volume.path, SNAPSHOTS)
        volumes[name].CreateSnapshot("c")
    assert {name: names(s) for name, s in volumes.items()} == {name: ["c"] for name in volumes}
    with refused("InvalidName"):
        volumes["a"].CreateSnapshot("b@c")
    with refused("InvalidName"):
        service.make_volume(pool, ".storaged-snap-a@d", MIB)
    with refused("InvalidName"):
        volumes["a@b"].CreateSnapshot("x" * 240)


def test_refused(service, shared, raw):
    path, volume, snapshots = raw
    snapshots.CreateSnapshot("there")
    with refused("Exists"):
        snapshots.CreateSnapshot("there")
    for call in (snapshots.RevertSnapshot, snapshots.DeleteSnapshot):
        with refused("NotFound"):
            call("other")
    before = images.contents(path, "raw")
    with images.opened(path, "raw"):
        with refused("InUse"):
            snapshots.CreateSnapshot("new")
        with refused("InUse") as refusal:
            snapshots.RevertSnapshot("there")
        assert "use force" in refusal.text
        snapshots.CreateSnapshot("forced", {"force": True})
    assert images.contents(path, "raw") == before and names(snapshots) == ["forced", "there"]
    os.link(path, f"{shared}/other-name")
    with refused("Unsupported"):
        snapshots.RevertSnapshot("there")
    assert len(hidden(shared)) == 2


def test_gone_back_to_by_force(shared, raw):
    """Who has the file open keeps what he has, and no longer has the volume."""
    path, volume, snapshots = raw
    snapshots.CreateSnapshot("old")
    old = images.contents(path, "raw")
    images.write(path, 5, 0, SIZE, "raw")
    with open(path, "r+b") as user, images.opened(path, "raw"):
        snapshots.RevertSnapshot("old", {"force": True})
        user.write(b"z" * MIB)
        user.flush()
    assert images.contents(path, "raw") == old and volume.get("Problem") == ""


def test_killed(daemon, service, pool, shared, raw):
    path, volume, snapshots = raw
    snapshots.CreateSnapshot("old")
    old = images.contents(path, "raw")
    images.write(path, 5, 0, SIZE, "raw")
    new = images.contents(path, "raw")
    print(f"seed {SEED}")
    killings = Killings(daemon, random.Random(SEED), 6, ["worker"])
    for i in killings:
        method, name = (("RevertSnapshot", "old"), ("CreateSnapshot", f"s{i}"))[i % 2]
        error = killings.cut_off(method, snapshots.start(method, name, {}))
        found = images.contents(path, "raw")
        assert found in (old, new) and volume.get("Problem") == "", i
        assert error is not None or found == old or method == "CreateSnapshot"
        if f"s{i}" in names(snapshots):
            assert images.contents(f"{shared}/.storaged-snap-disk@1.raw@s{i}", "raw") == found
        images.write(path, 5, 0, SIZE, "raw")
    assert [name for name in hidden(shared) if "-new-" in name] == []


def test_only_where_blocks_can_be_shared(world, service):
    plain = service.make_pool("plain", world.folder())
    volume = service.make_volume(plain, "v", MIB)
    assert full_name(SNAPSHOTS) not in service.objects(plain.get("Volumes"))[volume.path]
    with refused("UnknownInterface", "UnknownMethod", "UnknownObject"):
        service.proxy(volume.path, SNAPSHOTS).CreateSnapshot("x")
