# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moments of the service's work, for tests that have something happen right then."""

import contextlib
import os
import threading
import time
from pathlib import Path

from gi.repository import GLib


def words_of(pid):
    """The command line; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def children_of(pid):
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, listing.read_text().split())
    return found


def pool_workers():
    """The processes that look after pools, the one that was started first at the front."""
    pids = sorted(int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if words_of(pid)[1:2] == ["pool"] and words_of(pid)[0].endswith("storaged-worker")]


def lvm_command(words):
    """The process by which a pool's worker runs LVM with all of these words; None if there is none.

    It is there for half a second only: to look for it must not take a process that would run as long on a busy machine.
    """
    for child in (child for pid in pool_workers() for child in children_of(pid)):
        command = words_of(child)
        if command and command[0].endswith("lvm") and set(words.split()) <= set(command):
            return child
    return None


@contextlib.contextmanager
def answered(service):
    """What others ask is answered before this is over, not after it."""
    over, answers, failures = threading.Event(), [], []

    def ask():
        while not over.is_set():
            try:
                answers.append(service.manager.get("Version"))
            except GLib.Error as error:
                failures.append(error)
            over.wait(0.05)
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        n = len(answers)
        over.set()
        asking.join()
    assert n > 0 and not failures, failures


def cut_off(daemon, rng, begin, settled, number=6):
    """Begins a job, and kills the data worker, the pool's, the service, or all, at any moment of it."""
    seconds = 0
    for i in range(number):
        began = time.monotonic()
        pending = begin(i)
        if i > 0:
            time.sleep(rng.random() * seconds)
            for pid in daemon.workers("data" if i % 4 == 1 else "pool") if i % 4 != 3 else []:
                with contextlib.suppress(ProcessLookupError):  # it was done by then
                    os.kill(pid, 9)
            if i % 4 >= 2:
                daemon.kill()
                daemon.start()
        try:
            pending.wait(120)
        except GLib.Error as error:
            assert i > 0, error
        seconds = seconds or time.monotonic() - began
        settled()
