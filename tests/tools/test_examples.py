# SPDX-License-Identifier: LGPL-2.1-or-later
"""The examples of the documentation."""

import hashlib
import os
import re
import signal
import subprocess

import harness
from helpers import random_file, same


def test_example_lists_and_watches(tool, pool, folder):
    tool.ok("volume", "create", pool, "v.raw", "1G")
    example = os.path.join(harness.SOURCE, "docs/examples/list-and-watch.py")
    with subprocess.Popen(["/usr/bin/python3", example, "--user"], env=tool.env, stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            assert lines[0].startswith("pool images: dir, active, ")
            assert lines[1] == "  v.raw: raw, 1.0 GiB\n"
            assert lines[2].startswith("Watching")
            tool.ok("volume", "delete", pool, "v.raw")
            assert any(line.startswith("removed: ") for line in process.stdout)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_example_clones(tool, pool, folder):
    random_file(f"{folder}/v", 32 << 20)
    tool.ok("pool", "refresh", pool)
    example = os.path.join(harness.SOURCE, "docs/examples/clone-with-progress.py")
    done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "v", "w"], env=tool.env, timeout=60,
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "succeeded " and all(re.fullmatch(r"\d+% of 32\.0 MiB, \d+ MiB/s", line) for line in lines[:-1])
    same(f"{folder}/v", "raw", f"{folder}/w", "raw")
    done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "none", "w"], env=tool.env, timeout=60,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "none" in done.stderr and done.stdout == ""


def test_example_uploads(tool, pool, folder):
    example = os.path.join(harness.SOURCE, "docs/examples/upload.py")
    source = f"{folder}.source"
    data = os.urandom(1 << 20)
    with open(source, "wb") as f:
        f.write(data)
    for _ in range(2):  # a new volume, then one that is there
        done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "v", source], env=tool.env, text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"
        with open(f"{folder}/v", "rb") as f:
            assert f.read() == data
    os.truncate(f"{folder}/v", 10)
    done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "v", "/dev/null"], env=tool.env, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and "neither a pipe" in done.stderr
    os.unlink(source)
