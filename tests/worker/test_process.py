# SPDX-License-Identifier: LGPL-2.1-or-later
"""The process itself: how it is started, what it belongs to, when it ends."""

import os
import signal
import socket
import subprocess
import time

import pytest
from worker_client import Worker, WorkerError, pass_as_3, worker_binary


def run(*args, **kwargs):
    return subprocess.run([worker_binary(), *args], capture_output=True, text=True, timeout=10, **kwargs)


def test_by_hand_it_says_what_it_is_for():
    assert "storaged" in run("--help").stdout
    assert run("--version").stdout.startswith("storaged-worker ")
    r = run("pool")
    assert r.returncode == 1 and "descriptor 3" in r.stderr


@pytest.mark.parametrize("args", [[], ["none"], ["pool", "data"], ["--what"]])
def test_wrong_usage_is_refused(args):
    assert run(*args).returncode == 1


def test_it_leads_a_group_of_its_own(store):
    store.call("Describe")
    assert os.getpgid(store.process.pid) == store.process.pid


def test_it_ends_with_its_connection(started):
    worker = started(Worker, "store")
    worker.call("Describe")
    worker.bus.close_sync(None)
    assert worker.process.wait(5) == 0


def test_sigterm_ends_it(started):
    worker = started(Worker, "store")
    worker.call("Describe")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(5) == 0


def test_it_does_not_work_for_another_parent():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert run("store", "--parent=1", close_fds=False, preexec_fn=lambda: pass_as_3(theirs.fileno())).returncode == 0


def test_it_dies_with_its_parent(tmp_path):
    script = (
        "import os, sys, time; sys.path.insert(0, sys.argv[1]); from worker_client import Worker;"
        "w = Worker('store'); w.call('Describe'); print(w.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        ["/usr/bin/python3", "-c", script, os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_calls_before_a_pool_is_set(started):
    worker = started(Worker, "pool")
    for method in ("Check", "Refresh"):
        with pytest.raises(WorkerError):
            worker.call(method)
    worker.call("Ping")


def test_a_first_call_right_behind_the_authentication_is_answered(started):
    for _ in range(20):
        assert started(Worker, "store").call("Describe", timeout=5000)
