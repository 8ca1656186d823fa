# SPDX-License-Identifier: LGPL-2.1-or-later
# hotplug: 2
"""Disks come and go in the running machine."""

import os
from pathlib import Path

import pytest

import qmp


def test_disk_comes_and_goes(monitor):
    for _ in range(2):
        disk = monitor.plug_disk("hot", 64 << 20)
        with open(disk, "r+b", buffering=0) as device:
            assert device.seek(0, os.SEEK_END) == 64 << 20
        monitor.unplug_disk("hot")
        assert not Path("/sys/class/block", Path(disk).name).exists()


def test_two_disks_at_once(monitor):
    assert monitor.plug_disk("one", 32 << 20, 0) != monitor.plug_disk("two", 32 << 20, 1)
    monitor.unplug_disk("one")
    monitor.unplug_disk("two")


def test_refusals_are_told(monitor):
    with pytest.raises(qmp.QmpError, match="no-such-disk"):
        monitor.execute("device_del", id="no-such-disk")
