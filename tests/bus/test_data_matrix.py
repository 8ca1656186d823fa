# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every operation that writes data is cut off: by a full disk, by Cancel, by SIGKILL at random moments of the worker, of
the service, and of both. What is there then is the old state or the new one, or a volume that says it is incomplete."""

import collections
import json
import os
import random
import time

import pytest
from gi.repository import GLib

from client import iterate
from data_operations import LARGE, MARKED, NEW, OLD, OPERATIONS, SMALL, Changes, Place, told, was_refused
from harness import SLOWNESS, wait_until

SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))
# How often each operation is cut off in each way.
ROUNDS = int(os.environ.get("STORAGED_TEST_CRASH_ROUNDS", "6" if SLOWNESS <= 2 else "3"))

each = pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)


@pytest.fixture
def rng(request):
    return random.Random(f"{SEED} {request.node.name}")


def wait_answer(pending, timeout=60):
    """The error that it ended with, or None."""
    def look():
        iterate()
        return pending.done
    wait_until(look, timeout, f"an answer (seed {SEED})", 0.001)
    return pending.error


def nothing_half_made(place):
    return not [name for name in os.listdir(place.folder) if name.startswith(".")]


def wait_settled(place):
    wait_until(lambda: nothing_half_made(place), 15, f"the end of half-made volumes (seed {SEED})")


def run_whole(operation, place):
    """Once to the end; how long that takes."""
    operation.prepare(place)
    begin = time.monotonic()
    error = wait_answer(operation.start(place))
    taken = time.monotonic() - begin
    assert error is None, told(error)
    assert operation.state(place) == NEW
    operation.clean(place)
    return taken


def fill(folder, leave):
    """Takes all space of a file system but so much; the path of the file that has it."""
    path = folder + "/filler"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with open(path, "wb") as f:
        os.posix_fallocate(f.fileno(), 0, max(1, free - leave))
    return path


@pytest.mark.parametrize("kind", [k for k in OPERATIONS if k.needs_space], ids=lambda kind: kind.__name__)
def test_full_disk(world, service, rng, kind):
    """NoSpace, and nothing is left of what was begun."""
    folder = world.tmpfs("96m")
    place = Place(world, service, folder)
    operation = kind(rng, 4 * SMALL)
    operation.prepare(place)
    fill(folder, SMALL)
    place.volume("filler")
    before, free = place.names(), os.statvfs(folder).f_bfree
    error = wait_answer(operation.start(place))
    assert was_refused(error, "NoSpace"), told(error)
    wait_settled(place)
    assert place.names() == before
    if isinstance(operation, Changes):
        assert operation.state(place) in (OLD, MARKED)
    else:
        assert operation.state(place) == OLD
        # Another process lets go of it last: what is on its way to a disk that hangs could hold the service.
        wait_until(lambda: os.statvfs(folder).f_bfree == free, 10, "the space to be free again")


def cancel(service, operation, place, after):
    """Begins it, and gives it up after a while; how the job ended."""
    pending = operation.start(place, wait=0)
    assert wait_answer(pending) is None
    job = service.job(pending.result[-1])
    time.sleep(after)
    begin = time.monotonic()
    try:
        job.Cancel()
    except GLib.Error as error:
        assert was_refused(error, "Unsupported") and job.get("State") == "succeeded", told(error)
    ended = service.wait_job(job.path)
    assert time.monotonic() - begin < 2 * SLOWNESS
    return ended


@each
def test_cancel(world, service, folder, rng, kind):
    """It ends soon, whenever it comes, and leaves nothing behind."""
    place = Place(world, service, folder)
    operation = kind(rng, LARGE)
    taken = run_whole(operation, place)
    states = []
    for part in (0, rng.random()):
        operation.prepare(place)
        before = place.names()
        ended = cancel(service, operation, place, part * taken)
        states.append(ended["State"])
        if ended["State"] == "succeeded":
            assert operation.state(place) == NEW
        else:
            assert ended["State"] == "cancelled" and ended["ErrorName"].endswith(".Cancelled"), ended
            assert operation.state(place) in ((OLD, MARKED) if isinstance(operation, Changes) else (OLD,))
            wait_settled(place)
            assert place.names() == before
        operation.clean(place)
    print(json.dumps({"states": states, "seed": SEED}))


def victims(daemon, who):
    workers = list(daemon.workers("data")) or list(daemon.workers("pool"))
    return {"worker": workers, "service": [daemon.pid()], "both": [daemon.pid(), *daemon.workers()]}[who]


def kill(daemon, who):
    for pid in victims(daemon, who):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    if who != "worker":
        daemon.kill()


def works(place):
    """A death that nobody has noticed yet costs the next caller an error."""
    try:
        place.pool.Refresh()
    except Exception as error:  # pylint: disable=broad-exception-caught
        assert was_refused(error, "Failed", "Interrupted", "Inaccessible"), told(error)
        return False
    return True


def cut_off(daemon, place, operation, who, after):
    """What state it is in after somebody was killed, and whether it was told to be done."""
    operation.prepare(place)
    pending = operation.start(place)
    begin = time.monotonic()
    while time.monotonic() - begin < after and not pending.done:
        iterate()
        time.sleep(0.0003)
    kill(daemon, who)
    error = wait_answer(pending)
    if who != "worker":
        daemon.start()
        place.reconnect(daemon)
    wait_settled(place)
    wait_until(lambda: works(place), 15, f"the pool to go on (seed {SEED})")
    return operation.state(place), error is None


@pytest.mark.private
@pytest.mark.limit(120)
@each
@pytest.mark.parametrize("who", ["worker", "service", "both"])
def test_sigkill(world, daemon, service, folder, rng, kind, who):
    place = Place(world, service, folder)
    operation = kind(rng, SMALL)
    taken = max(run_whole(operation, place) for _ in range(2))
    allowed = (OLD, NEW, MARKED) if isinstance(operation, Changes) else (OLD, NEW)
    states, hits = collections.Counter(), 0
    for i in range(4 * ROUNDS):
        if i >= ROUNDS and hits > 0:
            break
        state, acknowledged = cut_off(daemon, place, operation, who, rng.random() * taken * 1.1)
        assert state in ((NEW,) if acknowledged else allowed), f"{state}, seed {SEED}"
        operation.clean(place)
        states[state] += 1
        hits += not acknowledged
    assert hits > 0, f"no kill was in time, seed {SEED}"
    print(json.dumps({"states": states, "hits": hits, "seed": SEED}))
