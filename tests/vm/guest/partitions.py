# SPDX-License-Identifier: LGPL-2.1-or-later
"""The partitions of a disk as the kernel, parted and the service know them. Offsets are in bytes."""

import subprocess
import xml.etree.ElementTree as tree
from pathlib import Path

SECTOR = 512
TIMEOUT = 60


def kernel(disk):
    """{number: (start, end)} of the partitions that the kernel knows."""
    found = {}
    for path in Path("/sys/class/block", Path(disk).name).glob("*/partition"):
        start, size = (int(path.with_name(name).read_text()) for name in ("start", "size"))
        found[int(path.read_text())] = (start * SECTOR, (start + size) * SECTOR)
    return found


def parted(disk):
    """(label, {number: (start, end)}) as parted reads them from the disk itself.

    It opens a disk for writing even to read it, whereupon udev has the kernel drop all partitions and read them
    again, unless it finds the disk locked.
    """
    lines = subprocess.run(["flock", disk, "sh", "-c", 'parted --script --machine "$0" unit B print; sleep 0.5', disk],
                           check=True, capture_output=True, text=True, timeout=TIMEOUT).stdout.splitlines()
    rows = [line.rstrip(";").split(":") for line in lines[2:]]
    label = lines[1].split(":")[5]
    return "dos" if label == "msdos" else label, {int(r[0]): (int(r[1][:-1]), int(r[2][:-1]) + 1) for r in rows}


def extents(service, pool):
    """{name: (start, end)} as GetXML shows them."""
    found = {}
    for path, name, *_rest in pool.ListVolumes({})[0]:
        extent = tree.fromstring(service.volume(path).GetXML({})).find("source/device/extent")
        found[name] = (int(extent.get("start")), int(extent.get("end")))
    return found
