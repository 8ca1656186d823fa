# SPDX-License-Identifier: LGPL-2.1-or-later
"""Disks as a test wants them: empty, and with nothing on top of them."""

import json
import subprocess

TIMEOUT = 60


def run(*argv):
    """Runs a command; whether it worked."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False).returncode == 0


def settle():
    """Waits until udev has seen all that happened so far."""
    subprocess.run(["udevadm", "settle", f"--timeout={TIMEOUT}"], check=True, timeout=TIMEOUT + 10)


def blocks(disk):
    """The disk and all that is made of it, a block device before those on top of it, as lsblk knows them."""
    out = subprocess.run(["lsblk", "--json", "--paths", "--output=PATH,TYPE,MOUNTPOINTS", disk], check=True,
                         capture_output=True, text=True, timeout=TIMEOUT).stdout
    found, left = [], json.loads(out)["blockdevices"]
    while left:
        block = left.pop(0)
        found.append(block)
        left += block.get("children", [])
    return found


def take_down(disk):
    """Unmounts, deactivates and stops what is on top of a disk."""
    for block in reversed(blocks(disk)):
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


def wipe(disks):
    """Leaves disks as empty as they came. What uses one still is a failure of the test that left it."""
    settle()
    for disk in disks:
        take_down(disk)
    settle()
    for disk in disks:
        # Twice: what others had mirrored or assembled from several may show only now.
        take_down(disk)
        subprocess.run(["blkdiscard", "--force", "--zeroout", disk], check=True, timeout=TIMEOUT)
        subprocess.run(["blockdev", "--rereadpt", disk], check=True, timeout=TIMEOUT)
    settle()
    for disk in disks:
        left = [block["path"] for block in blocks(disk)[1:]]
        assert not left, f"on {disk} there is still: {' '.join(left)}"
