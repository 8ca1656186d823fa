# SPDX-License-Identifier: LGPL-2.1-or-later
# timeout: 1800
"""The tests of the bus, once more: on the machine's own bus, with its polkit, against the installed service."""

import os
import subprocess

import pytest

import results

# These are about scale, for minutes on an emulated processor, and the same everywhere.
LEFT_OUT = ["bus/test_paging.py::test_hundred_thousand", "bus/test_jobs.py::test_job_limits_of_one_user",
            "bus/test_bad_input.py::test_too_many_keys"]
# So are these: QEMU makes keys for minutes here. Encrypted devices have tests of their own.
LEFT_OUT += [f"bus/test_encryption.py::test_{name}" for name in (
    "snapshots_in_an_image", "grown_with_storage", "what_is_built_on_an_encrypted_volume",
    "nothing_is_decrypted_on_the_way")]
# What moves the contents of files does so alike everywhere, and has tests of its own here for block storage.
FILES_LEFT_OUT = ["clone", "data_matrix", "rebase", "snapshots", "transfer", "transfer_trouble", "wipe"]
TESTS = "/srv/source/tests"
# pytest's exit status if all went well but for tests that failed.
TESTS_FAILED = 1


@pytest.fixture
def no_pools(service):
    """The bus tests begin without any pool, but a fresh machine has the one that ships, and may have started it:
    its sizes change with every line of the journal, and signals tell of it."""
    service.forget_pools()


def test_bus(no_pools):
    """Each of its tests reports its result by itself; this one only says that pytest came to its end."""
    only = os.environ["STORAGED_VM_ONLY"].split("\n")
    before = results.failures()
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "pytest", *(f"{TESTS}/{name}" for name in (only if only[0] else ["bus"])),
         f"--rootdir={TESTS}", "-q", "-p", "no:cacheprovider", "-p", "results", "--tb=short",
         *(f"--deselect={test}" for test in LEFT_OUT),
         *(f"--ignore={TESTS}/bus/test_{name}.py" for name in FILES_LEFT_OUT)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1770, check=False)
    ended = done.returncode == 0 or (done.returncode == TESTS_FAILED and results.failures() > before)
    assert ended, (done.stdout + done.stderr)[-4000:]
