# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's side of tests/bench/run-vm: runs the measures, and writes after each what there is until then."""

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


def write(lines, failed, about):
    new = OUT / "bench.new"
    new.write_text(json.dumps({"lines": lines.all, "failed": failed, "about": about}))
    new.rename(OUT / "bench.json")


def measure(lab, name, lines):
    """Why it failed, or None. What it measured until then is kept."""
    say(f"{name}…")
    begin = time.monotonic()
    signal.alarm(LIMIT)
    try:
        lab.clean()
        MEASURES[name](lab, lines)
        outcome, detail = "passed", ""
    except Exception as error:  # a measure that fails must not take the others with it
        outcome, detail = "failed", f"{traceback.format_exc()}\n{lab.daemon.log()[-2000:]}"
        failed = f"{name}: {error}"
    finally:
        signal.alarm(0)
    results.write(name, outcome, time.monotonic() - begin, detail)
    return failed if outcome == "failed" else None


def main():
    options = json.loads((OUT / "bench-options.json").read_text())
    size = laboratory.QUICK if options["quick"] else laboratory.Size()
    signal.signal(signal.SIGALRM, late)
    version = subprocess.run(["libvirtd", "--version"], capture_output=True, text=True, check=False).stdout.split()[-1]
    about = {"kernel": platform.release(), "cpus": os.cpu_count(), "libvirt": version}
    lines, failed = Lines(), []
    with libvirt.running() as virsh:
        lab = laboratory.Lab(size, virsh)
        for name in MEASURES:
            if name in options["only"]:
                why = measure(lab, name, lines)
                failed += [why] if why else []
                write(lines, failed, about)


if __name__ == "__main__":
    main()
