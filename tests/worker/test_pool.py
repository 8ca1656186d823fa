# SPDX-License-Identifier: LGPL-2.1-or-later
"""Build, start, stop, delete and check of a folder."""

import os
import stat
import subprocess

import pytest
from worker_client import Pool, WorkerError
from gi.repository import GLib


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture
def at(started):
    return lambda path, **kwargs: started(Pool, path, refresh=False, **kwargs)


def build(pool, overwrite=False):
    pool.call("Build", "(a{sv})", {"overwrite": GLib.Variant("b", overwrite)})


def verb(pool, name):
    pool.call(name, "(a{sv})", {})


def test_build_makes_parents_and_leaf(at, tmp_path):
    path = tmp_path / "a" / "b" / "c"
    pool = at(path)
    assert pool.call("Check") == (False,)
    build(pool)
    assert [mode(p) for p in (path.parent.parent, path.parent, path)] == [0o755, 0o755, 0o711]
    assert pool.call("Check") == (True,)


def test_build_sets_what_is_given(at, tmp_path):
    ids = (1234, 4321) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    path = tmp_path / "a"
    given = f"<permissions><mode>0750</mode><owner>{ids[0]}</owner><group>{ids[1]}</group></permissions>"
    build(at(path, permissions=given))
    st = os.stat(path)
    assert (mode(path), st.st_uid, st.st_gid) == (0o750, *ids)


def test_build_changes_an_existing_folder_only_as_given(at, tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    os.chmod(path, 0o1777)
    (path / "file").write_text("")
    build(at(path))
    assert mode(path) == 0o1777
    build(at(path, permissions="<permissions><mode>0700</mode></permissions>"))
    assert mode(path) == 0o700 and (path / "file").exists()


def test_build_over_something_else(at, tmp_path):
    path = tmp_path / "a"
    path.write_text("precious")
    with pytest.raises(WorkerError) as e:
        build(at(path), overwrite=True)
    assert "not a folder" in e.value.message and path.read_text() == "precious"
    with pytest.raises(WorkerError) as e:
        build(at(path / "below"))
    assert str(path) in e.value.message


def test_build_without_copy_on_write(at, tmp_path, mounted):
    path = tmp_path / "a"
    with pytest.raises(WorkerError) as e:
        build(at(path, features="<features><cow state='no'/></features>"))
    assert e.value.name == "Unsupported" and "copy on write" in e.value.message
    assert not path.exists()
    image = tmp_path / "btrfs"
    with open(image, "wb") as f:
        f.truncate(128 << 20)
    try:
        made = subprocess.run(["mkfs.btrfs", "-q", image], capture_output=True).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("mkfs.btrfs is not installed")
    path = mounted("btrfs", "loop", image) / "a"
    build(at(path, features="<features><cow state='no'/></features>"))
    assert "C" in subprocess.run(["lsattr", "-d", path], capture_output=True, text=True).stdout.split()[0]


def test_start_needs_a_folder(at, tmp_path):
    path = tmp_path / "a"
    pool = at(path)
    with pytest.raises(WorkerError) as e:
        verb(pool, "Start")
    assert e.value.name == "NotFound" and str(path) in e.value.message and "build" in e.value.message
    path.mkdir()
    verb(pool, "Start")
    verb(pool, "Stop")
    path.rmdir()
    path.write_text("")
    with pytest.raises(WorkerError) as e:
        verb(pool, "Start")
    assert "not a folder" in e.value.message


def test_delete_only_an_empty_folder(at, tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    (path / "file").write_text("")
    pool = at(path)
    with pytest.raises(WorkerError) as e:
        verb(pool, "Delete")
    assert "not empty" in e.value.message and (path / "file").exists()
    (path / "file").unlink()
    verb(pool, "Delete")
    assert not path.exists()
    with pytest.raises(WorkerError) as e:
        verb(pool, "Delete")
    assert e.value.name == "NotFound"


def test_a_stopped_pool_is_silent_and_then_begins_anew(at, tmp_path):
    path = tmp_path / "a"
    path.mkdir()
    pool = at(path, watch=True)
    pool.refresh()
    verb(pool, "Stop")
    since = len(pool.signals)
    (path / "x").write_text("")
    pool.spin(0.2)
    assert len(pool.signals) == since
    pool.watch()
    pool.spin(0.2)
    assert len(pool.signals) == since
    pool.refresh()
    assert list(pool.rows) == ["x"]
    assert [v[0] for _t, member, v in pool.signals[since:] if member == "Rows"] == [True]
