# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker that is killed at any moment leaves nothing that looks like a volume and is none."""

import os
import random
import subprocess

import pytest
from worker_client import UNFINISHED, Pool, Worker

MIB = 1 << 20


def test_leftovers_are_removed_by_the_next_worker(folder, new_pool):
    pool = new_pool()
    _token, fd = pool.create("a", MIB, "falloc")
    name = os.listdir(folder)[0]
    assert name.startswith(UNFINISHED)
    pool.kill()
    # Somebody is at work on it as long as the descriptor is open.
    new_pool().refresh()
    assert os.listdir(folder) == [name]
    os.close(fd)
    (folder / (UNFINISHED + "fedcba9876543210")).mkdir()
    pool = new_pool()
    assert os.listdir(folder) == [] and pool.rows == {}


def test_work_goes_on_over_the_death_of_the_pools_worker(folder, new_pool, data):
    pool = new_pool()
    token, fd = pool.create("a", MIB, "full")
    call = data.fill(folder, fd, "full", "a", MIB)
    os.close(fd)
    pool.kill()
    data.finish(call)
    # The data worker is done and holds the file no more: publishing comes before the next look at all.
    pool = new_pool(refresh=False)
    row = pool.publish(token)
    assert row.allocation >= MIB
    pool.refresh()
    assert list(pool.rows) == ["a"]


@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
def test_killed_at_any_moment(folder, started, fmt):
    """What is there afterwards is whole."""
    rng = random.Random(7)
    rounds = 60 if fmt == "raw" else 25
    for i in range(rounds):
        pool = started(Pool, folder, refresh=False)
        pool.call("Ping")
        pool.send("CreateVolume", "(sa{sv})", volume(f"v{i}", fmt), {})
        pool.bus.flush_sync()
        pool.spin(rng.uniform(0, 0.001 if fmt == "raw" else 0.03))
        os.killpg(pool.process.pid, 9)
        pool.process.wait()
    rows = started(Pool, folder).rows
    assert sorted(rows) == sorted(os.listdir(folder))
    for name, row in rows.items():
        assert (row.format, row.capacity) == (fmt, 8 * MIB), name
        if fmt == "qcow2":
            subprocess.run(["qemu-img", "check", "-q", folder / name], check=True)


def volume(name, fmt):
    from worker_client import volume_xml

    return volume_xml(name, 8 * MIB, fmt=fmt)


def test_files_of_the_store_are_old_or_new(started, tmp_path):
    rng = random.Random(7)
    path = tmp_path / "f"
    path.write_text("0" * 5000)
    for i in range(1, 40):
        store = started(Worker, "store")
        store.call("Describe")
        store.send("Apply", "(a(sssu))", [("write", str(path), str(i % 10) * 5000, 0o644)])
        store.bus.flush_sync()
        store.spin(rng.uniform(0, 0.003))
        store.kill()
        text = path.read_text()
        assert len(text) == 5000 and len(set(text)) == 1
