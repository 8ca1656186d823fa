# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes that take long: reserved by the pool's worker, filled by another, then published or discarded."""

import os
import signal
import subprocess
import time

import pytest
from worker_client import UNFINISHED, Data, WorkerError
from gi.repository import GLib

MIB = 1 << 20


def unfinished(folder):
    return [name for name in os.listdir(folder) if name.startswith(UNFINISHED)]


def make(pool, data, name, capacity, preallocation, **kwargs):
    token, fd = pool.create(name, capacity, preallocation, **kwargs)
    assert len(unfinished(pool.folder)) == 1
    data.finish(data.fill(pool.folder, fd, preallocation, name, capacity, **kwargs))
    os.close(fd)
    return pool.publish(token)


@pytest.mark.parametrize("preallocation", ["falloc", "full"])
def test_raw(folder, pool, data, preallocation):
    row = make(pool, data, "a", 4 * MIB, preallocation)
    st = os.stat(folder / "a")
    assert (st.st_size, row.capacity) == (4 * MIB, 4 * MIB)
    assert row.allocation == st.st_blocks * 512 >= 4 * MIB
    assert os.listdir(folder) == ["a"]
    since = len(pool.signals)
    pool.refresh()
    assert not [v for _t, m, v in pool.signals[since:] if m == "Rows"]


def test_partly(pool, data):
    row = make(pool, data, "a", 64 * MIB, "", allocation=2 * MIB)
    assert row.capacity == 64 * MIB and 2 * MIB <= row.allocation < 4 * MIB


def test_an_omitted_allocation_is_all(pool, data):
    row = make(pool, data, "a", 4 * MIB, "", allocation=None)
    assert row.allocation >= 4 * MIB


@pytest.mark.parametrize("preallocation", ["metadata", "falloc", "full"])
def test_qcow2(folder, pool, data, preallocation):
    row = make(pool, data, "a", 8 * MIB, preallocation, fmt="qcow2")
    assert (row.format, row.capacity) == ("qcow2", 8 * MIB)
    if preallocation != "metadata":
        assert row.allocation >= 8 * MIB
    subprocess.run(["qemu-img", "check", "-q", folder / "a"], check=True)


def test_where_there_is_no_fallocate(folder, started, new_pool, mounted):
    """overlay, NFS 3 and others: zeros are written instead. ext3 by the ext4 driver has no extents either."""
    image = folder / "image"
    with open(image, "wb") as f:
        f.truncate(32 * MIB)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext2", image], check=True)
    point = mounted("ext4", "loop", image)
    pool = new_pool(point)
    row = make(pool, started(Data), "a", 4 * MIB, "falloc")
    assert row.allocation >= 4 * MIB


@pytest.mark.parametrize(
    "args", [("metadata", {"fmt": "raw"}), ("falloc", {"fmt": "vdi"}), ("most", {"fmt": "raw"})]
)
def test_what_does_not_fit(folder, pool, args):
    with pytest.raises(WorkerError) as e:
        pool.create("a", MIB, args[0], **args[1])
    assert e.value.name in ("InvalidArgument", "Unsupported")
    assert os.listdir(folder) == []


def test_no_preallocation_with_a_backing_store(folder, pool):
    pool.create("base", MIB)
    with pytest.raises(WorkerError) as e:
        pool.create("a", MIB, "metadata", fmt="qcow2", extra="<backingStore><path>base</path></backingStore>")
    assert e.value.name == "InvalidArgument"
    assert os.listdir(folder) == ["base"]


def test_not_shown_before_it_is_published(folder, new_pool):
    pool = new_pool(watch=True)
    token, fd = pool.create("a", MIB, "falloc")
    pool.spin(0.2)
    pool.refresh()
    assert pool.rows == {}
    assert pool.publish(token).name == "a"
    os.close(fd)


def test_discard(folder, pool):
    token, fd = pool.create("a", MIB, "falloc")
    os.close(fd)
    pool.discard(token)
    assert os.listdir(folder) == []
    pool.discard(token)
    with pytest.raises(WorkerError) as e:
        pool.publish(token)
    assert e.value.name == "NotFound"


def test_a_name_that_is_taken_meanwhile(folder, pool, data):
    token, fd = pool.create("a", MIB, "falloc")
    (folder / "a").write_text("precious")
    with pytest.raises(WorkerError) as e:
        pool.publish(token)
    assert e.value.name == "Exists" and (folder / "a").read_text() == "precious"
    os.close(fd)
    pool.discard(token)
    assert os.listdir(folder) == ["a"]


def test_a_name_that_is_taken_before(folder, pool):
    (folder / "a").write_text("precious")
    with pytest.raises(WorkerError) as e:
        pool.create("a", MIB, "falloc")
    assert e.value.name == "Exists"
    assert os.listdir(folder) == ["a"]


@pytest.mark.parametrize("token", ["", "a", "a/b", UNFINISHED + "0123456789abcdef/../x", "../" + UNFINISHED + "0/x"])
def test_made_up_tokens(pool, token):
    for call in (pool.publish, pool.discard):
        with pytest.raises(WorkerError) as e:
            call(token)
        assert e.value.name == "InvalidArgument"


def test_more_than_there_is(small_ext4, new_pool):
    pool = new_pool(small_ext4)
    for kwargs in ({"preallocation": "full"}, {"preallocation": "falloc", "fmt": "qcow2"}, {"allocation": None}):
        with pytest.raises(WorkerError) as e:
            pool.create("a", 100 * MIB, **kwargs)
        assert e.value.name == "NoSpace" and "available" in e.value.message
    assert os.listdir(small_ext4) == ["lost+found"]


@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
def test_a_disk_that_is_full_before_the_end(small_ext4, new_pool, data, fmt):
    pool = new_pool(small_ext4)
    token, fd = pool.create("a", 12 * MIB, "full", fmt=fmt)
    hog = os.open(small_ext4 / "hog", os.O_CREAT | os.O_WRONLY)
    with pytest.raises(OSError):
        while True:
            os.write(hog, b"x" * MIB)
    os.close(hog)
    with pytest.raises(WorkerError) as e:
        data.finish(data.fill(pool.folder, fd, "full", "a", 12 * MIB, fmt=fmt))
    assert e.value.name == "NoSpace" and "'a'" in e.value.message
    os.close(fd)
    pool.discard(token)
    assert sorted(os.listdir(small_ext4)) == ["hog", "lost+found"]


def test_progress_and_cancel(folder, pool, data):
    total = 4096 * MIB
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < 2 * total:
        pytest.skip("too little space")
    data.process.send_signal(signal.SIGSTOP)
    token, fd = pool.create("a", total, "full")
    call = data.fill(pool.folder, fd, "full", "a", total)
    data.bus.flush_sync()
    begin = time.monotonic()
    data.process.send_signal(signal.SIGCONT)
    data.wait(lambda: len(data.signals) >= 2, 30)
    assert len(data.signals) <= (time.monotonic() - begin) * 4 + 1
    steps = [values for _t, member, values in data.signals if member == "Progress"]
    assert all(0 < done <= whole == total for done, whole in steps) and steps[0][0] < steps[1][0]
    data.process.send_signal(signal.SIGUSR1)
    with pytest.raises(WorkerError) as e:
        data.finish(call)
    assert e.value.name == "Cancelled"
    os.close(fd)
    pool.discard(token)
    assert os.listdir(folder) == []


def test_cancel_of_qemu_img(folder, pool, data):
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < 8192 * MIB:
        pytest.skip("too little space")
    token, fd = pool.create("a", 4096 * MIB, "full", fmt="qcow2")
    call = data.fill(pool.folder, fd, "full", "a", 4096 * MIB, fmt="qcow2")
    children = f"/proc/{data.process.pid}/task/{data.process.pid}/children"
    data.wait(lambda: open(children).read())
    child = int(open(children).read())
    assert os.getpgid(child) == data.process.pid
    data.spin(0.1)
    data.process.send_signal(signal.SIGUSR1)
    with pytest.raises(WorkerError) as e:
        data.finish(call)
    assert e.value.name == "Cancelled" and not os.path.exists(f"/proc/{child}")
    os.close(fd)
    pool.discard(token)


def test_a_whole_volume_needs_no_filling(pool):
    assert pool.create("a", MIB, "off", allocation=None).name == "a"
    assert pool.create("b", 0, "falloc").name == "b"


def test_odd_options(folder, data):
    with pytest.raises(WorkerError):
        data.call("Fill", "(ssha{sv})", "<pool/>", "<volume/>", 0, {}, fds=[0])
    with pytest.raises(WorkerError) as e:
        fd = os.open(folder, os.O_RDONLY)
        data.call(
            "Fill", "(ssha{sv})", "", "", 0, {"preallocation": GLib.Variant("s", "some")}, fds=[fd]
        )
    os.close(fd)
    assert e.value.name == "InvalidArgument"
