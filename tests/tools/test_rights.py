# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl for users who may not do everything: on a system bus, with a polkit that answers as the test wants."""

import os
import pty
import select
import shutil
import subprocess
import tempfile
import time

import pytest

import harness
from conftest import TIMEOUT, Tool, running_bus
from fake_polkit import FakePolkit

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")

AGENT = """#!/bin/sh
# As pkttyagent: says that it is ready by closing the descriptor, then stays.
echo "$$ $*" >{folder}/agent
eval "exec $2>&-"
exec sleep 60
"""


@pytest.fixture
def public():
    """A folder that other users can get at, unlike pytest's."""
    path = tempfile.mkdtemp(prefix="storagectl-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def bus(public):
    yield from running_bus(public, "system")


@pytest.fixture
def polkit(bus):
    return FakePolkit(bus)


class UsersTool(Tool):
    """storagectl as the user nobody."""

    def __init__(self, binary, bus, folder):
        super().__init__(shutil.copy(binary, folder), bus.address)
        os.mkdir(folder + "/bin")
        with open(folder + "/bin/pkttyagent", "w", encoding="utf-8") as f:
            f.write(AGENT.format(folder=folder))
        os.chmod(folder + "/bin/pkttyagent", 0o755)
        open(folder + "/agent", "w", encoding="utf-8").close()
        os.chmod(folder + "/agent", 0o666)
        self.env["PATH"] = folder + "/bin:" + self.env["PATH"]

    def argv(self, *args):
        return [self.binary, "--system", *args]

    def start(self, *args, **more):
        return super().start(*args, user=harness.NOBODY, group=harness.NOBODY, extra_groups=[], **more)


@pytest.fixture
def tool(storagectl_binary, daemon, polkit, bus, public):
    return UsersTool(storagectl_binary, bus, public)


def question(polkit):
    """The next thing that polkit is asked."""
    def ask():
        while harness.GLib.MainContext.default().iteration(False):
            pass
        return polkit.questions and polkit.questions.pop(0)
    return harness.wait_until(ask, what="a question to polkit")


def flush(polkit):
    polkit.connection.flush_sync(None)


def test_denied(tool, polkit, public):
    process = tool.start("pool", "define", "x", "--type", "dir", "--target", public)
    asked = question(polkit)
    assert asked.action == "org.example.storage1.define-pool" and asked.flags & 1, "it may ask for a password"
    asked.answer(False)
    flush(polkit)
    out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (4, "")
    assert err.startswith("storagectl: ") and "\nhint: run it as root" in err


def test_no_ask_password(tool, polkit, public):
    process = tool.start("pool", "define", "x", "--type", "dir", "--target", public, "--no-ask-password")
    asked = question(polkit)
    assert asked.flags & 1 == 0, "nobody may be asked for a password"
    asked.answer(False, challenge=True)
    flush(polkit)
    out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (4, "")
    assert "without --no-ask-password" in err


def test_allowed_after_a_while(tool, polkit, public):
    process = tool.start("pool", "define", "x", "--type", "dir", "--target", public)
    asked = question(polkit)
    time.sleep(1)  # longer than storagectl waits for work
    asked.answer(True)
    flush(polkit)
    assert process.communicate(timeout=TIMEOUT) == ("Pool x defined.\n", "")
    assert process.returncode == 0


def test_reading_asks_nobody(tool, polkit):
    process = tool.start("pool", "list", "--names")
    assert process.communicate(timeout=TIMEOUT) == ("", "")
    assert process.returncode == 0 and polkit.questions == []


def run_on_terminal(tool, *args):
    """Starts it with a terminal; its pid and our end."""
    pid, fd = pty.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(harness.NOBODY)
        os.setuid(harness.NOBODY)
        os.execve(tool.binary, tool.argv(*args), tool.env)
    return pid, fd


def end_of(pid, fd):
    """What it wrote, and how it ended."""
    text, end = b"", time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            text += os.read(fd, 4096)
        except OSError:
            break
    os.close(fd)
    return text.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_agent_on_a_terminal(tool, polkit, public):
    pid, fd = run_on_terminal(tool, "pool", "define", "x", "--type", "dir", "--target", public)
    asked = question(polkit)
    with open(public + "/agent", encoding="utf-8") as f:
        agent, *words = f.read().split()
    assert words[0] == "--notify-fd" and words[2:] == ["--fallback"]
    assert harness.process_exists(int(agent))
    asked.answer(True)
    flush(polkit)
    assert end_of(pid, fd) == ("Pool x defined.\r\n", 0)
    assert not harness.process_exists(int(agent))


@pytest.mark.parametrize("args", [["pool", "define", "x", "--type", "dir", "--target", "/x", "--no-ask-password"],
                                  ["pool", "list"]])
def test_no_agent_where_it_is_of_no_use(tool, polkit, public, args):
    pid, fd = run_on_terminal(tool, *args)
    if "define" in args:
        question(polkit).answer(False)
        flush(polkit)
    end_of(pid, fd)
    with open(public + "/agent", encoding="utf-8") as f:
        assert f.read() == ""


def test_storagectl_without_home_or_terminal(tool, polkit):
    """As a service would run it."""
    done = subprocess.run(tool.argv("pool", "list", "--json"), env={"DBUS_SYSTEM_BUS_ADDRESS":
                          tool.env["DBUS_SYSTEM_BUS_ADDRESS"]}, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n]\n", "")
