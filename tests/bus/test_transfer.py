# SPDX-License-Identifier: LGPL-2.1-or-later
"""Upload, Download and Import: the bytes of volumes through descriptors of clients."""

import os
import socket

import pytest

from client import MIB, refused
from harness import wait_until
from images import qemu_img
from streams import SOURCES, Sink, Source, content, make_raw, read_file, sha, write_all


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


# import


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
