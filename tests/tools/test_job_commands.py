# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl job, progress bars, and Ctrl-C."""

import json
import os
import re
import signal

from helpers import ENDLESS, LONG, Terminal, start_job, volume, volumes


def test_no_wait_and_watch(tool, pool):
    path = start_job(tool)
    number = path.rsplit("/", 1)[1]
    job, = [j for j in tool.json("job", "list") if j["ObjectPath"] == path]
    assert job["Operation"] == "create-volume"
    lines = tool.ok("job", "list").splitlines()
    assert lines[0].split() == ["JOB", "OPERATION", "ON", "STATE", "PROGRESS", "RATE", "LEFT", "BEGAN", "ERROR"]
    assert any(line.split()[:3] == [number, "create-volume", "images/big"] for line in lines[1:])
    assert tool.ok("job", "watch", number) == f"{number} create-volume succeeded\n"
    ended = json.loads(tool.ok("job", "watch", path, "--json"))
    assert (ended["State"], ended["ErrorName"]) == ("succeeded", "")
    assert volume(tool, "big")["Allocation"] >= LONG
    assert tool.ok("job", "watch") == ""


def test_cancel_a_job(tool, pool, folder):
    number = start_job(tool, ENDLESS).rsplit("/", 1)[1]
    assert tool.ok("job", "cancel", number) == f"Job {number} is being cancelled.\n"
    done = tool.run("job", "watch", number)
    assert done.returncode == 130 and done.stdout.startswith(f"{number} create-volume cancelled")
    assert volumes(tool) == {} and os.listdir(folder) == []


def test_progress_bar(tool, pool):
    terminal = Terminal(tool, "volume", "create", pool, "big", LONG, "--preallocation", "full")
    assert terminal.end() == 0
    percents = [int(p) for p in re.findall(r"create big \[#*-*\] +(\d+) %", terminal.text)]
    assert percents and percents == sorted(percents) and percents[-1] > 0
    assert " of 1.00 GiB" in terminal.text
    assert re.search(r" [MG]iB/s  0:\d\d, 0:\d\d left", terminal.text)
    # the bar is gone at the end
    assert terminal.text.endswith("\r\x1b[KVolume big created.\r\n")


def test_no_progress_without_a_terminal(tool, pool):
    done = tool.run("volume", "create", pool, "big", LONG, "--preallocation", "full")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Volume big created.\n", "")


def test_quiet_has_no_progress(tool, pool):
    terminal = Terminal(tool, "volume", "create", pool, "big", LONG, "--preallocation", "full", "-q")
    assert terminal.end() == 0 and terminal.text == ""


def test_ctrl_c_cancels(tool, pool, folder):
    terminal = Terminal(tool, "volume", "create", pool, "big", ENDLESS, "--preallocation", "full")
    terminal.read_until(r"%")
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.text
    assert "Cancelling; press Ctrl-C again" in terminal.text
    assert volumes(tool) == {} and os.listdir(folder) == []


def test_second_ctrl_c_leaves(tool, pool, daemon):
    terminal = Terminal(tool, "volume", "create", pool, "big", ENDLESS, "--preallocation", "full")
    terminal.read_until(r"%")
    # a service that does not answer: nothing but leaving helps
    os.kill(daemon.pid(), signal.SIGSTOP)
    try:
        terminal.press_ctrl_c()
        terminal.read_until("Cancelling")
        terminal.press_ctrl_c()
        assert terminal.end() == 130, terminal.text
        assert "left before the end" in terminal.text
    finally:
        os.kill(daemon.pid(), signal.SIGCONT)
