# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at hundreds of random moments: what was acknowledged is there, nothing is ever half there."""

import json
import os
import random
import subprocess
import time

import pytest
from gi.repository import GLib

from client import MIB, error_name, iterate
from harness import SLOWNESS, wait_until

pytestmark = pytest.mark.private

# Rounds follow the machine: as many as fit into the time, but never fewer than the least.
SECONDS = float(os.environ.get("STORAGED_TEST_CRASH_SECONDS", "22"))
LEAST = 130
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))

FORMATS = {"raw": {}, "full": {"preallocation": "full"}, "qcow2": {"format": "qcow2"},
           "part": {"allocation": MIB // 2}}
SIZE = 2 * MIB


class Expectation:
    """What must be, must not be, and may be or not, by name."""

    def __init__(self):
        self.there, self.gone, self.open = set(), set(), set()

    def begun(self, name):
        self.there.discard(name)
        self.gone.discard(name)
        self.open.add(name)

    def made(self, name):
        self.open.discard(name)
        self.there.add(name)

    def removed(self, name):
        self.there.discard(name)
        self.open.discard(name)
        self.gone.add(name)

    def check(self, found, what):
        found = set(found)
        assert not self.there - found, f"{what} lost that were acknowledged: {self.there - found} (seed {SEED})"
        assert not self.gone & found, f"{what} back that were deleted: {self.gone & found} (seed {SEED})"
        assert not found - self.there - self.open, f"{what} from nowhere: {found} (seed {SEED})"
        self.there, self.gone, self.open = found, set(), set()


class Calls:
    """Calls under way, each with what to note when it is answered."""

    def __init__(self):
        self.list = []
        self.failures = []

    def add(self, pending, note):
        self.list.append((pending, note))

    def look(self):
        iterate()
        rest = []
        for pending, note in self.list:
            if not pending.done:
                rest.append((pending, note))
            elif pending.error is None:
                note()
            else:
                self.failures.append(error_name(pending.error))
        self.list = rest

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.list:
            self.look()
            time.sleep(0.0003)
        self.look()


def assert_whole(folder, properties):
    """A volume that is shown is complete."""
    name, path = properties["Name"], properties["Path"]
    kind = name.split("-")[0]
    if kind == "qcow2":
        result = subprocess.run(["qemu-img", "check", "--output=json", path], capture_output=True, check=False)
        assert result.returncode == 0, (name, result.stderr, SEED)
        assert properties["Format"] == "qcow2" and properties["Capacity"] == SIZE
    else:
        st = os.stat(f"{folder}/{name}")
        assert st.st_size == SIZE == properties["Capacity"], (name, SEED)
        least = {"full": SIZE, "part": MIB // 2}.get(kind, 0)
        assert st.st_blocks * 512 >= least, (name, SEED)


def unfinished(folder):
    return [name for name in os.listdir(folder) if name.startswith(".storaged-new-")]


class Storm:
    """Random creates and deletes in one pool, defines and undefines beside it."""

    def __init__(self, rng, folder, target):
        self.rng, self.folder, self.target = rng, folder, target
        self.volumes, self.pools = Expectation(), Expectation()
        self.count = 0

    def volume_calls(self, service, pool, calls, number):
        names = sorted(self.volumes.there)
        for _ in range(number):
            if names and self.rng.random() < 0.45:
                name = names.pop(self.rng.randrange(len(names)))
                self.volumes.begun(name)
                path = f"{pool.get('Volumes')}/{self.path_of[name]}"
                pending = service.volume(path).start("Delete", {})
                calls.add(pending, lambda n=name: self.volumes.removed(n))
            else:
                self.count += 1
                kind = self.rng.choice(list(FORMATS))
                name = f"{kind}-{self.count}"
                self.volumes.begun(name)
                pending = pool.start("CreateVolume", name, SIZE, FORMATS[kind])
                calls.add(pending, lambda n=name: self.volumes.made(n))

    def pool_calls(self, service, calls, number):
        names = sorted(self.pools.there)
        for _ in range(number):
            if names and self.rng.random() < 0.45:
                name = names.pop()
                self.pools.begun(name)
                path = service.manager.GetPoolByName(name)
                pending = service.pool(path).start("Undefine", {})
                calls.add(pending, lambda n=name: self.pools.removed(n))
            else:
                self.count += 1
                name = f"pool-{self.count}"
                self.pools.begun(name)
                pending = service.manager.start("DefinePool", name, "dir", {"target-path": f"{self.target}/{name}"},
                                                {"autostart": self.rng.random() < 0.3})
                calls.add(pending, lambda n=name: self.pools.made(n))

    def check(self, service, pool, deep):
        wait_until(lambda: not unfinished(self.folder), 10, f"the end of half-made volumes (seed {SEED})")
        shown = {}
        for row in pool.ListVolumes()[0]:
            shown[row[1]] = row[0]
        self.path_of = {name: path.rsplit("/", 1)[1] for name, path in shown.items()}
        self.volumes.check(shown, "volumes")
        assert set(shown) == set(os.listdir(self.folder)), f"shown is not what is there (seed {SEED})"
        self.pools.check({row[1] for row in service.manager.ListPools()} - {"p"}, "pools")
        if deep:
            for properties in service.volumes(pool).values():
                assert_whole(self.folder, properties)

    def thin_out(self, service, pool):
        """So that the folder does not grow without end."""
        if len(self.path_of) > 30:
            for name in list(self.path_of)[:20]:
                service.volume(pool.GetVolume(name)).Delete()
                self.volumes.removed(name)
            self.volumes.gone.clear()


@pytest.mark.limit(150)
def test_daemon_is_killed(world, daemon, service, pool, folder):
    rng = random.Random(SEED)
    storm = Storm(rng, folder, world.folder())
    storm.check(service, pool, False)
    end = time.monotonic() + SECONDS * SLOWNESS / 2
    rounds = 0
    while time.monotonic() < end or rounds < LEAST:
        calls = Calls()
        storm.volume_calls(service, pool, calls, rng.randint(1, 4))
        storm.pool_calls(service, calls, rng.randint(0, 3))
        calls.run(rng.random() ** 2 * 0.08)
        daemon.kill()
        calls.run(5)
        assert not calls.list, "a call was left without an answer"
        daemon.start()
        service.connection.close_sync(None)  # a bus lets one user have some 250
        service = world.client(daemon)
        pool = service.pool(pool.path)
        storm.check(service, pool, rounds % 10 == 0)
        storm.thin_out(service, pool)
        rounds += 1
    storm.check(service, pool, True)
    definitions = {f[:-4] for f in os.listdir(daemon.config_dir + "/pools") if f.endswith(".xml")}
    assert definitions == storm.pools.there | {"p"}
    leftovers = [f for f in os.listdir(daemon.config_dir + "/pools") if not f.endswith(".xml")]
    assert len(leftovers) == 0, leftovers
    wait_until(lambda: not intents(daemon), what="no intent to be left")
    print(json.dumps({"rounds": rounds, "volumes": len(storm.volumes.there), "seed": SEED}))


def intents(daemon):
    folder = daemon.state_dir + "/intents"
    return os.listdir(folder) if os.path.isdir(folder) else []


def works(service, pool):
    """A death that nobody has noticed yet costs the next caller an error."""
    try:
        service.make_volume(pool, "probe", 4096).Delete()
    except GLib.Error as error:
        assert error_name(error).endswith((".Failed", ".Interrupted", ".Inaccessible", ".Exists")), error.message
        if error_name(error).endswith(".Exists"):
            service.volume(pool.GetVolume("probe")).Delete()
        return False
    return True


@pytest.mark.limit(150)
def test_worker_is_killed(world, daemon, service, pool, folder):
    """A worker's death is one error for who waits for it, and no more."""
    rng = random.Random(SEED + 1)
    storm = Storm(rng, folder, world.folder())
    storm.check(service, pool, False)
    end = time.monotonic() + SECONDS * SLOWNESS / 2
    rounds = failures = 0
    while time.monotonic() < end or rounds < LEAST:
        calls = Calls()
        storm.volume_calls(service, pool, calls, rng.randint(1, 4))
        calls.run(rng.random() ** 2 * 0.05)
        victims = list(daemon.workers("data")) + list(daemon.workers("pool"))
        if victims:
            try:
                os.kill(rng.choice(victims), 9)
            except ProcessLookupError:
                pass
        calls.run(20 * SLOWNESS)
        assert not calls.list, "a call was left without an answer"
        assert len(calls.failures) <= 4
        failures += len(calls.failures)
        wait_until(lambda: works(service, pool), 15, f"the pool to go on by itself (seed {SEED})")
        storm.check(service, pool, rounds % 10 == 0)
        storm.thin_out(service, pool)
        rounds += 1
    storm.check(service, pool, True)
    assert daemon.process.poll() is None and failures > 0
    wait_until(lambda: not intents(daemon), what="no intent to be left")
    print(json.dumps({"rounds": rounds, "failures": failures, "seed": SEED}))


def test_store_worker_is_killed(world, daemon, service):
    """The one that writes definitions: an error at most, then it is there again."""
    for i in range(10):
        for pid in daemon.workers("store"):
            os.kill(pid, 9)
        try:
            service.manager.DefinePool(f"a{i}", "dir", {"target-path": f"/nonexistent/a{i}"})
        except GLib.Error as error:
            assert error_name(error).startswith("org.example.Storage1.Error."), error
        service.manager.DefinePool(f"b{i}", "dir", {"target-path": f"/nonexistent/b{i}"})
    names = {row[1] for row in service.manager.ListPools()}
    assert {f"b{i}" for i in range(10)} <= names
    daemon.kill()
    daemon.start()
    assert {row[1] for row in world.client(daemon).manager.ListPools()} == names


def test_kill_all_at_once(world, daemon, service, pool, folder):
    """A power cut, nearly: the service and all that belongs to it at the same moment."""
    for round_number in range(20):
        pending = [pool.start("CreateVolume", f"full-{round_number}-{i}", SIZE, {"preallocation": "full"})
                   for i in range(3)]
        time.sleep(random.random() * 0.05)
        for pid in [daemon.pid(), *daemon.workers()]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        daemon.kill()
        iterate()
        acknowledged = {f"full-{round_number}-{i}" for i, p in enumerate(pending) if p.done and not p.error}
        daemon.start()
        service.connection.close_sync(None)  # a bus lets one user have some 250
        service = world.client(daemon)
        pool = service.pool(pool.path)
        wait_until(lambda: not unfinished(folder), 10, "the end of half-made volumes")
        assert acknowledged <= {row[1] for row in pool.ListVolumes()[0]}
        for properties in service.volumes(pool).values():
            assert_whole(folder, properties)
