# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's side of tests/bench/run-vm: runs the measures."""

import json
import os
import platform
import signal
import subprocess
import time
import traceback
from pathlib import Path

import lab as laboratory
import libvirt
import results
from lines import Lines, say
from live import measure_live, measure_others
from many import measure_many, measure_start
from volumes import measure_partitions, measure_volumes

OUT = Path("/srv/out")
# So long one measure may take; all of them have the limit of measure.sh.
LIMIT = 1200
# The last one leaves hundreds of volumes.
MEASURES = {
    "volumes": measure_volumes,
    "partitions": measure_partitions,
    "live": measure_live,
    "others": measure_others,
    "start": measure_start,
    "many": measure_many,
}


def late(_number, _frame):
    raise TimeoutError(f"it took more than {LIMIT} s")


class KeptLines(Lines):
    """Lines that are on the host as soon as they are there, with what could not be measured."""

    def __init__(self):
        super().__init__()
        self.failed = []
        version = subprocess.run(["libvirtd", "--version"], capture_output=True, text=True, check=True).stdout
        self.about = {"kernel": platform.release(), "cpus": os.cpu_count(), "libvirt": version.split()[-1]}

    def add(self, *args, **more):
        super().add(*args, **more)
        self.write()

    def write(self):
        new = OUT / "bench.new"
        new.write_text(json.dumps({"lines": self.all, "failed": self.failed, "about": self.about}))
        new.rename(OUT / "bench.json")


def measure(lab, name, lines):
    """What it measured until it failed, if it does, is kept."""
    say(f"{name}…")
    begin = time.monotonic()
    outcome, detail = "passed", ""
    signal.alarm(LIMIT)
    try:
        lab.clean()
        MEASURES[name](lab, lines)
    except Exception as error:  # a measure that fails must not take the others with it
        outcome, detail = "failed", f"{traceback.format_exc()}\n{lab.daemon.log()[-2000:]}"
        lines.failed.append(f"{name}: {error}")
    finally:
        signal.alarm(0)
    lines.write()
    results.write(name, outcome, time.monotonic() - begin, detail)


def main():
    options = json.loads((OUT / "bench-options.json").read_text())
    signal.signal(signal.SIGALRM, late)
    lines = KeptLines()
    with libvirt.running() as virsh:
        lab = laboratory.Lab(laboratory.QUICK if options["quick"] else laboratory.Size(), virsh)
        for name in MEASURES:
            if name in options["only"]:
                measure(lab, name, lines)


if __name__ == "__main__":
    main()
