# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table, for people (markdown) and for programs (JSON)."""

import datetime
import json
import os
import platform
import subprocess
import sys


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value):
    return "" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def target(line):
    if line["target"] is None:
        return ""
    sign = "≥" if line["at_least"] else "≤"
    unit = "×" if line["ratio"] is not None else line["unit"]
    return f"{sign} {line['target']:g} {unit} {'met' if line['met'] else '**missed**'}"


def about(started, build, libvirt):
    """Where and when; `libvirt` is its version, or None."""
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", build],
                                        capture_output=True, text=True, check=False).stdout or "[]")
    chosen = {o["name"]: o["value"] for o in options}
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")
    return {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.datetime.now(datetime.timezone.utc) - started).total_seconds()),
        "cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[2],
        "buildtype": chosen.get("buildtype"), "sanitize": chosen.get("b_sanitize"), "libvirt": libvirt,
    }


def markdown(lines, failed, where):
    out = [f"{where['cpu']}, {where['cpus']} CPUs, Linux {where['kernel']}, libvirt {where['libvirt'] or 'absent'}, "
           f"{where['buildtype']} build, {where['started']}, load {where['load']:.1f}. Medians; a ratio is ours "
           "divided by theirs.", "",
           "| What | storaged | Compared with | Theirs | Ratio | Target | |", "|---|--:|---|--:|--:|---|---|"]
    for line in lines:
        theirs = f"{number(line['base'])} {line['unit']}" if line["base"] else ""
        out.append(f"| {line['what']} | {number(line['value'])} {line['unit']} | {line['against'] or ''} | {theirs} | "
                   f"{ratio(line['ratio'])} | {target(line)} | {line['note']} |")
    if not where["libvirt"]:
        out += ["", "libvirt was not there to compare with."]
    if where["sanitize"] not in (None, "none"):
        out += ["", f"Built with -Db_sanitize={where['sanitize']}: not the numbers of the product."]
    out += [f"\nNot measured: {text}" for text in failed]
    return "\n".join(out) + "\n"


def write_report(lines, failed, where, path):
    """Prints the table, and writes it to path.md and path.json; `where` is what about() gives."""
    text = markdown(lines, failed, where)
    sys.stdout.write(text)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".md", "w", encoding="utf-8") as f:
        f.write(text)
    with open(path + ".json", "w", encoding="utf-8") as f:
        json.dump({"about": where, "lines": lines, "failed": failed}, f, indent=1)
        f.write("\n")
