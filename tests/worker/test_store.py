# SPDX-License-Identifier: LGPL-2.1-or-later
"""The store role: what backends can do, and the service's own files."""

import os
import shutil
import stat

import pytest
from worker_client import WorkerError


def apply(store, *changes):
    store.call("Apply", "(a(sssu))", [(op, str(path), content, mode) for op, path, content, mode in changes])


def test_describe(store):
    described = {kind: (operations, missing) for kind, operations, missing in store.call("Describe")[0]}
    operations, missing = described["dir"]
    assert operations == ("build start stop delete refresh create delete-volume resize open clone import upload download "
                          "wipe snapshot flatten rebase commit").split()
    assert missing == ([] if shutil.which("qemu-img") else ["qemu-img"])


def test_write_makes_folders_and_sets_the_mode(store, tmp_path):
    path = tmp_path / "a" / "b" / "x.xml"
    apply(store, ("write", path, "one", 0o600))
    assert path.read_text() == "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755


def test_write_replaces_as_a_whole(store, tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    before = path.open()
    apply(store, ("write", path, "new", 0o644))
    assert path.read_text() == "new"
    assert before.read() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_link_and_remove(store, tmp_path):
    link = tmp_path / "auto" / "x"
    apply(store, ("link", link, "../one", 0), ("link", link, "../two", 0))
    assert os.readlink(link) == "../two"
    apply(store, ("remove", link, "", 0), ("remove", link, "", 0), ("remove", tmp_path / "no" / "x", "", 0))
    assert os.listdir(link.parent) == []


def test_changes_are_made_in_order_up_to_the_one_that_fails(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkerError) as e:
        apply(
            store,
            ("write", tmp_path / "one", "1", 0o644),
            ("write", tmp_path / "file" / "two", "2", 0o644),
            ("write", tmp_path / "three", "3", 0o644),
        )
    assert str(tmp_path / "file" / "two") in e.value.message
    assert sorted(os.listdir(tmp_path)) == ["file", "one"]


@pytest.mark.parametrize("op,path", [("burn", "/tmp/x"), ("write", "relative"), ("write", "/tmp/"), ("write", "")])
def test_nonsense_is_refused(store, op, path):
    with pytest.raises(WorkerError):
        apply(store, (op, path, "", 0o644))
