# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tests of several commands need."""

import hashlib
import os
import pty
import re
import select
import subprocess
import time

import harness

GIB = 1 << 30
LONG = GIB  # preallocated in full, it takes long enough to become a job
ENDLESS = 4 * GIB  # so long that it is surely cancelled before its end


def volumes(tool, pool="images"):
    return {v["Name"]: v for v in tool.json("volume", "list", pool)}


def volume(tool, name, pool="images"):
    return tool.json("volume", "show", pool, name)


def pool_xml(name, path):
    return f"<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"


def volume_xml(name, capacity):
    return (f"<volume><name>{name}</name><capacity>{capacity}</capacity><allocation>0</allocation>"
            "<target><format type='raw'/></target></volume>")


def same(a, format_a, b, format_b):
    subprocess.run(["qemu-img", "compare", "-q", "-f", format_a, "-F", format_b, a, b], check=True, timeout=60)


def random_file(path, size):
    content = os.urandom(size)
    with open(path, "wb") as f:
        f.write(content)
    return content


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def running_jobs(tool):
    return [j for j in tool.json("job", "list") if j["State"] in ("queued", "running", "cancelling")]


def start_job(tool, size=LONG):
    """A job that takes a while; its object path."""
    path = tool.ok("volume", "create", "images", "big", size, "--preallocation", "full", "--no-wait").strip()
    assert path.startswith("/org/example/Storage1/job/")
    return path


class Terminal:
    """storagectl with a terminal as its input and output."""

    def __init__(self, tool, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(tool.binary, tool.argv(*args), dict(tool.env, TERM="xterm"))
        self.text = ""
        self.status = None

    def read_until(self, pattern=None):
        """Reads until the pattern appears, or to the end."""
        end = time.monotonic() + 30 * harness.SLOWNESS
        while not (pattern and re.search(pattern, self.text)):
            assert time.monotonic() < end, f"never came: {pattern} in {self.text!r}"
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                self.text += os.read(self.fd, 4096).decode()
            except OSError:  # the other side is closed
                break

    def press_ctrl_c(self):
        os.write(self.fd, b"\x03")

    def end(self):
        self.read_until()
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return self.status
