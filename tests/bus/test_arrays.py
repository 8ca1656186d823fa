# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service makes of arrays and searches whatever workers do: these pretend, see fake_worker.py. Real arrays
are for the test machine."""

import contextlib
import os
import signal
import xml.etree.ElementTree as ET

import pytest

from client import full_name, refused
from harness import NOBODY, SOURCE, find_binary, wait_until

pytestmark = pytest.mark.private

A, B, C, D = (f"/dev/no-such-{letter}" for letter in "abcd")
RAID = {"level": "raid1", "devices": [A, B]}


class Orders:
    """What the workers are told to do."""

    def __init__(self, folder):
        self.folder = folder

    def say(self, word):
        with open(os.path.join(self.folder, word), "w", encoding="ascii"):
            pass

    def unsay(self, word):
        os.unlink(os.path.join(self.folder, word))


@pytest.fixture
def orders(world, monkeypatch):
    folder = world.folder()
    monkeypatch.setenv("FAKE_WORKER", folder)
    monkeypatch.setenv("REAL_WORKER", find_binary("storaged-worker"))
    return Orders(folder)


@pytest.fixture
def fake(world, orders):
    """A service whose pools are pretended."""
    return world.daemon("--worker", f"{SOURCE}/tests/bus/fake_worker.py", "--verb-timeout", "20")


@pytest.fixture
def client(world, fake):
    return world.client(fake)


@pytest.fixture
def pool(client):
    path, job = client.manager.DefinePool("a", "fs", {"target-path": "/run/no-such", "raid": RAID}, {"start": True})
    assert job == "/"
    return client.pool(path)


@pytest.fixture
def raid(client, pool):
    return client.proxy(pool.path, "Pool.Raid")


def members_of(text):
    root = ET.fromstring(text, ET.XMLParser(target=ET.TreeBuilder(insert_pis=True)))
    found = [node.text.split(None, 1)[1] for node in root.iter(ET.ProcessingInstruction)]
    return [device.get("path") for device in ET.fromstring(found[0]).iter("device")]


def members_on_disk(daemon, where="config_dir", folder="pools"):
    with open(f"{getattr(daemon, where)}/{folder}/a.xml", encoding="utf-8") as f:
        return members_of(f.read())


def test_properties_follow_the_state(client, pool, raid):
    log = client.log()
    assert raid.all() == {"Level": "raid1", "SyncAction": "idle", "Degraded": 0, "SyncProgress": 0.0,
                          "Devices": [(A, "active", {}), (B, "active", {})]}
    raid.AddDevice(C)
    told = log.wait_for(lambda s: s.member == "PropertiesChanged" and s.args[0] == full_name("Pool.Raid"))
    assert set(told.args[1]) == {"Level", "SyncAction", "Degraded", "SyncProgress", "Devices"}
    log.signals.clear()
    pool.Stop()
    told = log.wait_for(lambda s: s.member == "PropertiesChanged" and s.args[0] == full_name("Pool.Raid"))
    assert told.args[1] == raid.all() == {"Level": "", "SyncAction": "", "Degraded": 0, "SyncProgress": 0.0,
                                          "Devices": []}
    with refused("NotActive"):
        raid.AddDevice(D)


@contextlib.contextmanager
def slow_store(daemon):
    """What is to be written to the service's files waits to the end of this."""
    (worker,) = daemon.workers("store")
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def has(raid, *devices):
    return raid.wait_for("Devices", lambda rows: {row[0] for row in rows} == set(devices))


def test_two_changes_at_once_are_both_kept(fake, pool, raid):
    with slow_store(fake):
        pending = [raid.start("AddDevice", device, {}) for device in (C, D)]
        has(raid, A, B, C, D)
        assert pool.get("Definition")["raid"]["devices"] == [A, B], "written first, then told"
    assert [p.wait() for p in pending] == ["/", "/"]
    assert sorted(pool.get("Definition")["raid"]["devices"]) == [A, B, C, D]
    assert pool.get("Definition")["raid"]["spares"] == 2
    assert sorted(members_on_disk(fake)) == sorted(members_on_disk(fake, "runtime_dir", "active")) == [A, B, C, D]


def test_update_during_a_change_is_kept(fake, pool, raid):
    with slow_store(fake):
        update = pool.start("Update", {"target-path": "/run/other", "raid": RAID}, {})
        add = raid.start("AddDevice", C, {})
        has(raid, A, B, C)
    update.wait()
    add.wait()
    assert pool.get("UpdatePending") and pool.get("TargetPath") == "/run/no-such"
    assert pool.get("Definition")["raid"]["devices"] == [A, B, C]
    assert sorted(members_on_disk(fake)) == [A, B, C]
    pool.Stop()
    assert pool.get("TargetPath") == "/run/other"
    assert pool.get("Definition")["raid"]["devices"] == [A, B, C]


def test_worker_that_dies_in_a_change(orders, pool, raid):
    orders.say("die")
    with refused("Failed"):
        raid.AddDevice(C)
    orders.unsay("die")
    assert pool.get("Definition")["raid"]["devices"] == [A, B]
    raid.RemoveDevice(B)
    has(raid, A)


def test_caller_that_leaves_cancels_nothing(world, fake, orders, pool, raid):
    orders.say("hold")
    leaving = world.client(fake)
    leaving.proxy(pool.path, "Pool.Raid").start("AddDevice", C, {})
    leaving.connection.flush_sync(None)
    wait_until(lambda: len(raid.service.objects()) > 1, what="the job")
    with refused("Busy"):
        pool.Stop()
    leaving.connection.close_sync(None)
    orders.unsay("hold")
    has(raid, A, B, C)
    pool.wait_for("Definition", lambda d: d["raid"]["devices"] == [A, B, C])


@pytest.mark.parametrize("method", ["AddDevice", "FailDevice", "RemoveDevice"])
def test_refusals(world, fake, pool, raid, method):
    with refused("AccessDenied"):
        getattr(world.client(fake, NOBODY).proxy(pool.path, "Pool.Raid"), method)(C, {})
    for bad in (("relative",), (C, {"colour": "red"}), ("",), ("/dev/a\nb",)):
        with refused("InvalidArgument"):
            getattr(raid, method)(*bad)
    assert has(raid, A, B)


def test_device_of_another_pool_is_not_added(client, raid):
    client.manager.DefinePool("other", "disk", {"source-devices": [C], "target-path": "/dev"})
    with refused("Conflict") as e:
        raid.AddDevice(C)
    assert "'other'" in e.text


@pytest.mark.limit(120)
def test_searches_that_hang_are_followed_to_their_end(fake, client, orders):
    """A process that the kernel does not let go of is no reason to forget it: else there would be ever more."""
    orders.say("linger")
    for _ in range(4):
        pending = [client.manager.start("FindPoolSources", "fs", {}, {}) for _ in range(4)]
        for p in pending:
            with refused("Inaccessible"):
                p.wait()
    assert len(client.objects()) == 0
    with refused("LimitsExceeded") as e:
        client.manager.FindPoolSources("fs", {})
    assert "16" in e.text
    orders.unsay("linger")

    def ended():
        with refused("Failed", "LimitsExceeded") as e:
            client.manager.FindPoolSources("fs", {})
        return e.name.endswith(".Failed")
    wait_until(ended, what="their end")
