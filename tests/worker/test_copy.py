# SPDX-License-Identifier: LGPL-2.1-or-later
"""Copy to a device on which another volume was before: nothing of that is to be seen afterwards."""

import os
import struct
import subprocess

import pytest
from worker_client import WorkerError, pool_xml, volume_xml

MIB = 1 << 20
OLD = b"\xaa"
MARK = (b"storaged: the contents of this partition are not complete\n" + b"ab" * 16).ljust(512, b"\0")


@pytest.fixture
def loop(loop_device, tmp_path):
    """A block device of 4 MiB, full of old bytes."""
    image = tmp_path / "disk"
    image.write_bytes(OLD * 4 * MIB)
    fd = os.open(loop_device(image), os.O_RDWR)
    yield fd
    os.close(fd)


def copy(data, folder, loop, source, fmt):
    with open(source, "rb") as file:
        data.call("Copy", "(ssha(shs)a{sv})", pool_xml(folder), volume_xml("v", 4 * MIB), 0, [(fmt, 1, "")], {},
                  fds=[loop, file.fileno()])


@pytest.mark.parametrize("mark", [b"", MARK], ids=["plain", "marked"])
@pytest.mark.parametrize("size", [MIB + 412, MIB, 2048 + 412, 412])
def test_no_whole_sectors(data, folder, loop, mark, size):
    """QEMU rounds the size of an image down."""
    source = folder / "odd.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", source, str(2 * MIB)], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P 0x55 0 {2 * MIB}", source], check=True,
                   stdout=subprocess.DEVNULL)
    with open(source, "r+b") as file:
        file.seek(24)
        file.write(struct.pack(">Q", size))
    os.pwrite(loop, mark, 0)
    copy(data, folder, loop, source, "qcow2")
    seen = size // 512 * 512
    assert os.pread(loop, 4 * MIB, 0) == b"\x55" * seen + bytes(4 * MIB - seen)


@pytest.mark.parametrize("mark", [b"", MARK], ids=["plain", "marked"])
def test_an_image_that_is_smaller_for_qemu(data, folder, loop, mark):
    """One by Azure is as large as it says; QEMU before version 10 goes by the geometry, here of 50 KiB."""
    source = folder / "azure.vpc"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", "-o", "force_size=on", source, str(3 * MIB)], check=True)
    content = bytearray(source.read_bytes())
    for at in (0, len(content) - 512):
        content[at + 28:at + 32] = b"wa\0\0"
        struct.pack_into(">HBB", content, at + 56, 100, 1, 1)
        content[at + 64:at + 68] = bytes(4)
        struct.pack_into(">I", content, at + 64, ~sum(content[at:at + 512]) & 0xffffffff)
    source.write_bytes(content)
    os.pwrite(loop, mark, 0)
    try:
        copy(data, folder, loop, source, "vpc")
    except WorkerError as error:
        assert error.name == "Failed" and os.pread(loop, len(mark), 0) == mark
    else:
        assert os.pread(loop, 4 * MIB, 0) == bytes(4 * MIB)
