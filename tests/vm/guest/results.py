# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results as lines of JSON, which the host prints as they come in; also a pytest plugin that writes them.

A process that a test starts (pytest over other tests) loads it by `-p results` too.
"""

import json
import os
from pathlib import Path

RESULTS = Path("/srv/out/results.jsonl")
DETAIL = 20000
# The environment's name for the test file that runs: what failed runs again through it.
FILE = "STORAGED_VM_FILE"

_seconds = 0.0


def write(test, outcome, seconds, detail, log=""):
    """Adds a result: outcome is passed, failed or skipped; detail says why; log is what else may help."""
    line = json.dumps({"test": test, "outcome": outcome, "seconds": round(seconds, 3), "detail": detail[-DETAIL:],
                       "log": log[-DETAIL:], "file": os.environ.get(FILE, "")})
    with open(RESULTS, "a") as out:
        out.write(line + "\n")


def failures():
    """How many results of this run so far are failures."""
    if not RESULTS.exists():
        return 0
    return sum(json.loads(line)["outcome"] == "failed" for line in RESULTS.read_text().splitlines())


def pytest_runtest_logreport(report):
    """One line a test: its call, or the set-up or the end of it if these did not pass."""
    global _seconds
    _seconds = report.duration + (_seconds if report.when != "setup" else 0)
    if report.when == "call" or report.outcome != "passed":
        detail = "" if report.passed else report.longreprtext
        if report.skipped and isinstance(report.longrepr, tuple):
            detail = report.longrepr[2]
        log = "".join(f"\n--- {title}\n{text}" for title, text in report.sections if report.failed)
        name = report.nodeid + (" (teardown)" if report.when == "teardown" else "")
        write(name, report.outcome, _seconds, detail, log)


def pytest_collectreport(report):
    """A file that cannot be imported is a failure of its own."""
    if report.failed:
        write(report.nodeid, "failed", 0, report.longreprtext)
