# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks as a test wants them: empty, and with nothing on top of them."""

import fcntl
import json
import os
import struct
import subprocess

TIMEOUT = 60
# Of linux/fs.h.
BLKRRPART, BLKZEROOUT = 0x125F, 0x127F


def run(*argv):
    """Runs a command; whether it worked."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False).returncode == 0


def settle():
    """Waits until udev has seen all that happened so far."""
    subprocess.run(["udevadm", "settle", f"--timeout={TIMEOUT}"], check=True, timeout=TIMEOUT + 10)


def blocks(disks):
    """The disks and all that is made of them, a block device before those on top of it, as lsblk knows them."""
    out = subprocess.run(["lsblk", "--json", "--paths", "--output=PATH,TYPE,MOUNTPOINTS", *disks], check=True,
                         capture_output=True, text=True, timeout=TIMEOUT).stdout
    found, left = {}, json.loads(out)["blockdevices"]
    while left:
        block = left.pop(0)
        # What is made of several comes after the last of them.
        found.pop(block["path"], None)
        found[block["path"]] = block
        left += block.get("children", [])
    return list(found.values())


def on_top(disks):
    """The paths of what is made of the disks."""
    themselves = {os.path.realpath(disk) for disk in disks}
    return [block["path"] for block in blocks(disks) if block["path"] not in themselves]


def take_down(disks):
    """Unmounts, deactivates and stops what is on top of the disks."""
    for block in reversed(blocks(disks)):
        path = block["path"]
        for target in block["mountpoints"]:
            if target == "[SWAP]":
                run("swapoff", path)
            elif target:
                run("umount", "--recursive", target) or run("umount", "--lazy", target)
        if block["type"].startswith("raid") or block["type"] in ("linear", "md"):
            run("mdadm", "--stop", path)
        elif block["type"] not in ("disk", "part", "rom", "loop"):
            run("dmsetup", "remove", "--force", "--retry", path)


def zero(disk):
    """What blkdiscard --zeroout and blockdev --rereadpt do, without a process for each."""
    fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, BLKZEROOUT, struct.pack("QQ", 0, os.lseek(fd, 0, os.SEEK_END)))
        fcntl.ioctl(fd, BLKRRPART)
    finally:
        os.close(fd)


def wipe(disks):
    """Leaves disks as empty as they came. What uses one still is a failure of the test that left it."""
    settle()
    take_down(disks)
    settle()
    # Again: what others had mirrored or assembled from several may show only now.
    take_down(disks)
    for disk in disks:
        zero(disk)
    settle()
    left = on_top(disks)
    assert not left, f"on the disks there is still: {' '.join(left)}"
