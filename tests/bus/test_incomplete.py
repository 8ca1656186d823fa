# SPDX-License-Identifier: LGPL-2.1-or-later
"""What makes an incomplete volume whole again and what does not, how much of that is remembered, and for how long."""

import os
import subprocess
import time
import uuid

import pytest

import images
from client import MIB, full_name, refused
from harness import ONE_POOL, wait_until

KIB = 1024
MARKS_MAX, MARKS_OF_A_USER, RANGES_MAX = 4096, 1024, 8
FULL = 1 << 64

pytestmark = pytest.mark.private


def marks(daemon):
    return sorted(os.listdir(f"{daemon.state_dir}/incomplete"), key=int)


def intents(daemon):
    return os.listdir(f"{daemon.state_dir}/intents")


def plant(daemon, world, *lines):
    """Notes as an earlier service left them, one a dict; a client of the one that finds them."""
    daemon.stop()
    number = max(map(int, marks(daemon)), default=0)
    for note in lines:
        number += 1
        note = {"operation": "upload-volume", "uid": 0, "since": int(time.time() * 1e6), "start": 0, "end": FULL - 1,
                **note}
        with open(f"{daemon.state_dir}/incomplete/{number}", "w", encoding="utf-8") as f:
            f.write("".join(f"{key}={value}\n" for key, value in note.items()))
    daemon.start()
    return world.client(daemon)


def cut_off(service, volume, length, offset=0, **options):
    """An upload that ends before it should."""
    (_, job), (fd,) = volume.OpenUpload(length, {"offset": offset, **options}, want_fds=True)
    os.write(fd, b"x" * 512)
    os.close(fd)
    assert service.wait_job(job)["State"] == "failed"


def upload(volume, data, offset=0, **options):
    fd = os.memfd_create("data")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    volume.Upload(0, {"offset": offset, **options}, fds=[fd])
    os.close(fd)


def is_incomplete(volume):
    return "incomplete" in volume.get("Problem")


# a Commit writes only what its overlay has


@pytest.fixture
def base(service, pool):
    return service.make_volume(pool, "base", MIB)


def overlay(service, pool, folder, base, name="over", number=1):
    images.make(f"{folder}/{name}", MIB, backing_file=base.get("Path"), backing_fmt="raw")
    images.write(f"{folder}/{name}", number, 64 * KIB, 64 * KIB)
    volume = service.wait_volume(pool, name)
    volume.wait_for("Backing", base.path)
    return volume


def test_commit_does_not_mend_what_others_left(service, pool, folder, base):
    cut_off(service, base, 512 * KIB)
    over = overlay(service, pool, folder, base)
    over.Commit()
    assert is_incomplete(base)
    upload(base, b"y" * (512 * KIB), force=True)
    assert base.get("Problem") == ""


@pytest.fixture
def cut_commit(world, daemon, service, pool, folder, base):
    """(overlay, base): a commit of that was cut off."""
    over = overlay(service, pool, folder, base)
    service = plant(daemon, world, {"pool": pool.get("UUID"), "volume": "base", "operation": "commit-volume",
                                    "from": f"{pool.get('UUID')}/over"})
    base, over = service.volume(base.path), service.volume(over.path)
    wait_until(lambda: is_incomplete(base), what="the mark")
    return over, base


def test_commit_mends_itself(daemon, cut_commit):
    over, base = cut_commit
    over.Commit()
    assert base.get("Problem") == ""
    wait_until(lambda: marks(daemon) == [], what="the end of the mark")


def test_commit_of_another_overlay_mends_nothing(service, pool, folder, cut_commit):
    over, base = cut_commit
    over.Flatten()
    other = overlay(service, pool, folder, base, "other", 2)
    other.Commit()
    assert is_incomplete(base)
    other.Delete()
    base.Wipe()
    assert base.get("Problem") == ""


@pytest.mark.parametrize("how", ["deleted", "wiped", "shrunk"])
def test_commit_of_an_overlay_that_has_less(world, daemon, service, pool, folder, cut_commit, how):
    """Of the same name, but not with all that was to be committed."""
    over, base = cut_commit
    if how == "deleted":
        over.Delete()
        over = overlay(service, pool, folder, base, number=3)
    elif how == "wiped":
        over.Wipe()
        images.make(f"{folder}/over", MIB, backing_file=base.get("Path"), backing_fmt="raw")
        over.wait_for("Backing", base.path)
    else:
        images.write(f"{folder}/over", 2, 960 * KIB, 64 * KIB)
        over.Resize(512 * KIB, {"shrink": True})
    if how == "deleted":
        daemon.restart()
        service = world.client(daemon)
        service.wait_volume(pool, "over")
    service.volume(over.path).Commit()
    assert is_incomplete(service.volume(base.path))
    assert "overwrite all" in service.volume(base.path).get("Problem")


def test_commit_that_ran_out_of_room(world, daemon, service):
    """What is noted of it says whose overlay it was, from the beginning."""
    folder = world.tmpfs("8m")
    pool = service.make_pool("small", folder)
    base = service.make_volume(pool, "base", 16 * MIB)
    images.make(f"{folder}/over", 16 * MIB, backing_file=base.get("Path"), backing_fmt="raw")
    images.write(f"{folder}/over", 1, 0, 2 * MIB)
    over = service.wait_volume(pool, "over")
    over.wait_for("Backing", base.path)
    images.fill(folder)
    with refused("NoSpace"):
        over.Commit()
    assert is_incomplete(base)
    os.unlink(f"{folder}/filler")
    daemon.restart()
    service = world.client(daemon)
    service.wait_volume(pool, "over")
    service.volume(over.path).Commit()
    assert service.volume(base.path).get("Problem") == ""


# room that is lost in an image


@pytest.fixture
def unfinished(world, daemon, service, pool, folder):
    """An image of which the making of a snapshot was cut off, and another that it may be built on."""
    image = service.make_volume(pool, "image", MIB, format="qcow2")
    service.make_volume(pool, "below", MIB, format="qcow2")
    service = plant(daemon, world, {"pool": pool.get("UUID"), "volume": "image", "operation": "create-snapshot", "end": 0})
    image = service.volume(image.path)
    image.wait_for("Problem", lambda problem: "as they were" in problem)
    return service, image, f"{folder}/image"


def test_lost_room_stays_marked(unfinished, pool):
    """Whatever else is done from its first byte on."""
    service, image, path = unfinished
    with open(path, "rb") as f:
        head = f.read(512)
    upload(image, head)
    assert "as they were" in image.get("Problem")
    image.Rebase(service.pool(pool.path).GetVolume("below"), {"unsafe": True})
    assert "as they were" in image.get("Problem")


@pytest.mark.parametrize("how", ["snapshot", "all"])
def test_lost_room_is_found_again(unfinished, how):
    service, image, path = unfinished
    if how == "snapshot":
        service.proxy(image.path, "Volume.Snapshots").CreateSnapshot("s")
    else:
        with open(path, "rb") as f:
            contents = f.read()
        upload(image, contents)
    assert image.get("Problem") == ""


def test_a_snapshot_mends_no_contents(world, daemon, service, pool):
    """And going back to one brings back what was there when it was made, damage and all."""
    image = service.make_volume(pool, "image", MIB, format="qcow2")
    snapshots = service.proxy(image.path, "Volume.Snapshots")
    snapshots.CreateSnapshot("before")
    note = {"pool": pool.get("UUID"), "volume": "image"}
    service = plant(daemon, world, {**note, "operation": "revert-snapshot"})
    image, snapshots = service.volume(image.path), service.proxy(image.path, "Volume.Snapshots")
    service.wait_volume(pool, "image")
    with refused("Failed") as refusal:
        snapshots.CreateSnapshot("after")
    assert "revert-snapshot" in refusal.text and "'image'" in refusal.text
    # Others do not know.
    subprocess.run(["qemu-img", "snapshot", "-c", "after", image.get("Path")], check=True)
    wait_until(lambda: len(snapshots.get("Snapshots")) == 2, 10, "the snapshot to be seen")
    assert is_incomplete(image)
    snapshots.RevertSnapshot("after")
    assert is_incomplete(image)
    snapshots.RevertSnapshot("before")
    assert image.get("Problem") == ""
    # Its file was written over, with the snapshots in it.
    service = plant(daemon, world, {**note, "start": 0, "end": 65536})
    service.wait_volume(pool, "image")
    service.proxy(image.path, "Volume.Snapshots").RevertSnapshot("before")
    assert is_incomplete(service.volume(image.path))


def test_no_clone_of_what_is_incomplete(service, pool, base):
    """Of that nobody would know."""
    cut_off(service, base, MIB)
    for options in ({}, {"linked": True}):
        with refused("Failed") as refusal:
            pool.CloneVolume(base.path, "clone", options)
        assert "upload-volume" in refusal.text and "'base'" in refusal.text
    base.Wipe()
    pool.CloneVolume(base.path, "clone")


def test_no_copy_of_what_is_incomplete_below(service, pool, folder, base):
    """Of what an overlay gets from there nobody would know, either."""
    over = overlay(service, pool, folder, base)
    top = pool.CreateVolume("top", MIB, {"format": "qcow2", "backing": over.path})[0]
    alone = service.make_volume(pool, "alone", MIB, format="qcow2")
    cut_off(service, base, MIB, force=True)
    for call in (lambda: pool.CloneVolume(over.path, "clone"), lambda: pool.CloneVolume(top, "clone"), over.Flatten,
                 service.volume(top).Flatten, lambda: alone.Rebase(base.path), lambda: over.Rebase(alone.path),
                 service.volume(top).Commit):
        with refused("Failed") as refusal:
            call()
        assert "upload-volume" in refusal.text and "'base'" in refusal.text
    assert "clone" not in service.volumes(pool)
    upload(base, bytes(MIB), force=True)
    pool.CloneVolume(top, "clone")
    service.volume(top).Commit()


def test_copy_of_whose_commit_was_cut_off(service, pool, folder, cut_commit):
    """The overlay has all that its base lacks."""
    over, base = cut_commit
    pool.CloneVolume(over.path, "clone")
    other = overlay(service, pool, folder, base, "other", 2)
    with refused("Failed"):
        pool.CloneVolume(other.path, "second")
    other.Delete()
    over.Commit()


# how much is remembered


def test_ranges_of_a_volume(world, daemon, service, base):
    """Many become one around all of them."""
    for number in range(2 * RANGES_MAX + 2):
        cut_off(service, base, 4 * KIB, number * 32 * KIB)
        wait_until(lambda: len(marks(daemon)) <= RANGES_MAX, what="few marks")
    wait_until(lambda: intents(daemon) == [], what="all to be noted")
    daemon.restart()
    service = world.client(daemon)
    base = service.volume(base.path)
    base.wait_for("Problem", lambda problem: "incomplete" in problem)
    upload(base, b"y" * (256 * KIB))
    assert is_incomplete(base)
    upload(base, b"y" * (512 * KIB), 256 * KIB)
    upload(base, b"y" * MIB)
    assert base.get("Problem") == ""
    wait_until(lambda: marks(daemon) == [], what="the end of the marks")


def test_what_is_covered_needs_no_mark(daemon, service, base):
    for start in (0, 64, 128):
        cut_off(service, base, 4 * KIB, start * KIB)
    cut_off(service, base, 512 * KIB)
    wait_until(lambda: intents(daemon) == [] and len(marks(daemon)) == 1, what="one mark for all")
    cut_off(service, base, 4 * KIB, 256 * KIB)
    upload(base, b"y" * (512 * KIB))
    assert base.get("Problem") == ""


def test_none_is_pushed_out(world, daemon, service, pool):
    """Where there are too many, nothing more is changed in place, but for what mends."""
    for name in ("marked", "other"):
        service.make_volume(pool, name, MIB)
    gone = str(uuid.uuid4())
    service = plant(daemon, world, {"pool": pool.get("UUID"), "volume": "marked", "uid": 1},
                    *({"pool": gone, "volume": f"v{number}", "uid": number} for number in range(MARKS_MAX - 1)))
    before = marks(daemon)
    marked, other = service.wait_volume(pool, "marked"), service.wait_volume(pool, "other")
    for call in (other.Wipe, lambda: upload(other, b"x")):
        with refused("LimitsExceeded") as refusal:
            call()
        assert "'other'" in refusal.text and "all users" in refusal.text
    assert service.make_volume(pool, "new", MIB).get("Problem") == ""
    cut_off(service, marked, MIB)
    daemon.restart()
    assert marks(daemon) == before and len(before) == MARKS_MAX
    service = world.client(daemon)
    service.wait_volume(pool, "marked").Wipe()
    assert service.volume(marked.path).get("Problem") == ""
    service.volume(other.path).Wipe()
    wait_until(lambda: marks(daemon) == before[1:], what="that one to go")


def test_one_user_keeps_none_from_others(world):
    daemon = world.daemon(polkit=True)
    service = world.client(daemon)
    pool = service.make_pool("mine", world.folder())
    v = service.make_volume(pool, "v", MIB)
    gone = str(uuid.uuid4())
    service = plant(daemon, world, *({"pool": gone, "volume": f"v{number}"} for number in range(MARKS_OF_A_USER)))
    service.wait_volume(pool, "v")
    with refused("LimitsExceeded") as refusal:
        service.volume(v.path).Wipe()
    assert "yours" in refusal.text
    world.client(daemon, uid=ONE_POOL).volume(v.path).Wipe()


def test_a_note_that_says_nothing_is_left_alone(world, daemon, service, base):
    service = plant(daemon, world, {"volume": "base"}, {"pool": "x" * 40, "volume": "base"})
    service.wait_volume(service.pool(base.get("Pool")), "base")
    cut_off(service, service.volume(base.path), MIB)
    assert marks(daemon) == ["1", "2", "3"] and daemon.log().count("Skipped") == 2


# files that get another name


def has_birth(path):
    return subprocess.run(["stat", "-c", "%W", path], capture_output=True, text=True, check=True).stdout.strip() != "0"


def test_renamed(world, daemon, service, pool, folder, base):
    """The file is what it was, and so is what is known of it; what gets its old name is another one."""
    if not has_birth(base.get("Path")):
        pytest.skip("no times of birth here")
    cut_off(service, base, MIB)
    os.rename(f"{folder}/base", f"{folder}/other")
    other = service.wait_volume(pool, "other")
    service.wait_gone(pool, "base")
    assert is_incomplete(other)
    service.make_volume(pool, "next", MIB)
    os.rename(f"{folder}/other", f"{folder}/next")
    service.wait_gone(pool, "other")
    daemon.restart()
    service = world.client(daemon)
    assert is_incomplete(service.wait_volume(pool, "next"))
    assert service.make_volume(pool, "base", MIB).get("Problem") == ""
    service.volume(pool.GetVolume("next")).Wipe()
    assert service.volume(pool.GetVolume("next")).get("Problem") == ""


def test_renamed_overlay(service, pool, folder, cut_commit):
    over, base = cut_commit
    if not has_birth(base.get("Path")):
        pytest.skip("no times of birth here")
    os.rename(f"{folder}/over", f"{folder}/other")
    service.wait_gone(pool, "over")
    service.wait_volume(pool, "other").Commit()
    assert base.get("Problem") == ""


def test_renamed_with_its_secret(world, daemon, service, pool, folder, base):
    if not has_birth(base.get("Path")):
        pytest.skip("no times of birth here")
    service.manager.SetSecret("key", b"x")
    ((_usage, secret, _description),) = service.manager.ListSecrets()
    with open(f"{daemon.state_dir}/volume-secrets/1", "w", encoding="ascii") as f:
        f.write(f"pool={pool.get('UUID')}\nvolume=base\nsecret={secret}\n")
    daemon.restart()
    service = world.client(daemon)
    service.wait_volume(pool, "base")
    os.rename(f"{folder}/base", f"{folder}/other")
    service.wait_gone(pool, "base")
    daemon.restart()
    service = world.client(daemon)
    service.wait_volume(pool, "other")
    with refused("HasDependents") as refusal:
        service.manager.RemoveSecret("key")
    assert "'other'" in refusal.text and "'base'" not in refusal.text
    service.volume(pool.GetVolume("other")).Delete()
    service.manager.RemoveSecret("key")


@pytest.mark.parametrize("known", [False, True])
def test_secret_of_what_was_just_made(world, daemon, service, pool, base, known):
    """The service's end between the appearance of a volume and the note of its secret: that is noted at the next start."""
    service.manager.SetSecret("key", b"x")
    service.manager.SetSecret("old", b"x")
    secrets = {usage: secret for usage, secret, _description in service.manager.ListSecrets()}
    known_pool = pool.get("UUID")
    daemon.stop()
    if known:
        with open(f"{daemon.state_dir}/volume-secrets/1", "w", encoding="ascii") as f:
            f.write(f"pool={known_pool}\nvolume=base\nsecret={secrets['old']}\n")
    with open(f"{daemon.state_dir}/intents/16-0123456789abcdef", "w", encoding="ascii") as f:
        f.write(f"operation=create-volume\npool={known_pool}\nvolume=base\nstage=makes\nsecret={secrets['key']}\n")
    for _ in range(2):
        daemon.start()
        manager = world.client(daemon).manager
        with refused("HasDependents") as refusal:
            manager.RemoveSecret("old" if known else "key")
        assert "'base'" in refusal.text
        wait_until(lambda: intents(daemon) == [], what="the end of the intent")
        daemon.stop()
    daemon.start()
    world.client(daemon).manager.RemoveSecret("key" if known else "old")


# pools that come and go


def test_pool_that_is_defined_again(world, daemon, service, pool, folder, base):
    known = pool.get("UUID")
    cut_off(service, base, MIB)
    pool.Stop()
    pool.Undefine()
    daemon.restart()
    service = world.client(daemon)
    xml = f"<pool type='dir'><name>again</name><uuid>{known}</uuid><target><path>{folder}</path></target></pool>"
    path, _ = service.manager.DefinePoolFromXML(xml, {"start": True})
    assert path == pool.path and is_incomplete(service.wait_volume(service.pool(path), "base"))


@pytest.mark.parametrize("kind, age, kept", [("disk", 0, True), ("disk", 200 * 86400, False), ("dir", 0, False)])
def test_leftover_in_a_pool_that_is_away(world, daemon, kind, age, kept):
    """A partition that was being made looks like any other: its intent is kept until its pool is back."""
    since = int((time.time() - age) * 1e6)
    daemon.stop()
    name = "16-0123456789abcdef"
    with open(f"{daemon.state_dir}/intents/{name}", "w", encoding="ascii") as f:
        f.write(f"operation=clone-volume\nuid=0\nsince={since}\npool={uuid.uuid4()}\npool-type={kind}\nvolume=sdx1\n"
                "stage=makes\ntoken=00112233445566778899aabbccddeeff\nfrom=\nstart=0\nend=0\n")
    for number in range(3):
        daemon.start()
        service = world.client(daemon)
        told = [o[full_name("Job")] for path, o in service.objects().items() if "/job/" in path]
        assert [job["Operation"] for job in told] == (["clone-volume"] if number == 0 else [])
        service.make_pool(f"p{number}", world.folder())  # after which what was to be written is written
        assert intents(daemon) == ([name] if kept else [])
        daemon.stop()
    daemon.start()


def test_what_is_out_of_sight_stays_marked(daemon, service, world):
    """A volume whose storage was unmounted for a while, or hidden by another one, is what it was when it is back."""
    folder, storage = world.folder(), world.tmpfs(16 * MIB)
    world.mounts.append(folder)
    subprocess.run(["mount", "--bind", storage, folder], check=True)
    pool = service.make_pool("p", folder)
    cut_off(service, service.make_volume(pool, "v"), MIB)
    subprocess.run(["umount", folder], check=True)
    service.wait_gone(pool, "v")
    assert marks(daemon)
    subprocess.run(["mount", "--bind", storage, folder], check=True)
    assert is_incomplete(service.wait_volume(pool, "v"))
