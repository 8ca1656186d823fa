# SPDX-License-Identifier: LGPL-2.1-or-later
"""A volume group with hundreds of volumes: refreshed, started, stopped, and one more made in it."""

import json
import re
from pathlib import Path

from lab import LIMIT, LOGICAL_XML, rest, run, timed
from volumes import LIBVIRT, STORAGED, by_libvirt, by_storaged, by_tools, compare, plain_name

EXTENT = 512 * 1024
# What a refresh has to know, as lvm has it.
FIELDS = "lv_name,lv_uuid,lv_size,lv_attr,lv_tags,origin,pool_lv,data_percent,metadata_percent,seg_pe_ranges"
BACKUP = Path("/run/bench-group")


def group_of_many(name, device, count):
    """A volume group with so many volumes of one extent, none of them active: written at once, as lvm restores it."""
    run("vgcreate", "-s", f"{EXTENT}b", name, device)
    run("lvcreate", "-an", "-Zn", "-l", "1", "-n", "v0", name)
    run("vgcfgbackup", "-f", str(BACKUP), name)
    text = BACKUP.read_text()
    one = re.search(r"^\t\tv0 \{.*?^\t\t\}\n", text, re.DOTALL | re.MULTILINE)[0]
    uuid = re.search(r'id = "(.*?)"', one)[1]
    copies = [one.replace("v0 {", f"v{i} {{", 1).replace('"pv0", 0', f'"pv0", {i}').replace(uuid, f"{uuid[:-4]}{i:04}")
              for i in range(count)]
    BACKUP.write_text(text.replace(one, "".join(copies)))
    run("vgcfgrestore", "--force", "-f", str(BACKUP), name)


def known_to_lvs(name):
    report = json.loads(run("lvs", "--reportformat", "json", "-o", FIELDS, name))
    return len(report["report"][0]["lv"])


def both_pools(lab, name, device):
    """storaged's and libvirt's, neither of them started."""
    return lab.group(name, device), lab.libvirt_pool(LOGICAL_XML.format(name=name, devices=""), build=False)


def steps(start, stop):
    def once(_number):
        started, _ = timed(start)
        stopped, _ = timed(stop)
        return {"start": started, "stop": stopped}
    return once


def measure_start(lab, lines):
    """Start of a pool whose volumes get active by it."""
    count = lab.size.some
    group_of_many("some", lab.disks[0], count)
    ours, theirs = both_pools(lab, "some", lab.disks[0])
    compare(lab, lines, f"pool of {count} volumes, with their activation", {
        STORAGED: steps(lambda: lab.call(ours, "Start"), lambda: lab.call(ours, "Stop")),
        LIBVIRT: steps(lambda: lab.libvirt.start(theirs), lambda: lab.libvirt.stop(theirs)),
        "vgchange": steps(lambda: run("vgchange", "-ay", "some"), lambda: run("vgchange", "-an", "some")),
    }, lab.size.starts)


def refresh_ways(lab, ours, theirs, name):
    def way(function):
        return lambda _number: {"refresh": timed(function)[0]}
    return {
        STORAGED: way(lambda: lab.call(ours, "Refresh")),
        LIBVIRT: way(lambda: lab.libvirt.refresh(theirs)),
        "virsh pool-refresh": way(lambda: lab.virsh("pool-refresh", name)),
        "lvs": way(lambda: known_to_lvs(name)),
    }


def activate_without_udev(name):
    """Hundreds of devices are a quarter of an hour's work for udev here. lvm makes their nodes itself; that udev
    never heard of them nobody minds who asks lvm for them."""
    units = ("systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket")
    run("systemctl", "stop", *units)
    try:
        run("vgchange", "-ay", "-K", "--config", "activation{udev_sync=0 udev_rules=0}", name)
    finally:
        run("systemctl", "start", *reversed(units))
    rest()


def beside(lab, way):
    """A way in a group that is a pool of storaged, too."""
    def once(number):
        with lab.still():
            return way(number)
    return once


def measure_many(lab, lines):
    """The machine ends after it: to take hundreds of volumes down takes as long as to get them up."""
    count = lab.size.many
    group_of_many("many", lab.disks[0], count)
    run("lvchange", "--setactivationskip", "y", "many")
    ours, theirs = both_pools(lab, "many", lab.disks[0])
    compare(lab, lines, f"pool of {count} volumes, none activated", {
        STORAGED: steps(lambda: lab.call(ours, "Start"), lambda: lab.call(ours, "Stop")),
        # It does not show what is not active.
        LIBVIRT: steps(lambda: lab.libvirt.start(theirs), lambda: lab.libvirt.stop(theirs)),
        "vgchange and lvs": steps(lambda: (run("vgchange", "-ay", "many"), known_to_lvs("many")),
                                  lambda: run("vgchange", "-an", "many")),
    }, lab.size.starts)
    activate_without_udev("many")
    lab.call(ours, "Start")
    lab.libvirt.start(theirs)
    known = {STORAGED: ours.get("VolumeCount"), LIBVIRT: lab.libvirt.count(theirs), "lvs": known_to_lvs("many")}
    if set(known.values()) != {count}:
        raise RuntimeError(f"not everybody knows all of {count} volumes: {known}")
    compare(lab, lines, f"{count} volumes, all active", refresh_ways(lab, ours, theirs, "many"))
    compare(lab, lines, f"one more beside {count} volumes", {
        STORAGED: by_storaged(lab, ours, plain_name("ours"), EXTENT),
        LIBVIRT: beside(lab, by_libvirt(lab, theirs, plain_name("theirs"), EXTENT)),
        "lvcreate, lvremove": beside(lab, by_tools(
            lambda i: ["lvcreate", "-y", "-l", "1", "-n", f"bare{i}", "many"],
            lambda i: ["lvremove", "-y", f"many/bare{i}"])),
    }, lab.size.starts)
