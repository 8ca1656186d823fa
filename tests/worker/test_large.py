# SPDX-License-Identifier: LGPL-2.1-or-later
"""Folders that are large enough for two threads, and what is asked once for all of their files."""

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import threading
import time

import pytest
from worker_client import WorkerError, worker_binary

N = 5000
KINDS = 10
F_OFD_SETLK = 37


def helpers(pool):
    """The worker's threads that look at files, as ps shows them."""
    found = []
    for task in os.listdir(f"/proc/{pool.process.pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pool.process.pid}/task/{task}/comm") as f:
                found += [task] if f.read() == "storaged-scan\n" else []
    return found


def check_no_helper(pool):
    """The kernel shows a thread a little longer than it can be waited for."""
    until = time.monotonic() + 10
    while helpers(pool) and time.monotonic() < until:
        time.sleep(0.001)
    assert not helpers(pool)


def rows_sent(pool, since):
    return [v for _t, member, v in pool.signals[since:] if member == "Rows" and (v[1] or v[2])]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """5,000 entries of all kinds, for tests that leave them alone."""
    folder = tmp_path_factory.mktemp("mixed")
    image = folder.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1G"], check=True)
    header = image.read_bytes()
    for i in range(N):
        path = folder / f"e{i:05}"
        kind = i % KINDS
        if kind == 0:
            path.write_bytes(header)
        elif kind == 1:
            path.mkdir()
        elif kind == 2:
            os.symlink(f"e{i - 2:05}", path)
        elif kind == 3:
            os.symlink("nothing", path)
        elif kind == 4:
            os.mkfifo(path)
        else:
            path.write_bytes(b"x" * i)
    return folder


@pytest.fixture
def plain(folder):
    for i in range(N):
        (folder / f"e{i:05}").touch()
    return folder


def check_mixed(pool):
    expected = {f"e{i:05}" for i in range(N) if i % KINDS not in (3, 4)}
    assert set(pool.rows) == expected
    for name, row in pool.rows.items():
        i = int(name[1:])
        kind = i % KINDS
        if kind in (0, 2):
            assert (row.format, row.capacity, row.type) == ("qcow2", 1 << 30, "file"), name
        elif kind == 1:
            assert (row.format, row.type) == ("dir", "dir"), name
        else:
            assert (row.format, row.capacity, row.type) == ("raw", i, "file"), name
    problems = pool.problems()
    assert len(problems) < 64 and problems[-1] == (
        "more", f"{N // 5 - len(problems) + 1} more entries of the folder have problems like these")


def test_all_kinds(mixed, new_pool):
    pool = new_pool(mixed)
    check_mixed(pool)
    since = len(pool.signals)
    pool.refresh()
    assert not rows_sent(pool, since)
    check_mixed(pool)


def test_the_second_thread_is_there_for_a_pass_only(mixed, new_pool):
    pool = new_pool(mixed, refresh=False)
    most, until = 0, time.monotonic() + 20
    while not most and time.monotonic() < until:
        call = pool.send("Refresh")
        pool.bus.flush_sync()
        sample_until = time.monotonic() + 0.05
        while not most and time.monotonic() < sample_until:
            most = len(helpers(pool))
        pool.finish(call)
        check_no_helper(pool)
    assert most == 1


def test_cancelled_in_the_middle(mixed, new_pool):
    pool = new_pool(mixed)
    for _ in range(20):
        call = pool.send("Refresh")
        pool.bus.flush_sync()
        pool.process.send_signal(signal.SIGUSR1)
        with contextlib.suppress(WorkerError):
            pool.finish(call)
        check_no_helper(pool)
    pool.refresh()
    check_mixed(pool)


def test_what_changed_and_nothing_else(plain, new_pool):
    pool = new_pool()
    since = len(pool.signals)
    for i in range(5, N, 100):
        os.unlink(plain / f"e{i:05}")
        os.truncate(plain / f"e{i + 1:05}", 7)
        (plain / f"new{i:05}").write_bytes(b"y")
    pool.refresh()
    sent = rows_sent(pool, since)
    assert sorted(r[0] for v in sent for r in v[1]) == sorted(
        name for i in range(5, N, 100) for name in (f"e{i + 1:05}", f"new{i:05}"))
    assert sorted(n for v in sent for n in v[2]) == [f"e{i:05}" for i in range(5, N, 100)]
    assert all(pool.rows[f"e{i + 1:05}"].capacity == 7 for i in range(5, N, 100))


def test_a_folder_that_changes_all_the_time(plain, new_pool):
    """Names come twice or not at all while the folder is read; in the end all is as it is."""
    stop = threading.Event()

    def churn():
        n = 0
        while not stop.is_set():
            i = 10 * (n % (N // 10)) + 5
            n += 1
            with contextlib.suppress(FileNotFoundError):
                os.rename(plain / f"e{i:05}", plain / f"moved{i:05}")
            with contextlib.suppress(FileNotFoundError):
                os.rename(plain / f"moved{i - 100:05}", plain / f"e{i - 100:05}")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        pool = new_pool()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            pool.refresh()
    finally:
        stop.set()
        thread.join()
    pool.refresh()
    assert set(pool.rows) == {e.name for e in os.scandir(plain) if e.is_dir() or e.is_file()}
    shutil.rmtree(plain)
    plain.mkdir()
    pool.refresh()
    assert pool.rows == {}


def lock(f, first):
    fcntl.fcntl(f, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, first, 1, 0))


def check_in_use(folder, new_pool):
    for name in "abcd":
        (folder / name).write_bytes(b"x")
    with open(folder / "a", "rb") as a, open(folder / "b", "rb") as b, open(folder / "c", "rb") as c:
        lock(a, 100)
        lock(b, 203)
        fcntl.flock(c, fcntl.LOCK_SH)
        pool = new_pool()
        assert {n: r.in_use for n, r in pool.rows.items()} == {"a": True, "b": True, "c": False, "d": False}
    pool.refresh()
    assert not any(r.in_use for r in pool.rows.values())


def test_files_in_use(folder, new_pool):
    check_in_use(folder, new_pool)


def test_files_in_use_without_a_list_of_locks(folder, new_pool, tmp_path, monkeypatch):
    script = tmp_path / "worker"
    script.write_text("#!/bin/sh\nexec unshare --mount sh -c 'mount --bind /dev/null /proc/locks && "
                      f"exec \"$0\" \"$@\"' {worker_binary()} \"$@\"\n")
    script.chmod(0o755)
    if subprocess.run([script, "--version"], capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    monkeypatch.setenv("STORAGED_WORKER", str(script))
    check_in_use(folder, new_pool)
