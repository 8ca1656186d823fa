# SPDX-License-Identifier: LGPL-2.1-or-later
"""Work that is cut off by SIGKILL at random moments, again and again, until that was in time often enough."""

import os
import signal
import time

from client import error_name, iterate, iterate_until
from harness import SLOWNESS

VICTIMS = ("worker", "daemon", "both")
# Of what is begun, so much may be over before the blow falls.
TRIES = 4


def kill(daemon, victim):
    """The workers of data jobs, the daemon, which is started again, or both."""
    if victim in ("worker", "both"):
        for pid in daemon.workers("data"):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    if victim in ("daemon", "both"):
        daemon.kill()
        daemon.start()


class Killings:
    """Iterate over it for the rounds: it ends when as many as wanted were cut off, and fails if that never comes. Each kind
    of work is done once to its end, to know how long it takes."""

    def __init__(self, daemon, rng, wanted, victims=VICTIMS):
        self.daemon, self.rng, self.wanted, self.victims = daemon, rng, wanted, victims
        self.hits = 0
        self.taken = {}

    def __iter__(self):
        for i in range(TRIES * self.wanted):
            if self.hits >= self.wanted:
                return
            yield i
        assert self.hits >= self.wanted, f"{self.hits} kills were in time, not {self.wanted}; work takes {self.taken}"

    def cut_off(self, kind, pending):
        """The error that the call ended with, or None."""
        iterate_until(lambda: pending.done or self.daemon.workers("data"), 30 * SLOWNESS, "somebody who works")
        begin = time.monotonic()
        if kind in self.taken:
            self.strike(pending, begin + self.rng.random() * self.taken[kind])
        iterate_until(lambda: pending.done, 60, f"the end of {kind}")
        if pending.error is None:
            self.taken[kind] = time.monotonic() - begin
            return None
        self.hits += 1
        assert error_name(pending.error).endswith((".Failed", ".Interrupted", ".NoReply")), pending.error.message
        return pending.error

    def strike(self, pending, when):
        while time.monotonic() < when and not pending.done:
            iterate()
            time.sleep(0.0003)
        kill(self.daemon, self.rng.choice(self.victims))
