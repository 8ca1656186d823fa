# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests in the machine. They stop services and write to disks: never run them elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

if os.environ.get("STORAGED_VM") == "1":
    # The client and the harness of the bus tests, against the installed service.
    os.environ["STORAGED_TEST_SYSTEM"] = "1"
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bus"))

    from client import Service
    from harness import InstalledDaemon, SystemBus
else:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def disks():
    """The device nodes of the disks that the test's header asks for."""
    return os.environ["STORAGED_VM_DISKS"].split()


@pytest.fixture
def command():
    """Runs a command and gives its output; fails with all of it if its exit status is not 0."""
    def run(*args, timeout=60):
        result = subprocess.run(args, capture_output=True, text=True, timeout=timeout)
        assert result.returncode == 0, f"{' '.join(args)}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout
    return run


@pytest.fixture
def daemon():
    """The installed service as tests/bus/harness.py knows it: start(), stop(), kill(), restart(), workers(), log()."""
    bus = SystemBus()
    daemon = InstalledDaemon(bus)
    daemon.start()
    yield daemon
    bus.stop()


@pytest.fixture
def service(daemon):
    """Root's client of it, as tests/bus/client.py has it. Its pools are stopped and forgotten after the test."""
    service = Service(daemon.bus.connect())
    yield service
    daemon.start()
    Service(daemon.bus.connect()).forget_pools(keep=("default",))
