# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots within images: made, listed, gone back to, deleted; refused, cut off, and put right again."""

import os
import random
import subprocess
import time

import pytest

import images
from client import MIB, full_name, refused
from filesystems import FileSystem
from harness import SLOWNESS
from killing import Killings

SNAPSHOTS = "Volume.Snapshots"
SIZE = 4 * MIB
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))
ROUNDS = int(os.environ.get("STORAGED_TEST_SNAPSHOT_ROUNDS", "12"))


def names(snapshots):
    return sorted(row[0] for row in snapshots.get("Snapshots"))


@pytest.fixture
def image(service, pool, folder):
    """An image of the pool, as (its file, its Volume, its Volume.Snapshots)."""
    volume = service.make_volume(pool, "image", SIZE, format="qcow2")
    path = f"{folder}/image"
    images.write(path, 1, 0, MIB)
    return path, volume, service.proxy(volume.path, SNAPSHOTS)


def test_made_listed_gone_back_to_deleted(service, image):
    path, volume, snapshots = image
    log, before = service.log(), time.time()
    first = images.contents(path)
    assert snapshots.CreateSnapshot("first") == "/"
    (name, when, size, where, more), = snapshots.get("Snapshots")
    assert (name, size, where) == ("first", 0, "/") and more["id"] == "1"
    assert before - 2 < when / 1e6 < time.time() + 2
    assert log.wait_changed(volume.path, "Snapshots").args[0] == full_name(SNAPSHOTS)

    images.write(path, 2, MIB // 2, MIB)
    second = images.contents(path)
    snapshots.CreateSnapshot("second")
    images.write(path, 3, 0, MIB)
    for wanted, name in ((first, "first"), (second, "second"), (first, "first")):
        snapshots.RevertSnapshot(name)
        assert images.contents(path) == wanted, name
        assert names(snapshots) == ["first", "second"]
    snapshots.DeleteSnapshot("first")
    assert names(snapshots) == ["second"] and images.contents(path) == first
    snapshots.RevertSnapshot("second")
    snapshots.DeleteSnapshot("second")
    assert images.contents(path) == second and images.check(path) == 0 and volume.get("Problem") == ""


def test_names_that_are_numbers_and_options(image):
    """QEMU takes an id for a name and a name for an id."""
    path, _volume, snapshots = image
    contents = {}
    for i, name in enumerate(("2", "1", "-d", "../x y", "ü")):
        images.write(path, 10 + i, 0, MIB)
        if "/" in name:
            with refused("InvalidName"):
                snapshots.CreateSnapshot(name)
            continue
        contents[name] = images.contents(path)
        snapshots.CreateSnapshot(name)
    for name, wanted in contents.items():
        snapshots.RevertSnapshot(name)
        assert images.contents(path) == wanted, name
    snapshots.DeleteSnapshot("1")
    assert names(snapshots) == sorted(set(contents) - {"1"}) and images.check(path) == 0


def test_what_is_done_by_hand_is_seen(service, pool, folder, image):
    path, volume, snapshots = image
    log = service.log()
    images.qemu_img("snapshot", "-c", "by hand", path)
    log.wait_changed(volume.path, "Snapshots")
    assert names(snapshots) == ["by hand"]
    assert service.objects(pool.get("Volumes"))[volume.path][full_name(SNAPSHOTS)]["Snapshots"][0][0] == "by hand"
    images.make(f"{folder}-made", SIZE)
    os.rename(f"{folder}-made", f"{folder}/other")
    other = service.wait_volume(pool, "other")
    both = {full_name("Volume"), full_name(SNAPSHOTS)}
    assert set(log.wait_added(other.path).args[1]) == both
    # Another format: the interface goes, and comes back.
    log.clear()
    images.qemu_img("convert", "-O", "raw", path, f"{folder}/.raw")
    os.rename(f"{folder}/.raw", f"{folder}/other")
    assert log.wait_removed(other.path).args[1] == [full_name(SNAPSHOTS)]
    with refused("UnknownInterface", "UnknownMethod", "UnknownObject"):
        service.proxy(other.path, SNAPSHOTS).CreateSnapshot("x")
    log.clear()
    os.rename(path, f"{folder}/other")
    assert log.wait_added(other.path).args[1].keys() == {full_name(SNAPSHOTS)}
    assert set(log.wait_removed(volume.path).args[1]) == both


def test_refused(service, pool, folder, image):
    path, volume, snapshots = image
    snapshots.CreateSnapshot("there")
    before = images.contents(path)
    with refused("Exists") as refusal:
        snapshots.CreateSnapshot("there")
    assert "there" in refusal.text and "image" in refusal.text
    for call in (snapshots.RevertSnapshot, snapshots.DeleteSnapshot):
        with refused("NotFound"):
            call("other")
        with refused("InvalidArgument"):
            call("there", {"no-such-option": True})
    for name in ("", "a/b", "a\nb", "x" * 256):
        with refused("InvalidName"):
            snapshots.CreateSnapshot(name)
    images.make(f"{folder}/overlay", SIZE, backing_file=path, backing_fmt="qcow2")
    service.wait_volume(pool, "overlay").wait_for("Backing", volume.path)
    with refused("HasDependents") as refusal:
        snapshots.RevertSnapshot("there")
    assert "overlay" in refusal.text
    with refused("HasDependents"):
        volume.Delete()
    assert images.contents(path) == before and names(snapshots) == ["there"] and volume.get("Problem") == ""


def test_encrypted_images_are_refused(service, pool, folder):
    images.qemu_img("create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
                    "encrypt.format=aes,encrypt.key-secret=s", f"{folder}/secret", "1M")
    volume = service.wait_volume(pool, "secret")
    volume.wait_for("Encryption", "qcow")
    with refused("Unsupported") as refusal:
        service.proxy(volume.path, SNAPSHOTS).CreateSnapshot("x")
    assert "encrypted" in refusal.text


def test_in_use_even_by_force(image):
    path, volume, snapshots = image
    snapshots.CreateSnapshot("there")
    with images.opened(path):
        for call, name in ((snapshots.CreateSnapshot, "new"), (snapshots.RevertSnapshot, "there"),
                           (snapshots.DeleteSnapshot, "there")):
            for options in ({}, {"force": True}):
                with refused("InUse") as refusal:
                    call(name, options)
                assert "end that first" in refusal.text and "force" not in refusal.text
    assert names(snapshots) == ["there"] and volume.get("Problem") == ""
    snapshots.DeleteSnapshot("there")


@pytest.mark.private
def test_disk_full(world, service):
    folder = world.tmpfs("3m")
    pool = service.make_pool("small", folder)
    path = f"{folder}/image"
    images.make(path, 64 * MIB, cluster_size=512)
    images.write(path, 1, 0, MIB)
    volume = service.wait_volume(pool, "image")
    snapshots = service.proxy(volume.path, SNAPSHOTS)
    before = images.contents(path)
    images.fill(folder)
    with refused("NoSpace"):
        snapshots.CreateSnapshot("x")
    assert volume.get("Problem") == "" and names(snapshots) == []
    assert images.check(path) == 0 and images.contents(path) == before
    os.unlink(f"{folder}/filler")
    snapshots.CreateSnapshot("x")


@pytest.mark.private
@pytest.mark.parametrize("free", [0, 1152])
def test_disk_full_when_going_back(world, service, free):
    """Another file has the same blocks: what is only written over needs room, too. With a little, QEMU fails later, and
    leaves room in the image that belongs to nobody."""
    folder = FileSystem(world, "xfs").path
    pool = service.make_pool("small", folder)
    path = f"{folder}/image"
    images.make_slow(path, 8 * MIB)
    images.qemu_img("snapshot", "-c", "there", path)
    old = images.contents(path)
    images.write(path, 1, 0, 4 * MIB)
    new = images.contents(path)
    volume = service.wait_volume(pool, "image")
    snapshots = service.proxy(volume.path, SNAPSHOTS)
    subprocess.run(["cp", "--reflink=always", path, f"{folder}/copy"], check=True)
    os.sync()
    images.fill(folder)
    os.truncate(f"{folder}/filler", os.path.getsize(f"{folder}/filler") - free * images.KIB)
    os.sync()
    with refused("NoSpace"):
        snapshots.RevertSnapshot("there")
    found, problem = images.contents(path), volume.get("Problem")
    assert images.check(path) == (3 if free else 0) and names(snapshots) == ["there"]
    assert "incomplete" in problem and found in (old, new), "whatever the contents are, nobody knows"
    os.unlink(f"{folder}/filler")
    snapshots.RevertSnapshot("there")
    assert images.contents(path) == old and images.check(path) == 0 and volume.get("Problem") == ""


@pytest.fixture
def slow(service, pool, folder):
    """An image with so many clusters that its snapshots take a while."""
    path = f"{folder}/slow"
    images.make_slow(path, 24 * MIB)
    images.write(path, 1, 0, MIB)
    volume = service.wait_volume(pool, "slow")
    volume.wait_for("Format", "qcow2")
    snapshots = service.proxy(volume.path, SNAPSHOTS)
    return path, volume, snapshots


def test_cancelled(service, slow):
    path, volume, snapshots = slow
    before = images.contents(path)
    job = service.job(snapshots.CreateSnapshot("x", {"wait": 0}))
    start = time.monotonic()
    job.Cancel()
    properties = service.wait_job(job.path)
    assert time.monotonic() - start < 2 * SLOWNESS
    assert properties["State"] in ("cancelled", "succeeded") and images.contents(path) == before
    if properties["State"] == "cancelled":
        assert names(snapshots) == []
    if volume.get("Problem"):
        assert "as they were" in volume.get("Problem")
    snapshots.CreateSnapshot("y")
    assert volume.get("Problem") == "" and images.check(path) == 0


@pytest.mark.private
@pytest.mark.limit(240)
def test_killed_at_random_moments(world, daemon, service, pool, slow):
    """The old state or the new one; only what goes back may leave a volume that says that it is incomplete."""
    path, volume, snapshots = slow
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    pool.SetAutostart(True)
    snapshots.CreateSnapshot("base")
    old = images.contents(path)
    images.write(path, 9, 0, MIB)
    new = images.contents(path)
    now, killings = new, Killings(daemon, rng, ROUNDS)
    for i in killings:
        action = rng.choice(["create", "revert", "delete"])
        there = names(snapshots)
        name = "base" if action != "create" and "s" not in there else "s"
        action = "revert" if action == "delete" and name == "base" else action
        if action == "create" and "s" in there:
            action = "delete"
        killings.cut_off(action, snapshots.start({"create": "CreateSnapshot", "revert": "RevertSnapshot",
                                                  "delete": "DeleteSnapshot"}[action], name, {}))
        images.wait_released(path)
        problem = volume.get("Problem")
        found = images.contents(path)
        what = f"{action} of {name}, seed {SEED}, round {i}: {problem}"
        if action != "revert":
            assert found == now, what
            assert problem == "" or "as they were" in problem, what
        elif not problem:
            assert found in (old, new), what
        else:
            assert "incomplete" in problem, what
        there = names(snapshots)
        assert "base" in there, what
        if problem or action == "revert":
            snapshots.RevertSnapshot("base")
            found = images.contents(path)
            assert found == old and volume.get("Problem") == "" and images.check(path) == 0, what
        now = found
        assert images.check(path) == 0 or problem, what
