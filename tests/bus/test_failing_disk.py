# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk is pulled, or hangs, while a volume is made on it: its pool says so, and everybody else is served."""

import os
import subprocess
import threading
import time

import pytest
from gi.repository import GLib

from client import PROPERTIES, error_text, full_name, iterate, refused
from harness import wait_until
from pullable import MIB, PullableDisk, has_loop_devices

pytestmark = [pytest.mark.private, pytest.mark.skipif(not has_loop_devices(), reason="no loop devices here")]

# Longer than the disk hangs.
VERB_TIMEOUT = 30
ANSWERS = 200


@pytest.fixture
def disk():
    made = PullableDisk(256 * MIB)
    yield made
    made.close()


@pytest.fixture
def two(world, disk):
    """A service with two pools: one on the disk, one to be served."""
    daemon = world.daemon("--verb-timeout", str(VERB_TIMEOUT))
    service = world.client(daemon)
    served = service.make_pool("served", world.folder())
    service.make_volume(served, "volume")
    path, _ = service.manager.DefinePool("tank", "fs", {"source-devices": [disk.node], "source-format": "ext4",
                                                        "target-path": world.folder()}, {"build": True, "start": True})
    return daemon, service, served, service.pool(path)


class Asker(threading.Thread):
    """Another client, which reads and lists what has nothing to do with the disk."""

    def __init__(self, daemon, served):
        super().__init__()
        self.connection = daemon.bus.connect()
        self.pool = served.path
        self.answers = 0
        self.ending = False
        self.start()

    def ask(self, path, interface, method, signature, *args):
        self.connection.call_sync("org.example.Storage1", path, interface, method, GLib.Variant(signature, args), None,
                                  0, 120000, None)
        self.answers += 1

    def run(self):
        while not self.ending:
            self.ask("/org/example/Storage1", PROPERTIES, "Get", "(ss)", full_name("Manager"), "Version")
            self.ask(self.pool, full_name("Pool"), "ListVolumes", "(a{sv})", {})
            time.sleep(0.002)

    def finish(self):
        self.ending = True
        self.join()


def wait_until_it_writes(tank):
    folder = tank.get("TargetPath")

    def writes():
        iterate()
        return any(entry.stat().st_blocks > 0 for entry in os.scandir(folder) if entry.name.startswith(".storaged-new-"))
    wait_until(writes, what="the first blocks")


def begin_to_fill(tank):
    """A create that is writing."""
    pending = tank.start("CreateVolume", "big", 200 * MIB, {"preallocation": "full", "wait": 300_000_000}, timeout=300)
    wait_until_it_writes(tank)
    assert not pending.done
    return pending


def served_meanwhile(daemon, service, served, act):
    """Runs act, after which others are answered although the disk does not come back."""
    asker = Asker(daemon, served)
    try:
        act()
        before = asker.answers
        wait_until(lambda: iterate() or asker.answers > before + ANSWERS, 30, "answers to others")
        service.make_volume(served, f"made-{time.monotonic_ns()}")
    finally:
        asker.finish()


@pytest.mark.limit(120)
def test_pulled(two, disk):
    daemon, service, served, tank = two
    pending = begin_to_fill(tank)
    served_meanwhile(daemon, service, served, disk.pull)
    wait_until(lambda: iterate() or pending.done, 30, "the end of the create")
    assert pending.error and "'big'" in error_text(pending.error)
    tank.wait_for("Health", lambda health: health in ("degraded", "inaccessible"), 20)
    assert tank.get("Problems") and tank.get("State") == "active"
    with refused("NotFound", "Inaccessible"):
        tank.GetVolume("big")
    assert served.get("Health") == "ok"
    tank.Stop()
    assert tank.get("State") == "inactive" and not os.path.ismount(tank.get("TargetPath"))


@pytest.mark.limit(180)
def test_hangs_and_comes_back(two, disk):
    daemon, service, served, tank = two
    pending = begin_to_fill(tank)
    served_meanwhile(daemon, service, served, disk.hang)
    assert not pending.done
    with refused("Busy"):
        tank.Stop()
    disk.resume()
    pending.wait(150)
    assert service.volume(tank.GetVolume("big")).get("Allocation") >= 200 * MIB
    assert tank.get("Health") == "ok"
    assert subprocess.run(["cmp", "-n", str(200 * MIB), f"{tank.get('TargetPath')}/big", "/dev/zero"],
                          check=False).returncode == 0


@pytest.mark.limit(180)
def test_cancelled_while_it_hangs(two, disk):
    """The caller is told although the process cannot die; once it can, the pool serves again."""
    daemon, service, served, tank = two
    _, path = tank.CreateVolume("big", 200 * MIB, {"preallocation": "full", "wait": 0})
    job = service.job(path)
    wait_until_it_writes(tank)
    disk.hang()
    served_meanwhile(daemon, service, served, lambda: job.Cancel({}))
    disk.resume()
    wait_until(lambda: job.get("State") in ("cancelled", "failed"), 60, "the end of the create")
    tank.wait_for("Health", "ok", 60)
    with refused("NotFound"):
        tank.GetVolume("big")
    service.make_volume(tank, "after")
