# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commit and SetBacking: "Writing", after which a volume is incomplete until they end, is told when all is checked."""

import os
import subprocess

import pytest
from worker_client import WorkerError, pool_xml

MIB = 1 << 20


@pytest.fixture
def chain(folder):
    """A raw base and an overlay, in that order, open for writing."""
    base, overlay = folder / "base", folder / "overlay"
    base.write_bytes(b"B" * MIB)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay], check=True)
    fds = [os.open(path, os.O_RDWR) for path in (base, overlay)]
    yield fds
    for fd in fds:
        os.close(fd)


def commit(data, folder, chain):
    base, overlay = chain
    data.call("Commit", "(ssha(shs))", pool_xml(folder), "overlay", 0, [("qcow2", 1, ""), ("raw", 2, "")],
              fds=[base, overlay, base])


def set_backing(data, folder, chain, path):
    data.call("SetBacking", "(sshsssa{sv})", pool_xml(folder), "overlay", 0, "qcow2", path, "raw", {}, fds=[chain[1]])


def writing(data):
    return [s[1] for s in data.signals if s[1] in ("Writing", "Whole")]


def test_commit(data, folder, chain):
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x55 4096 512", folder / "overlay"], check=True,
                   stdout=subprocess.DEVNULL)
    commit(data, folder, chain)
    assert (folder / "base").read_bytes() == b"B" * 4096 + b"\x55" * 512 + b"B" * (MIB - 4608)
    assert writing(data) == ["Writing"]


def test_a_refused_commit_leaves_the_base_whole(data, folder, chain):
    subprocess.run(["qemu-img", "snapshot", "-c", "s", folder / "overlay"], check=True)
    with pytest.raises(WorkerError) as error:
        commit(data, folder, chain)
    assert error.value.name == "Unsupported" and writing(data) == []


def test_set_backing(data, folder, chain):
    set_backing(data, folder, chain, str(folder / "other"))
    info = subprocess.run(["qemu-img", "info", "-U", folder / "overlay"], check=True, capture_output=True, text=True)
    assert f"{folder}/other" in info.stdout and writing(data) == ["Writing"]


def test_a_path_that_is_too_long_leaves_the_image_whole(data, folder, chain):
    with pytest.raises(WorkerError) as error:
        set_backing(data, folder, chain, "/" + "x" * 1023)
    assert error.value.name == "Unsupported" and writing(data) == []


@pytest.mark.parametrize("verb", ["Commit", "SetBacking"])
def test_not_before_it_may(data, folder, chain, verb):
    """Who is not answered well writes nothing."""
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x55 4096 512", folder / "overlay"], check=True,
                   stdout=subprocess.DEVNULL)
    before = {name: (folder / name).read_bytes() for name in ("base", "overlay")}
    data.refuse = "NoSpace"
    with pytest.raises(WorkerError) as error:
        if verb == "Commit":
            commit(data, folder, chain)
        else:
            set_backing(data, folder, chain, f"{folder}/other")
    assert error.value.name == "NoSpace" and writing(data) == ["Writing"]
    assert {name: (folder / name).read_bytes() for name in before} == before
