#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the reference of the D-Bus API, in Markdown, from the interface files.

Usage: make-api.py OUTPUT INTERFACE.xml...
"""

import re
import sys
import xml.etree.ElementTree as ET

DOC = "org.gtk.GDBus.DocString"
ACTION = "org.example.Storage1.PolkitAction"
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"

INTRODUCTION = """\
# The D-Bus API of storaged

Bus name `org.example.Storage1`, on the system bus, or on the session bus for `storaged --user`. This page is
made from the interface files, which are installed in `/usr/share/dbus-1/interfaces/`.

| path | what is there |
|---|---|
| `/org/example/Storage1` | the Manager, and the ObjectManager of all pools and jobs |
| `/org/example/Storage1/pool/<uuid>` | a pool |
| `/org/example/Storage1/volume/<uuid>` | the ObjectManager of that pool's volumes |
| `/org/example/Storage1/volume/<uuid>/<escaped name>` | a volume |
| `/org/example/Storage1/job/<n>` | a job |

A path of a pool or volume depends on its UUID and name only and survives restarts. Interfaces only grow:
members are added, never changed.

Sizes are in bytes, times in µs since 1970 UTC, and 0 is unknown. `/` is no object, an empty string is none,
and a user or group of 4294967295 is unset. Enumerations are strings and may grow.

Methods that can take long end in `a{sv} options` and `o job`. They answer when the work is done, and then
the job is `/`, or when the time in option `wait` (`t`, µs; 20 s if absent, 0 answers at once) is over, and
then the job is the Job that goes on. A caller who leaves cancels nothing. An option that is not known is an
error.

Where an action is named, polkit decides, with the caller's flag ALLOW_INTERACTIVE_AUTHORIZATION; all other
methods and all properties are open to every local user. In session mode everything is open to the user
whose session it is.
"""

ERRORS = """\
## Errors

Each is `org.example.Storage1.Error.` and the name. Besides these there are AccessDenied,
InteractiveAuthorizationRequired, LimitsExceeded and UnknownObject of `org.freedesktop.DBus.Error`. The message
says what failed, on which object, why, and what would help.

| name | meaning |
|---|---|
| InvalidXML | the XML cannot be read; the message names line and reason |
| InvalidName | a pool or volume cannot be called so |
| InvalidArgument | an argument or option has a value that makes no sense, or is not known |
| NotFound | there is no such pool, volume, source or file |
| Exists | there is one of that name already |
| Conflict | another pool, which is named, uses the same storage |
| NotActive | the pool has to be started first |
| Active | the pool has to be stopped first |
| Busy | jobs of the service are at work on it; they are named |
| InUse | somebody else has it open |
| HasDependents | other volumes are overlays of it |
| Unsupported | this type of pool or format cannot do that |
| NoSpace | the storage is full |
| Cancelled | somebody asked to give the work up |
| Interrupted | a restart or crash cut the work off |
| Timeout | the storage took too long |
| Inaccessible | the storage does not answer, or is not there |
| Failed | anything else |
"""


def text(element, name):
    """An annotation of the element itself, without line breaks."""
    for a in element.findall("annotation"):
        if a.get("name") == name:
            return " ".join(a.get("value").split())
    return None


def escaped(s):
    """Characters that Markdown would take for markup, outside of code."""
    return re.sub(r"([*_<>\[\]|])", r"\\\1", s)


def described(element, what):
    doc = text(element, DOC)
    if not doc:
        sys.exit(f"{what} has no description")
    return escaped(doc)


def arguments(element, direction):
    """Those of one direction; arguments of signals have none and count as going out."""
    found = [a for a in element.findall("arg") if (a.get("direction") or "out") == direction]
    return ", ".join(f"{a.get('type')} {a.get('name')}" for a in found)


def heading(element, before, after):
    yield f"#### {element.get('name')}"
    yield ""
    yield f"`{element.get('name')}({before}){after}`"
    yield ""


def method(element, what):
    out = arguments(element, "out")
    yield from heading(element, arguments(element, "in"), f" → ({out})" if out else "")
    yield described(element, what)
    yield ""
    actions = text(element, ACTION)
    if actions is None:
        sys.exit(f"{what} names no polkit action, not even an empty one")
    if actions:
        yield "polkit: " + ", ".join(f"`{a}`" for a in actions.split())
        yield ""


def signal(element, what):
    yield from heading(element, arguments(element, "out"), "")
    yield described(element, what)
    yield ""


def properties(elements, name):
    yield f"### {name}: properties"
    yield ""
    yield "| name | type | changes | meaning |"
    yield "|---|---|---|---|"
    for p in elements:
        changes = {"const": "never", "false": "without a signal"}.get(text(p, EMITS), "with a signal")
        doc = described(p, f"{name}.{p.get('name')}")
        yield f"| {p.get('name')} | `{p.get('type')}` | {changes} | {doc} |"
    yield ""


def section(title, makers, elements, name):
    if not elements:
        return
    yield f"### {name}: {title}"
    yield ""
    for e in elements:
        yield from makers(e, f"{name}.{e.get('name')}")


def interface(element):
    name = element.get("name")
    short = name.removeprefix("org.example.Storage1.")
    yield f"## {short}"
    yield ""
    yield f"Interface `{name}`."
    yield ""
    yield described(element, name)
    yield ""
    if element.findall("property"):
        yield from properties(element.findall("property"), short)
    yield from section("methods", method, element.findall("method"), short)
    yield from section("signals", signal, element.findall("signal"), short)


def main():
    output, *files = sys.argv[1:]
    lines = [INTRODUCTION]
    for f in files:
        for element in ET.parse(f).getroot().findall("interface"):
            lines += interface(element)
    lines.append(ERRORS)
    with open(output, "w", encoding="utf-8") as out:
        out.write("\n".join(lines))


if __name__ == "__main__":
    main()
