# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of volumes from and to descriptors of clients: Upload, Download, Measure."""

import fcntl
import hashlib
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest
from fuse_file import UNSYNCED
from worker_client import Data, WorkerError

MIB = 1 << 20
F_ADD_SEALS, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1033, 2, 4, 8


def content(n, seed=1):
    return random.Random(seed).randbytes(n)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def memfd(data=b""):
    fd = os.memfd_create("client")
    os.pwrite(fd, data, 0)
    return fd


def whole(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)


def feed(fd, data):
    """Writes data by a thread, which it returns, then closes fd."""
    def run():
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
        os.close(fd)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


def fds_of(pid):
    return sorted(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def volume(folder):
    fd = os.open(folder / "v", os.O_RDWR | os.O_CREAT)
    os.truncate(fd, 8 * MIB)
    yield fd
    os.close(fd)


@pytest.fixture
def loop(loop_device, tmp_path):
    """A block device of 8 MiB, full of ones."""
    image = tmp_path / "disk"
    image.write_bytes(b"\xff" * 8 * MIB)
    fd = os.open(loop_device(image), os.O_RDWR)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("sha256", [False, True])
def test_device(data, loop, sparse, sha256):
    """In all ways, at odd places; and what is beside stays."""
    source = memfd()
    os.truncate(source, 4 * MIB)
    os.pwrite(source, content(MIB + 5), 777)
    os.pwrite(source, content(99), 3 * MIB)
    sent = whole(source)
    number, found = data.upload(loop, source, offset=1234, sparse=sparse, sha256=sha256)
    assert number == len(sent) and found == (sha(sent) if sha256 else "")
    assert os.pread(loop, 8 * MIB, 0) == b"\xff" * 1234 + sent + b"\xff" * (4 * MIB - 1234)
    back = os.memfd_create("back")
    again = Data()
    number, found = again.download(loop, back, offset=1234, length=len(sent), sparse=sparse, sha256=sha256)
    again.close()
    assert number == len(sent) and found == (sha(sent) if sha256 else "") and whole(back) == sent


def test_fresh_device_keeps_nothing_of_before(data, loop):
    """A new volume on a device is as large as the next extent: what was there before is gone."""
    data.upload(loop, memfd(b"new"), fresh=True, sparse=True)
    assert os.pread(loop, 8 * MIB, 0) == b"new" + bytes(8 * MIB - 3)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_new_partition_is_marked_to_the_end(data, loop, sparse, size):
    """By what it begins with: see backends/block-mark.h."""
    mark = (b"storaged: the contents of this partition are not complete\n" + b"ab" * 16).ljust(512, b"\0")
    os.pwrite(loop, mark, 0)
    sent = content(size)
    ours, theirs = os.pipe()
    call = data.transfer("Upload", loop, ours, length=size, fresh=True, sparse=sparse)
    feed(os.dup(theirs), sent[:-1]).join()
    data.spin(0.3)
    assert os.pread(loop, 512, 0) == mark
    os.write(theirs, sent[-1:])
    assert data.finish(call) == (size, "")
    assert os.pread(loop, 8 * MIB, 0) == sent + bytes(8 * MIB - size)


def test_partition_that_cannot_be_synced_keeps_its_mark(data, fuse):
    """Nobody knows whether what was written over it has reached the disk."""
    mark = (b"storaged: the contents of this partition are not complete\n" + b"ab" * 16).ljust(512, b"\0")
    path = fuse(MIB).path
    with open(path, "r+b", buffering=0) as file:
        file.write(mark)
    r = subprocess.run(["losetup", "-f", "--show", path], capture_output=True, text=True)
    if r.returncode != 0:
        pytest.skip(f"no loop device: {r.stderr}")
    fd = os.open(r.stdout.strip(), os.O_RDWR)
    try:
        with pytest.raises(WorkerError) as e:
            data.upload(fd, memfd(UNSYNCED.ljust(8192)), fresh=True)
    finally:
        os.close(fd)
        subprocess.run(["losetup", "-d", r.stdout.strip()], check=True)
    with open(path, "rb", buffering=0) as file:
        assert e.value.name == "Failed" and file.read(8192) == mark + b" " * 7680


def test_device_as_the_client_s(data, loop, volume):
    os.pwrite(volume, content(8 * MIB), 0)
    os.lseek(loop, MIB, os.SEEK_SET)
    assert data.download(volume, loop, length=100)[0] == 100
    assert os.pread(loop, 102, MIB - 1) == b"\xff" + content(8 * MIB)[:100] + b"\xff"
    again = Data()
    with pytest.raises(WorkerError) as e:
        again.download(volume, loop)
    again.close()
    assert e.value.name == "NoSpace"


def test_where_there_are_no_holes(data, volume, fuse):
    """What is to be a hole is written."""
    fd = os.open(fuse(5 * MIB).path, os.O_RDWR)
    os.pwrite(fd, b"x" * 5 * MIB, 0)
    os.pwrite(volume, b"begin", 0)
    os.pwrite(volume, b"middle", 3 * MIB)
    data.download(volume, fd, sparse=True, length=5 * MIB - 7)
    assert whole(fd) == whole(volume)[:5 * MIB - 7] + b"x" * 7
    os.close(fd)


def test_measure(data):
    fd = memfd(b"0123456789")
    os.lseek(fd, 4, os.SEEK_SET)
    for peer, expected in ((fd, 6), (os.open("/proc/self/status", os.O_RDONLY), 0)):
        assert data.call("Measure", "(sh)", "v", 0, fds=[peer]) == (expected,)
    for peer in (os.pipe()[0], socket.socketpair()[0].detach(), os.open("/", os.O_RDONLY)):
        with pytest.raises(WorkerError) as e:
            data.call("Measure", "(sh)", "v", 0, fds=[peer])
        assert e.value.name == "InvalidArgument"


def test_tcp(data, volume):
    sent = content(3 * MIB)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            peer, _ = server.accept()
            feed(os.dup(client.fileno()), sent)
            assert data.upload(volume, peer.fileno(), length=len(sent)) == (len(sent), "")
    assert whole(volume)[:len(sent)] == sent


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_blocking_or_not_is_the_client_s(data, volume, kind, blocking):
    sent = content(3 * MIB)
    os.pwrite(volume, sent, 0)
    for verb in ("Upload", "Download"):
        ours, theirs = os.pipe() if kind == "pipe" else [s.detach() for s in socket.socketpair()]
        peer, other = (ours, theirs) if verb == "Upload" else (theirs, ours)
        os.set_blocking(peer, blocking)
        call = data.transfer(verb, volume, peer, length=len(sent))
        if verb == "Upload":
            feed(other, sent)
        else:
            data.bus.flush_sync()
            got = b""
            while len(got) < len(sent):
                got += os.read(other, 1 << 16)
            assert got == sent
        assert data.finish(call) == (len(sent), "") and os.get_blocking(peer) == blocking
        os.close(peer)


def open_direct(path, flags):
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError as e:
        pytest.skip(f"no O_DIRECT: {e}")


def test_direct_io_of_a_source(data, volume, folder):
    """It only gives whole blocks: that is no matter of a client's."""
    sent = content(MIB + 5)
    (folder / "client").write_bytes(sent)
    fd = open_direct(folder / "client", os.O_RDONLY)
    assert data.upload(volume, fd, sha256=True) == (len(sent), sha(sent))
    assert whole(volume)[:len(sent)] == sent
    for at in (4096, 4097):
        os.lseek(fd, at, os.SEEK_SET)
        assert data.upload(volume, fd, sha256=True, length=5000) == (5000, sha(sent[at:at + 5000]))
        assert os.lseek(fd, 0, os.SEEK_CUR) == at + 5000
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT
    os.close(fd)


@pytest.mark.parametrize("options", [{}, {"sparse": True}, {"sha256": True}], ids=["plain", "sparse", "sha256"])
@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND], ids=["wronly", "rdwr", "append"])
def test_direct_io_of_a_destination(data, volume, folder, flags, options):
    """It only takes whole blocks, and the last one is none; nor is where it begins."""
    sent = content(MIB) + bytes(MIB) + content(5)
    os.pwrite(volume, sent, 0)
    (folder / "client").write_bytes(b"before")
    fd = open_direct(folder / "client", flags)
    os.lseek(fd, 3, os.SEEK_SET)
    kept = b"before" if flags & os.O_APPEND else b"bef"
    assert data.download(volume, fd, length=len(sent), **options) == (len(sent), sha(sent) if "sha256" in options else "")
    assert (folder / "client").read_bytes() == kept + sent
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT, "its flags are its own"
    if not flags & os.O_APPEND:
        assert os.lseek(fd, 0, os.SEEK_CUR) == 3 + len(sent)
    before = fds_of(data.process.pid)
    for _ in range(5):
        data.download(volume, fd, length=5, **options)
    data.wait(lambda: set(fds_of(data.process.pid)) <= set(before))
    os.close(fd)


def test_nothing_is_taken_that_was_not_there(data, folder):
    """A file that is cut short while it is read has no hole there."""
    with open(folder / "client", "w+b") as client, open(folder / "v", "w+b") as target:
        client.write(content(MIB) * 64)
        client.truncate(256 * MIB)
        os.lseek(client.fileno(), 0, os.SEEK_SET)
        call = data.transfer("Upload", target.fileno(), client.fileno(), fresh=False, grow=True, sparse=True)
        data.wait(lambda: any(m == "Writing" for _t, m, _v in data.signals))
        data.process.send_signal(signal.SIGSTOP)
        late = os.fstat(target.fileno()).st_size > 60 * MIB
        client.truncate(100 * MIB)
        data.process.send_signal(signal.SIGCONT)
        if late:
            pytest.skip("it was too fast")
        with pytest.raises(WorkerError) as e:
            data.finish(call)
        assert e.value.name == "Failed" and f"{100 * MIB} of {256 * MIB}" in e.value.message


@pytest.mark.parametrize("seals,name", [(F_SEAL_WRITE, "Failed"), (F_SEAL_GROW, "Failed")])
def test_sealed_memfd(data, volume, seals, name):
    fd = os.memfd_create("client", os.MFD_ALLOW_SEALING)
    os.write(fd, b"12345")
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    with pytest.raises(WorkerError) as e:
        data.download(volume, fd)
    assert e.value.name == name and "descriptor" in e.value.message


def test_signals_come_before_the_first_byte(data, volume):
    """Writing is told before anything is written, and not at all if nothing will be."""
    ours, theirs = os.pipe()
    call = data.transfer("Upload", volume, ours, length=5)
    data.spin(0.2)
    assert not data.signals
    os.write(theirs, b"hello")
    data.finish(call)
    assert data.signals[0][1] == "Writing"
    data.signals.clear()
    data.upload(volume, memfd(b"hello"), fresh=True)
    with pytest.raises(WorkerError):
        data.upload(volume, memfd(b"hello"), offset=8 * MIB)
    assert not any(m == "Writing" for _t, m, _v in data.signals)


def test_nothing_is_written_before_it_may(data, volume):
    before = whole(volume)
    data.refuse = "NoSpace"
    with pytest.raises(WorkerError) as e:
        data.upload(volume, memfd(b"hello"))
    assert e.value.name == "NoSpace" and whole(volume) == before
    # As long as there is no answer, too; and it can be cancelled.
    data.refuse = None
    ours, theirs = os.pipe()
    call = data.transfer("Upload", volume, ours, length=10)
    os.write(theirs, b"hello")
    time.sleep(0.3)
    assert whole(volume) == before
    data.process.send_signal(signal.SIGUSR1)
    time.sleep(0.1)
    with pytest.raises(WorkerError) as e:
        data.finish(call)
    assert e.value.name == "Cancelled"
    os.close(ours)
    os.close(theirs)


def test_reader_that_goes_away(data, volume):
    for make in (os.pipe, lambda: [s.detach() for s in socket.socketpair()]):
        ours, theirs = make()
        call = data.transfer("Download", volume, theirs)
        os.close(theirs)
        os.read(ours, 10)
        os.close(ours)
        with pytest.raises(WorkerError) as e:
            data.finish(call)
        assert e.value.name == "Failed" and "Nobody reads" in e.value.message


def test_slow_reader(data, folder):
    """Memory stays bounded, and who waits takes no processor time."""
    fd = os.open(folder / "v", os.O_RDWR | os.O_CREAT)
    os.truncate(fd, 1024 * MIB)
    ours, theirs = os.pipe()
    before = peak_kib(data.process.pid)
    call = data.transfer("Download", fd, theirs, sha256=True)
    data.bus.flush_sync()
    os.read(ours, 1)
    time.sleep(0.3)
    used = cpu_seconds(data.process.pid)
    time.sleep(1)
    assert cpu_seconds(data.process.pid) - used < 0.1
    got = 1
    while got < 128 * MIB:
        got += len(os.read(ours, MIB))
    assert peak_kib(data.process.pid) < before + 8 * 1024
    os.close(theirs)
    os.close(ours)
    with pytest.raises(WorkerError):
        data.finish(call)
    os.close(fd)


def test_writer_that_gives_nothing(data, volume):
    ours, _theirs = os.pipe()
    call = data.transfer("Upload", volume, ours, length=5)
    data.spin(0.3)
    used = cpu_seconds(data.process.pid)
    data.spin(1)
    assert cpu_seconds(data.process.pid) - used < 0.1
    data.process.send_signal(signal.SIGUSR1)
    with pytest.raises(WorkerError) as e:
        data.finish(call)
    assert e.value.name == "Cancelled" and not any(m == "Writing" for _t, m, _v in data.signals)


def cancel_soon(data, call, after):
    data.bus.flush_sync()
    data.wait(lambda: after() or "result" in call)
    begin = time.monotonic()
    data.process.send_signal(signal.SIGUSR1)
    with pytest.raises(WorkerError) as e:
        data.finish(call)
    assert e.value.name == "Cancelled"
    return time.monotonic() - begin


@pytest.mark.parametrize("options", [{}, {"sha256": True}, {"sparse": True}, {"sparse": True, "sha256": True}])
def test_cancel(data, tmp_path, options):
    """Of a large file: it is heard between two pieces."""
    size = 1 << 40
    files = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("v", "client")]
    for fd in files:
        os.truncate(fd, size)
    if not options.get("sha256") and options.get("sparse"):
        os.posix_fallocate(files[1], 0, 256 * MIB)
    call = data.transfer("Upload", *files, **options)
    if options == {"sparse": True}:
        assert data.finish(call) == (size, ""), "holes are jumped over"
        return
    cancel_soon(data, call, lambda: any(m == "Progress" for _t, m, _v in data.signals))


def test_cancel_of_a_blocked_writer(data, volume):
    ours, theirs = os.pipe()
    call = data.transfer("Download", volume, theirs)
    cancel_soon(data, call, lambda: len(os.read(ours, 1)) == 1)


@pytest.mark.parametrize("options", [{}, {"sha256": True}, {"sparse": True}])
def test_full_disk(small_ext4, data, tmp_path, options):
    fd = os.open(small_ext4 / "v", os.O_RDWR | os.O_CREAT)
    with open(tmp_path / "large", "wb") as f:
        f.write(content(MIB) * 40)
    source = os.open(tmp_path / "large", os.O_RDONLY)
    with pytest.raises(WorkerError) as e:
        data.upload(fd, source, fresh=True, **options)
    assert e.value.name == "NoSpace" and "'v'" in e.value.message
    os.truncate(fd, 0)
    with pytest.raises(WorkerError) as e:
        data.download(source, fd, **options)
    assert e.value.name == "NoSpace" and "descriptor" in e.value.message
    os.close(fd)


def test_fuse_file(data, volume, fuse):
    fd = os.open(fuse(3 * MIB + 5).path, os.O_RDWR)
    os.pwrite(volume, b"x" * 8 * MIB, 0)
    assert data.upload(volume, fd, sha256=True) == (3 * MIB + 5, sha(bytes(3 * MIB + 5)))
    assert os.lseek(fd, 0, os.SEEK_CUR) == 3 * MIB + 5
    assert whole(volume)[3 * MIB + 3:3 * MIB + 8] == b"\0\0xxx"
    os.lseek(fd, 0, os.SEEK_SET)
    assert data.download(volume, fd)[0] == 8 * MIB
    os.close(fd)


def test_no_descriptor_is_left_open(data, volume):
    for i in range(20):
        if i == 1:
            before = fds_of(data.process.pid)  # it has begun, and made what it has for itself
        ours, theirs = os.pipe()
        feed(theirs, b"12345")
        data.upload(volume, ours, length=5, sha256=True)
        os.close(ours)
        data.download(volume, memfd(), length=5)
        with pytest.raises(WorkerError):
            data.upload(volume, memfd(b""), length=5)
    data.wait(lambda: set(fds_of(data.process.pid)) <= set(before))  # the last call's end with its message, after the reply
