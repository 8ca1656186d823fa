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
# So long all of them may take, less than the limit of measure.sh; each has its share of what is left.
LIMIT = 800
# With the number of comparisons that share the time of one. The last one leaves hundreds of volumes.
MEASURES = {
    "volumes": (measure_volumes, 4),
    "partitions": (measure_partitions, 1),
    "live": (measure_live, 4),
    "others": (measure_others, 1),
    "start": (measure_start, 1),
    "many": (measure_many, 3),
}


def late(_number, _frame):
    raise TimeoutError("it took more than its share of the time")


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


def measure(lab, name, lines, seconds):
    """What it measured until it failed, if it does, is kept."""
    say(f"{name}…")
    begin = time.monotonic()
    outcome, detail = "passed", ""
    function, parts = MEASURES[name]
    lab.share(seconds, parts)
    signal.alarm(int(seconds))
    try:
        lab.clean()
        function(lab, lines)
    except Exception as error:  # a measure that fails must not take the others with it
        outcome, detail = "failed", f"{traceback.format_exc()}\n{lab.daemon.log()[-2000:]}"
        lines.failed.append(f"{name}: {error}")
    finally:
        signal.alarm(0)
    lines.write()
    results.write(name, outcome, time.monotonic() - begin, detail)


def main():
    end = time.monotonic() + LIMIT
    options = json.loads((OUT / "bench-options.json").read_text())
    signal.signal(signal.SIGALRM, late)
    lines = KeptLines()
    with libvirt.running() as virsh:
        lab = laboratory.Lab(laboratory.QUICK if options["quick"] else laboratory.Size(), virsh)
        names = [name for name in MEASURES if name in options["only"]]
        for number, name in enumerate(names):
            measure(lab, name, lines, max(1, (end - time.monotonic()) / (len(names) - number)))


if __name__ == "__main__":
    main()
