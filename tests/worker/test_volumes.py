# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes are made, deleted, resized and opened."""

import fcntl
import json
import os
import stat
import struct
import subprocess

import pytest
from worker_client import UNFINISHED, WorkerError

MIB = 1 << 20
TIB = 1 << 40


def info(path):
    out = subprocess.run(["qemu-img", "info", "--output=json", path], capture_output=True, check=True, text=True)
    return json.loads(out.stdout)


def refused(name, function, *args, **kwargs):
    with pytest.raises(WorkerError) as e:
        function(*args, **kwargs)
    assert e.value.name == name, e.value
    return e.value.message


def lock_as_qemu(f):
    fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 203, 1, 0))  # F_OFD_SETLK


def same(pool, row):
    """The row that was returned is what a refresh would find: nothing new is told."""
    since = len(pool.signals)
    pool.refresh()
    told = [v for _t, m, v in pool.signals[since:] if m == "Rows"]
    assert not told, (vars(row), told)


def test_a_sparse_raw_volume(folder, pool):
    row = pool.create("a", TIB)
    st = os.stat(folder / "a")
    assert (row.format, row.capacity, row.allocation) == ("raw", TIB, 0)
    assert (st.st_size, st.st_blocks, stat.S_IMODE(st.st_mode)) == (TIB, 0, 0o600)
    assert os.listdir(folder) == ["a"]
    same(pool, row)


def test_mode_and_owner(folder, pool):
    ids = (1234, 4321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    given = f"<permissions><mode>0644</mode><owner>{ids[0]}</owner><group>{ids[1]}</group></permissions>"
    for fmt, name in (("raw", "a"), ("qcow2", "b"), ("dir", "c")):
        row = pool.create(name, MIB, fmt=fmt, target=given)
        st = os.stat(folder / name)
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o644, *ids)
        assert (row.mode, row.owner, row.group) == (0o644, *ids)


def test_a_folder(folder, pool):
    row = pool.create("sub", 0, fmt="dir")
    assert row.type == "dir" and (folder / "sub").is_dir()
    assert stat.S_IMODE(os.stat(folder / "sub").st_mode) == 0o700
    same(pool, row)
    refused("Exists", pool.create, "sub", 0, fmt="dir")


@pytest.mark.parametrize("fmt", ["qcow2", "qcow", "qed", "vdi", "vmdk", "vpc"])
def test_formats_by_qemu_img(folder, pool, fmt):
    row = pool.create("a", 64 * MIB, fmt=fmt)
    assert row.format == fmt
    same(pool, row)
    found = info(folder / "a")
    assert (found["format"], found["virtual-size"]) == (fmt, row.capacity)
    assert row.capacity >= 64 * MIB
    assert os.listdir(folder) == ["a"]


def test_a_vmdk_names_itself(folder, pool):
    pool.create("a.vmdk", 64 * MIB, fmt="vmdk")
    assert b'SPARSE "a.vmdk"' in (folder / "a.vmdk").read_bytes()


@pytest.mark.parametrize("fmt", ["bochs", "cloop", "cow", "dmg", "iso", "fat", "ploop"])
def test_formats_that_cannot_be_made(folder, pool, fmt):
    assert fmt in refused("Unsupported", pool.create, "a", 64 * MIB, fmt=fmt)
    assert os.listdir(folder) == []


def test_encryption_takes_a_secret(folder, pool):
    secret = "<secret type='passphrase' uuid='55806c7d-8e93-456f-829b-607d8c198367'/>"
    for fmt in ("raw", "qcow2"):
        refused(
            "InvalidArgument", pool.create, "a", MIB, fmt=fmt,
            target=f"<encryption format='luks'>{secret}</encryption>",
        )
    assert os.listdir(folder) == []


def test_qcow2_options(folder, pool):
    target = "<compat>1.1</compat><clusterSize unit='KiB'>128</clusterSize><features><lazy_refcounts/></features>"
    row = pool.create("a", 64 * MIB, fmt="qcow2", target=target)
    found = info(folder / "a")
    assert found["cluster-size"] == 128 << 10
    assert found["format-specific"]["data"]["compat"] == "1.1"
    assert found["format-specific"]["data"]["lazy-refcounts"] is True
    assert row.extra["cluster-size"] == 128 << 10 and row.extra["lazy-refcounts"] is True
    pool.create("b", 64 * MIB, fmt="qcow2", target="<compat>0.10</compat>")
    assert info(folder / "b")["format-specific"]["data"]["compat"] == "0.10"


def backing(path, fmt=None):
    return f"<backingStore><path>{path}</path>" + (f"<format type='{fmt}'/>" if fmt else "") + "</backingStore>"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_backing_store(folder, pool, absolute):
    pool.create("base", 64 * MIB, fmt="qcow2")
    path = str(folder / "base") if absolute else "base"
    row = pool.create("top", fmt="qcow2", extra=backing(path, "qcow2"))
    assert row.capacity == 64 * MIB
    found = info(folder / "top")
    assert (found["backing-filename"], found["backing-filename-format"]) == (path, "qcow2")
    assert (row.extra["backing-path"], row.extra["backing-format"]) == (str(folder / "base"), "qcow2")
    subprocess.run(["qemu-io", "-c", "read 0 64k", folder / "top"], check=True, capture_output=True)


def test_the_backing_format_is_always_recorded(folder, pool):
    pool.create("base", 64 * MIB, fmt="qcow2")
    pool.create("raw", 32 * MIB)
    pool.create("a", fmt="qcow2", extra=backing("base"))
    assert info(folder / "a")["backing-filename-format"] == "qcow2"
    row = pool.create("b", fmt="qcow2", extra=backing("raw"))
    assert info(folder / "b")["backing-filename-format"] == "raw" and row.capacity == 32 * MIB
    # As raw by the caller's word: its capacity is the file's size.
    row = pool.create("c", fmt="qcow2", extra=backing("base", "raw"))
    assert row.capacity == (os.stat(folder / "base").st_size + 511) // 512 * 512


def test_a_backing_store_that_is_not_there(folder, pool):
    assert "nothing" in refused("NotFound", pool.create, "a", MIB, fmt="qcow2", extra=backing("nothing", "raw"))
    os.mkfifo(folder / "fifo")
    with pytest.raises(WorkerError):
        pool.create("a", MIB, fmt="qcow2", extra=backing("fifo", "raw"))
    assert os.listdir(folder) == ["fifo"]


@pytest.mark.parametrize("fmt", ["raw", "qcow2", "dir"])
def test_a_name_that_is_taken(folder, pool, fmt):
    (folder / "a").write_text("precious")
    message = refused("Exists", pool.create, "a", MIB, fmt=fmt)
    assert "'a'" in message and "tank" in message
    assert (folder / "a").read_text() == "precious"
    assert os.listdir(folder) == ["a"]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "x" * 256, "a\x01b"])
def test_bad_names(folder, pool, name):
    with pytest.raises(WorkerError):
        pool.create(name, MIB)
    for call in (pool.delete, pool.open):
        with pytest.raises(WorkerError):
            call(name)
    assert os.listdir(folder) == []


def test_an_unfinished_file_is_nobodys_volume(folder, pool):
    name = UNFINISHED + "0123456789abcdef"
    (folder / name).write_text("")
    refused("InvalidName", pool.delete, name)
    refused("InvalidName", pool.open, name)
    assert (folder / name).exists()


def test_larger_than_a_file_can_be(small_ext4, new_pool):
    pool = new_pool(small_ext4)
    row = pool.create("a", 1 << 40)
    assert row.capacity == 1 << 40
    assert "bytes" in refused("NoSpace", pool.create, "b", 1 << 62)
    assert sorted(set(os.listdir(small_ext4)) - {"lost+found"}) == ["a"]


def test_a_folder_that_is_gone(folder, pool):
    os.rmdir(folder)
    for call, args in ((pool.create, ("a", MIB)), (pool.delete, ("a",)), (pool.resize, ("a", MIB)), (pool.open, "a")):
        assert str(folder) in refused("Inaccessible", call, *args)


def test_without_qemu_img(folder, started, tmp_path):
    """Where the tool is not installed, that is what the error says."""
    if os.geteuid() != 0:
        pytest.skip("hiding the tool needs root")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from worker_client import *; p = Pool(sys.argv[2])\n"
        "try: p.create('a', 1 << 20, fmt='qcow2')\n"
        "except WorkerError as e: print(e.name, e.message)\n"
        "s = Worker('store'); print(s.call('Describe')[0][0][2])"
    )
    r = subprocess.run(
        ["unshare", "-m", "/bin/sh", "-c",
         'd=$(dirname "$(readlink -f "$(command -v qemu-img)")"); : > "$3"; mount --bind "$3" "$d/qemu-img" &&'
         ' exec /usr/bin/python3 -c "$0" "$1" "$2"', script, os.path.dirname(__file__), folder, tmp_path / "empty"],
        capture_output=True, text=True, timeout=30,
    )
    if "mount" in r.stderr:
        pytest.skip(r.stderr)
    assert r.stdout.startswith("Unsupported ") and "qemu-utils" in r.stdout, r
    assert "['qemu-img']" in r.stdout
    assert os.listdir(folder) == []


def test_delete(folder, pool):
    pool.create("a", MIB)
    pool.delete("a")
    assert os.listdir(folder) == []
    assert "'a'" in refused("NotFound", pool.delete, "a")


def test_delete_of_a_folder(folder, pool):
    pool.create("sub", 0, fmt="dir")
    (folder / "sub" / "x").write_text("")
    assert "not empty" in refused("Failed", pool.delete, "sub")
    refused("Failed", pool.delete, "sub", force=True)
    (folder / "sub" / "x").unlink()
    pool.delete("sub")
    assert os.listdir(folder) == []


def test_delete_of_a_link_leaves_the_file(folder, pool, tmp_path):
    (folder / "a").write_text("x")
    (tmp_path / "out").write_text("x")
    os.symlink("a", folder / "link")
    os.symlink(tmp_path / "out", folder / "outward")
    pool.delete("link")
    pool.delete("outward")
    assert os.listdir(folder) == ["a"] and (tmp_path / "out").exists()


def test_what_is_no_volume_is_not_deleted(folder, pool):
    os.mkfifo(folder / "fifo")
    refused("NotFound", pool.delete, "fifo", force=True)
    assert (folder / "fifo").exists()


def test_in_use(folder, pool):
    pool.create("a", MIB)
    with open(folder / "a", "rb") as f:
        lock_as_qemu(f)
        os.symlink("a", folder / "link")
        assert "is in use" in refused("InUse", pool.delete, "a")
        refused("InUse", pool.delete, "link")
        refused("InUse", pool.resize, "a", 2 * MIB)
        assert pool.resize("a", 2 * MIB, force=True).capacity == 2 * MIB
        pool.delete("a", force=True)
    assert os.listdir(folder) == ["link"]


def test_resize_raw(folder, pool):
    pool.create("a", MIB)
    row = pool.resize("a", 2 * MIB + 1)
    assert row.capacity == os.stat(folder / "a").st_size == 2 * MIB + 1
    assert "shrink" in refused("InvalidArgument", pool.resize, "a", MIB)
    assert pool.resize("a", MIB, shrink=True).capacity == MIB
    with open(folder / "a", "r+b") as f:
        os.posix_fallocate(f.fileno(), 0, 2 * MIB)
    assert "allocated" in refused("InvalidArgument", pool.resize, "a", MIB, shrink=True)
    refused("NotFound", pool.resize, "b", MIB)
    refused("InvalidArgument", pool.resize, "a", (1 << 63) + 1)
    pool.create("sub", 0, fmt="dir")
    refused("Unsupported", pool.resize, "sub", MIB)
    os.symlink("a", folder / "link")
    refused("Unsupported", pool.resize, "link", 5 * MIB)


@pytest.mark.parametrize("fmt", ["qcow2", "qed"])
def test_resize_by_qemu_img(folder, pool, fmt):
    pool.create("a", MIB, fmt=fmt)
    row = pool.resize("a", 2 * MIB + 1)
    same(pool, row)
    assert row.capacity == info(folder / "a")["virtual-size"] == 2 * MIB + 512
    if fmt == "qcow2":
        assert pool.resize("a", MIB, shrink=True).capacity == MIB


def test_resize_opens_no_backing_store(folder, pool):
    """What a header names may have been written by a guest: here a FIFO, at which QEMU would wait for ever."""
    pool.create("base", 64 * MIB, fmt="qcow2")
    pool.create("top", fmt="qcow2", extra=backing("base", "qcow2"))
    row = pool.resize("top", 128 * MIB)
    assert row.capacity == 128 * MIB and row.extra["backing-path"] == str(folder / "base")
    assert info(folder / "top")["backing-filename"] == "base"
    os.unlink(folder / "base")
    os.mkfifo(folder / "base")
    refused("Unsupported", pool.resize, "top", 256 * MIB)
    refused("InvalidArgument", pool.resize, "top", MIB)
    pool.resize("top", 64 * MIB, shrink=True)


def test_resize_does_not_show_what_a_longer_backing_store_has(folder, pool):
    pool.create("base", 64 * MIB, fmt="qcow2")
    pool.create("top", 8 * MIB, fmt="qcow2", extra=backing("base", "qcow2"))
    assert "backing store" in refused("Unsupported", pool.resize, "top", 128 * MIB)
    assert info(folder / "top")["virtual-size"] == 8 * MIB


@pytest.mark.parametrize("fmt", ["vdi", "vmdk", "vpc"])
def test_formats_that_cannot_be_resized(pool, fmt):
    pool.create("a", 64 * MIB, fmt=fmt)
    assert fmt in refused("Unsupported", pool.resize, "a", 128 * MIB)


def test_open(folder, pool):
    pool.create("a", MIB)
    with os.fdopen(pool.open("a", "rw"), "r+b") as f:
        f.write(b"hello")
    fd = pool.open("a")
    assert os.read(fd, 5) == b"hello"
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_NONBLOCK) == os.O_RDONLY
    with pytest.raises(OSError):
        os.write(fd, b"x")
    os.close(fd)


def test_open_of_what_is_no_file(folder, pool, tmp_path):
    (tmp_path / "secret").write_text("")
    os.symlink(tmp_path / "secret", folder / "link")
    os.mkfifo(folder / "fifo")
    (folder / "sub").mkdir()
    refused("Unsupported", pool.open, "link")
    refused("Unsupported", pool.open, "sub")
    refused("NotFound", pool.open, "fifo")
    refused("NotFound", pool.open, "none")
    refused("InvalidArgument", pool.open, "link", "w")
    refused("InvalidName", pool.open, "../secret")
