# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clones of a large volume, beside the tools that people would take for it."""

import os
import shutil
import subprocess
import time

from lines import median, percentile
from world import STORAGE, run

MIB = 1 << 20


def write_source(path, mib):
    """Three quarters of it are data that nothing can compress, the rest is a hole."""
    with open(path, "wb") as f:
        block = bytearray(os.urandom(MIB))
        for i in range(mib * 3 // 4):
            block[:8] = i.to_bytes(8, "little")
            f.write(block)
        f.truncate(mib * MIB)
        os.fsync(f.fileno())


def fsync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def take_turns(ways, rounds, undo):
    """{way: [ms]}: in another order each round, each with nothing left to be written; the first round is a warm-up."""
    times = {name: [] for name in ways}
    names = list(ways)
    for i in range(rounds + 1):
        for name in names[i % len(names):] + names[:i % len(names)]:
            os.sync()
            begin = time.perf_counter()
            ways[name]()
            taken = (time.perf_counter() - begin) * 1000
            if i > 0:
                times[name].append(taken)
            undo(name)
    return times


def clone_ways(world, pool, folder, name, form):
    """Each makes a volume "copy" of the one of that name."""
    from gi.repository import GLib  # pylint: disable=import-outside-toplevel
    source, made = f"{folder}/{name}", folder + "/copy"
    volume = world.storaged.call(pool, STORAGE + ".Pool", "GetVolume", "(s)", name)[0]
    options = {"wait": GLib.Variant("t", 100_000_000)}
    tool = ["cp", "--sparse=always", source, made] if form == "raw" else ["qemu-img", "convert", "-f", form, "-O", form,
                                                                         source, made]

    def with_fsync():
        run(*tool)
        fsync(made)
    ways = {
        "storaged": lambda: world.storaged.call(pool, STORAGE + ".Pool", "CloneVolume", "(osa{sv})", volume, "copy", options),
        "tool": lambda: run(*tool),
        "tool and fsync": with_fsync,
    }
    if world.libvirt:
        ways["virsh"] = lambda: world.libvirt.virsh("vol-clone", name, "copy", "--pool", "clone")
    return ways


def measure_others(world, lines, size, clone, made):
    """What another client's calls take meanwhile."""
    def some():
        for _ in range(size.rounds):
            clone()
            os.unlink(made)
    finish = world.probe()
    some()
    times = finish()
    lines.add("other clients", "Get of Version, a large volume is cloned: p99", percentile(times["get"], 0.99) / 1000,
              "ms", target=5, note=f"p50 {percentile(times['get'], 0.5) / 1000:.2f}, {len(times['get']):,} calls")


def measure_clone(world, lines, size):
    mib = size.clone_mib
    folder = world.folder()
    write_source(folder + "/plain", mib)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", folder + "/plain", folder + "/image"], check=True, timeout=120)
    pool = world.storaged.add_pool("clone", folder)
    if world.libvirt:
        world.libvirt.add_pool("clone", folder)

    def undo(way):
        # libvirt does not see that a file is gone.
        if way == "virsh":
            world.libvirt.virsh("vol-delete", "copy", "--pool", "clone")
        else:
            os.unlink(folder + "/copy")
    for name, form, tool in (("plain", "raw", "cp --sparse=always"), ("image", "qcow2", "qemu-img convert")):
        taken = take_turns(clone_ways(world, pool, folder, name, form), size.rounds, undo)
        t = {way: median(values) for way, values in taken.items()}
        for way, against in (("tool and fsync", tool + " and fsync"), ("tool", tool + ", not on the disk yet"),
                             ("virsh", "virsh vol-clone")):
            if way in t:
                lines.add("clone", f"{mib} MiB {form}", t["storaged"], "ms", against=against, base=t[way],
                          ratio=t[way] / t["storaged"], target=0.95 if way == "tool and fsync" else None, at_least=True,
                          note="the ratio is of speeds")
    measure_others(world, lines, size, clone_ways(world, pool, folder, "plain", "raw")["storaged"], folder + "/copy")
    if world.libvirt:
        world.libvirt.remove_pool("clone")
    world.storaged.remove_pool(pool)
    shutil.rmtree(folder)
