# SPDX-License-Identifier: LGPL-2.1-or-later
"""The results of a run: told as they come in, told again at the end, and what of them to run once more."""

import re

NAME_LENGTH = 120
TEARDOWN = " (teardown)"
# meson shows the last hundred lines of a test's output: reasons that are told again must leave room for each other.
BRIEF_LINES = 60
LINE_LENGTH = 240
REASON = re.compile(r"E +(?![+? ])|>  |\S+:\d+: |(vm/)?test_\S+\.sh: ")
WORSE = ("passed", "skipped", "failed")


class Summary:
    """One result a test: the worst of its set-up, its call and its end."""

    def __init__(self):
        self.results = {}
        self.again = {}

    def add(self, result):
        """Takes a result (see guest/results.py) and prints it."""
        name = result["test"]
        short = name if len(name) <= NAME_LENGTH else name[:NAME_LENGTH] + "…"
        print(f"{result['outcome']:8}{result['seconds']:6.1f} s  {short}", flush=True)
        if result["outcome"] != "passed":
            print(indented(result["detail"] + result.get("log", "")), end="", flush=True)
        name = name.removesuffix(TEARDOWN)
        known = self.results.get(name)
        if not known or WORSE.index(result["outcome"]) >= WORSE.index(known["outcome"]):
            self.results[name] = result | {"test": name}

    def fail(self, name, detail, file=None):
        """Adds a failure that the guest could not report."""
        self.add({"test": name, "outcome": "failed", "seconds": 0, "detail": detail, "file": file})

    def failures(self):
        return [result for result in self.results.values() if result["outcome"] == "failed"]

    def count(self, outcome):
        return sum(result["outcome"] == outcome for result in self.results.values())

    def take_back(self, failures):
        """Forgets these failures, as their tests run again; put_back() brings back what then has no result."""
        self.again = {failure["test"]: failure for failure in failures}
        for name in self.again:
            del self.results[name]

    def put_back(self, was_whole):
        """The end of the second run: a test that it did not come to stays failed.

        A file or a machine as a whole has a result only if it failed, so it is gone if the run was_whole.
        """
        for name, failure in self.again.items():
            if name in self.results:
                if self.results[name]["outcome"] == "passed":
                    print(f"{name} passed only when it was run again, alone")
            elif "::" in name or not was_whole:
                self.results[name] = failure

    def tell(self):
        """The end of the output: why each failed, their names, and the counts."""
        failures = self.failures()
        for failure in failures:
            print(f"why {failure['test']} failed:")
            print(indented(brief(failure["detail"], BRIEF_LINES // len(failures))), end="")
        for failure in failures:
            print(f"failed: {failure['test'][:NAME_LENGTH]}")
        if self.count("skipped"):
            print(f"{self.count('skipped')} skipped")
        print(f"{self.count('passed')} passed, {len(failures)} failed", flush=True)


def indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def brief(detail, lines):
    """What was wrong and where: the lines of a traceback that say so, or else the end of the text."""
    every = [line for line in detail.splitlines() if line.strip()]
    telling = [line for line in every if REASON.match(line)] or every
    return "\n".join(line[:LINE_LENGTH] for line in telling[-max(lines, 4):])
