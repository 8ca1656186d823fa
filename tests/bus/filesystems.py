# SPDX-License-Identifier: LGPL-2.1-or-later
"""File systems of a test's own, on loop devices."""

import os
import subprocess

import pytest

from harness import wait_until

# What can share blocks does.
MAKE = {"ext4": ["mke2fs", "-q", "-F", "-t", "ext4"], "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
        "btrfs": ["mkfs.btrfs", "-q", "--mixed"]}
# xfs has no smaller ones.
SIZE = "320M"


class FileSystem:
    """One of a kind, mounted at path until the test's end; the test is skipped where that cannot be."""

    def __init__(self, world, kind, options=()):
        top = world.folder()
        self.kind, self.image, self.path = kind, top + "/disk", top + "/mnt"
        self.options = ",".join(["loop", *options])
        os.mkdir(self.path)
        self.run("truncate", "-s", SIZE, self.image)
        self.run(*MAKE[kind], self.image)
        self.mount()
        world.mounts.append(self.path)

    def run(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            pytest.skip(f"no {self.kind} here: {done.stderr}")

    def mount(self):
        self.run("mount", "-t", self.kind, "-o", self.options, self.image, self.path)

    def unmount(self):
        wait_until(lambda: subprocess.run(["umount", self.path], capture_output=True, check=False).returncode == 0, 20,
                   "the file system to be let go of")
