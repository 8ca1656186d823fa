# SPDX-License-Identifier: LGPL-2.1-or-later
"""A data worker makes files larger, with storage for what is added: all of it, or nothing."""

import os
import signal
import subprocess

import pytest
from worker_client import Data, WorkerError, pool_xml

MIB = 1 << 20


def capacity_of(path):
    """As the daemon has seen it: of an image what its header says."""
    with open(path, "rb") as f:
        head = f.read(32)
    return int.from_bytes(head[24:32], "big") if head.startswith(b"QFI\xfb") else os.stat(path).st_size


def begin(data, path, capacity, seen=None):
    """The call under way."""
    fd = os.open(path, os.O_RDWR)
    try:
        return data.send("Grow", "(sshtta{sv})", pool_xml(os.path.dirname(path)), os.path.basename(path), 0, capacity,
                         capacity_of(path) if seen is None else seen, {}, fds=[fd])
    finally:
        os.close(fd)


def grow(data, path, capacity):
    data.finish(begin(data, path, capacity))


def refused(name, data, path, capacity):
    with pytest.raises(WorkerError) as e:
        grow(data, path, capacity)
    assert e.value.name == name
    return e.value.message


def make(path, size):
    contents = os.urandom(size)
    with open(path, "wb") as f:
        f.write(contents)
    return contents


def read(path):
    with open(path, "rb") as f:
        return f.read()


def image_info(path, command="info"):
    out = subprocess.run(["qemu-img", command, "--output=json", path], check=True, capture_output=True, text=True)
    return out.stdout


def test_raw(data, folder):
    path = str(folder / "a")
    contents = make(path, MIB + 512)
    grow(data, path, 5 * MIB + 7)
    assert read(path) == contents + bytes(4 * MIB - 512 + 7)
    assert os.stat(path).st_blocks * 512 >= 5 * MIB + 7
    grow(data, path, 5 * MIB + 7)
    assert "meanwhile" in refused("Busy", data, path, 4 * MIB)
    assert os.stat(path).st_size == 5 * MIB + 7


def test_qcow2(data, folder):
    path = str(folder / "a")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", path], check=True, stdout=subprocess.DEVNULL)
    grow(data, path, 9 * MIB)
    assert f'"virtual-size": {9 * MIB}' in image_info(path) and os.stat(path).st_blocks * 512 >= 9 * MIB
    subprocess.run(["qemu-img", "check", "-q", path], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 0 1M", "-c", "read -P 0 1M 8M", path], check=True,
                   stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("args", [["-f", "qed"], ["-f", "qcow2", "-b", "base", "-F", "raw"]], ids=["qed", "overlay"])
def test_what_cannot(data, folder, args):
    make(folder / "base", MIB)
    path = str(folder / "a")
    subprocess.run(["qemu-img", "create", "-q", *args, path, "1M"], check=True, cwd=folder)
    before = read(path)
    refused("Unsupported", data, path, 2 * MIB)
    assert read(path) == before


@pytest.fixture
def without_fallocate(mounted, tmp_path):
    """As NFS 3 and others: ext4 without extents cannot."""
    image = tmp_path / "image"
    with open(image, "wb") as f:
        f.truncate(512 * MIB)
    subprocess.run(["mke2fs", "-q", "-F", "-m", "0", "-t", "ext2", image], check=True)
    return str(mounted("ext4", "loop", image))


def test_where_there_is_no_fallocate(data, without_fallocate):
    path = without_fallocate + "/a"
    contents = make(path, MIB)
    grow(data, path, 4 * MIB)
    assert read(path) == contents + bytes(3 * MIB) and os.stat(path).st_blocks * 512 >= 4 * MIB


def test_cancelled(data, without_fallocate):
    path = without_fallocate + "/a"
    contents = make(path, MIB)
    before = os.stat(path).st_blocks
    call = begin(data, path, 400 * MIB)
    data.wait(lambda: os.stat(path).st_blocks > before, 20)
    data.process.send_signal(signal.SIGUSR1)
    with pytest.raises(WorkerError) as e:
        data.finish(call)
    assert e.value.name == "Cancelled"
    assert read(path) == contents and os.stat(path).st_blocks == before


def test_no_space(started, mounted):
    point = str(mounted("tmpfs", "size=4m"))
    contents = make(point + "/a", MIB)
    refused("NoSpace", started(Data), point + "/a", 8 * MIB)
    assert read(point + "/a") == contents and os.stat(point + "/a").st_blocks * 512 == MIB


def test_space_that_goes_meanwhile(new_pool, folder, small_ext4):
    """What was allocated beyond the end of a file whose growth was cut off is given back when it gets its size again."""
    path = str(small_ext4 / "a")
    make(path, MIB)
    subprocess.run(["fallocate", "-n", "-o", str(MIB), "-l", str(8 * MIB), path], check=True)
    assert os.stat(path).st_blocks * 512 >= 9 * MIB
    new_pool(small_ext4).resize("a", MIB, shrink=True)
    assert os.stat(path).st_blocks * 512 < 2 * MIB and os.stat(path).st_size == MIB
