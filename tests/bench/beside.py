# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls of others on a pool, while a large volume is copied in it."""

import os
import shutil
import time

from lines import percentile
from world import STORAGE

POOL = STORAGE + ".Pool"


def ms(usec):
    return usec / 1000


def make_data(path, size):
    """A file without holes."""
    block = os.urandom(1 << 20)
    with open(path, "wb", buffering=0) as f:
        for _ in range(size >> 20):
            f.write(block)
        os.fsync(f.fileno())


def copies(world, pool, source, size, seconds):
    """Clones of it, one after the other, for at least so long; how many, and the bytes a second."""
    from gi.repository import GLib  # pylint: disable=import-outside-toplevel
    begin, n = time.monotonic(), 0
    while time.monotonic() - begin < seconds or n == 0:
        path, job = world.storaged.call(pool, POOL, "CloneVolume", "(osa{sv})", source, f"copy-{n}", {
            "reflink": GLib.Variant("s", "never"), "wait": GLib.Variant("t", 600 * 10**6)})
        assert job == "/"
        n += 1
        taken = time.monotonic() - begin
        world.storaged.call(path, STORAGE + ".Volume", "Delete", "(a{sv})", {})
    return n, n * size / taken


def measure_beside(world, lines, size):
    """Other calls on the pool, while a copy that fills the disk's queue runs in it."""
    folder = world.folder()
    if shutil.disk_usage(folder).free < 3 * size.beside:
        raise RuntimeError(f"no room for copies of {size.beside >> 20} MiB")
    make_data(folder + "/source", size.beside)
    pool = world.storaged.add_pool("beside", folder)
    source = world.storaged.call(pool, POOL, "GetVolume", "(s)", "source")[0]
    quiet = world.probe("use", pool)
    time.sleep(size.seconds)
    quiet = quiet()
    busy = world.probe("use", pool)
    n, rate = copies(world, pool, source, size.beside, size.seconds)
    busy = busy()
    what = f"while {size.beside / 2**30:g} GiB are cloned"
    for key, name in (("get", "GetAll of the pool"), ("list", "ListVolumes"), ("create", "CreateVolume"),
                      ("delete", "Delete"), ("idle", "a process that does nothing but answer Ping")):
        times = busy[key]
        lines.add("while data moves", f"{name}, {what}: p99", ms(percentile(times, 0.99)), "ms", target=None if key == "idle" else 5,
                  note=f"p50 {ms(percentile(times, 0.5)):.2f}, longest {ms(max(times)):.1f} ms of {len(times):,}; "
                       f"quiet p99 {ms(percentile(quiet[key], 0.99)):.2f}")
    lines.add("while data moves", f"the clone itself, of {size.beside / 2**30:g} GiB", rate / 2**20, "MiB/s",
              note=f"{n} clones")
    world.storaged.remove_pool(pool)
    shutil.rmtree(folder)
