# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests in the machine. They stop services and write to disks: never run them elsewhere."""

import os
import subprocess

import pytest

if os.environ.get("STORAGED_VM") != "1":
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
