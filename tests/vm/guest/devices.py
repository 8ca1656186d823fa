# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks and logical volumes, as the machine's own tools see and make them."""

import json
import os
import subprocess
from pathlib import Path

MIB = 1 << 20
TIMEOUT = 120


def run(*argv):
    """The output of a command, which must succeed."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout


def dirty(disk):
    """A disk, on the first 160 MiB of which nothing is zero, and which nobody takes for anything."""
    with open(disk, "r+b", buffering=0) as f:
        ones = b"\xff" * MIB
        for _ in range(160):
            f.write(ones)
        os.fsync(f.fileno())
    subprocess.run(["wipefs", "-aq", disk], check=False, timeout=60)


def lvs(*fields):
    """{name: [the fields]} of the group vg0."""
    out = run("lvs", "--noheadings", "--separator", "|", "-o", ",".join(("lv_name", *fields)), "vg0")
    rows = [[word.strip() for word in line.split("|")] for line in out.splitlines()]
    return {row[0]: row[1:] for row in rows}


def partitions(disk):
    """{name: (start, end)} as the table on the disk says, and the kernel has no others."""
    rows = json.loads(run("flock", disk, "sfdisk", "--json", disk))["partitiontable"].get("partitions", [])
    known = {p.parent.name for p in Path("/sys/class/block", Path(disk).name).glob("*/partition")}
    assert known == {Path(row["node"]).name for row in rows}
    return {Path(row["node"]).name: (row["start"], row["size"]) for row in rows}


def make_disk_pool(service, disk, kind):
    """A running pool called disk on a new table of that kind."""
    path, _ = service.manager.DefinePool("disk", "disk", {"source-devices": [disk], "source-format": kind, "target-path": "/dev"},
                                         {"build": True, "start": True, "wait": 60_000_000})
    return service.pool(path)
