# SPDX-License-Identifier: LGPL-2.1-or-later
"""Logical volumes and partitions made and deleted: by storaged, by libvirt, by the tools alone."""

from pathlib import Path

from client import MIB
from lab import DISK_XML, LOGICAL_XML, run, timed
from lines import median

SIZE = 16 * MIB
STORAGED, LIBVIRT = "storaged", "libvirt"
LV_XML = "<volume><name>{name}</name><capacity>{size}</capacity>{more}</volume>"
BACKING_XML = "<backingStore><path>{path}</path></backingStore>"


def by_storaged(lab, pool, name, capacity, **options):
    """A way to make and delete a volume; name(round) is what it is called."""
    def once(number):
        created, volume = timed(lambda: lab.create(pool, name(number), capacity, **options))
        deleted, _ = timed(lambda: lab.delete(volume))
        return {"create": created, "delete": deleted}
    return once


def by_libvirt(lab, pool, name, capacity, more=""):
    def once(number):
        xml = LV_XML.format(name=name(number), size=capacity, more=more)
        created, volume = timed(lambda: lab.libvirt.create(pool, xml))
        deleted, _ = timed(lambda: lab.libvirt.delete(volume))
        return {"create": created, "delete": deleted}
    return once


def by_tools(create, delete):
    """create(round) and delete(round) give the command."""
    def once(number):
        created, _ = timed(lambda: run(*create(number)))
        deleted, _ = timed(lambda: run(*delete(number)))
        return {"create": created, "delete": deleted}
    return once


def compare(lab, lines, what, ways, rounds=None):
    """Runs the ways, and adds a line for storaged against each other one and each step."""
    times, late = lab.alternate(ways, rounds or lab.size.rounds)
    steps = list(times[STORAGED])
    for step in steps:
        ours = times[STORAGED][step]
        for name in ways:
            if name == STORAGED:
                continue
            taken = times[name][step]
            lines.add(what, f"{what}: {step}", median(ours) * 1000, "ms", against=name, base=median(taken) * 1000,
                      target=1 if name == LIBVIRT else None,
                      note=f"{len(ours)} and {len(taken)}, {min(ours) * 1000:.0f}–{max(ours) * 1000:.0f} against "
                           f"{min(taken) * 1000:.0f}–{max(taken) * 1000:.0f}")
    if late:
        raise late


def plain_name(prefix):
    return lambda number: f"{prefix}{number}"


def bare_group(name, device):
    run("vgcreate", name, device)


def measure_volumes(lab, lines):
    """Three groups alike, each on a disk of its own."""
    ours = lab.pool("ours", "logical", [lab.disks[0]])
    theirs = lab.libvirt_pool(LOGICAL_XML.format(name="theirs", devices=f"<device path='{lab.disks[1]}'/>"))
    bare_group("bare", lab.disks[2])
    compare(lab, lines, "logical volume", {
        STORAGED: by_storaged(lab, ours, plain_name("v"), SIZE),
        LIBVIRT: by_libvirt(lab, theirs, plain_name("v"), SIZE),
        "lvcreate, lvremove": by_tools(lambda i: ["lvcreate", "-y", "-L", f"{SIZE}b", "-n", f"v{i}", "bare"],
                                       lambda i: ["lvremove", "-y", f"bare/v{i}"]),
    })
    snapshots(lab, lines, ours, theirs)
    thin(lab, lines, ours)


def snapshots(lab, lines, ours, theirs):
    lab.create(ours, "origin", SIZE)
    lab.libvirt.create(theirs, LV_XML.format(name="origin", size=SIZE, more=""))
    run("lvcreate", "-y", "-L", f"{SIZE}b", "-n", "origin", "bare")
    # With as much room as the origin has: libvirt can make no other.
    backing = BACKING_XML.format(path="/dev/theirs/origin")
    compare(lab, lines, "snapshot", {
        STORAGED: by_storaged(lab, ours, plain_name("s"), SIZE, **{"backing-path": "/dev/ours/origin"}),
        LIBVIRT: by_libvirt(lab, theirs, plain_name("s"), SIZE, backing),
        "lvcreate -s, lvremove": by_tools(
            lambda i: ["lvcreate", "-y", "-s", "-L", f"{SIZE}b", "-n", f"s{i}", "bare/origin"],
            lambda i: ["lvremove", "-y", f"bare/s{i}"]),
    })


def thin(lab, lines, ours):
    """libvirt makes none."""
    for vg in ("ours", "bare"):
        run("lvcreate", "-y", "--type", "thin-pool", "-L", "128M", "-n", "tp", vg)
    compare(lab, lines, "thin volume", {
        STORAGED: by_storaged(lab, ours, plain_name("t"), 8 * SIZE, allocation=0),
        "lvcreate -V, lvremove": by_tools(
            lambda i: ["lvcreate", "-y", "-V", f"{8 * SIZE}b", "--thinpool", "tp", "-n", f"t{i}", "bare"],
            lambda i: ["lvremove", "-y", f"bare/t{i}"]),
    })
    lab.create(ours, "thin", 8 * SIZE, allocation=0)
    run("lvcreate", "-y", "-V", f"{8 * SIZE}b", "--thinpool", "tp", "-n", "thin", "bare")
    compare(lab, lines, "thin snapshot", {
        STORAGED: by_storaged(lab, ours, plain_name("u"), 8 * SIZE, **{"backing-path": "/dev/ours/thin"}),
        "lvcreate -s, lvremove": by_tools(lambda i: ["lvcreate", "-y", "-s", "-kn", "-n", f"u{i}", "bare/thin"],
                                          lambda i: ["lvremove", "-y", f"bare/u{i}"]),
    })


def measure_partitions(lab, lines):
    """The first partition of a gpt, again and again."""
    first = [f"{Path(disk).name}1" for disk in lab.disks]
    ours = lab.pool("ours", "disk", [lab.disks[0]], **{"source-format": "gpt", "target-path": "/dev"})
    theirs = lab.libvirt_pool(DISK_XML.format(name="theirs", device=lab.disks[1]))
    for disk in lab.disks[2:4]:
        run("parted", "--script", disk, "mklabel", "gpt")
    by_parted, by_sfdisk = lab.disks[2:4]
    compare(lab, lines, "partition of a gpt", {
        STORAGED: by_storaged(lab, ours, lambda _: first[0], SIZE),
        LIBVIRT: by_libvirt(lab, theirs, lambda _: first[1], SIZE),
        "parted": by_tools(lambda _: ["parted", "--script", by_parted, "mkpart", "one", "1MiB", "17MiB"],
                           lambda _: ["parted", "--script", by_parted, "rm", "1"]),
        "sfdisk": by_tools(lambda _: ["sh", "-c", f"echo 1MiB,16MiB | sfdisk -q --append {by_sfdisk}"],
                           lambda _: ["sfdisk", "-q", "--delete", by_sfdisk, "1"]),
    })
