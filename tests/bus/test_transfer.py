# SPDX-License-Identifier: LGPL-2.1-or-later
"""Upload and Download: the bytes of volumes through descriptors of clients."""

import hashlib
import os
import random
import socket
import subprocess
import sys
import threading
import time

import pytest

from client import MIB, refused
from harness import SOURCE, wait_until
from images import opened

sys.path.append(SOURCE + "/tests/worker")
from fuse_file import FuseFile  # noqa: E402

SOURCES = ["file", "memfd", "pipe", "socket"]


def content(n, seed=1):
    return random.Random(seed).randbytes(n)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    os.close(fd)


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


class Source:
    """A descriptor of some kind from which data can be read."""

    def __init__(self, kind, data, tmp):
        self.thread = None
        if kind == "file":
            self.fd = os.open(f"{tmp}/source", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        elif kind == "memfd":
            self.fd = os.memfd_create("source")
        if kind in ("file", "memfd"):
            os.pwrite(self.fd, data, 0)
            return
        if kind == "pipe":
            self.fd, feed = os.pipe()
        else:
            ours, theirs = socket.socketpair()
            self.fd, feed = ours.detach(), theirs.detach()
        self.thread = in_thread(write_all, feed, data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        if self.thread:
            self.thread.join(30)


class Sink:
    """A descriptor of some kind, and what was written to it."""

    def __init__(self, kind, tmp):
        self.kind, self.thread, self.got = kind, None, b""
        if kind == "file":
            self.fd = os.open(f"{tmp}/sink", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        elif kind == "memfd":
            self.fd = os.memfd_create("sink")
        elif kind == "pipe":
            drain, self.fd = os.pipe()
        else:
            ours, theirs = socket.socketpair()
            self.fd, drain = ours.detach(), theirs.detach()
        if kind in ("pipe", "socket"):
            self.thread = in_thread(self.read_all, drain)

    def read_all(self, fd):
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        os.close(fd)
        self.got = b"".join(parts)

    def data(self):
        if self.thread:
            os.close(self.fd)
            self.thread.join(30)
            assert not self.thread.is_alive(), "the service keeps the descriptor"
            return self.got
        with os.fdopen(self.fd, "rb") as f:
            f.seek(0)
            return f.read()


def make_raw(service, pool, name="v", size=MIB):
    return service.make_volume(pool, name, size)


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("sha256", [False, True])
def test_upload(service, pool, folder, world, kind, sha256):
    data = content(3 * MIB + 17)
    volume = make_raw(service, pool, size=4 * MIB)
    with Source(kind, data, world.folder()) as source:
        options = {"length": len(data)} if kind in ("pipe", "socket") else {}
        result, job = volume.Upload(0, {"sha256": sha256, **options}, fds=[source.fd])
        if kind in ("file", "memfd"):
            assert os.lseek(source.fd, 0, os.SEEK_CUR) == len(data), "its position moves as with read()"
    assert job == "/" and result == {"bytes": len(data), **({"sha256": sha(data)} if sha256 else {})}
    assert read_file(folder + "/v") == data + bytes(4 * MIB - len(data))
    assert volume.get("Problem") == "" and volume.get("Capacity") == 4 * MIB


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("sha256", [False, True])
def test_download(service, pool, folder, world, kind, sha256):
    data = content(3 * MIB + 17)
    make_raw(service, pool, size=len(data))
    with open(folder + "/v", "r+b") as f:
        f.write(data)
    sink = Sink(kind, world.folder())
    result, job = service.volume(pool.GetVolume("v")).Download(0, {"sha256": sha256}, fds=[sink.fd])
    assert job == "/" and result == {"bytes": len(data), **({"sha256": sha(data)} if sha256 else {})}
    assert sink.data() == data


def test_open_upload(service, pool, folder):
    data = content(2 * MIB)
    volume = make_raw(service, pool, size=2 * MIB)
    (_, job), fds = volume.OpenUpload(len(data), {"sha256": True}, want_fds=True)
    write_all(fds[0], data)
    got = service.wait_job(job)
    assert got["State"] == "succeeded" and got["Result"] == {
        "bytes": len(data), "sha256": sha(data), "volume": volume.path}
    assert got["Operation"] == "upload-volume" and read_file(folder + "/v") == data


def test_open_download(service, pool, folder):
    data = content(2 * MIB)
    volume = make_raw(service, pool, size=2 * MIB)
    with open(folder + "/v", "r+b") as f:
        f.write(data)
    (_, job), fds = volume.OpenDownload({"sha256": True, "offset": MIB}, want_fds=True)
    with os.fdopen(fds[0], "rb") as f:
        assert f.read() == data[MIB:]
    got = service.wait_job(job)
    assert got["Result"] == {"bytes": MIB, "sha256": sha(data[MIB:])}


def test_wait_zero(service, pool, folder):
    volume = make_raw(service, pool)
    fd, feed = os.pipe()
    result, job = volume.Upload(0, {"length": 5, "wait": 0, "sha256": True}, fds=[fd])
    os.close(fd)
    assert result == {} and job != "/"
    wait_until(lambda: service.job(job).get("State") == "running", what="the job to run")
    write_all(feed, b"hello and more")
    assert service.wait_job(job)["Result"] == {"bytes": 5, "sha256": sha(b"hello"), "volume": volume.path}
    assert read_file(folder + "/v")[:6] == b"hello\0"


def test_what_does_not_fit(service, pool, folder, world):
    data = content(MIB)
    volume = make_raw(service, pool)
    with open(folder + "/v", "r+b") as f:
        f.write(data)
    with Source("memfd", bytes(MIB), None) as source:
        for options in ({"offset": 1}, {"offset": MIB, "length": 1}, {"offset": MIB + 1, "length": 0},
                        {"offset": 2 ** 64 - 1, "length": 2}, {"length": MIB + 1}, {"length": 2 ** 63}):
            with refused("InvalidArgument"):
                volume.Upload(0, options, fds=[source.fd])
        for options in ({"offset": MIB + 1}, {"offset": 1, "length": MIB}, {"length": 2 ** 64 - 2}):
            with refused("InvalidArgument"):
                volume.Download(0, options, fds=[source.fd])
    assert read_file(folder + "/v") == data and volume.get("Problem") == ""


def test_descriptors_of_the_wrong_kind(service, pool, folder, world):
    volume = make_raw(service, pool)
    read, write = os.pipe()
    packets, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for fd in (write, os.open(folder, os.O_RDONLY), os.open("/dev/null", os.O_RDWR), os.eventfd(1), packets.fileno(),
               os.open(folder, os.O_PATH)):
        with refused("InvalidArgument"):
            volume.Upload(0, {"length": 10}, fds=[fd])
    for fd in (read, os.open("/dev/null", os.O_RDWR), other.fileno(), os.open("/etc/passwd", os.O_RDONLY)):
        with refused("InvalidArgument"):
            volume.Download(0, {}, fds=[fd])
    with open(folder + "/v", "r+b") as f:
        for call in (volume.Upload, volume.Download):
            with refused("InvalidArgument") as refusal:
                call(0, {"force": True}, fds=[f.fileno()])
            assert "itself" in refusal.text
    with refused("InvalidArgument"):
        volume.Upload(0, {}, fds=[read])
    with refused("InvalidArgument"):
        volume.Upload(1, {}, fds=[read])
    assert volume.get("Problem") == ""


def test_client_that_dies(service, pool, folder):
    volume = make_raw(service, pool)
    fd, feed = os.pipe()
    child = subprocess.Popen(["sh", "-c", "printf 1234567; exec sleep 60"], stdout=feed)
    os.close(feed)
    _, job = volume.Upload(0, {"length": 100, "wait": 0}, fds=[fd])
    os.close(fd)
    wait_until(lambda: read_file(folder + "/v")[:7] == b"1234567", what="the first bytes")
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


# import


def qemu_img(*args):
    subprocess.run(["qemu-img", *args], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("kind", SOURCES)
def test_import(service, pool, folder, world, kind):
    data = content(3 * MIB + 17)
    with Source(kind, data, world.folder()) as source:
        options = {"length": len(data)} if kind in ("pipe", "socket") else {}
        path, result, job = pool.ImportVolume("new", 0, {"sha256": True, "mode": 0o640, **options}, fds=[source.fd])
    assert job == "/" and result == {"bytes": len(data), "sha256": sha(data)}
    volume = service.volume(path)
    assert (volume.get("Capacity"), volume.get("Format"), volume.get("Mode")) == (len(data), "raw", 0o640)
    assert os.listdir(folder) == ["new"] and read_file(folder + "/new") == data


def test_open_import(service, pool, folder):
    data = content(2 * MIB)
    (path, _, job), fds = pool.OpenImport("new", len(data), {}, want_fds=True)
    write_all(fds[0], data[:MIB])
    got = service.wait_job(job)
    assert got["State"] == "failed" and "1048576 of 2097152" in got["ErrorMessage"]
    wait_until(lambda: os.listdir(folder) == [], what="nothing left")
    (path, _, job), fds = pool.OpenImport("new", len(data), {"sha256": True}, want_fds=True)
    with refused("Exists", "Busy"):
        pool.CreateVolume("new", MIB)
    write_all(fds[0], data)
    got = service.wait_job(job)
    assert got["Result"] == {"bytes": len(data), "sha256": sha(data), "volume": path}
    assert got["Operation"] == "import-volume" and read_file(folder + "/new") == data
    with refused("Exists"):
        pool.OpenImport("new", 10)


def test_format_of_an_import(service, pool, folder, world):
    tmp = world.folder()
    qemu_img("create", "-q", "-f", "qcow2", tmp + "/q", "8M")
    with open(tmp + "/raw", "wb") as f:
        f.truncate(MIB)
    for name, said in (("raw", "qcow2"), ("q", "raw"), ("q", "vmdk")):
        with open(f"{tmp}/{name}", "rb") as f, refused("InvalidArgument") as refusal:
            pool.ImportVolume("v", 0, {"format": said}, fds=[f.fileno()])
        assert "format" in refusal.text and os.listdir(folder) == []
    for name, said in (("q", "qcow2"), ("raw", "raw")):
        with open(f"{tmp}/{name}", "rb") as f:
            path, _, _ = pool.ImportVolume(name, 0, {"format": said}, fds=[f.fileno()])
        assert service.volume(path).get("Format") == said
    with open(tmp + "/q", "rb") as f:
        path, _, _ = pool.ImportVolume("some", 0, {}, fds=[f.fileno()])
    assert service.volume(path).get("Format") == "qcow2" and service.volume(path).get("Capacity") == 8 * MIB


def test_bad_imports(service, pool, folder, world):
    with Source("memfd", b"12345", None) as source:
        for name, options in (("a/b", {}), ("", {}), ("v", {"format": "dir"}), ("v", {"format": "none"}),
                              ("v", {"allocation": 5}), ("v", {"backing-path": "x"}), ("v", {"mode": 0o7777777}),
                              ("v", {"length": 6}), ("v", {"compat": "1.1"}), ("v", {"offset": 1})):
            with refused("InvalidArgument", "InvalidName"):
                pool.ImportVolume(name, 0, options, fds=[source.fd])
    with refused("InvalidArgument"):
        pool.OpenImport("v", 5, {"length": 5})
    assert os.listdir(folder) == []


def test_upload_of_an_image_makes_it_grow(service, pool, folder, world):
    """As people do with libvirt: create a volume, then upload an image of the same format."""
    tmp = world.folder()
    qemu_img("create", "-q", "-f", "qcow2", "-o", "preallocation=full", tmp + "/q", "4M")
    volume = service.make_volume(pool, "v.qcow2", MIB, format="qcow2")
    with open(tmp + "/q", "rb") as f:
        volume.Upload(0, {}, fds=[f.fileno()])
    assert volume.get("Capacity") == 4 * MIB and read_file(folder + "/v.qcow2") == read_file(tmp + "/q")
    qemu_img("check", "-q", folder + "/v.qcow2")


# sparse


def blocks(path):
    return os.stat(path).st_blocks * 512


def sparse_file(path, size=64 * MIB):
    """Data at some places; at one of them zeros that are written."""
    with open(path, "wb") as f:
        f.truncate(size)
        for at in (0, 5 * MIB + 4096, size // 2, size - 300):
            f.seek(at)
            f.write(content(300, at))
        f.seek(20 * MIB)
        f.write(bytes(4 * MIB))


@pytest.mark.parametrize("sha256", [False, True])
def test_sparse_upload_and_download(service, pool, folder, world, sha256):
    tmp = world.folder()
    sparse_file(tmp + "/s")
    expected = read_file(tmp + "/s")
    volume = make_raw(service, pool, size=len(expected))
    with open(folder + "/v", "r+b") as f:
        f.write(b"x" * len(expected))
        os.fsync(f.fileno())
    with open(tmp + "/s", "rb") as f:
        result, _ = volume.Upload(0, {"sparse": True, "sha256": sha256}, fds=[f.fileno()])
    assert result["bytes"] == len(expected) and result.get("sha256") in (None, sha(expected))
    assert read_file(folder + "/v") == expected and blocks(folder + "/v") < MIB
    with open(tmp + "/back", "w+b") as f:
        f.write(b"x" * 6 * MIB)
        f.seek(0)
        result, _ = volume.Download(0, {"sparse": True, "sha256": sha256}, fds=[f.fileno()])
    assert result.get("sha256") in (None, sha(expected))
    assert read_file(tmp + "/back") == expected and blocks(tmp + "/back") < MIB
    path, result, _ = pool.ImportVolume("w", 0, {"sparse": True}, fds=[os.open(tmp + "/s", os.O_RDONLY)])
    assert read_file(folder + "/w") == expected and blocks(folder + "/w") < MIB
    sink = Sink("pipe", tmp)
    service.volume(path).Download(0, {"sparse": True}, fds=[sink.fd])
    assert sink.data() == expected


def test_positions_of_descriptors(service, pool, folder, world):
    tmp, data = world.folder(), content(MIB)
    volume = make_raw(service, pool)
    with open(tmp + "/f", "w+b") as f:
        f.write(data)
        f.seek(1000)
        result, _ = volume.Upload(0, {"offset": 10, "length": 2000}, fds=[f.fileno()])
        assert result == {"bytes": 2000} and os.lseek(f.fileno(), 0, os.SEEK_CUR) == 3000
        assert read_file(folder + "/v") == bytes(10) + data[1000:3000] + bytes(MIB - 2010)
        f.seek(MIB - 5)
        assert volume.Upload(0, {}, fds=[f.fileno()])[0] == {"bytes": 5}
        os.lseek(f.fileno(), 2 * MIB, os.SEEK_SET)
        volume.Download(0, {"length": 5}, fds=[f.fileno()])
        assert os.lseek(f.fileno(), 0, os.SEEK_CUR) == 2 * MIB + 5
    assert read_file(tmp + "/f") == data + bytes(MIB) + data[-5:]
    with open(tmp + "/log", "wb") as f:
        f.write(b"before ")
    fd = os.open(tmp + "/log", os.O_WRONLY | os.O_APPEND)
    volume.Download(0, {"length": 5, "sparse": True}, fds=[fd])
    os.close(fd)
    assert read_file(tmp + "/log") == b"before " + data[-5:]


def test_what_is_behind_the_length_is_left(service, pool, folder):
    volume = make_raw(service, pool)
    read, write = os.pipe()
    os.write(write, b"0123456789")
    assert volume.Upload(0, {"length": 4}, fds=[read])[0] == {"bytes": 4}
    assert os.read(read, 100) == b"456789"
    assert volume.Upload(0, {"length": 0}, fds=[read])[0] == {"bytes": 0}
    os.set_blocking(read, False)
    os.write(write, b"abc")
    assert volume.Upload(0, {"length": 3, "offset": 4}, fds=[read])[0] == {"bytes": 3}
    assert read_file(folder + "/v")[:8] == b"0123abc\0" and not os.get_blocking(read)


# clients that take their time


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


def test_upload_below_overlays(service, pool, folder):
    """What others are built on is not written over, unless by force."""
    base = make_raw(service, pool, "base")
    service.make_volume(pool, "top", MIB, format="qcow2", **{"backing-path": "base", "backing-format": "raw"})
    with Source("memfd", b"new", None) as source:
        with refused("HasDependents"):
            base.Upload(0, {}, fds=[source.fd])
        assert base.Upload(0, {"force": True}, fds=[source.fd])[0] == {"bytes": 3}


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
