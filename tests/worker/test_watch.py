# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a watched pool tells by itself."""

import fcntl
import os
import struct
import subprocess
import time

import pytest

MIB = 1 << 20
TRIES = 100


@pytest.fixture
def pool(new_pool):
    pool = new_pool(watch=True)
    pool.spin(0.05)
    return pool


def wait_size(pool, name, size, seconds=10):
    pool.wait(lambda: name in pool.rows and pool.rows[name].physical == size, seconds)


def test_files_that_come_and_go(folder, pool):
    (folder / "a").write_bytes(b"x" * 100)
    wait_size(pool, "a", 100)
    os.rename(folder / "a", folder / "b")
    pool.wait(lambda: list(pool.rows) == ["b"])
    os.chmod(folder / "b", 0o640)
    pool.wait(lambda: pool.rows["b"].mode == 0o640)
    (folder / "sub").mkdir()
    pool.wait(lambda: "sub" in pool.rows)
    os.unlink(folder / "b")
    os.rmdir(folder / "sub")
    pool.wait(lambda: not pool.rows)


def test_a_file_moved_in_and_out(folder, pool, tmp_path):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "x", "64M"], check=True)
    os.rename(tmp_path / "x", folder / "x")
    pool.wait(lambda: "x" in pool.rows and pool.rows["x"].format == "qcow2")
    os.rename(folder / "x", tmp_path / "x")
    pool.wait(lambda: not pool.rows)


def test_what_comes_while_all_is_looked_at(folder, tmp_path, new_pool):
    """Nothing else wakes the worker for it: it has read the event already when it comes to the end."""
    for i in range(500):
        (folder / f"old{i}").touch()
    for i in range(TRIES):
        (tmp_path / f"new{i}").touch()
    pool = new_pool(watch=True)
    pool.spin(0.5)
    for i in range(TRIES):
        call = pool.send("Refresh")
        time.sleep(i * 4e-3 / TRIES)
        os.rename(tmp_path / f"new{i}", folder / f"new{i}")
        pool.finish(call)
        pool.wait(lambda: f"new{i}" in pool.rows, 5)


def test_an_image_made_by_another_program(folder, pool):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "x", "64M"], check=True)
    pool.wait(lambda: "x" in pool.rows and (pool.rows["x"].format, pool.rows["x"].capacity) == ("qcow2", 64 * MIB))


def test_a_file_that_is_being_written_and_not_closed(folder, pool):
    with open(folder / "a", "wb") as f:
        pool.wait(lambda: "a" in pool.rows)
        f.write(b"x" * MIB)
        f.flush()
        wait_size(pool, "a", MIB)
        f.write(b"x" * MIB)
        f.flush()
        wait_size(pool, "a", 2 * MIB)


def test_truncate_by_path_and_by_descriptor(folder, new_pool):
    (folder / "a").write_bytes(b"x")
    (folder / "b").write_bytes(b"x")
    pool = new_pool(watch=True)
    pool.spin(0.1)
    os.truncate(folder / "a", MIB)
    wait_size(pool, "a", MIB)
    os.truncate(folder / "a", 2 * MIB)
    wait_size(pool, "a", 2 * MIB, 15)
    with open(folder / "b", "r+b") as f:
        os.ftruncate(f.fileno(), MIB)
        wait_size(pool, "b", MIB, 25)


def test_an_idle_pool_sleeps(folder, new_pool):
    (folder / "a").write_bytes(b"x")
    pool = new_pool(watch=True)
    pool.spin(0.5)

    def switches():
        with open(f"/proc/{pool.process.pid}/status") as f:
            return int(next(line for line in f if line.startswith("voluntary_ctxt")).split()[1])

    # Mounts wake it up, and other tests beside this one mount things: one quiet window is enough.
    woken = []
    for _ in range(5):
        before = switches()
        time.sleep(2)
        woken.append(switches() - before)
        if woken[-1] <= 2:
            return
    raise AssertionError(woken)


def test_writers_that_never_stop_cost_little(folder, new_pool):
    """IN_MODIFY comes for each write: it must not reach us each time."""
    for i in range(1000):
        (folder / f"f{i}").write_bytes(b"x")
    pool = new_pool(watch=True)
    pool.spin(0.5)

    def ticks():
        with open(f"/proc/{pool.process.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before, end, n = ticks(), time.monotonic() + 3, 0
    with open(folder / "f1", "r+b") as a, open(folder / "f2", "r+b") as b:
        while time.monotonic() < end:
            for f in (a, b):
                os.pwrite(f.fileno(), b"y", n % 4096)
            n += 2
    assert n > 10000
    assert (ticks() - before) / os.sysconf("SC_CLK_TCK") < 0.3


def test_what_we_do_ourselves_is_not_told_again(folder, pool):
    since = len(pool.signals)
    pool.create("a", MIB)
    pool.resize("a", 2 * MIB)
    pool.spin(0.3)
    pool.delete("a")
    pool.spin(0.3)
    # A resize changes the size without an event of the name; the look a second later finds nothing new.
    pool.spin(1.5)
    assert not [v for _t, member, v in pool.signals[since:] if member == "Rows"]


def test_a_lone_file_is_told_quickly(folder, pool):
    took = []
    for i in range(100):
        begin = time.monotonic()
        open(folder / f"f{i}", "w").close()
        pool.wait(lambda name=f"f{i}": name in pool.rows)
        took.append(time.monotonic() - begin)
        pool.spin(0.01)
    took.sort()
    # The machine that runs the tests may be busy: the bench measures, this finds what is broken.
    assert took[50] < 0.05, took


def test_many_files_come_in_few_batches(folder, pool):
    since = len(pool.signals)
    for i in range(20000):
        os.close(os.open(f"{folder}/f{i}", os.O_CREAT | os.O_WRONLY, 0o600))
    pool.wait(lambda: len(pool.rows) == 20000, 30)
    sent = sum(len(v[1]) for _t, member, v in pool.signals[since:] if member == "Rows")
    assert sent < 40000
    for i in range(20000):
        os.unlink(f"{folder}/f{i}")
    pool.wait(lambda: not pool.rows, 30)


def test_lost_events_lead_to_a_look_at_all(folder, pool):
    limit = int(open("/proc/sys/fs/inotify/max_queued_events").read())
    pool.process.send_signal(19)  # SIGSTOP: nobody takes the events off
    try:
        for i in range(limit // 2 + 1000):
            os.close(os.open(f"{folder}/f{i}", os.O_CREAT | os.O_WRONLY, 0o600))
        for i in range(100):
            os.unlink(f"{folder}/f{i}")
        os.close(os.open(folder / "last", os.O_CREAT | os.O_RDONLY, 0o600))
    finally:
        pool.process.send_signal(18)
    pool.wait(lambda: "last" in pool.rows, 30)
    assert sorted(pool.rows) == sorted(os.listdir(folder))


def test_sizes_of_the_file_system_follow(mounted, new_pool):
    point = mounted("tmpfs", "size=64m")
    pool = new_pool(point, watch=True)
    before = pool.status[2]
    (point / "a").write_bytes(b"x" * 8 * MIB)
    pool.wait(lambda: before - pool.status[2] >= 8 * MIB)
    assert pool.status[0] == pool.status[1] + pool.status[2]


def test_a_storm_does_not_send_sizes_all_the_time(mounted, new_pool):
    point = mounted("tmpfs", "size=64m")
    pool = new_pool(point, watch=True)
    pool.spin(0.1)
    since, begin = len(pool.signals), time.monotonic()
    for i in range(300):
        (point / f"f{i}").write_bytes(b"x" * 8192)
        pool.spin(0.003)
    pool.spin(0.7)
    sent = sum(member == "Status" for _t, member, _v in pool.signals[since:])
    assert sent <= (time.monotonic() - begin) * 2 + 2
    v = os.statvfs(point)
    assert pool.status[2] == v.f_bavail * v.f_frsize


def test_sizes_that_were_held_back_are_not_told_of_a_stopped_pool(mounted, new_pool):
    point = mounted("tmpfs", "size=64m")
    pool = new_pool(point, watch=True)
    for i in range(20):
        before = pool.status
        (point / f"f{i}").write_bytes(b"x" * MIB)
        pool.wait(lambda: f"f{i}" in pool.rows)
        if pool.status == before:
            break
    else:
        pytest.fail("sizes are not held back")
    pool.call("Watch", "(b)", False)
    pool.call("Stop", "(a{sv})", {})
    told = len(pool.signals)
    pool.spin(0.7)
    assert pool.signals[told:] == []


# touch(): a write would be followed by a look at all a second later, which finds everything.
def test_a_folder_that_vanishes_and_comes_back(folder, pool):
    (folder / "a").touch()
    pool.wait(lambda: "a" in pool.rows)
    away = str(folder) + ".away"
    os.rename(folder, away)
    pool.wait(lambda: pool.status[3] == "inaccessible", 5)
    assert "a" in pool.rows
    os.rename(away, folder)
    pool.wait(lambda: pool.status[3] == "ok")
    (folder / "b").touch()
    pool.wait(lambda: "b" in pool.rows)


def test_a_folder_that_is_replaced(folder, pool):
    (folder / "a").touch()
    pool.wait(lambda: "a" in pool.rows)
    os.rename(folder, str(folder) + ".away")
    folder.mkdir()
    (folder / "b").touch()
    pool.wait(lambda: list(pool.rows) == ["b"], 5)
    (folder / "c").touch()
    pool.wait(lambda: "c" in pool.rows)


def test_a_folder_that_comes_later(folder, new_pool):
    os.rmdir(folder)
    pool = new_pool(watch=True)
    assert pool.status[3] == "inaccessible"
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    pool.wait(lambda: "a" in pool.rows and pool.signals[-1][1] == "Status")
    assert [v[0] for _t, member, v in pool.signals if member == "Rows"][0] is True
    assert pool.status[3] == "ok"


def test_a_file_system_mounted_over_the_folder(folder, pool, mounted):
    (folder / "below").touch()
    pool.wait(lambda: "below" in pool.rows)
    mounted("tmpfs", "size=4m", point=folder)
    pool.wait(lambda: not pool.rows)
    (folder / "above").touch()
    pool.wait(lambda: list(pool.rows) == ["above"])
    subprocess.run(["umount", folder], check=True)
    pool.wait(lambda: list(pool.rows) == ["below"])
    (folder / "again").write_bytes(b"x")
    pool.wait(lambda: "again" in pool.rows)
    # What is out of sight has not gone: each time it is a listing from its begin, and nothing is told as removed.
    listings = [v for _t, member, v in pool.signals if member == "Rows"]
    assert [first for first, _rows, _removed in listings].count(True) == 3 and not any(v[2] for v in listings)


def test_no_descriptor_keeps_the_storage(mounted, new_pool):
    point = mounted("tmpfs", "size=4m")
    pool = new_pool(point, watch=True)
    pool.spin(0.1)
    subprocess.run(["umount", point], check=True)
    pool.wait(lambda: pool.rows == {})


def test_unwatched_it_is_silent(folder, pool):
    pool.watch(False)
    since = len(pool.signals)
    (folder / "a").write_bytes(b"x")
    pool.spin(0.3)
    assert len(pool.signals) == since
    pool.watch(True)
    pool.wait(lambda: "a" in pool.rows)


def test_what_happened_before_the_watch_is_found(folder, new_pool):
    pool = new_pool()
    (folder / "a").write_bytes(b"x")
    pool.watch()
    pool.wait(lambda: "a" in pool.rows)


def test_a_link_follows_its_file(folder, pool):
    (folder / "a").write_bytes(b"x")
    os.symlink("a", folder / "link")
    pool.wait(lambda: "link" in pool.rows)
    os.chmod(folder / "a", 0o600)
    pool.wait(lambda: pool.rows["link"].mode == 0o600)
    os.unlink(folder / "a")
    pool.wait(lambda: not pool.rows)
    assert "not there" in pool.problems()[0][1]


def test_let_go_is_seen(folder, pool):
    (folder / "a").write_bytes(b"x" * 512)
    pool.wait(lambda: "a" in pool.rows)
    with open(folder / "a", "r+b") as f:
        fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0))  # F_OFD_SETLK
        f.write(b"y")
        f.flush()
        pool.wait(lambda: pool.rows["a"].in_use)
    pool.wait(lambda: not pool.rows["a"].in_use)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to write to /proc/sys")
def test_without_inotify_it_says_so(folder, started):
    """In a user namespace of its own, with no instance allowed, so that nobody else is hurt."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "open('/proc/sys/user/max_inotify_instances', 'w').write('0')\n"
        "from worker_client import Pool; p = Pool(sys.argv[2], watch=True); p.spin(0.3)\n"
        "print(p.problems()[0], p.status[3]); open(sys.argv[2] + '/a', 'w').close()\n"
        "p.wait(lambda: 'a' in p.rows, 20); p.close(); print('seen')"
    )
    r = subprocess.run(
        ["unshare", "-U", "-r", "/usr/bin/python3", "-c", script, os.path.dirname(__file__), folder],
        capture_output=True, text=True, timeout=50,
    )
    if "max_inotify_instances" in r.stderr or "unshare" in r.stderr:
        pytest.skip("no user namespaces here")
    assert "unwatched" in r.stdout and "seen" in r.stdout, r.stderr
