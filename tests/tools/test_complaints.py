# SPDX-License-Identifier: LGPL-2.1-or-later
"""What storagectl says and how it ends when something is not possible."""

import harness
from helpers import ENDLESS, running_jobs


def test_not_found(tool, pool):
    assert "'none'" in tool.fails(3, "pool", "show", "none")
    assert "none" in tool.fails(3, "volume", "show", pool, "none")
    assert "/none" in tool.fails(3, "volume", "show", "/none")
    tool.fails(3, "pool", "start", "7cbb4e4c-7a3b-4e35-92a7-1d2f4b6f1c6f")
    assert "there is no job 4711" in tool.fails(3, "job", "watch", "4711")
    assert "there is no job 4711" in tool.fails(3, "job", "cancel", "4711")


def test_volume_of_another_pool(tool, pool, folder, tmp_path):
    (tmp_path / "other").mkdir()
    tool.ok("pool", "create", "other", "--type", "dir", "--target", tmp_path / "other")
    tool.ok("volume", "create", pool, "v", "1M")
    assert "in another pool" in tool.fails(3, "volume", "show", "other", f"{folder}/v")


def test_in_the_way(tool, pool, folder):
    tool.ok("volume", "create", pool, "v", "1M")
    tool.fails(6, "volume", "create", pool, "v", "1M")
    assert pool in tool.fails(6, "pool", "define", "second", "--type", "dir", "--target", folder)
    tool.fails(6, "pool", "undefine", pool)
    tool.ok("pool", "stop", pool)
    tool.fails(6, "volume", "create", pool, "w", "1M")


def test_bad_definitions(tool, pool, tmp_path):
    assert "line 1" in tool.fails(2, "pool", "define", "-", stdin="<pool type='dir'><name>x</nam></pool>")
    tool.fails(2, "pool", "define", "a/b", "--type", "dir", "--target", "/x")
    tool.fails(2, "pool", "define", "x", "--type", "nosuchtype", "--target", "/x")
    tool.fails(2, "volume", "create", pool, "..", "1M")
    tool.fails(2, "volume", "create", pool, "v", "1M", "--format", "nosuchformat")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in tool.fails(2, "pool", "define", tmp_path / "binary")
    (tmp_path / "huge").write_bytes(b" " * (1 << 21))
    assert "larger than" in tool.fails(2, "pool", "define", tmp_path / "huge")
    tool.fails(3, "volume", "create", pool, "--xml", "/no/such/file")


def test_service_that_ends_while_work_goes_on(tool, pool, daemon):
    process = tool.start("volume", "create", pool, "big", ENDLESS, "--preallocation", "full")
    harness.wait_until(lambda: running_jobs(tool), what="a job")
    daemon.kill()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (5, "")
    assert "the service ended before the work was done" in err
    daemon.start()
