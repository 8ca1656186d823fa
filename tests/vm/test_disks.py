# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x64M 1x256M
"""Disks that a header asks for are there, fresh, in order, and known to udev."""

from pathlib import Path


def size_of(disk):
    return int(Path("/sys/class/block", Path(disk).name, "size").read_text()) * 512


def test_disks_are_as_asked_for(disks):
    assert [size_of(disk) >> 20 for disk in disks] == [64, 64, 256]


def test_disks_are_empty_and_take_a_partition_table(disks, command):
    assert command("lsblk", "--noheadings", "--output=FSTYPE,PTTYPE", *disks).strip() == ""
    command("parted", "--script", disks[0], "mklabel", "gpt", "mkpart", "one", "1MiB", "32MiB")
    command("udevadm", "settle")
    assert "/by-id/virtio-disk0-part1" in command("udevadm", "info", "--query=symlink",
                                                  f"--name={disks[0]}1").replace("disk/by-id", "/by-id")
