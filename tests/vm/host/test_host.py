# SPDX-License-Identifier: LGPL-2.1-or-later
"""What becomes of results: which run again, what then counts, and what is told last."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from host import plan  # noqa: E402
from host.summary import Summary, brief  # noqa: E402

BUS = "bus/test_policy.py::test_root_is_allowed"
OWN = "vm/test_disks.py::test_disks_are_as_asked_for"


def result(test, outcome, file="", detail=""):
    return {"test": test, "outcome": outcome, "seconds": 0, "detail": detail, "file": file}


@pytest.fixture
def summary():
    summary = Summary()
    for made in (result("vm/test_machine.py::test_x", "passed"), result(BUS, "failed", "test_bus.py", "E   first"),
                 result("vm/test_bus.py::test_bus", "passed"), result(OWN, "failed", "test_disks.py")):
        summary.add(made)
    return summary


def test_longest_machines_begin_first():
    seconds = [sum(test.timeout for test in group) for group in plan.machines(plan.choose([]))]
    assert len(seconds) > 2 and seconds == sorted(seconds, reverse=True)


def last_lines(summary, capsys):
    capsys.readouterr()
    summary.tell()
    return capsys.readouterr().out.splitlines()


def test_chosen_to_run_again(summary):
    tests = plan.once_more(summary.failures())
    assert {test.name: test.only for test in tests} == {"test_bus.py": [BUS], "test_disks.py": [OWN]}
    assert [test.disks != [] for test in tests] == [False, True]
    assert len(plan.machines(tests)) == 2


def test_too_many_do_not_run_again(summary):
    for number in range(4):
        summary.fail(f"vm/test_machine.py::test_{number}", "broken", "test_machine.py")
    assert plan.once_more(summary.failures()) == []


def test_files_and_machines_run_as_a_whole(summary):
    summary.fail("the machine of test_machine.py test_bus.py", "died", "test_machine.py test_bus.py")
    assert [(test.name, test.only) for test in plan.once_more(summary.failures())] == [
        ("test_bus.py", []), ("test_disks.py", [OWN]), ("test_machine.py", [])]


def test_second_run_counts(summary, capsys):
    summary.take_back(summary.failures())
    summary.add(result(BUS, "passed"))
    summary.add(result(OWN, "failed", detail="E   second"))
    summary.put_back(was_whole=True)
    assert f"{BUS} passed only when it was run again, alone" in capsys.readouterr().out
    assert last_lines(summary, capsys) == [f"why {OWN} failed:", "    E   second", f"failed: {OWN}",
                                           "3 passed, 1 failed"]


def test_what_did_not_run_again_stays_failed(summary, capsys):
    summary.take_back(summary.failures())
    summary.put_back(was_whole=True)
    assert last_lines(summary, capsys)[-1] == "2 passed, 2 failed"


@pytest.mark.parametrize("was_whole,failed", [(True, 0), (False, 1)])
def test_failure_of_a_whole_goes_with_a_whole_run(was_whole, failed):
    summary = Summary()
    summary.fail("the machine of test_disks.py", "died", "test_disks.py")
    summary.take_back(summary.failures())
    summary.add(result(OWN, "passed"))
    summary.put_back(was_whole)
    assert (summary.count("passed"), summary.count("failed")) == (1, failed)


@pytest.mark.parametrize("outcomes", [("passed", "failed"), ("failed", "passed")])
def test_worst_of_a_test_counts(outcomes):
    summary = Summary()
    for name, outcome in zip((OWN, OWN + " (teardown)"), outcomes):
        summary.add(result(name, outcome))
    assert (summary.count("passed"), summary.count("failed")) == (0, 1)


def test_brief_has_what_was_wrong_and_where():
    text = ("    x = {}\n>   assert 1 == 2\nE   AssertionError: why\n"
            "E   assert 1 == 2\nE    +  where\n\na.py:3: AssertionError")
    assert brief(text, 10).splitlines() == [">   assert 1 == 2", "E   AssertionError: why", "E   assert 1 == 2",
                                            "a.py:3: AssertionError"]
    assert brief("one\ntwo\n", 10) == "one\ntwo"
    assert brief("\n".join(f"E   line {n}" for n in range(99)), 5).count("\n") == 4
