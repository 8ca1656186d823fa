# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a bench finds out: lines of its table."""

import statistics
import sys


def say(text):
    print(text, file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


class Lines:
    """The results: a line is a number, what it is compared with, and what it should be."""

    def __init__(self):
        self.all = []

    def add(self, group, what, value, unit, *, against=None, base=None, ratio=None, target=None, at_least=False,
            note=""):
        """value is ours; base is what `against` took. target bounds the ratio if there is a base, else the value."""
        if base and ratio is None:
            ratio = value / base
        judged = value if ratio is None else ratio
        met = None if target is None else judged >= target if at_least else judged <= target
        self.all.append({"group": group, "what": what, "value": value, "unit": unit, "against": against, "base": base,
                         "ratio": ratio, "target": target, "at_least": at_least, "met": met, "note": note})
        say(f"  {what}: {value:.4g} {unit}" + (f", {ratio:.3g} × {against}" if against and ratio is not None else ""))
