# SPDX-License-Identifier: LGPL-2.1-or-later
"""CopyBack: one device, here a file, is made equal to another, and only what differs is written."""

import os
import signal

import pytest
from worker_client import WorkerError, pool_xml

MIB = 1024 * 1024


def copy_back(data, folder, target, source):
    with open(target, "r+b") as to, open(source, "rb") as from_:
        return data.send("CopyBack", "(sshh)", pool_xml(folder), "v", 0, 1, fds=[to.fileno(), from_.fileno()])


def test_only_what_differs_is_written(data, folder):
    source, target = folder / "source", folder / "target"
    with open(source, "wb") as f:
        f.truncate(8 * MIB + 100)
        f.seek(3 * MIB + 10)
        f.write(b"x" * 5000)
        f.seek(8 * MIB + 50)
        f.write(b"end")
    with open(target, "wb") as f:
        f.truncate(8 * MIB + 100)
        f.seek(6 * MIB)
        f.write(b"y" * MIB)
    data.finish(copy_back(data, folder, target, source))
    assert target.read_bytes() == source.read_bytes()
    # What was a hole and equal is one still.
    assert os.stat(target).st_blocks * 512 < 2 * MIB
    assert [s[1] for s in data.signals if s[1] == "Writing"] == ["Writing"]


def test_other_sizes_are_refused_before_anything_is_written(data, folder):
    source, target = folder / "source", folder / "target"
    source.write_bytes(b"x" * MIB)
    target.write_bytes(b"y" * 2 * MIB)
    with pytest.raises(WorkerError) as error:
        data.finish(copy_back(data, folder, target, source))
    assert error.value.name == "Unsupported" and target.read_bytes() == b"y" * 2 * MIB
    assert not [s for s in data.signals if s[1] == "Writing"]


def test_cancelled(data, folder):
    source, target = folder / "source", folder / "target"
    for path, byte in ((source, b"x"), (target, b"y")):
        with open(path, "wb") as f:
            f.truncate(4096 * MIB)
            f.write(byte)
    state = copy_back(data, folder, target, source)
    data.wait(lambda: any(s[1] == "Writing" for s in data.signals))
    data.process.send_signal(signal.SIGUSR1)
    with pytest.raises(WorkerError) as error:
        data.finish(state)
    assert error.value.name == "Cancelled"


def test_the_disk_is_compared_not_what_is_remembered_of_it(data, folder, loop_device):
    """Somebody has both open, so that what was read of them stays in memory; by now something else is on the disks."""
    nodes = {}
    for name, byte in (("source", b"x"), ("target", b"x")):
        (folder / name).write_bytes(byte * 2 * MIB)
        nodes[name] = loop_device(folder / name)
    with open(nodes["source"], "rb") as one, open(nodes["target"], "rb") as other:
        assert one.read() == other.read() == b"x" * 2 * MIB
        for name, byte in (("source", b"s"), ("target", b"t")):
            with open(folder / name, "r+b") as disk:
                disk.seek(MIB)
                disk.write(byte * 8192)
        data.finish(copy_back(data, folder, nodes["target"], nodes["source"]))
    wanted = b"x" * MIB + b"s" * 8192 + b"x" * (MIB - 8192)
    assert (folder / "source").read_bytes() == (folder / "target").read_bytes() == wanted
