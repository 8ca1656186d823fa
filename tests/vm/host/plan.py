# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which tests there are, what their headers ask for, and which machines run them."""

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
TIMEOUT = 120
HEADER = re.compile(r"#\s*(disks|hotplug|timeout):\s*(.*?)\s*$")
DISKS = re.compile(r"(?:(\d+)x)?(\d+[MG])$")
MAX_DISKS = 16
MAX_SLOTS = 8


class PlanError(Exception):
    """A test that does not exist, or a header that makes no sense; the message is for people."""


@dataclass
class Test:
    """A test file, and the part of it to run ("" for all)."""
    path: Path
    part: str = ""
    disks: list = field(default_factory=list)
    hotplug: int = 0
    timeout: int = TIMEOUT

    @property
    def name(self):
        return self.path.name + (f"::{self.part}" if self.part else "")

    @property
    def needs(self):
        """What the header asks for, as one line for people."""
        needs = [f"disks {' '.join(self.disks)}"] if self.disks else []
        needs += [f"hotplug {self.hotplug}"] if self.hotplug else []
        return ", ".join(needs + [f"timeout {self.timeout} s"])


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
        elif not value.isdecimal() or not 0 < int(value) <= (MAX_SLOTS if key == "hotplug" else 3600):
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
    """The tests of the given names (test_x, test_x.py, a path, or with ::part); all for no names."""
    tests = all_tests()
    if not names:
        return tests
    chosen = []
    for name in names:
        file, _, part = name.partition("::")
        match = [t for t in tests if Path(file).name in (t.path.name, t.path.stem)]
        if not match:
            raise PlanError(f"no test {file}; there are: {' '.join(t.path.name for t in tests)}")
        if part and match[0].path.suffix != ".py":
            raise PlanError(f"{match[0].path.name} has no parts to choose from")
        chosen += [read_header(Test(t.path, part)) for t in match]
    return chosen


def machines(tests):
    """Groups the tests by the machine that runs them.

    A test that asks for hardware writes to it, so it gets a machine for itself; the others share one.
    """
    shared = [t for t in tests if not t.disks and not t.hotplug]
    own = [[t] for t in tests if t.disks or t.hotplug]
    return ([shared] if shared else []) + own
