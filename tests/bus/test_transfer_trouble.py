# SPDX-License-Identifier: LGPL-2.1-or-later
"""Uploads, downloads and imports that do not just go through: of clients that take their time, hang or die, and of
volumes that others use or that stay incomplete."""

import os
import subprocess
import sys
import time

import pytest

from client import MIB, refused
from harness import SOURCE, wait_until
from images import opened, qemu_img
from streams import Source, content, make_raw, read_file, write_all

sys.path.append(SOURCE + "/tests/worker")
from fuse_file import FuseFile  # noqa: E402


def test_client_that_dies(service, pool, folder):
    volume = make_raw(service, pool)
    fd, feed = os.pipe()
    child = subprocess.Popen(["sh", "-c", "printf 1234567; exec sleep 60"], stdout=feed)
    os.close(feed)
    _, job = volume.Upload(0, {"length": 100, "wait": 0}, fds=[fd])
    os.close(fd)
    # To look into the file while the job begins would be to use it.
    wait_until(lambda: service.job(job).get("BytesDone") == 7, what="the first bytes")
    assert read_file(folder + "/v")[:7] == b"1234567"
    child.kill()
    child.wait()
    got = service.wait_job(job)
    assert got["State"] == "failed" and "7 of 100" in got["ErrorMessage"]
    assert "incomplete" in volume.get("Problem")
    with Source("memfd", content(100), None) as source:
        volume.Upload(0, {}, fds=[source.fd])
    assert volume.get("Problem") == ""


def test_cancel_while_nothing_comes(daemon, service, pool, folder):
    volume = make_raw(service, pool)
    (_, job), fds = volume.OpenUpload(100, {}, want_fds=True)
    wait_until(lambda: service.job(job).get("State") == "running", what="the job to run")
    service.job(job).Cancel()
    got = service.wait_job(job, 2)
    assert got["State"] == "cancelled" and volume.get("Problem") == "", "nothing was written"
    with pytest.raises(BrokenPipeError):
        while True:
            os.write(fds[0], bytes(MIB))
    os.close(fds[0])


def stalled(service, pool, count, **options):
    """Uploads that nothing comes for."""
    for i in range(count):
        make_raw(service, pool, f"s{i}")
    begun = [service.volume(pool.GetVolume(f"s{i}")).OpenUpload(100, options, want_fds=True) for i in range(count)]
    return [job for (_, job), _fds in begun], [fds[0] for _, fds in begun]


def test_clients_that_stall_hold_up_nobody_else(service, pool, folder):
    jobs, pipes = stalled(service, pool, 10)
    wait_until(lambda: sum(service.job(job).get("State") == "running" for job in jobs) == 8, what="8 of them")
    pool.CreateVolume("full", 4 * MIB, {"preallocation": "full"})
    for fd in pipes:
        write_all(fd, content(100))
    for job in jobs:
        assert service.wait_job(job)["State"] == "succeeded"
    assert all(read_file(f"{folder}/s{i}")[:100] == content(100) for i in range(10))


def rested(pid):
    """How often the process has gone to sleep so far."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("voluntary_ctxt_switches"))


def sleeps_on(pid, seconds=2.5):
    """Whether nothing wakes it for so long, but perhaps once what has nothing to do with it."""
    before = rested(pid)
    time.sleep(seconds)
    return rested(pid) - before <= 1


def feed(job, fd, seconds):
    """Gives 80 KiB a second for so long, and longer, until they are seen to move."""
    end = time.monotonic() + seconds
    while time.monotonic() < end or job.get("Rate") == 0:
        os.write(fd, bytes(4096))
        time.sleep(0.05)


def test_rate_of_a_client_that_stalls(daemon, service, pool):
    """It is none soon, and nobody wakes up to see that again; when it goes on, the pause does not count."""
    volume, log = make_raw(service, pool, size=64 * MIB), service.log()
    (_, path), fds = volume.OpenUpload(64 * MIB, {}, want_fds=True)
    job = service.job(path)
    feed(job, fds[0], 1)
    log.wait_changed(path, "Rate")
    for _ in range(2):
        assert job.get("Rate") > 0 and job.get("ExpectedEndTime") > 0
        log.clear()
        began = time.monotonic()
        log.wait_changed(path, "Rate", 0, timeout=20)
        print(f"seen to stall after {time.monotonic() - began:.1f} s")
        assert (job.get("Rate"), job.get("ExpectedEndTime"), job.get("State")) == (0, 0, "running")
        log.clear()
        wait_until(lambda: sleeps_on(daemon.pid()), 20, "a service that sleeps", 0)
        assert log.select("PropertiesChanged", path) == []
        feed(job, fds[0], 0)
        assert job.get("Rate") > 20 * 1024, "what it is now, not since the pause began"
        feed(job, fds[0], 1)
    job.Cancel()
    os.close(fds[0])


def test_rate_of_a_client_that_is_slow(service, pool):
    """What moves from time to time has not stalled."""
    volume, log = make_raw(service, pool, size=64 * MIB), service.log()
    (_, path), fds = volume.OpenUpload(64 * MIB, {}, want_fds=True)
    job = service.job(path)
    for i in range(4):
        os.write(fds[0], bytes(4096))
        if i == 3:
            break
        job.wait_for("BytesDone", 4096 * (i + 1))
        if i == 2:
            log.clear()
        time.sleep(2.7)
    assert [s.args[1]["Rate"] for s in log.select("PropertiesChanged", path) if s.args[1].get("Rate") == 0] == []
    assert 0 < job.get("Rate") < 4096
    job.Cancel()
    os.close(fds[0])


def test_file_of_a_client_that_hangs(daemon, service, pool, folder, world):
    """Somebody's FUSE file that does not answer holds up its own job, and nothing else."""
    make_raw(service, pool, size=4 * MIB)
    point = world.folder()
    try:
        fuse = FuseFile(point, 4 * MIB, hang=True)
    except OSError as error:
        pytest.skip(f"no FUSE: {error}")
    fd = os.open(fuse.path, os.O_RDONLY)
    try:
        result, job = service.volume(pool.GetVolume("v")).Upload(0, {"wait": 0}, fds=[fd])
        assert result == {}
        wait_until(lambda: any(read_file(f"/proc/{pid}/wchan").startswith((b"request_wait", b"fuse"))
                               for pid in daemon.workers("data")), what="a worker that waits for it")
        service.make_volume(pool, "other").Delete()
        pool.Refresh()
        service.job(job).Cancel()
        assert service.job(job).get("State") in ("cancelling", "cancelled")
        service.make_volume(pool, "another").Delete()
    finally:
        os.close(fd)
        fuse.close()
    got = service.wait_job(job)
    assert got["State"] == "cancelled", got


def test_no_descriptor_is_left_open(daemon, service, pool, folder):
    """In the service, whatever became of the call."""
    def count():
        return len(os.listdir(f"/proc/{daemon.pid()}/fd"))

    def some():
        read, write = os.pipe()
        write_all(write, b"12345")
        volume.Upload(0, {"length": 3}, fds=[read])
        os.close(read)
        with Source("memfd", b"1", None) as source:
            volume.Download(0, {"length": 5}, fds=[source.fd])
            for call in ((volume.Upload, 0, {"length": 100}), (volume.Upload, 0, {"offset": 2 * MIB}),
                         (pool.ImportVolume, "v", 0, {}), (pool.ImportVolume, "w", 0, {"format": "qcow2"}),
                         (volume.Download, 0, {"no-such-option": 1})):
                with refused("InvalidArgument", "Exists"):
                    call[0](*call[1:], fds=[source.fd])
        (_, job), fds = volume.OpenUpload(5, {}, want_fds=True)
        os.close(fds[0])
        service.wait_job(job)
        (_, _, job), fds = pool.OpenImport("w", 5, {}, want_fds=True)
        service.job(job).Cancel()
        service.wait_job(job)
        os.close(fds[0])

    volume = make_raw(service, pool)
    some()
    before = wait_until(lambda: not daemon.workers("data") and count(), what="the end of the workers")
    for _ in range(3):
        some()
    wait_until(lambda: count() <= before, what=f"{before} descriptors")
    assert os.listdir(folder) == ["v"]


def test_upload_below_overlays(service, pool, folder):
    """What others are built on is not written over, unless by force."""
    base = make_raw(service, pool, "base")
    service.make_volume(pool, "top", MIB, format="qcow2", **{"backing-path": "base", "backing-format": "raw"})
    with Source("memfd", b"new", None) as source:
        with refused("HasDependents"):
            base.Upload(0, {}, fds=[source.fd])
        assert base.Upload(0, {"force": True}, fds=[source.fd])[0] == {"bytes": 3}


def test_used_by_a_guest(daemon, service, pool, folder):
    qemu_img("create", "-q", "-f", "qcow2", folder + "/v", "8M")
    volume = service.wait_volume(pool, "v")
    before = read_file(folder + "/v")
    with opened(folder + "/v"), Source("memfd", b"x", None) as source:
        with refused("InUse"):
            volume.Upload(0, {}, fds=[source.fd])
        with refused("InUse"):
            volume.Download(0, {}, fds=[source.fd])
        assert volume.Download(0, {"force": True, "length": 4}, fds=[source.fd])[0] == {"bytes": 4}
        assert read_file(folder + "/v") == before
    with opened(folder + "/v", read_only=True), Source("memfd", b"", None) as source:
        volume.Download(0, {"length": 4}, fds=[source.fd])
        with refused("InUse"):
            volume.Upload(0, {}, fds=[source.fd])
        assert read_file(folder + "/v") == before
    (_, job), fds = volume.OpenUpload(100, {}, want_fds=True)
    wait_until(lambda: service.job(job).get("State") == "running" and daemon.workers("data"), what="the job to run")
    done = subprocess.run(["qemu-io", "-r", "-f", "qcow2", "-c", "read 0 512", folder + "/v"], capture_output=True,
                          text=True, check=False)
    assert done.returncode != 0 and "lock" in done.stderr
    with refused("Busy"):
        volume.Delete()
    os.close(fds[0])
    service.wait_job(job)


@pytest.mark.private
def test_incomplete_until_it_is_done_again(world, daemon, service, pool, folder):
    """By a full disk; the mark outlives the service."""
    volume = make_raw(service, pool, size=4 * MIB)
    (_, job), fds = volume.OpenUpload(2 * MIB, {"offset": MIB}, want_fds=True)
    write_all(fds[0], content(MIB))
    assert service.wait_job(job)["State"] == "failed" and "incomplete" in volume.get("Problem")
    daemon.restart()
    service = world.client(daemon)
    volume = service.volume(volume.path)
    volume.wait_for("Problem", lambda problem: "incomplete" in problem)
    with Source("memfd", content(MIB), None) as source:
        volume.Upload(0, {}, fds=[source.fd])
        assert "incomplete" in volume.get("Problem"), "another part of it"
    with Source("memfd", content(2 * MIB), None) as source:
        volume.Upload(0, {"offset": MIB}, fds=[source.fd])
    assert volume.get("Problem") == "" and read_file(folder + "/v")[MIB:3 * MIB] == content(2 * MIB)
    daemon.restart()
    service = world.client(daemon)
    service.wait_volume(service.pool(pool.path), "v")
    assert service.volume(volume.path).get("Problem") == ""


def test_incomplete_outlasts_a_stop(world, daemon, service, pool, folder):
    """And a start at which the file is not there, as one on a mount that comes late; its deletion ends it."""
    volume = make_raw(service, pool, size=4 * MIB)
    (_, job), fds = volume.OpenUpload(2 * MIB, {}, want_fds=True)
    write_all(fds[0], content(MIB))
    service.wait_job(job)
    pool.Stop()
    pool.Start()
    assert "incomplete" in volume.get("Problem")
    pool.Stop()
    os.rename(folder + "/v", folder + ".away")
    pool.Start()
    assert service.volumes(pool) == {}
    os.rename(folder + ".away", folder + "/v")
    service.wait_volume(pool, "v").wait_for("Problem", lambda problem: "incomplete" in problem)
    volume.Delete()
    assert make_raw(service, pool, size=MIB).get("Problem") == ""
