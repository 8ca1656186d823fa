# SPDX-License-Identifier: LGPL-2.1-or-later
"""Uploads of a large file into a volume that is there, beside the tools that people would take for it."""

import os
import shutil
import time

from clone import fsync
from lines import median
from world import STORAGE, run

MIB = 1 << 20


def write_data(path, mib):
    """That nothing can compress, and without holes: nobody has less to do than others."""
    block = bytearray(os.urandom(MIB))
    with open(path, "wb") as f:
        for i in range(mib):
            block[:8] = i.to_bytes(8, "little")
            f.write(block)
        os.fsync(f.fileno())


def upload(world, volume, source, **flags):
    """Through a descriptor; it is on the disk when this returns."""
    from gi.repository import Gio, GLib  # pylint: disable=import-outside-toplevel
    options = {"wait": GLib.Variant("t", 100_000_000)}
    options.update({key: GLib.Variant("b", value) for key, value in flags.items()})
    with open(source, "rb") as f:
        descriptors = Gio.UnixFDList()
        descriptors.append(f.fileno())
        world.storaged.daemon.connection.call_with_unix_fd_list_sync(
            STORAGE, volume, STORAGE + ".Volume", "Upload", GLib.Variant("(ha{sv})", (0, options)), None, 0, 120000,
            descriptors, None)


def upload_ways(world, volume, source, target):
    """Each writes all of source into the target, which takes no space before."""
    def with_fsync():
        run("cp", source, target)
        fsync(target)
    ways = {
        "storaged": lambda: upload(world, volume, source),
        "storaged, sha256": lambda: upload(world, volume, source, sha256=True),
        "cp": lambda: run("cp", source, target),
        "cp and fsync": with_fsync,
    }
    if world.libvirt:
        ways["virsh"] = lambda: world.libvirt.virsh("vol-upload", "target", source, "--pool", "upload")
    return ways


def take_turns(ways, rounds, target, size):
    """{way: [ms]}: in another order each round, each with nothing left to be written; the first round is a warm-up."""
    times = {name: [] for name in ways}
    names = list(ways)
    for i in range(rounds + 1):
        for name in names[i % len(names):] + names[:i % len(names)]:
            os.truncate(target, 0)
            os.truncate(target, size)
            os.sync()
            begin = time.perf_counter()
            ways[name]()
            if i > 0:
                times[name].append((time.perf_counter() - begin) * 1000)
    return times


def measure_upload(world, lines, size):
    mib = size.clone_mib
    folder, outside = world.folder(), world.folder()
    source, target = outside + "/source", folder + "/target"
    write_data(source, mib)
    with open(target, "wb") as f:
        f.truncate(mib * MIB)
    pool = world.storaged.add_pool("upload", folder)
    volume = world.storaged.call(pool, STORAGE + ".Pool", "GetVolume", "(s)", "target")[0]
    if world.libvirt:
        world.libvirt.add_pool("upload", folder)
    taken = take_turns(upload_ways(world, volume, source, target), size.rounds, target, mib * MIB)
    t = {way: median(values) for way, values in taken.items()}
    for way, against in (("cp and fsync", "cp and fsync"), ("cp", "cp, not on the disk yet"), ("virsh", "virsh vol-upload")):
        if way in t:
            lines.add("upload", f"{mib} MiB through a descriptor", t["storaged"], "ms", against=against, base=t[way],
                      ratio=t[way] / t["storaged"], target=0.9 if way == "cp and fsync" else None, at_least=True,
                      note="the ratio is of speeds")
    lines.add("upload", f"{mib} MiB through a descriptor, with sha256", t["storaged, sha256"], "ms", against="cp and fsync",
              base=t["cp and fsync"], ratio=t["cp and fsync"] / t["storaged, sha256"], note="the ratio is of speeds")
    if world.libvirt:
        world.libvirt.remove_pool("upload")
    world.storaged.remove_pool(pool)
    shutil.rmtree(folder)
    shutil.rmtree(outside)
