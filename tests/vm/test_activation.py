# SPDX-License-Identifier: LGPL-2.1-or-later
"""The installed service comes when the bus needs it, in every state that it may be found in."""

import os
import signal
import subprocess
import time
import xml.etree.ElementTree
from pathlib import Path

import pytest

NAME = "org.example.Storage1"
PATH = "/org/example/Storage1"
UNIT = "storaged.service"
CGROUP = Path("/sys/fs/cgroup/system.slice", UNIT, "cgroup.procs")
VERSION = ("busctl", "call", NAME, PATH, "org.freedesktop.DBus.Properties", "Get", "ss", f"{NAME}.Manager",
           "Version")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def wait_until(condition, what, timeout=30):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def state():
    """What systemctl is-active says; its exit status is not 0 for a stopped unit."""
    return subprocess.run(["systemctl", "is-active", UNIT], capture_output=True, text=True,
                          timeout=60, check=False).stdout.strip()


def processes():
    """The daemon and all that it started."""
    return CGROUP.read_text().split() if CGROUP.exists() else []


@pytest.fixture
def main_pid(command):
    return lambda: int(command("systemctl", "show", "--property=MainPID", "--value", UNIT))


@pytest.fixture(autouse=True)
def stopped(command):
    """Each test begins without the service."""
    command("systemctl", "stop", UNIT)
    command("systemctl", "reset-failed")
    assert state() == "inactive"


def test_call_starts_it(command, main_pid):
    assert command(*VERSION).startswith('v s "')
    assert state() == "active"
    assert f"{main_pid()} " in command("busctl", "--no-legend", "--no-pager", "list", "--full").partition(NAME)[2]


def test_call_of_anybody_starts_it(command):
    command(*NOBODY, *VERSION)
    assert state() == "active"


def test_nobody_else_can_take_its_name():
    code = ("import gi\nfrom gi.repository import Gio, GLib\n"
            "bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)\n"
            "bus.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'RequestName',"
            f" GLib.Variant('(su)', ('{NAME}', 0)), None, 0, 10000)\n")
    result = subprocess.run([*NOBODY, "/usr/bin/python3", "-c", code], capture_output=True, text=True,
                            timeout=30, check=False)
    assert result.returncode != 0
    assert "AccessDenied" in result.stderr


def test_stop_is_quick_and_the_next_call_starts_it_again(command, main_pid):
    command(*VERSION)
    first = main_pid()
    started = time.monotonic()
    command("systemctl", "stop", UNIT)
    assert time.monotonic() - started < 5
    assert command("systemctl", "show", "--property=Result", "--value", UNIT) == "success\n"
    wait_until(lambda: not processes(), "the workers to end with the daemon")
    command(*VERSION)
    assert main_pid() not in (0, first)


def test_killed_and_the_next_call_works(command, main_pid):
    command(*VERSION)
    first = main_pid()
    before = processes()
    os.kill(first, signal.SIGKILL)
    # The bus may not have noticed yet, and may hand the call to the one that is dead: wait for what it sees.
    wait_until(lambda: not Path(f"/proc/{first}").exists(), "the daemon to be gone")
    wait_until(lambda: f" {first} " not in command("busctl", "--no-legend", "--no-pager", "list"),
               "the bus to notice")
    command(*VERSION)
    assert main_pid() not in (0, first)
    wait_until(lambda: not set(before) & set(processes()), "the workers to end with the daemon")


def test_lives_in_the_mount_namespace_of_the_machine(command, main_pid):
    """What it mounts is for virtual machines, which live outside of it."""
    command(*VERSION)
    assert os.readlink(f"/proc/{main_pid()}/ns/mnt") == os.readlink("/proc/1/ns/mnt")


def test_unit_is_as_systemd_likes_it():
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", UNIT], capture_output=True, text=True,
                            timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_unit_starts_the_pool_that_ships(command):
    """As at boot: systemd starts it, nobody calls, and the pools with autostart run."""
    command("systemctl", "start", UNIT)

    def default_is_active():
        pools = command("busctl", "--json=short", "call", NAME, PATH, f"{NAME}.Manager", "ListPools", "a{sv}", "0")
        return '"default","dir","active"' in pools
    wait_until(default_is_active, "the pool default to be active")


def test_polkit_knows_its_actions(command):
    policy = xml.etree.ElementTree.parse("/srv/source/policy/org.example.storage1.policy")
    ours = {action.get("id") for action in policy.iter("action")}
    assert ours
    assert ours <= set(command("pkaction").split())
