# SPDX-License-Identifier: LGPL-2.1-or-later
"""Searches for sources: who may look with what, and how the answer comes. What is found is for the test machine."""

import os
import signal
import xml.etree.ElementTree as ET

import pytest

from client import ROOT, refused
from harness import process_exists, wait_until

TYPES = ("fs", "logical", "disk")
KEYS = {"source-devices", "links", "source-name", "source-format", "size", "vendor", "model", "serial", "removable",
        "read-only", "contents", "used-by", "used-by-pool", "unsuitable"}


@pytest.mark.parametrize("pool_type", TYPES)
def test_answer_as_dictionaries_and_xml(service, pool_type):
    assert "find-sources" in service.manager.get("PoolTypes")[pool_type]["operations"]
    found, job = service.manager.FindPoolSources(pool_type, {})
    assert job == "/"
    for source in found:
        assert set(source) <= KEYS and (source.get("source-devices") or source.get("source-name"))
    for wanted in ("", "<source/>"):
        xml, job = service.manager.FindPoolSourcesXML(pool_type, wanted)
        assert job == "/" and ET.fromstring(xml).tag == "sources"


def test_running_job_has_the_result(service):
    found, path = service.manager.FindPoolSources("fs", {}, {"wait": 0})
    assert found == [] and path != "/"
    job = service.wait_job(path)
    assert (job["State"], job["Operation"], job["Objects"]) == ("succeeded", "find-sources", [])
    assert isinstance(job["Result"]["sources"], list)
    xml, path = service.manager.FindPoolSourcesXML("fs", "", {"wait": 0})
    assert "<source>" not in xml
    assert service.wait_job(path)["Result"]["xml"].startswith("<sources")


def test_refusals(service):
    for pool_type in ("dir", "rbd"):
        with refused("Unsupported") as e:
            service.manager.FindPoolSources(pool_type, {})
        assert pool_type in e.text
    for arguments in (("nothing", {}), ("fs", {"target-path": "/a"}), ("fs", {"colour": "red"}),
                      ("fs", {"source-format": "zfs"})):
        with refused("InvalidArgument"):
            service.manager.FindPoolSources(*arguments)
    with refused("InvalidXML"):
        service.manager.FindPoolSourcesXML("fs", "<source><colour/></source>")


def test_many_at_once_are_limited_and_end(service):
    """Nobody is kept waiting by what others look for, and nothing is left of a search."""
    known = service.objects(ROOT).keys()
    outcomes = []
    for _ in range(40):
        try:
            outcomes.append(service.manager.FindPoolSources("fs", {}, {"wait": 0})[1])
        except Exception as error:  # noqa: BLE001
            assert "LimitsExceeded" in str(error)
            outcomes.append(None)
    jobs = [path for path in outcomes if path]
    assert len(jobs) >= 4
    assert all(service.wait_job(path)["State"] == "succeeded" for path in jobs)
    assert service.manager.FindPoolSources("fs", {})[1] == "/"
    assert [p for p in service.objects(ROOT).keys() - known if "/job/" in p and p not in jobs] == []


@pytest.fixture
def stopped(world, daemon, service):
    """A search that does not go on: its job, and its process."""
    caller = world.client(daemon)
    for _ in range(20):
        pending = caller.manager.start("FindPoolSources", "fs", {}, {"wait": 0})
        try:
            (worker,) = wait_until(lambda: list(daemon.workers("pool")), 0.5, "the search", 0)
            break
        except AssertionError:
            pending.wait()  # it was over before it was seen
    else:
        pytest.skip("all were over too soon")
    os.kill(worker, signal.SIGSTOP)
    path = pending.wait()[1]
    if service.job(path).get("State") != "running":
        pytest.skip("it was over too soon")
    return caller, path, worker


def test_search_that_is_killed(service, stopped):
    _caller, path, worker = stopped
    os.kill(worker, signal.SIGKILL)
    job = service.wait_job(path)
    assert (job["State"], job["Result"]) == ("failed", {}) and "killed by signal 9" in job["ErrorMessage"]


def test_search_that_is_cancelled(service, stopped):
    _caller, path, worker = stopped
    service.job(path).Cancel()
    job = service.wait_job(path)
    assert (job["State"], job["Result"]) == ("cancelled", {})
    wait_until(lambda: not process_exists(worker), what="its end")


def test_search_whose_caller_leaves(service, stopped):
    caller, path, worker = stopped
    caller.connection.close_sync(None)
    os.kill(worker, signal.SIGCONT)
    assert service.wait_job(path)["State"] == "succeeded"


def test_end_of_the_service_in_a_search(daemon, stopped):
    _caller, _path, worker = stopped
    daemon.stop()
    wait_until(lambda: not process_exists(worker), what="its end")
