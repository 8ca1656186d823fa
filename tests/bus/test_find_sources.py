# SPDX-License-Identifier: LGPL-2.1-or-later
"""Searches for sources: who may look with what, and how the answer comes. What is found is for the test machine."""

import xml.etree.ElementTree as ET

import pytest

from client import ROOT, refused

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
    assert not [p for p, i in service.objects(ROOT).items() if "/job/" in p and p not in jobs]
