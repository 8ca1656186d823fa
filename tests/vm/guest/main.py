# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the guest boots to: runs the planned tests, each file in a process of its own, then ends QEMU."""

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import traceback
from pathlib import Path

GUEST = Path(__file__).resolve().parent
TESTS = GUEST.parent.parent
OUT = Path("/srv/out")
DETAIL = 20000

sys.path.insert(0, str(GUEST))

import results  # noqa: E402


def run_pytest(test):
    """In the child: pytest is imported once, before the fork, as that takes a second here."""
    import pytest

    own = f"{test.get('folder', 'vm')}/{test['file']}"
    parts = [name for name in test["only"] if name.startswith(f"{own}::")]
    os.environ["STORAGED_VM_ONLY"] = "\n".join(name for name in test["only"] if name not in parts)
    return int(pytest.main([*(str(TESTS / name) for name in parts or [own]), "--rootdir", str(TESTS),
                            "--confcutdir", str(TESTS / "vm"), "-q", "-p", "no:cacheprovider", "-p", "results",
                            f"--junitxml={OUT / test['file']}.xml"]))


def run_shell_test(test):
    """In the child: 0 is a pass, anything else is not."""
    os.execv("/bin/bash", ["bash", str(TESTS / test.get("folder", "vm") / test["file"])])


def start(test, log):
    """Forks a session that runs the test file with its output in the log."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.chdir("/")
        status = run_pytest(test) if test["file"].endswith(".py") else run_shell_test(test)
        sys.stdout.flush()
    except BaseException:  # the child must never return into the parent's code
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(child, timeout):
    """The exit status (negative: a signal) of a child, or None if it had to be killed at its time limit."""
    pidfd = os.pidfd_open(child)
    try:
        in_time = select.select([pidfd], [], [], timeout)[0]
        if not in_time:
            os.killpg(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if in_time else None
    finally:
        os.close(pidfd)


def run_test(test):
    """Runs one file. pytest reports its tests by itself; added here is what it cannot know of."""
    name = f"{test.get('folder', 'vm')}/{test['file']}"
    log_path = OUT / f"{test['file']}.log"
    os.environ[results.FILE] = test["file"]
    before = results.failures()
    started = time.monotonic()
    with open(log_path, "wb") as log:
        status = wait(start(test, log), test["timeout"])
    seconds = time.monotonic() - started
    detail = log_path.read_text(errors="replace")[-DETAIL:]
    if status is None:
        results.write(name, "failed", seconds, f"{detail}\nkilled after {test['timeout']} s, its time limit")
    elif test["file"].endswith(".sh"):
        results.write(name, "failed" if status else "passed", seconds, detail)
    elif status < 0 or status and results.failures() == before:
        results.write(name, "failed", seconds, f"{detail}\npytest ended with {status}")


def run_tests(plan):
    import pytest  # noqa: F401

    for test in plan["tests"]:
        run_test(test)
    if results.failures():
        with open(OUT / "journal.txt", "wb") as journal:
            subprocess.run(["journalctl", "--boot", "--no-pager", "--lines=2000"], stdout=journal, timeout=60)


def run_terminal(rows, columns):
    """A shell on the serial console, as large as the terminal at its other end."""
    console = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(console, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm-256color", "HOME": "/root"}
    subprocess.run(["setsid", "--ctty", "bash", "-l"], cwd=TESTS / "vm", env=environment,
                   stdin=console, stdout=console, stderr=console)


def main():
    (OUT / "started").touch()
    plan = json.loads((OUT / "plan.json").read_text())
    os.environ["STORAGED_VM"] = "1"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["PYTHONPATH"] = str(GUEST)
    os.environ["STORAGED_VM_DISKS"] = " ".join(
        os.path.realpath(f"/dev/disk/by-id/virtio-disk{n}") for n in range(plan["disks"]))
    os.environ["STORAGED_VM_OUT"] = plan["out"]
    os.environ["STORAGED_VM_BOOT"] = str(plan["boot"])
    os.environ["STORAGED_VM_BOOTS"] = str(plan["boots"])
    if plan["terminal"]:
        run_terminal(*plan["terminal"])
    else:
        run_tests(plan)
    (OUT / "done").touch()


try:
    main()
finally:
    # Ends QEMU at once; the results are on the host already, and nothing else in here is worth keeping.
    with open("/dev/port", "r+b", buffering=0) as port:
        port.seek(0xf4)
        port.write(b"\0")
