# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which tests there are, what their headers ask for, and which machines run them."""

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
TIMEOUT = 120
HEADER = re.compile(r"#\s*(disks|hotplug|timeout|boots):\s*(.*?)\s*$")
DISKS = re.compile(r"(?:(\d+)x)?(\d+[MG])$")
MAX_DISKS = 16
MOST = {"hotplug": 8, "timeout": 3600, "boots": 32}
MAX_AGAIN = 5


class PlanError(Exception):
    """A test that does not exist, or a header that makes no sense; the message is for people."""


@dataclass
class Test:
    """A test file, and which tests of it to run: pytest's names for them, from tests/ on; none for all."""
    path: Path
    only: list = field(default_factory=list)
    disks: list = field(default_factory=list)
    hotplug: int = 0
    timeout: int = TIMEOUT
    boots: int = 1

    @property
    def name(self):
        return self.path.name

    @property
    def folder(self):
        """Where it is, below tests/: what measures in the machine is not with the tests."""
        return str(self.path.resolve().parent.relative_to(FOLDER.parent))

    @property
    def needs(self):
        """What the header asks for, as one line for people."""
        needs = [f"disks {' '.join(self.disks)}"] if self.disks else []
        needs += [f"hotplug {self.hotplug}"] if self.hotplug else []
        needs += [f"boots {self.boots}"] if self.boots > 1 else []
        return ", ".join(needs + [f"timeout {self.timeout} s"])

    @property
    def alone(self):
        """Whether it gets a machine for itself: what asks for hardware writes to it."""
        return bool(self.disks or self.hotplug or self.boots > 1)


def read_header(test):
    """Takes the settings out of the comment that a test file begins with."""
    for line in test.path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if not (match := HEADER.match(line)):
            continue
        key, value = match.groups()
        if key == "disks":
            test.disks = parse_disks(test.path, value)
        elif not value.isdecimal() or not 0 < int(value) <= MOST[key]:
            raise PlanError(f"{test.path.name}: {key}: {value} is not a number that makes sense")
        else:
            setattr(test, key, int(value))
    return test


def parse_disks(path, value):
    disks = []
    for item in re.split(r"[\s,]+", value):
        if not (match := DISKS.match(item)):
            raise PlanError(f"{path.name}: disks: {item} is not like 256M or 3x256M")
        disks += [match[2]] * int(match[1] or 1)
    if len(disks) > MAX_DISKS:
        raise PlanError(f"{path.name}: disks: {len(disks)} are more than {MAX_DISKS}")
    return disks


def all_tests():
    paths = sorted([*FOLDER.glob("test_*.py"), *FOLDER.glob("test_*.sh")])
    return [read_header(Test(path)) for path in paths]


def choose(names):
    """The tests of the given names (test_x, test_x.py, a path, or with ::part); all for no names.

    A part with a slash is of a test that runs others: test_bus::bus/test_y.py::test_z.
    """
    tests = all_tests()
    if not names:
        return tests
    chosen = {}
    for name in names:
        file, _, part = name.partition("::")
        match = [t for t in tests if Path(file).name in (t.path.name, t.path.stem)]
        if not match:
            raise PlanError(f"no test {file}; there are: {' '.join(t.path.name for t in tests)}")
        if part and match[0].path.suffix != ".py":
            raise PlanError(f"{match[0].path.name} has no parts to choose from")
        test = chosen.setdefault(match[0].name, match[0])
        test.only.append((part if "/" in part else f"vm/{test.name}::{part}") if part else None)
    return whole_files(chosen)


def once_more(failures):
    """The tests to run again of these failures (see guest/results.py): none if there are too many of them."""
    if len(failures) > MAX_AGAIN:
        return []
    tests = {test.name: test for test in all_tests()}
    chosen = {}
    for failure in failures:
        for name in failure.get("file", "").split():
            test = chosen.setdefault(name, tests[name])
            test.only.append(failure["test"] if "::" in failure["test"] else None)
    return whole_files(chosen)


def whole_files(chosen):
    """The chosen tests; one that is asked for as a whole (None), too, needs no list of its parts."""
    for test in chosen.values():
        test.only = [] if None in test.only else test.only
    return list(chosen.values())


def machines(tests):
    """Groups the tests by the machine that runs them: those that need not be alone share one.

    What may take longest comes first: of machines side by side none has to run for long after the others then.
    """
    shared = [t for t in tests if not t.alone]
    groups = ([shared] if shared else []) + [[t] for t in tests if t.alone]
    return sorted(groups, key=lambda group: sum(t.timeout for t in group), reverse=True)
