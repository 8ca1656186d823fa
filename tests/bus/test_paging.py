# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pools that are larger than one message should be."""

import os

import pytest

from client import iterate_until, pack, refused
from harness import SLOWNESS

BIG = 12_000
HUGE = 100_000


def fill(folder, count, prefix="v"):
    for i in range(count):
        os.close(os.open(f"{folder}/{prefix}{i:06d}", os.O_CREAT | os.O_WRONLY, 0o600))


def pages(pool, **options):
    """All rows, page by page, and how many pages there were."""
    rows, after, count = [], "", 0
    while True:
        part, after, _generation = pool.ListVolumes({**options, "after": after} if after else options)
        rows += part
        count += 1
        if not after:
            return rows, count


@pytest.fixture
def small(service, folder):
    for name in ("a", "b", "b-1", "b-2", "c", "Z", "é"):
        with open(f"{folder}/{name}", "wb") as f:
            f.truncate(512)
    pool = service.make_pool("p", folder)
    service.make_volume(pool, "q.qcow2", format="qcow2")
    return pool


def test_rows(service, small, folder):
    rows, following, generation = small.ListVolumes()
    assert following == "" and generation == small.get("Generation")
    assert [row[1] for row in rows] == sorted(service.volumes(small), key=lambda n: n.encode())
    for row in rows:
        got = service.volume(row[0]).all()
        assert row[:7] == (row[0], got["Name"], got["Key"], got["Format"], got["Capacity"], got["Allocation"],
                           got["Modified"])
    assert len(rows) == len(os.listdir(folder))


def test_limit_and_cursor(small):
    everything = [row[1] for row in small.ListVolumes()[0]]
    for limit in (1, 2, 3, len(everything), 100):
        rows, count = pages(small, limit=limit)
        assert [row[1] for row in rows] == everything
        assert count in (-(-len(everything) // limit), -(-len(everything) // limit) + 1)
    assert [row[1] for row in small.ListVolumes({"after": "b"})[0]] == [n for n in everything if n.encode() > b"b"]


def test_cursor_of_a_volume_that_is_gone(service, small):
    rows, after, _ = small.ListVolumes({"limit": 3})
    service.volume(rows[-1][0]).Delete()
    more = [row[1] for row in small.ListVolumes({"after": after})[0]]
    assert len(more) == 5 and rows[-1][1] not in more


def test_prefix_and_format(small):
    assert [row[1] for row in small.ListVolumes({"prefix": "b"})[0]] == ["b", "b-1", "b-2"]
    assert [row[1] for row in pages(small, prefix="b", limit=1)[0]] == ["b", "b-1", "b-2"]
    assert [row[1] for row in small.ListVolumes({"prefix": "b", "after": "b"})[0]] == ["b-1", "b-2"]
    assert [row[1] for row in small.ListVolumes({"format": "qcow2"})[0]] == ["q.qcow2"]
    assert small.ListVolumes({"prefix": "nothing"})[0] == []


def test_limits_of_the_limit(small):
    for limit in (0, 10_001):
        with refused("InvalidArgument"):
            small.ListVolumes({"limit": limit})
    with refused("InvalidArgument"):
        small.ListVolumes({"color": "green"})


def test_big_pool(service, folder):
    """Above 10,000 volumes the ObjectManager points to ListVolumes, and the rest works as ever."""
    fill(folder, BIG)
    pool = service.make_pool("p", folder)
    assert pool.get("VolumeCount") == BIG
    with refused("LimitsExceeded") as refusal:
        service.objects(pool.get("Volumes"))
    assert "ListVolumes" in refusal.text
    rows, count = pages(pool)
    assert len(rows) == BIG and count == 2
    assert len({row[0] for row in rows}) == BIG
    assert service.volume(rows[-1][0]).get("Name") == f"v{BIG - 1:06d}"
    assert pool.path in service.objects(), "the root's managed objects do not contain volumes"
    assert not any("/volume/" in path for path in service.objects())


def test_many_changes_at_once(service, pool, folder):
    """One VolumesReset instead of a signal a volume."""
    log = service.log()
    with open(folder + "/single", "wb"):
        pass
    service.wait_volume(pool, "single")
    assert log.select("VolumesReset") == []
    os.mkdir(folder + ".more")
    fill(folder + ".more", 5000)
    pool.Stop()
    for name in os.listdir(folder + ".more"):
        os.rename(f"{folder}.more/{name}", f"{folder}/{name}")
    os.rmdir(folder + ".more")
    log.clear()
    pool.Start()
    reset = log.wait_for(lambda s: s.member == "VolumesReset" and s.path == pool.path)
    assert reset.args[0] <= pool.get("Generation") and pool.get("VolumeCount") == 5001
    log.settle(1)
    assert len(log.select("InterfacesAdded")) <= 1000


def test_reset_while_running(service, pool, folder):
    """Whether they come as signals or resets: who follows both knows everything in the end."""
    log = service.log()
    fill(folder, 4000)
    iterate_until(lambda: pool.get("VolumeCount") == 4000, 30, "4000 volumes")
    log.settle(1)
    assert log.select("VolumesReset") or len(log.select("InterfacesAdded")) == 4000
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    iterate_until(lambda: pool.get("VolumeCount") == 0, 30, "an empty pool")
    assert service.volumes(pool) == {}


@pytest.mark.limit(180)
def test_hundred_thousand(service, folder):
    """In pages, each far below what a system bus carries; refused in one."""
    fill(folder, HUGE)
    pool = service.make_pool("p", folder)
    assert pool.get("VolumeCount") == HUGE
    largest = 0
    names = []
    after = ""
    while True:
        reply = service.connection.call_sync(
            "org.example.Storage1", pool.path, "org.example.Storage1.Pool", "ListVolumes",
            _options(after), None, 0, int(20000 * SLOWNESS), None)
        largest = max(largest, reply.get_size())
        rows, after, _ = reply.unpack()
        names += [row[1] for row in rows]
        if not after:
            break
    assert len(names) == HUGE and names == sorted(names)
    assert largest < 4 << 20, "a page is a few MiB at most"
    service.make_volume(pool, "one-more")
    assert pool.get("VolumeCount") == HUGE + 1
    log = service.log()
    pool.Stop()
    log.settle(0.5)
    assert len(log.select("InterfacesRemoved")) <= 1001


def _options(after):
    return pack("(a{sv})", ({"after": after} if after else {},))
