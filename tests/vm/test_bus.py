# SPDX-License-Identifier: LGPL-2.1-or-later
# timeout: 1800
"""The tests of the bus, once more: on the machine's own bus, with its polkit, against the installed service."""

import os
import subprocess
from pathlib import Path

import pytest

# These are about scale, for minutes on an emulated processor, and the same everywhere.
LEFT_OUT = ["bus/test_paging.py::test_hundred_thousand", "bus/test_jobs.py::test_job_limits_of_one_user"]


@pytest.fixture
def no_pools(command):
    """The bus tests begin without any pool, but a fresh machine has the one that ships."""
    command("systemctl", "stop", "storaged.service")
    Path("/etc/storaged/autostart/default.xml").unlink()
    Path("/etc/storaged/pools/default.xml").unlink()


def test_bus(no_pools):
    """Each of its tests reports its result by itself; this one only says that pytest came to its end."""
    result = subprocess.run(
        ["/usr/bin/python3", "-m", "pytest", "/srv/source/tests/bus", "--rootdir=/srv/source/tests", "-q",
         "-p", "no:cacheprovider", "-p", "results", "--tb=no", *(f"--deselect={test}" for test in LEFT_OUT)],
        env=os.environ | {"STORAGED_TEST_SYSTEM": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1770, check=False)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
