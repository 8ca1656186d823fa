# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x512M
# timeout: 2400
"""The bytes of logical volumes and partitions through descriptors, compared bit for bit."""

import contextlib
import hashlib
import os
import random
import threading
import time
from pathlib import Path

import pytest
from gi.repository import GLib

from client import MIB, refused
from devices import dirty, lvs, run
from harness import wait_until

SIZE = 12 * MIB
WAIT = {"wait": 120_000_000}
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def on_disk(path, size=None):
    """All of it, from the device and not from memory."""
    run("blockdev", "--flushbufs", path)
    with open(path, "rb") as f:
        return f.read() if size is None else f.read(size)


@contextlib.contextmanager
def pipe_with(data):
    """Its end to read from; data comes out of it as long as somebody reads."""
    ours, theirs = os.pipe()

    def feed():
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(theirs, view):]
        except BrokenPipeError:
            pass
        os.close(theirs)
    threading.Thread(target=feed, daemon=True).start()
    try:
        yield ours
    finally:
        os.close(ours)


@pytest.fixture
def data():
    """With a hole in the middle where it is a file."""
    whole = random.Random(SEED).randbytes(SIZE // 3)
    return whole + bytes(SIZE // 3) + whole


@pytest.fixture
def sparse_file(tmp_path, data):
    with open(tmp_path / "sparse", "w+b") as f:
        f.truncate(SIZE)
        f.write(data[:SIZE // 3])
        f.seek(SIZE // 3 * 2)
        f.write(data[SIZE // 3 * 2:])
        f.flush()
        os.lseek(f.fileno(), 0, os.SEEK_SET)
        yield f.fileno()


@pytest.fixture
def table(service, disks):
    dirty(disks[1])
    path, _ = service.manager.DefinePool(
        "disk", "disk", {"source-devices": [disks[1]], "source-format": "gpt", "target-path": "/dev"},
        {"build": True, "start": True, "wait": 60_000_000})
    return service.pool(path)


@pytest.fixture(params=["logical", "disk"])
def place(request, disks):
    """A pool on devices, and a name for a volume there."""
    return (request.getfixturevalue("vg"), "v") if request.param == "logical" else (
        request.getfixturevalue("table"), Path(disks[1]).name + "1")


def rewind(fd):
    os.lseek(fd, 0, os.SEEK_SET)


def test_upload_and_download(service, place, data, sparse_file, tmp_path):
    """Through files and pipes, whole and in part, with holes and without."""
    pool, name = place
    path, _ = pool.CreateVolume(name, SIZE, WAIT)
    volume = service.volume(path)
    device, capacity = volume.get("Path"), volume.get("Capacity")
    for options in ({}, {"sparse": True}, {"sparse": True, "sha256": True}):
        with open(device, "r+b") as f:
            f.write(b"\xee" * SIZE)
        rewind(sparse_file)
        result, _ = volume.Upload(0, {**options, **WAIT}, fds=[sparse_file])
        assert result["bytes"] == SIZE and result.get("sha256", sha(data)) == sha(data)
        assert on_disk(device, SIZE) == data
    with pipe_with(b"odd bytes" * 9999) as ours:
        volume.Upload(0, {"offset": 12345, "length": 9 * 9999, **WAIT}, fds=[ours])
    expected = data[:12345] + b"odd bytes" * 9999 + data[12345 + 9 * 9999:]
    assert on_disk(device, SIZE) == expected
    with open(tmp_path / "back", "w+b") as f:
        result, _ = volume.Download(0, {"sparse": True, "sha256": True, **WAIT}, fds=[f.fileno()])
        f.seek(0)
        found = f.read()
        assert found[:SIZE] == expected and result == {"bytes": capacity, "sha256": sha(found)}
        assert os.fstat(f.fileno()).st_blocks * 512 < SIZE - SIZE // 3 + MIB, "zeros are holes"
    (_, job), fds = volume.OpenDownload({"offset": 12345, "length": 9 * 9999}, want_fds=True)
    with os.fdopen(fds[0], "rb") as f:
        assert f.read() == b"odd bytes" * 9999
    assert service.wait_job(job)["State"] == "succeeded" and volume.get("Problem") == ""
    with open(tmp_path / "back", "r+b") as f, refused("InvalidArgument"):
        volume.Upload(0, {"offset": capacity - 1, "length": 2}, fds=[f.fileno()])


def test_import(service, place, data, sparse_file):
    """What is behind the length, up to the end of the extent, is nobody else's."""
    pool, name = place
    os.truncate(sparse_file, SIZE + 12345)
    path, result, _ = pool.ImportVolume(name, 0, {"sparse": True, "sha256": True, **WAIT}, fds=[sparse_file])
    volume = service.volume(path)
    assert result == {"bytes": SIZE + 12345, "sha256": sha(data + bytes(12345))}
    device = volume.get("Path")
    found = on_disk(device)
    assert found[:SIZE] == data and not found[SIZE:].strip(b"\0") and len(found) == volume.get("Capacity")
    volume.Delete(WAIT)


def test_nothing_is_left_of_an_import(daemon, service, place):
    pool, name = place
    (_, _, job), fds = pool.OpenImport(name, SIZE, {}, want_fds=True)
    os.write(fds[0], b"x" * 4096)
    wait_until(lambda: service.job(job).get("State") == "running", what="the job to run")
    with refused("Exists", "Busy"):
        pool.CreateVolume(name, SIZE)
    os.close(fds[0])
    assert service.wait_job(job)["State"] == "failed"
    assert service.volumes(pool) == {}
    (_, _, job), fds = pool.OpenImport(name, SIZE, {}, want_fds=True)
    wait_until(lambda: daemon.workers("data") or service.job(job).get("ErrorMessage"), what="the worker that reads")
    assert service.job(job).get("ErrorMessage") == ""
    service.job(job).Cancel()
    assert service.wait_job(job)["State"] == "cancelled"
    os.close(fds[0])
    assert service.volumes(pool) == {}
    with refused("NoSpace"):
        pool.ImportVolume(name, 0, {"length": 1 << 30, **WAIT}, fds=[os.pipe()[0]])
    assert service.volumes(pool) == {}


def test_used(service, vg, data):
    """Who has a device open is in the way of an upload, and no guest can have it meanwhile."""
    path, _ = vg.CreateVolume("v", SIZE, WAIT)
    volume = service.volume(path)
    fd = os.open("/dev/vg0/v", os.O_RDWR)
    ours, _theirs = os.pipe()
    with refused("InUse"):
        volume.Upload(0, {"length": 5}, fds=[ours])
    os.close(fd)
    (_, job), fds = volume.OpenUpload(5, {}, want_fds=True)
    wait_until(lambda: service.job(job).get("State") == "running", what="the job to run")
    with refused("Busy"):
        volume.Delete()
    os.write(fds[0], b"hello")
    os.close(fds[0])
    assert service.wait_job(job)["State"] == "succeeded" and on_disk("/dev/vg0/v", 5) == b"hello"


def cut_off(daemon, rng, pending, who):
    """Kills the data worker, the service or all at some moment of it; whether the call was answered with success."""
    time.sleep(rng.random() * 2)
    workers = {"worker": daemon.workers("data"), "service": [], "both": daemon.workers()}[who]
    for pid in workers:
        with contextlib.suppress(ProcessLookupError):  # it was done by then
            os.kill(pid, 9)
    if who != "worker":
        daemon.kill()
        daemon.start()
    try:
        pending.wait(60)
    except GLib.Error:
        return False
    return True


def shown(service, pool):
    """The names of its volumes; None as long as it is not known what there is."""
    try:
        return set(service.volumes(pool))
    except GLib.Error:
        return None


ROUNDS = ["worker", "service", "both"] * 2


def test_upload_cut_off(daemon, service, vg):
    """What is there is old, or new, or says that it is incomplete."""
    rng = random.Random(SEED)
    path, _ = vg.CreateVolume("v", SIZE, WAIT)
    old, new = bytes([1]) * SIZE, bytes([2]) * SIZE
    for who in ROUNDS:
        volume = service.volume(path)
        with open("/dev/vg0/v", "r+b") as f:
            f.write(old)
            os.fsync(f.fileno())
        with pipe_with(new) as ours:
            done = cut_off(daemon, rng, volume.start("Upload", 0, {"length": SIZE, **WAIT}, fds=[ours]), who)
        problem = service.wait_volume(vg, "v", 60).get("Problem")
        found = on_disk("/dev/vg0/v", SIZE)
        assert "incomplete" in problem or found in (old, new), f"{who}, seed {SEED}"
        assert not done or (found == new and problem == ""), f"{who}, seed {SEED}"
    with pipe_with(new) as ours:
        volume.Upload(0, {"length": SIZE, **WAIT}, fds=[ours])
    assert volume.get("Problem") == ""


def test_import_cut_off(daemon, service, vg):
    """What is there is whole, and nothing else is there."""
    rng, new = random.Random(SEED), bytes([2]) * SIZE
    for i, who in enumerate(ROUNDS):
        with pipe_with(new) as ours:
            cut_off(daemon, rng, vg.start("ImportVolume", f"i{i}", 0, {"length": SIZE, **WAIT}, fds=[ours]), who)
        wait_until(lambda: shown(service, vg) == set(lvs()), 60, f"the group as it is, seed {SEED}")
        for name in lvs():
            assert name == f"i{i}" and on_disk(f"/dev/vg0/{name}", SIZE) == new, f"{who}, seed {SEED}"
            service.volume(vg.GetVolume(name)).Delete(WAIT)
