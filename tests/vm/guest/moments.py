# SPDX-License-Identifier: LGPL-2.1-or-later
"""Moments of the service's work, for tests that have something happen right then."""

import contextlib
import subprocess
import threading
from pathlib import Path

from gi.repository import GLib

TIMEOUT = 60


def pool_workers():
    """The processes that look after pools, the one that was started first at the front."""
    found = subprocess.run(["pgrep", "--full", "storaged-worker pool"], capture_output=True, text=True, timeout=TIMEOUT,
                           check=False).stdout
    return [int(pid) for pid in found.split()]


def lvm_command(words):
    """The process by which a pool's worker runs LVM with all of these words; None if there is none."""
    for listing in (path for pid in pool_workers() for path in Path(f"/proc/{pid}/task").glob("*/children")):
        try:
            lines = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in listing.read_text().split()}
        except FileNotFoundError:
            continue
        for child, line in lines.items():
            command = line.split("\0")
            if command[0].endswith("lvm") and set(words.split()) <= set(command):
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
