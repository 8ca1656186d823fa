# SPDX-License-Identifier: LGPL-2.1-or-later
"""The table, for people (markdown) and for programs (JSON)."""

import datetime
import json
import os
import platform
import subprocess
import sys

import harness


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


def machine(started, with_libvirt):
    options = json.loads(subprocess.run(["meson", "introspect", "--buildoptions", harness.build_dir()],
                                        capture_output=True, text=True, check=False).stdout or "[]")
    chosen = {o["name"]: o["value"] for o in options}
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "?")
    return {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.datetime.now(datetime.timezone.utc) - started).total_seconds()),
        "cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[2],
        "buildtype": chosen.get("buildtype"), "sanitize": chosen.get("b_sanitize"),
        "libvirt": subprocess.run(["libvirtd", "--version"], capture_output=True, text=True,
                                  check=False).stdout.split()[-1] if with_libvirt else None,
    }


def markdown(lines, failed, about):
    out = [f"{about['cpu']}, {about['cpus']} CPUs, Linux {about['kernel']}, libvirt {about['libvirt'] or 'absent'}, "
           f"{about['buildtype']} build, {about['started']}, load {about['load']:.1f}. Medians; a ratio is ours "
           "divided by theirs.", "",
           "| What | storaged | Compared with | Theirs | Ratio | Target | |", "|---|--:|---|--:|--:|---|---|"]
    for line in lines:
        theirs = f"{number(line['base'])} {line['unit']}" if line["base"] else ""
        out.append(f"| {line['what']} | {number(line['value'])} {line['unit']} | {line['against'] or ''} | {theirs} | "
                   f"{ratio(line['ratio'])} | {target(line)} | {line['note']} |")
    if not about["libvirt"]:
        out += ["", "libvirt was not there to compare with."]
    if about["sanitize"] not in (None, "none"):
        out += ["", f"Built with -Db_sanitize={about['sanitize']}: not the numbers of the product."]
    out += [f"\nNot measured: {text}" for text in failed]
    return "\n".join(out) + "\n"


def write_report(lines, failed, started, with_libvirt, options):
    about = machine(started, with_libvirt)
    text = markdown(lines, failed, about)
    sys.stdout.write(text)
    folder = options.output or harness.build_dir()
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/bench.md", "w", encoding="utf-8") as f:
        f.write(text)
    with open(folder + "/bench.json", "w", encoding="utf-8") as f:
        json.dump({"about": about, "lines": lines, "failed": failed}, f, indent=1)
        f.write("\n")
