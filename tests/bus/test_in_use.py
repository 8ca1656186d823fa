# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who uses a volume that is a file: nothing is done to it under his feet, and he is named."""

import os
import shutil
import signal
import subprocess

import pytest

from client import MIB, error_name, refused
from harness import ON_SYSTEM, SLOWNESS, wait_until

PYTHON = "/usr/bin/python3"
HOLD = {
    "r": "import os,sys; f = os.open(sys.argv[1], os.O_RDONLY)",
    "rw": "import os,sys; f = os.open(sys.argv[1], os.O_RDWR)",
    # Python's own mmap keeps a descriptor.
    "mapped": "import ctypes,os,sys; f = os.open(sys.argv[1], os.O_RDONLY); libc = ctypes.CDLL(None);"
              "libc.mmap(None, ctypes.c_size_t(4096), 1, 1, f, ctypes.c_long(0)); os.close(f)",
}


class Holder:
    """A process that uses a file until it is closed."""

    def __init__(self, path, how):
        self.process = subprocess.Popen([PYTHON, "-c", HOLD[how] + "; print('up', flush=True); sys.stdin.read()", path],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"up\n"
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()


def qemu(path, fmt="raw", locking="auto"):
    """A guest that is not running yet, with its disk: QEMU itself, or where there is none, the part of it that is."""
    file = f"driver={fmt},file.driver=file,file.filename={path},file.locking={locking}"
    if shutil.which("qemu-system-x86_64"):
        return subprocess.Popen(["qemu-system-x86_64", "-accel", "tcg", "-S", "-nodefaults", "-display", "none", "-m", "64",
                                 "-monitor", "stdio", "-drive", f"if=none,id=d,{file}", "-device", "virtio-blk-pci,drive=d"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return subprocess.Popen(["qemu-io", "-t", "writeback", "--image-opts", file],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class Guest:
    def __init__(self, path, **options):
        self.process = qemu(path, **options)
        self.pid = self.process.pid
        # It answers when it has its disk, and the locks on that: a machine so, and qemu-io that it takes no arguments.
        # That would leave a second line that comes with the first one alone.
        self.process.stdin.write(b"info status\n")
        self.process.stdin.flush()
        answer = b""
        while b"VM status" not in answer and b"bad argument count" not in answer:
            answer = self.process.stdout.readline()
            assert answer, "QEMU has ended"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def volume(service, pool):
    return service.make_volume(pool, "v", 4 * MIB)


@pytest.fixture
def path(folder, volume):
    return folder + "/v"


def refuses_all(volume, *words):
    for call in (volume.Delete, volume.Wipe, lambda: volume.Resize(32 * MIB),
                 lambda: volume.Resize(MIB, {"shrink": True}), lambda: volume.Resize(32 * MIB, {"allocate": True})):
        with refused("InUse") as refusal:
            call()
        for word in ("'v'", *words):
            assert word in refusal.text, refusal.text


def users(volume):
    return volume.ListUsers()


def test_nobody(volume):
    assert users(volume) == []


@pytest.mark.parametrize("how", ["r", "rw", "mapped"])
def test_a_process(volume, path, how):
    before = os.stat(path)
    with Holder(path, how) as holder:
        refuses_all(volume, f"process {holder.pid} (python3", "use force")
        (name, pid, more), = users(volume)
        assert name.startswith("python3") and pid == holder.pid
        assert more["uid"] == 0 and os.path.basename(more["exe"]).startswith("python3")
        assert more["mode"] == ("rw" if how == "rw" else "r")
        assert more["how"] == ("mapped" if how == "mapped" else "open")
        after = os.stat(path)
        assert (after.st_size, after.st_blocks, after.st_mtime_ns) == (before.st_size, before.st_blocks, before.st_mtime_ns)
    assert users(volume) == []
    volume.Wipe()
    volume.Delete()


@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
@pytest.mark.parametrize("locking", ["on", "off"])
def test_a_guest(service, pool, folder, fmt, locking):
    volume = service.make_volume(pool, "v", 4 * MIB, format=fmt)
    with Guest(folder + "/v", fmt=fmt, locking=locking) as guest:
        refuses_all(volume, f"process {guest.pid} (qemu-")
        with refused("InUse") as refusal:
            pool.CloneVolume(volume.path, "copy")
        assert f"process {guest.pid} (qemu-" in refusal.text
        (name, pid, more), = users(volume)
        assert name.startswith("qemu-") and pid == guest.pid and more["mode"] == "rw"
        assert more["how"] == ("lock" if locking == "on" else "open")
    volume.Delete()
    assert os.listdir(folder) == []


def test_force(volume, path):
    with Holder(path, "rw"):
        volume.Resize(8 * MIB, {"force": True})
        assert os.stat(path).st_size == 8 * MIB
        volume.Wipe({"force": True, "algorithm": "random"})
        volume.Delete({"force": True})
        assert not os.path.exists(path)


def test_no_guest_begins_with_what_is_wiped(daemon, service, volume, path):
    volume.Resize(64 * MIB)
    job = volume.Wipe({"algorithm": "pfitzner33", "wait": 0})
    service.log()
    wait_until(lambda: service.job(job).get("BytesDone") > 0, 30, "the job to write")
    # It would come to its end before a QEMU that a busy host lets wait.
    workers = daemon.workers("data")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        with qemu(path) as process:
            output = process.communicate(b"quit\n", timeout=30 * SLOWNESS)[0].decode()
        assert "lock" in output, output
        assert service.job(job).get("State") == "running"
        assert users(volume) == [], "the service itself does not count"
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    service.job(job).Cancel()
    service.wait_job(job)
    assert "incomplete" in volume.get("Problem")


def test_a_client_with_its_descriptor(service, volume, path):
    fd, = service.call(volume.path, "Volume", "Open", "(sa{sv})", ("rw", {}), want_fds=True)[1]
    try:
        refuses_all(volume, f"process {os.getpid()} ")
        assert [pid for _name, pid, _more in users(volume)] == [os.getpid()]
    finally:
        os.close(fd)
    assert users(volume) == []
    volume.Delete()


@pytest.mark.skipif(ON_SYSTEM, reason="mounts of others")
def test_a_loop_device(volume, path, world):
    volume.Resize(16 * MIB)
    subprocess.run(["mke2fs", "-q", "-F", path], check=True)
    device = subprocess.run(["losetup", "--show", "-f", path], check=True, capture_output=True, text=True).stdout.strip()
    point = world.folder()
    try:
        refuses_all(volume, device)
        assert (device, 0, {"how": "loop", "mode": "rw"}) in users(volume)
        subprocess.run(["mount", device, point], check=True)
        world.mounts.append(point)
        assert (point, 0, {"how": "mount", "mode": "rw", "part": os.path.basename(device)}) in users(volume)
        with Holder(device, "r") as holder:
            assert {"open", "loop", "mount"} == {more["how"] for _name, _pid, more in users(volume)}
            assert [more["part"] for _name, pid, more in users(volume) if pid == holder.pid] == [os.path.basename(device)]
    finally:
        subprocess.run(["umount", point], check=False)
        subprocess.run(["losetup", "-d", device], check=True)
    wait_until(lambda: users(volume) == [], 10, "the loop device to be gone")
    volume.Delete()


def test_a_reader_is_no_reason_not_to_read(pool, volume, path):
    with Holder(path, "r"):
        pool.CloneVolume(volume.path, "copy")
    with Holder(path, "rw") as holder:
        with refused("InUse") as refusal:
            pool.CloneVolume(volume.path, "another")
        assert f"process {holder.pid} " in refusal.text


def test_rights(world, daemon, service, volume):
    other = world.client(daemon, uid=65534)
    with pytest.raises(Exception) as refusal:
        other.volume(volume.path).ListUsers()
    assert error_name(refusal.value).endswith(("AccessDenied", "InteractiveAuthorizationRequired"))
