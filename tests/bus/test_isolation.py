# SPDX-License-Identifier: LGPL-2.1-or-later
"""What hangs or dies costs its own pool one error, and nobody else anything."""

import os
import signal
import statistics
import subprocess
import threading
import time

import pytest
from gi.repository import GLib

from client import PROPERTIES, error_name, full_name, iterate_until
from harness import SLOWNESS, wait_until

pytestmark = pytest.mark.private

VERB_TIMEOUT = 2
FLOOD = 100_000


def p99(values):
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else values[0]


class Prober(threading.Thread):
    """A client of its own, which reads a property again and again and notes how long each answer took."""

    def __init__(self, world, daemon, pool_path):
        super().__init__()
        self.connection = daemon.bus.connect()
        self.path = pool_path
        self.times = []
        self.ending = False

    def run(self):
        arguments = GLib.Variant("(ss)", (full_name("Pool"), "State"))
        while not self.ending:
            start = time.perf_counter()
            self.connection.call_sync("org.example.Storage1", self.path, PROPERTIES, "Get", arguments, None, 0,
                                      60000, None)
            self.times.append(time.perf_counter() - start)
            time.sleep(0.002)

    def finish(self):
        self.ending = True
        self.join()
        return p99(self.times)


def quiet_p99(world, daemon, pool):
    prober = Prober(world, daemon, pool.path)
    prober.start()
    time.sleep(1)
    return prober.finish()


def bound(quiet):
    """Generous: other work on the machine must not fail the test. The bench measures exactly."""
    return max(10 * quiet, 0.05) * SLOWNESS


@pytest.fixture
def two(world):
    """A service with a short deadline, and two pools: one to suffer, one to be served."""
    daemon = world.daemon("--verb-timeout", str(VERB_TIMEOUT))
    service = world.client(daemon)
    served = service.make_pool("served", world.folder())
    known = set(daemon.workers("pool"))
    sick = service.make_pool("sick", world.folder())
    worker = (set(daemon.workers("pool")) - known).pop()
    return daemon, service, served, sick, worker


def test_stopped_worker(world, two):
    daemon, service, served, sick, worker = two
    quiet = quiet_p99(world, daemon, served)
    prober = Prober(world, daemon, served.path)
    os.kill(worker, signal.SIGSTOP)
    prober.start()
    pending = sick.start("CreateVolume", "v", 4096, {})
    times = []
    while not pending.done:
        start = time.monotonic()
        service.make_volume(served, "x", 4096).Delete()
        times.append(time.monotonic() - start)
        iterate_until(lambda: True)
        assert time.monotonic() - pending.started < 20 * SLOWNESS, "no deadline ended the call"
    busy = prober.finish()
    assert pending.error and error_name(pending.error).endswith((".Timeout", ".Inaccessible")), pending.error
    assert VERB_TIMEOUT * 0.7 <= pending.seconds < (VERB_TIMEOUT + 6) * SLOWNESS
    assert busy < bound(quiet), f"p99 {busy * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms"
    assert max(times) < 1 * SLOWNESS, "another pool's creates waited"
    assert prober.times and len(times) > 5
    # The worker is replaced, and the pool goes on.
    wait_until(lambda: not os.path.exists(f"/proc/{worker}"), 20, "the end of the stopped worker")

    def works():
        try:
            return service.make_volume(sick, "again", 4096)
        except GLib.Error as error:
            assert error_name(error).endswith((".Inaccessible", ".Timeout", ".Busy")), error.message
            time.sleep(0.1)
            return None
    wait_until(works, 30, "the pool to work again").Delete()
    sick.wait_for("Health", "ok", 20)
    assert service.volumes(sick) == {}


def test_state_of_a_sick_pool_can_be_read(two):
    _daemon, service, _served, sick, worker = two
    service.make_volume(sick, "v", 4096)
    os.kill(worker, signal.SIGSTOP)
    try:
        start = time.monotonic()
        assert sick.get("State") == "active" and "v" in service.volumes(sick)
        sick.ListVolumes()
        sick.GetXML()
        service.manager.ListPools()
        assert time.monotonic() - start < 1 * SLOWNESS
    finally:
        os.kill(worker, signal.SIGCONT)
    service.make_volume(sick, "w", 4096)


def test_short_stop_is_forgiven(two):
    """A worker that hangs for less than the deadline goes on as if nothing had been."""
    daemon, service, _served, sick, worker = two
    os.kill(worker, signal.SIGSTOP)
    pending = sick.start("CreateVolume", "v", 4096, {})
    time.sleep(0.5)
    os.kill(worker, signal.SIGCONT)
    pending.wait()
    assert worker in daemon.workers("pool") and "v" in service.volumes(sick)


def test_idle_worker_is_killed(two):
    """Nobody even calls: the pool goes on by itself, and live updates with it."""
    daemon, service, _served, sick, worker = two
    folder = sick.get("TargetPath")
    service.make_volume(sick, "before", 4096)
    os.kill(worker, signal.SIGKILL)
    with open(folder + "/meanwhile", "wb") as f:
        f.write(b"x")
    service.wait_volume(sick, "meanwhile", timeout=15)
    with open(folder + "/after", "wb") as f:
        f.write(b"x")
    service.wait_volume(sick, "after")
    assert set(service.volumes(sick)) == {"before", "meanwhile", "after"}
    assert sick.get("State") == "active" and sick.get("Health") == "ok"
    assert worker not in daemon.workers("pool")


def test_killed_in_the_midst_of_a_call(two):
    daemon, service, _served, sick, worker = two
    os.kill(worker, signal.SIGSTOP)
    pending = sick.start("CreateVolume", "v", 4096, {})
    time.sleep(0.2)
    os.kill(worker, signal.SIGKILL)
    iterate_until(lambda: pending.done, 10, "one error")
    if pending.error:
        assert error_name(pending.error).endswith((".Interrupted", ".Failed", ".Inaccessible"))
    service.make_volume(sick, "w", 4096)
    assert "w" in service.volumes(sick) and daemon.process.poll() is None


def test_killed_again_and_again(two):
    """A worker that always dies must not make the service spin."""
    daemon, service, served, sick, _worker = two
    mine = set(daemon.workers("pool"))
    survivor = [pid for pid in mine if pid != _worker][0]
    kills, end = 0, time.monotonic() + 2
    while time.monotonic() < end:
        for pid in set(daemon.workers("pool")) - {survivor}:
            try:
                os.kill(pid, signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    assert kills < 100, "it is started again without a pause"
    service.make_volume(served, "x", 4096)
    sick.wait_for("Health", "ok", 60)

    def works():
        try:
            return service.make_volume(sick, "y", 4096)
        except GLib.Error:
            time.sleep(0.1)
            return None
    wait_until(works, 30, "the pool to work again")


@pytest.mark.limit(150)
def test_others_do_not_feel_a_flood_of_files(world, two):
    daemon, _service, served, sick, _worker = two
    quiet = quiet_p99(world, daemon, served)
    prober = Prober(world, daemon, served.path)
    prober.start()
    script = ("import os,sys\n"
              f"for i in range({FLOOD}): os.close(os.open(f'{{sys.argv[1]}}/v{{i}}', os.O_CREAT|os.O_WRONLY))")
    subprocess.run(["/usr/bin/python3", "-c", script, sick.get("TargetPath")], check=True)
    sick.wait_for("VolumeCount", FLOOD, 60)
    busy = prober.finish()
    print(f"p99 {busy * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms")
    assert busy < bound(quiet), f"p99 {busy * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms"


def test_others_do_not_feel_fsync(world, two):
    """Neighbours that fsync without pause hold up who writes, not who asks; and writes end all the same."""
    daemon, service, served, _sick, _worker = two
    quiet = quiet_p99(world, daemon, served)
    script = "import os,sys; f=os.open(sys.argv[1], os.O_CREAT|os.O_WRONLY)\nwhile os.write(f, b'x'*65536): os.fsync(f)"
    folder = served.get("TargetPath")
    neighbours = [subprocess.Popen(["/usr/bin/python3", "-c", script, f"{world.folder()}/f{i}"]) for i in range(3)]
    prober = Prober(world, daemon, served.path)
    try:
        prober.start()
        service.manager.DefinePool("new", "dir", {"target-path": folder + "/new"}, {"wait": 60_000_000}, timeout=60)
        service.make_volume(served, "v", 4096)
        time.sleep(2)
    finally:
        busy = prober.finish()
        for process in neighbours:
            process.kill()
            process.wait()
    print(f"p99 {busy * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms")
    assert busy < bound(quiet), f"p99 {busy * 1000:.1f} ms, quiet {quiet * 1000:.1f} ms"


def test_stop_of_a_hanging_pool(two):
    """Stop is not in the gift of what hangs."""
    _daemon, service, served, sick, worker = two
    os.kill(worker, signal.SIGSTOP)
    pending = sick.start("Stop", {"force": True})
    iterate_until(lambda: pending.done, VERB_TIMEOUT + 10, "an answer to Stop")
    service.make_volume(served, "x", 4096)
    wait_until(lambda: sick.get("State") in ("inactive", "active"), 20, "a state")


def test_no_worker_is_left(world, two):
    """Stopped pools keep no worker, and the service's end leaves none."""
    daemon, _service, served, sick, worker = two
    sick.Stop()
    wait_until(lambda: worker not in daemon.workers("pool"), 20, "the end of a stopped pool's worker")
    served.Stop()
    pids = list(daemon.workers())
    daemon.kill()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 10, "the end of the workers")
    daemon.start()
