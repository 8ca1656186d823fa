# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl monitor."""

import json
import os
import re
import signal
import time

import harness
from helpers import start_job


class Monitor:
    """A monitor that has subscribed."""

    def __init__(self, tool, *args):
        self.process = tool.start("monitor", *args)
        assert self.process.stderr.readline() == "Watching org.example.Storage1; Ctrl-C ends it.\n"

    def line(self, pattern):
        """The first line that matches."""
        for line in self.process.stdout:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line like {pattern}")

    def event(self, **wanted):
        """The first object with these members."""
        for line in self.process.stdout:
            o = json.loads(line)
            if all(o[k] == v for k, v in wanted.items()):
                return o
        raise AssertionError(f"no event like {wanted}")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=10 * harness.SLOWNESS)
        return self.process.returncode


def test_monitor_tells_what_happens(tool, pool, folder):
    monitor = Monitor(tool)
    tool.ok("volume", "create", pool, "v.raw", "1G")
    added = monitor.line(r"volume +added +images/v\.raw")
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  volume   added      images/v\.raw  ", added)
    assert "Format=raw" in added and "Capacity=1.00 GiB" in added
    tool.ok("volume", "resize", pool, "v.raw", "2G")
    assert "Capacity=2.00 GiB" in monitor.line(r"volume +changed +images/v\.raw")
    os.unlink(f"{folder}/v.raw")
    monitor.line(r"volume +removed +images/v\.raw$")
    tool.ok("pool", "stop", pool)
    monitor.line(r"pool +changed +images .*State=inactive")
    tool.ok("pool", "undefine", pool)
    monitor.line(r"pool +removed +images$")
    assert monitor.end() == 0


def test_monitor_as_json(tool, pool, folder):
    monitor = Monitor(tool, "--json")
    before = time.time()
    with open(f"{folder}/dropped in", "wb") as f:
        f.truncate(4096)
    event = monitor.event(Kind="volume", Event="added")
    assert event["Name"] == "images/dropped in" and event["Properties"]["Path"] == f"{folder}/dropped in"
    assert before - 1 < event["Time"] / 1e6 < time.time() + 1
    path = start_job(tool)
    assert monitor.event(Kind="job", Event="added", ObjectPath=path)["Properties"]["Operation"] == "create-volume"
    tool.ok("job", "watch", path)
    assert monitor.event(Kind="job", Event="completed", ObjectPath=path)["Properties"]["Success"] is True
    tool.ok("pool", "refresh", pool)
    assert monitor.event(Kind="pool", Event="refreshed")["Name"] == pool
    assert monitor.end() == 0


def test_monitor_sees_new_pools_and_the_end_of_the_service(tool, daemon, folder):
    monitor = Monitor(tool, "--json")
    tool.ok("pool", "define", "new", "--type", "dir", "--target", folder)
    assert monitor.event(Kind="pool", Event="added")["Name"] == "new"
    daemon.stop()
    assert monitor.event(Kind="service")["Event"] == "stopped"
    daemon.start()
    assert monitor.event(Kind="service")["Event"] == "started"
    assert monitor.end() == 0


def test_monitor_ends_by_itself(tool, pool):
    monitor = Monitor(tool, "--count", "2")
    tool.ok("volume", "create", pool, "a", "1M")
    tool.ok("volume", "create", pool, "b", "1M")
    out, err = monitor.process.communicate(timeout=10 * harness.SLOWNESS)
    assert (monitor.process.returncode, out.count("\n"), err) == (0, 2, "")
    assert tool.run("monitor", "--timeout", "0", "--no-legend").returncode == 0
    done = tool.run("monitor", "--timeout", "1", "--count", "1000")
    assert done.returncode == 8 and "instead of 1000" in done.stderr
