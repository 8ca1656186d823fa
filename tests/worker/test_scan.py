# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a refresh finds in a folder, and what it tells of it."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from worker_client import UNFINISHED, Pool, WorkerError, pool_xml

GIB = 1 << 30


def make(path, size=0, content=b""):
    with open(path, "wb") as f:
        f.write(content)
        f.truncate(max(size, len(content)))


def rows_sent(pool, since):
    return sum(len(v[1]) + len(v[2]) for _t, member, v in pool.signals[since:] if member == "Rows")


def changes(pool):
    """What a refresh tells: names of changed rows and of those gone."""
    since = len(pool.signals)
    pool.refresh()
    told = [v for _t, member, v in pool.signals[since:] if member == "Rows"]
    assert not any(first for first, _changed, _removed in told)
    return sorted(row[0] for v in told for row in v[1]), sorted(name for v in told for name in v[2])


def test_a_raw_file(folder, new_pool):
    make(folder / "a.img", GIB)
    os.chmod(folder / "a.img", 0o640)
    row = new_pool().rows["a.img"]
    st = os.stat(folder / "a.img")
    assert (row.type, row.format, row.capacity, row.allocation, row.physical) == ("file", "raw", GIB, 0, GIB)
    assert (row.mode, row.owner, row.group) == (0o640, st.st_uid, st.st_gid)
    assert (row.mtime, row.ctime) == (st.st_mtime_ns, st.st_ctime_ns)
    assert 0 < row.btime <= row.ctime
    assert row.extra == {} and not row.in_use


def test_image_formats_come_from_the_header(folder, new_pool):
    for fmt in ("qcow2", "vdi", "vmdk", "qed"):
        subprocess.run(["qemu-img", "create", "-q", "-f", fmt, folder / f"x.{fmt}", "64M"], check=True)
    rows = new_pool().rows
    for fmt in ("qcow2", "vdi", "vmdk", "qed"):
        row = rows[f"x.{fmt}"]
        assert (row.format, row.capacity, row.probed) == (fmt, 64 << 20, True)
        assert row.allocation == os.stat(folder / f"x.{fmt}").st_blocks * 512


def test_backing_and_snapshots(folder, new_pool):
    run = lambda *args: subprocess.run(["qemu-img", *args], check=True, cwd=folder)  # noqa: E731
    run("create", "-q", "-f", "qcow2", "base", "64M")
    run("create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "top")
    run("snapshot", "-c", "first", "top")
    extra = new_pool().rows["top"].extra
    assert extra["backing-path"] == str(folder / "base")
    assert extra["backing-format"] == "qcow2"
    assert [(name, size) for name, _id, size, _time in extra["snapshots"]] == [("first", 0)]


def test_a_subfolder_is_a_volume(folder, new_pool):
    (folder / "sub").mkdir()
    row = new_pool().rows["sub"]
    assert (row.type, row.format, row.capacity) == ("dir", "dir", 0)


def test_a_ploop_image_is_a_folder_of_two_files(folder, new_pool):
    (folder / "ct").mkdir()
    (folder / "ct" / "DiskDescriptor.xml").write_text("<Parallels_disk_image/>")
    run = ["qemu-img", "create", "-q", "-f", "parallels", folder / "ct" / "root.hds", "64M"]
    subprocess.run(run, check=True)
    pool = new_pool()
    row = pool.rows["ct"]
    assert (row.type, row.format, row.capacity) == ("ploop", "ploop", 64 << 20)
    assert changes(pool) == ([], [])
    os.unlink(folder / "ct" / "DiskDescriptor.xml")
    assert changes(pool) == (["ct"], [])
    assert pool.rows["ct"].type == "dir"


def test_hidden_files_are_shown_but_not_unfinished_ones(folder, new_pool):
    make(folder / ".hidden")
    pool = new_pool()
    make(folder / (UNFINISHED + "0123456789abcdef"))
    pool.refresh()
    assert sorted(pool.rows) == [".hidden"]


def test_odd_entries_are_skipped_with_a_reason(folder, new_pool, tmp_path):
    make(tmp_path / "outside")
    os.mkfifo(folder / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    os.symlink("nothing", folder / "dangling")
    os.symlink("loop", folder / "loop")
    os.symlink(tmp_path / "outside", folder / "absolute")
    os.symlink("../outside", folder / "relative")
    os.symlink(".", folder / "to-folder")
    os.symlink("fifo", folder / "to-fifo")
    make(os.fsencode(folder) + b"/bad\xff")
    make(folder / "two\nlines")
    make(folder / "good")
    os.symlink("good", folder / "link")
    odd = {
        "fifo": "FIFO", "socket": "socket", "dangling": "not there", "loop": "back to itself",
        "absolute": "out of the folder", "relative": "out of the folder", "to-folder": "regular file",
        "to-fifo": "regular file", "bad\ufffd": "UTF-8", "two?lines": "control character",
    }
    if os.geteuid() == 0:
        os.mknod(folder / "device", 0o600 | 0o020000, os.makedev(1, 3))
        odd["device"] = "device"
    pool = new_pool()
    listener.close()
    assert sorted(pool.rows) == ["good", "link"]
    assert pool.status[3] == "ok"
    assert len(pool.problems()) == len(odd)
    for name, why in odd.items():
        found = [text for _code, text in pool.problems() if text.startswith(f'"{name}"')]
        assert found and why in found[0], (name, pool.problems())
    os.unlink(folder / "fifo")
    pool.refresh()
    assert not [text for _code, text in pool.problems() if text.startswith('"fifo"')]


def test_problems_are_bounded(folder, new_pool):
    for i in range(100):
        os.mkfifo(folder / f"fifo{i}")
    problems = new_pool().problems()
    assert len(problems) <= 64
    assert problems[-1] == ("more", f"{100 - len(problems) + 1} more entries of the folder have problems like these")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user than the tests'")
def test_an_unreadable_file_is_shown_as_raw(folder, tmp_path):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "x", "1M"], check=True)
    os.chmod(folder / "x", 0)
    for path in (tmp_path, *tmp_path.parents):
        if os.stat(path).st_uid == 0 and str(path).startswith("/tmp/"):
            os.chmod(path, 0o755)
    os.chmod(folder, 0o755)
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from worker_client import Pool; p = Pool(sys.argv[2]); r = p.rows['x']\n"
        "print(r.format, r.extra['problem'], p.problems()[0][0], sep='|'); p.close()"
    )
    r = subprocess.run(
        ["/usr/bin/python3", "-c", script, os.path.dirname(__file__), folder],
        capture_output=True, text=True, timeout=30,
    )
    if "worker_client" in r.stderr and "ermission" in r.stderr:
        pytest.skip("the tests' folder is closed to other users")
    fmt, problem, code = r.stdout.strip().split("|")
    assert fmt == "raw" and "Permission denied" in problem and code == "unreadable"


def test_a_lying_header_is_a_problem_of_the_volume(folder, new_pool):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "x", "64M"], check=True)
    with open(folder / "x", "r+b") as f:
        f.seek(60)  # number of snapshots, and where their table is
        f.write((1000).to_bytes(4, "big") + (1 << 50).to_bytes(8, "big"))
    row = new_pool().rows["x"]
    assert row.format == "qcow2" and row.extra["problem"]


def test_times_beyond_nanoseconds(folder, new_pool):
    make(folder / "old")
    os.utime(folder / "old", (-(1 << 31), -(1 << 31)))
    assert new_pool().rows["old"].mtime == -(1 << 31) * 10**9


def test_only_what_changed_is_told(folder, new_pool):
    for i in range(20):
        make(folder / f"f{i}", 4096)
    pool = new_pool()
    assert changes(pool) == ([], [])
    make(folder / "f3", 8192)
    os.unlink(folder / "f4")
    os.rename(folder / "f5", folder / "g5")
    make(folder / "new")
    assert changes(pool) == (["f3", "g5", "new"], ["f4", "f5"])
    os.chmod(folder / "f6", 0o600)
    assert changes(pool) == (["f6"], [])
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "f7", "1M"], check=True)
    assert changes(pool) == (["f7"], [])
    assert pool.rows["f7"].format == "qcow2"
    os.unlink(folder / "f8")
    os.mkfifo(folder / "f8")
    assert changes(pool) == ([], ["f8"])
    os.unlink(folder / "f8")
    make(folder / "f8")
    assert changes(pool) == (["f8"], [])


def test_a_refresh_of_unchanged_files_opens_none(folder, new_pool):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "x", "1M"], check=True)
    os.utime(folder / "x", ns=(10**18, 10**18))
    pool = new_pool()
    assert os.stat(folder / "x").st_atime_ns == 10**18, "reading a header must not touch the access time"
    # What the file says changes behind the inode's back: who looks at the inode only cannot see it.
    trace = shutil.which("strace")
    if not trace:
        pytest.skip("strace is not installed")
    log = folder.parent / "trace"
    tracer = subprocess.Popen(
        [trace, "-qq", "-e", "trace=openat,openat2,pread64", "-o", log, "-p", str(pool.process.pid)],
        stderr=subprocess.DEVNULL,
    )
    try:
        pool.spin(0.5)
        pool.refresh()
    finally:
        tracer.terminate()
        tracer.wait()
    text = log.read_text()
    assert str(folder) in text and '"x"' not in text and "pread64" not in text


def test_rows_come_in_bounded_messages(folder, new_pool):
    for i in range(1000):
        make(folder / f"f{i}")
    pool = new_pool()
    messages = [v for _t, member, v in pool.signals if member == "Rows"]
    assert len(pool.rows) == 1000
    assert [first for first, _c, _r in messages] == [True] + [False] * (len(messages) - 1)
    assert all(len(changed) + len(removed) <= 256 for _f, changed, removed in messages)
    assert pool.signals[-1][1] == "Status"
    for f in folder.iterdir():
        f.unlink()
    since = len(pool.signals)
    pool.refresh()
    assert pool.rows == {} and rows_sent(pool, since) == 1000


def test_an_empty_folder_gives_an_empty_complete_listing(pool):
    assert [v for _t, member, v in pool.signals if member == "Rows"] == [(True, [], [])]


def test_sizes_of_the_file_system(folder, pool):
    capacity, allocation, available, health, problems = pool.status
    v = os.statvfs(folder)
    assert capacity == v.f_blocks * v.f_frsize
    assert allocation + available == capacity
    assert abs(available - v.f_bavail * v.f_frsize) < GIB
    assert (health, problems) == ("ok", [])


def test_a_folder_that_vanishes_loses_nothing(folder, new_pool):
    make(folder / "a")
    pool = new_pool()
    before = pool.status
    os.rename(folder, str(folder) + ".away")
    since = len(pool.signals)
    pool.refresh()
    assert rows_sent(pool, since) == 0 and "a" in pool.rows
    assert pool.status[3] == "inaccessible" and pool.status[:3] == before[:3]
    assert pool.problems()[0][0] == "inaccessible" and "No such file" in pool.problems()[0][1]
    os.rename(str(folder) + ".away", folder)
    assert changes(pool) == ([], [])
    assert pool.status[3:] == ("ok", [])


def test_a_folder_that_is_not_there_gives_no_listing(folder, new_pool):
    os.rmdir(folder)
    pool = new_pool()
    assert [member for _t, member, _v in pool.signals] == ["Status"]
    assert pool.status[3] == "inaccessible"
    folder.mkdir()
    make(folder / "a")
    pool.refresh()
    assert [v[0] for _t, member, v in pool.signals if member == "Rows"] == [True]
    assert list(pool.rows) == ["a"]


def test_another_definition_begins_anew(folder, pool, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    make(other / "b")
    make(folder / "a")
    pool.call("SetPool", "(sa{sv})", pool_xml(other), {})
    pool.refresh()
    assert list(pool.rows) == ["b"]
    assert [v[0] for _t, member, v in pool.signals if member == "Rows"] == [True, True]


def test_a_cancelled_first_refresh_begins_anew(folder, new_pool):
    for i in range(30000):
        open(folder / f"f{i}", "w").close()
    for attempt in range(10):
        pool = new_pool(refresh=False)
        call = pool.send("Refresh")
        pool.bus.flush_sync()
        time.sleep(0.02 + 0.005 * attempt)
        pool.process.send_signal(signal.SIGUSR1)
        try:
            pool.finish(call)
        except WorkerError as e:
            assert e.name == "Cancelled" and str(folder) in e.message
            break
    else:
        pytest.fail("no signal came while the worker was at work")
    pool.refresh()
    assert len(pool.rows) == 30000
    assert pool.signals[-1][1] == "Status"


def test_no_such_backend(started):
    from worker_client import Worker

    worker = started(Worker, "pool")
    with pytest.raises(WorkerError) as e:
        worker.call("SetPool", "(sa{sv})", "<pool type='mpath'><name>x</name><target><path>/dev/mapper</path>"
                    "</target></pool>", {})
    assert e.value.name == "Unsupported"


def test_in_use_as_qemu_marks_it(folder, new_pool):
    import fcntl
    import struct

    make(folder / "a", GIB)
    pool = new_pool()
    assert not pool.rows["a"].in_use
    with open(folder / "a", "r+b") as f:
        lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0)
        fcntl.fcntl(f, 37, lock)  # F_OFD_SETLK
        f.write(b"x")
        f.flush()
        pool.refresh()
        assert pool.rows["a"].in_use
    pool.refresh()
    assert not pool.rows["a"].in_use
    assert isinstance(pool, Pool)


def test_the_permissions_of_the_folder_are_told(folder, new_pool):
    os.chmod(folder, 0o2750)
    pool = new_pool()
    assert pool.permissions == (0o2750, os.geteuid(), os.stat(folder).st_gid)
    os.chmod(folder, 0o711)
    pool.refresh()
    assert pool.permissions[0] == 0o711
