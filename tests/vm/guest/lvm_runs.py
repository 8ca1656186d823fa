# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which lvm commands the service runs."""

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from moments import lvm_command, pool_workers

SCRIPT = """#!/bin/bash
echo "$PPID $*" >> {folder}/runs
exec -a "$0" {folder}/lvm "$@"
"""


class Runs:
    """The commands since it was made or asked last, oldest first."""

    def __init__(self, path):
        self.path = path
        self.path.touch()
        self.seen = 0

    def take(self):
        lines = self.path.read_text().splitlines()
        lines, self.seen = lines[self.seen:], len(lines)
        workers = pool_workers()
        words = [line.split() for line in lines]
        return [word[1] for word in words if int(word[0]) in workers and word[1] != "version"]

    def of(self, function):
        """Those that function() led to. That the service looks at what has changed, before it or after it, is left
        out."""
        quiet = 0
        while quiet < 4:
            quiet = 0 if self.take() or lvm_command("") else quiet + 1
            subprocess.run(["sleep", "0.5"], check=True)
        function()
        runs = self.take()
        for end in (0, -1):
            while runs and runs[end] == "fullreport":
                runs.pop(end)
        return runs


@contextlib.contextmanager
def lvm_runs():
    real = Path("/sbin/lvm").resolve()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        shutil.copy(real, f"{folder}/lvm")
        script = Path(folder, "script")
        script.write_text(SCRIPT.format(folder=folder))
        script.chmod(0o755)
        subprocess.run(["mount", "--bind", script, real], check=True, timeout=60)
        try:
            yield Runs(Path(folder, "runs"))
        finally:
            subprocess.run(["umount", "--lazy", real], check=True, timeout=60)
