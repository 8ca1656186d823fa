# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long others wait while a disk is pulled, or hangs, under a create of ours."""

import os
import subprocess
import time

import harness
from lines import median, percentile
from pullable import MIB, PullableDisk
from world import STORAGE, make_empty_files

DISK = 512 * MIB
VOLUME = 400 * MIB
SERVED_VOLUMES = 100
PROMPT_MS = 5
ASKED = {"get": "Get of Version", "managed": "GetManagedObjects of the root",
         "list": f"ListVolumes of another pool of {SERVED_VOLUMES}"}
BUSCTL = ("busctl", "--timeout=300", "call", STORAGE)


def begin_create(world, pool, folder):
    """A client of its own that fills a volume; it writes when this returns."""
    env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=world.bus.address)
    creating = subprocess.Popen([*BUSCTL, pool, STORAGE + ".Pool", "CreateVolume", "sta{sv}", "big", str(VOLUME), "2",
                                 "preallocation", "s", "full", "wait", "t", "300000000"], env=env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    harness.wait_until(lambda: any(e.stat().st_blocks for e in os.scandir(folder) if e.name.startswith(".storaged-")),
                       30, "the first blocks", 0.001)
    return creating


def asked(world, served, seconds, act=lambda: None):
    finish = world.probe("probe", served)
    act()
    time.sleep(seconds)
    return finish()


def one_round(world, served, size, what, times):
    disk, folder = PullableDisk(DISK), world.folder()
    try:
        tank = world.storaged.add_disk_pool("tank", disk.node, folder)
        add(times, "quiet", asked(world, served, size.seconds))
        creating = begin_create(world, tank, folder)
        add(times, what, asked(world, served, size.seconds, disk.pull if what == "pulled" else disk.hang))
        if what == "hung":
            disk.resume()
        failed = creating.wait(300) != 0
        if failed != (what == "pulled"):
            raise RuntimeError(f"the create on the disk that {what}: {creating.stderr.read()}")
        if what == "pulled":
            harness.wait_until(lambda: world.storaged.get(tank, "Pool", "Health") != "ok", 30, "the pool's health")
        world.storaged.remove_pool(tank)
    finally:
        disk.close()


def add(times, state, found):
    for key in ASKED:
        times.setdefault((state, key), []).append(found[key])


def measure_failing(world, lines, size):
    """Rounds of each in turn; of each number the median of the rounds."""
    folder = world.folder()
    make_empty_files(folder, SERVED_VOLUMES)
    served = world.storaged.add_pool("served", folder)
    times = {}
    for _ in range(size.rounds):
        for what in ("pulled", "hung"):
            one_round(world, served, size, what, times)
    world.storaged.remove_pool(served)

    def of(state, key, part):
        return median([percentile(run, part) for run in times[state, key]]) / 1000
    for state, words in (("quiet", "quiet"), ("pulled", "a disk is pulled under a create"),
                         ("hung", "a disk hangs under a create")):
        for key, what in ASKED.items():
            runs = times[state, key]
            lines.add("other clients and a failing disk", f"{what}, {words}: p99", of(state, key, 0.99), "ms",
                      target=PROMPT_MS if state != "quiet" else None,
                      note=f"p50 {of(state, key, 0.5):.2f}, longest {max(map(max, runs)) / 1000:.1f} ms of "
                           f"{sum(map(len, runs)):,} in {len(runs)} runs")
