# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 1x320M
# boots: 3
# timeout: 180
"""The power is lost while the machine works: what was synced is there after it, the rest need not be."""

import os
import time
from pathlib import Path

import pytest

KEPT = Path("/var/lib/power-test")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


@pytest.mark.parametrize("after", [0.0, 0.7])
def test_what_was_synced_is_there(disks, command, power_off, boot, after):
    Path("/mnt/power").mkdir(exist_ok=True)
    name = f"synced-{after}"
    if not power_off.happened:
        assert not Path("/mnt/power", name).exists()
        command("mkfs.xfs", "-q", disks[0])
        command("mount", disks[0], "/mnt/power")
        write(f"/mnt/power/{name}", "there")
        write(f"{KEPT}-{after}", f"written in boot {boot}")
        asked = time.monotonic()
        power_off(after)
        Path("/mnt/power/not-synced").write_text("perhaps")
        while time.monotonic() < asked + 60:
            write("/mnt/power/while-it-lasts", f"{time.monotonic() - asked}")
        pytest.fail("the power was not cut")
    command("mount", disks[0], "/mnt/power")
    assert Path("/mnt/power", name).read_text() == "there"
    assert Path(f"{KEPT}-{after}").read_text() == f"written in boot {boot - 1}"
    if after:
        assert after - 0.2 < float(Path("/mnt/power/while-it-lasts").read_text() or 1) < after + 5


def test_next_tests_run_in_the_last_boot(boot):
    assert boot == 3


def test_disks_are_empty_for_each_test(disks, command):
    assert command("lsblk", "--noheadings", "--output=FSTYPE,PTTYPE,MOUNTPOINTS", *disks).strip() == ""
