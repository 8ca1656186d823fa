# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images whose headers hide that their data is in another file, which QEMU would open with our rights."""

import os
import struct
import subprocess

import pytest
from gi.repository import GLib
from worker_client import WorkerError, pool_xml, volume_xml

MIB = 1 << 20
WAYS = ["long header", "many extensions", "header too long"]


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_bytes(b"precious" * (MIB // 8))
    yield path
    assert path.read_bytes() == b"precious" * (MIB // 8)


def craft(path, victim, way):
    """An image that names the victim, where a reader of headers may not look for it."""
    data = victim.with_name("data00")  # a name of the same length: QEMU makes that file
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={data},data_file_raw=on", path,
                    "1M"], check=True)
    content = bytearray(path.read_bytes().replace(bytes(data), bytes(victim)))
    length, = struct.unpack(">I", content[100:104])
    extensions = bytes(content[length:length + 2048])
    assert bytes(victim) in extensions
    if way == "long header":
        content[100:104] = struct.pack(">I", 8192)
        content[length:8192] = bytes(8192 - length)
        length = 8192
    elif way == "many extensions":
        extensions = struct.pack(">II", 0x12345678, 0) * 70 + extensions
    else:
        content[100:104] = struct.pack(">I", 65537)
    content[length:length + len(extensions)] = extensions
    path.write_bytes(content)
    return path


def refused(function, *args, **kwargs):
    with pytest.raises(WorkerError) as e:
        function(*args, **kwargs)
    assert e.value.name in ("Failed", "Unsupported"), e.value
    assert "another file" in e.value.message or "cannot be understood" in e.value.message


@pytest.mark.parametrize("way", WAYS)
def test_not_resized(folder, victim, new_pool, way):
    craft(folder / "a", victim, way)
    pool = new_pool()
    assert pool.rows["a"].extra["data-file"] in (str(victim), "(not named)")
    refused(pool.resize, "a", 8 * MIB)
    refused(pool.resize, "a", 4096, shrink=True)


@pytest.mark.parametrize("way", WAYS)
def test_not_copied(folder, victim, data, tmp_path, way):
    source = os.open(craft(folder / "a", victim, way), os.O_RDONLY)
    target = os.open(tmp_path / "copy", os.O_RDWR | os.O_CREAT)
    refused(data.call, "Copy", "(ssha(shs)a{sv})", pool_xml(folder), volume_xml("n", MIB), 0, [("qcow2", 1, "")],
            {"reflink": GLib.Variant("s", "never")}, fds=[target, source])
    assert b"precious" not in (tmp_path / "copy").read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_backing_store_is_not_recorded(folder, victim, data, way):
    path = craft(folder / "a", victim, way)
    (folder / "base").write_bytes(bytes(MIB))
    before = path.read_bytes()
    refused(data.call, "SetBacking", "(sshsssa{sv})", pool_xml(folder), "a", 0, "qcow2", f"{folder}/base", "raw", {},
            fds=[os.open(path, os.O_RDWR)])
    assert path.read_bytes() == before


@pytest.mark.parametrize("way", WAYS)
def test_no_snapshot(folder, victim, data, way):
    path = craft(folder / "a", victim, way)
    before = path.read_bytes()
    refused(data.call, "Snapshot", "(sshssa{sv})", pool_xml(folder), "a", 0, "create", "s", {},
            fds=[os.open(path, os.O_RDWR)])
    assert path.read_bytes() == before


@pytest.mark.parametrize("way", WAYS)
def test_does_not_grow(folder, victim, data, way):
    path = craft(folder / "a", victim, way)
    before = path.read_bytes()
    refused(data.call, "Grow", "(sshtta{sv})", pool_xml(folder), "a", 0, 8 * MIB, MIB, {}, fds=[os.open(path, os.O_RDWR)])
    assert path.read_bytes() == before


def with_snapshots(path, n, table):
    """An image that has n of them by its header, in a table of so many bytes."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    entry = struct.pack(">QIHHIIQII", 0, 0, 1, 1, 0, 0, 0, 0, 0) + b"1a"
    entry += bytes(-len(entry) % 8)
    with open(path, "r+b") as f:
        f.seek(MIB)
        f.write((entry * n)[:table])
        f.seek(60)
        f.write(struct.pack(">IQ", n, MIB))
    return path


def test_snapshots_that_cannot_be_read_are_not_lost(folder, data):
    """To make it independent of other volumes would, of those that are not seen, lose the contents."""
    fd = os.open(with_snapshots(folder / "a", 5, 100), os.O_RDWR)
    refused(data.call, "Rebase", "(ssha(shs)ssa(shs))", pool_xml(folder), "a", 0, [("qcow2", 0, "")], "", "", [],
            fds=[fd])


def test_more_snapshots_than_are_listed_are_no_damage(folder, data):
    fd = os.open(with_snapshots(folder / "a", 5000, MIB), os.O_RDWR)
    with pytest.raises(WorkerError) as e:
        data.call("Snapshot", "(sshssa{sv})", pool_xml(folder), "a", 0, "create", "s", {}, fds=[fd])
    assert "too many" in e.value.message
