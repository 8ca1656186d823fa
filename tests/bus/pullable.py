# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that can be pulled or made to hang: a loop device on a file that a FUSE server of ours gives out."""

import os
import shutil
import signal
import subprocess
import tempfile

from harness import process_exists, wait_until

MIB = 1 << 20


def has_loop_devices():
    return os.access("/dev/loop-control", os.R_OK) and os.access("/dev/fuse", os.R_OK)


class PullableDisk:
    """`node` is the block device. All of it goes with close(), whatever state it is in."""

    def __init__(self, size):
        self.base = tempfile.mkdtemp(prefix="disk-", dir="/var/tmp")
        self.node = None
        source, self.mount = self.base + "/source", self.base + "/mount"
        os.mkdir(source)
        os.mkdir(self.mount)
        with open(source + "/disk", "wb") as f:
            f.truncate(size)
        # In the foreground, so that its process is known. Without direct I/O the loop device would write to the page
        # cache, and the disk would be as fast as that is.
        self.server = subprocess.Popen(["bindfs", "-f", source, self.mount], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: os.path.exists(self.mount + "/disk"), what="the FUSE server")
            done = subprocess.run(["losetup", "--find", "--show", self.mount + "/disk"], capture_output=True, text=True,
                                  timeout=30, check=True)
            self.node = done.stdout.strip()
        except BaseException:
            self.close()
            raise

    def hang(self):
        """Nothing that is asked of it ends any more."""
        os.kill(self.server.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.server.pid, signal.SIGCONT)

    def pull(self):
        """Everything that is asked of it fails."""
        self.server.kill()
        self.server.wait(30)

    def close(self):
        if process_exists(self.server.pid):
            self.resume()
        if self.node:
            subprocess.run(["losetup", "--detach", self.node], check=False, timeout=30)
        subprocess.run(["umount", "-l", self.mount], check=False, timeout=30)
        self.server.kill()
        self.server.wait(30)
        shutil.rmtree(self.base, ignore_errors=True)
