# SPDX-License-Identifier: LGPL-2.1-or-later
"""The loss of power, for tests whose header asks for `boots: N`: see the fixture power_off in ../conftest.py.

The host kills QEMU while the guest goes on working. Then the machine boots again, with the root and the disks as
they were left, and pytest goes on with the test that asked for it.
"""

import json
import os
import time
from pathlib import Path

REQUEST = Path("/srv/out/power-off.json")
CUT = Path("/srv/out/power-was-cut.json")
# So long the host may take beyond the moment that was asked for.
PATIENCE = 30


def cut_test():
    """The test in which the power was cut before this boot, or None."""
    return json.loads(CUT.read_text())["test"] if CUT.exists() else None


class PowerOff:
    """What a test sees of it: power_off(after=0.5) asks, power_off.happened says that this is the boot after it."""

    def __init__(self, test):
        self._test = test
        self._deadline = None
        self.happened = cut_test() == test

    def __call__(self, after=0.0):
        """Has the power cut in so many seconds, and returns at once."""
        boot, boots = int(os.environ["STORAGED_VM_BOOT"]), int(os.environ["STORAGED_VM_BOOTS"])
        assert boot < boots, f"the header asks for {boots} boots, this is the last of them"
        assert not self._deadline, "asked for already"
        self._deadline = time.monotonic() + after + PATIENCE
        new = REQUEST.with_suffix(".new")
        new.write_text(json.dumps({"test": self._test, "after": after}))
        new.rename(REQUEST)

    def wait(self):
        """Waits for the end: returns never."""
        while time.monotonic() < self._deadline:
            time.sleep(0.05)
        raise AssertionError("the power was not cut")

    def finish(self):
        """The end of the test: one that asked does not get there before the power is cut."""
        if self._deadline:
            self.wait()


def pytest_collection_modifyitems(config, items):
    """After a cut: goes on with the test that was cut; those before it have their results."""
    names = [item.nodeid for item in items]
    if cut_test() in names:
        first = names.index(cut_test())
        config.hook.pytest_deselected(items=items[:first])
        items[:] = items[first:]
