# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real images for tests: made, written and read by QEMU's own tools."""

import contextlib
import hashlib
import json
import os
import subprocess
import tempfile

from harness import SLOWNESS, wait_until

KIB = 1024


def qemu_img(*arguments, check=True):
    done = subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=60 * SLOWNESS)
    assert not check or done.returncode == 0, (arguments, done.stderr)
    return done


def make(path, size, **options):
    """backing and backing_fmt are options of a qcow2 image as others."""
    kind = options.pop("format", "qcow2")
    words = [f"{name}={value}" for name, value in options.items()]
    qemu_img("create", "-q", "-f", kind, *(["-o", ",".join(words)] if words else []), path, size)


def make_slow(path, size):
    """An image full of the smallest clusters: what goes through all of them takes a while."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as raw:
        raw.write(b"a" * size)
        raw.flush()
        qemu_img("convert", "-t", "unsafe", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512", raw.name, path)


def fill(folder):
    """Leaves no room in the file system, by a file "filler" in it."""
    fd = os.open(f"{folder}/filler", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while os.write(fd, b"x" * 4096):
            pass
    os.close(fd)


def qemu_io(path, *commands, kind="qcow2", cache="writeback"):
    """Runs them on the image; what it said. A read of another pattern fails."""
    words = [word for command in commands for word in ("-c", command)]
    done = subprocess.run(["qemu-io", "-t", cache, "-f", kind, *words, str(path)], capture_output=True, text=True,
                          check=True, timeout=60 * SLOWNESS)
    assert "failed" not in done.stdout, done.stdout
    return done.stdout


def write(path, pattern, offset, length, kind="qcow2"):
    assert "wrote" in qemu_io(path, f"write -P {pattern} {offset} {length}", kind=kind, cache="unsafe")


def contents(path, kind="qcow2"):
    """The digest of what a guest sees, all of the backing chain included."""
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as raw:
        qemu_img("convert", "-U", "-f", kind, "-O", "raw", path, raw.name)
        with open(raw.name, "rb") as f:
            while block := f.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check(path, kind="qcow2"):
    """0: in order; 2: corrupt; 3: only room is lost in it."""
    return qemu_img("check", "-q", "-f", kind, path, check=False).returncode


def info(path):
    return json.loads(qemu_img("info", "-U", "--output=json", path).stdout)


def wait_released(path):
    """Until nobody has the image open: what is killed may still end a write."""
    wait_until(lambda: qemu_img("info", path, check=False).returncode == 0, 20, f"the release of {path}")


@contextlib.contextmanager
def opened(path, kind="qcow2", read_only=False):
    """As long as this lasts QEMU has the image open, as a guest would."""
    mode = ["-r"] if read_only else []
    with subprocess.Popen(["qemu-io", *mode, "-f", kind, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        process.stdin.write("read 0 512\n")
        process.stdin.flush()
        assert "read 512" in process.stdout.readline()
        yield process
        process.stdin.write("quit\n")
        process.stdin.close()
        process.wait(20 * SLOWNESS)
