# SPDX-License-Identifier: LGPL-2.1-or-later
"""The service goes when it is idle and comes when it is called, and no call is lost between the two."""

import threading
import time

import pytest
from gi.repository import GLib

from client import Service
from harness import NOBODY, SLOWNESS, name_owner, process_exists, wait_until

pytestmark = pytest.mark.private

TINY = "0.02"


@pytest.fixture
def activatable(world):
    return world.daemon("--idle-timeout", TINY, activatable=True)


def gone(daemon):
    return name_owner(daemon.connection) is None


def test_started_by_a_call(world, activatable):
    start = time.monotonic()
    service = world.client(activatable)
    assert service.manager.ListPools() == []
    assert time.monotonic() - start < 5 * SLOWNESS
    assert name_owner(activatable.connection)


def test_exits_when_its_clients_have_left(world, activatable):
    service = world.client(activatable)
    service.manager.ListPools()
    pid = activatable.pid()
    time.sleep(0.5)
    assert activatable.pid() == pid, "it stays while a client that called it is there"
    service.connection.close_sync(None)
    wait_until(lambda: gone(activatable) and not process_exists(pid), what="the service to go")
    assert world.client(activatable).manager.ListPools() == []
    assert activatable.pid() != pid


def test_stays_for_an_active_pool(world, activatable):
    service = world.client(activatable)
    pool = service.make_pool("p", world.folder())
    pid = activatable.pid()
    service.connection.close_sync(None)
    time.sleep(0.5 * SLOWNESS)
    assert activatable.pid() == pid
    service = world.client(activatable)
    service.pool(pool.path).Stop()
    service.connection.close_sync(None)
    wait_until(lambda: gone(activatable), what="the service to go")
    service = world.client(activatable)
    assert service.pool(pool.path).get("State") == "inactive"


def test_stays_for_a_job(world, activatable):
    folder = world.folder()
    service = world.client(activatable)
    pool = service.make_pool("p", folder, build=True)
    job = pool.Stop({"wait": 0})
    assert job != "/"
    pid = activatable.pid()
    assert service.wait_job(job)["State"] == "succeeded"
    assert activatable.pid() == pid


def test_watching_does_not_hold_it(world, activatable):
    """Who only looks at the bus, and never called, is no client."""
    service = world.client(activatable)
    service.manager.ListPools()
    watcher = world.client(activatable).log()
    service.connection.close_sync(None)
    wait_until(lambda: gone(activatable), what="the service to go")
    watcher.close()


def test_no_call_is_lost(world, activatable):
    """Thousands of short connections, at moments when the service is going: each call is answered."""
    failures, counts, pids = [], [], set()
    end = time.monotonic() + 10 * min(SLOWNESS, 2)

    def caller(number):
        count = 0
        while time.monotonic() < end:
            try:
                connection = activatable.bus.connect()
                service = Service(connection)
                service.manager.get("Version")
                service.manager.ListPools()
                pids.add(service.manager.get("InstanceID"))
                connection.close_sync(None)
                count += 1
            except GLib.Error as error:
                failures.append(str(error))
            # About as long as the service waits: many calls come while it is on its way out.
            time.sleep(float(TINY) * (0.9 + (count * 7 + number) % 40 / 40))
        counts.append(count)
    caller(0)
    threads = [threading.Thread(target=caller, args=(i,)) for i in range(1, 3)]
    end = time.monotonic() + 5 * min(SLOWNESS, 2)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, f"{len(failures)} of {sum(counts)} calls failed: {failures[:3]}"
    assert sum(counts) > 50 and len(pids) > 10, (counts, len(pids))


def test_no_change_is_lost(world, activatable):
    """Definitions made by clients that leave at once are all there in the end."""
    for i in range(30):
        client = world.client(activatable)
        client.manager.DefinePool(f"p{i}", "dir", {"target-path": f"/nonexistent/{i}"})
        client.connection.close_sync(None)
        time.sleep(float(TINY) * (0.9 + i % 10 / 10))
    rows = world.client(activatable).manager.ListPools()
    assert len(rows) == 30


def test_denied_callers_do_not_keep_it(world):
    daemon = world.daemon("--idle-timeout", TINY, activatable=True, polkit=True)
    client = world.client(daemon, NOBODY)
    try:
        client.manager.DefinePool("p", "dir", {"target-path": "/x"})
    except GLib.Error as error:
        assert "AccessDenied" in str(error)
    client.connection.close_sync(None)
    wait_until(lambda: gone(daemon), what="the service to go")


def test_session_activation(world):
    daemon = world.daemon("--idle-timeout", TINY, kind="session", activatable=True)
    service = world.client(daemon)
    pool = service.make_pool("p", world.folder())
    service.make_volume(pool, "v", 4096)
    assert list(service.volumes(pool)) == ["v"]
