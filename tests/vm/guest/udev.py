# SPDX-License-Identifier: LGPL-2.1-or-later
"""When the kernel told of changes of block devices, and when udev passed that on."""

import re
import subprocess
import time
from typing import NamedTuple

LINE = re.compile(r"^(KERNEL|UDEV) *\[([\d.]+)\] (\w+) +(\S+)", re.MULTILINE)
TIMEOUT = 30


class Event(NamedTuple):
    by_udev: bool
    time: float  # of time.monotonic()
    action: str
    device: str


class UdevMonitor:
    """Both kinds of events from now on, of all block devices; the file is where they are written meanwhile."""

    def __init__(self, path):
        self._path = path
        with path.open("w") as file:
            self._monitor = subprocess.Popen(["stdbuf", "-oL", "udevadm", "monitor", "--kernel", "--udev",
                                              "--subsystem-match=block"], stdout=file)
        deadline = time.monotonic() + TIMEOUT
        while "KERNEL - " not in path.read_text():
            assert time.monotonic() < deadline, "udevadm monitor does not begin"
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        self._monitor.terminate()
        self._monitor.wait(TIMEOUT)

    def events(self):
        """Those so far, in the order of their arrival."""
        return [Event(who == "UDEV", float(when), action, device.rsplit("/", 1)[1])
                for who, when, action, device in LINE.findall(self._path.read_text())]
