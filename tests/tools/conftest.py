# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures: a private bus with the real service on it, and storagectl to talk to it.

The service ends with the test, and everything it kept is below a folder of the test.
"""

import json
import os
import signal
import subprocess
import sys

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.dirname(TESTS)
sys.path.insert(0, os.path.join(TESTS, "bus"))

import harness  # noqa: E402

LIMIT = 60 * harness.SLOWNESS
TIMEOUT = 30 * harness.SLOWNESS


def on_alarm(_signal, _frame):
    raise TimeoutError("the test took too long")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(int(LIMIT))
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def storagectl_binary():
    return harness.find_binary("storagectl")


class Tool:
    """storagectl on one bus."""

    def __init__(self, binary, address):
        self.binary = binary
        self.env = dict(os.environ, DBUS_SESSION_BUS_ADDRESS=address, DBUS_SYSTEM_BUS_ADDRESS=address,
                        LC_ALL="C.UTF-8", TZ="UTC")

    def argv(self, *args):
        return [self.binary, "--user", *map(str, args)]

    def run(self, *args, stdin=None, text=True):
        """Runs it and returns what became of it, whatever that is."""
        return subprocess.run(self.argv(*args), env=self.env, capture_output=True, text=text, timeout=TIMEOUT,
                              check=False, **({"input": stdin} if stdin else {"stdin": subprocess.DEVNULL}))

    def ok(self, *args, stdin=None):
        """Its output; it must succeed and complain of nothing."""
        done = self.run(*args, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), f"storagectl {args}"
        return done.stdout

    def json(self, *args):
        return json.loads(self.ok(*args, "--json"))

    def fails(self, status, *args, stdin=None):
        """Its complaint, which must be one line and perhaps a hint; it must print nothing else."""
        done = self.run(*args, stdin=stdin)
        lines = done.stderr.splitlines()
        assert done.returncode == status, f"storagectl {args} ended with {done.returncode}: {done.stderr}"
        assert done.stdout == ""
        assert lines and lines[0].startswith("storagectl: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), done.stderr
        return lines[0].removeprefix("storagectl: ")

    def start(self, *args, **more):
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.argv(*args), env=self.env, stdin=subprocess.DEVNULL, text=True, **more)


def fresh(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    return str(path)


def running_bus(folder, kind):
    """A bus that listens; to be used as a fixture."""
    made = harness.Bus(folder, kind)
    made.start()

    def listens():
        try:
            return made.connect()
        except harness.GLib.Error:
            return None

    harness.wait_until(listens, what="the bus to listen")
    yield made
    made.stop()


@pytest.fixture
def bus(tmp_path):
    """A session bus without any service."""
    yield from running_bus(fresh(tmp_path, "bus"), "session")


@pytest.fixture
def without_service(storagectl_binary, bus):
    return Tool(storagectl_binary, bus.address)


@pytest.fixture
def daemon(bus, tmp_path):
    made = harness.Daemon(bus, fresh(tmp_path, "storaged"))
    made.start()
    yield made
    made.finish()


@pytest.fixture
def tool(storagectl_binary, daemon):
    """storagectl where the service runs."""
    return Tool(storagectl_binary, daemon.bus.address)


@pytest.fixture
def folder(tmp_path):
    return fresh(tmp_path, "images")


@pytest.fixture
def pool(tool, folder):
    """A running pool called "images" over an empty folder."""
    tool.ok("pool", "define", "images", "--type", "dir", "--target", folder, "--start")
    return "images"
