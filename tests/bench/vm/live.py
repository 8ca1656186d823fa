# SPDX-License-Identifier: LGPL-2.1-or-later
"""How soon others' changes are told, and how long other clients wait while pools are busy or lose a disk."""

import time
from pathlib import Path

import qmp
from client import MIB, iterate, iterate_until
from lab import LIMIT, USEC, Outside, Probe, command, rest, run, timed, vanished
from lines import median, percentile
from volumes import bare_group

HOT = "hot"
HOT_LINK = f"/dev/disk/by-id/virtio-{HOT}"
HOT_SIZE = 512 * MIB
# What udev's changes may take until they are told, and a call while others work, in ms.
TOLD = 1000
PROMPT = 5


def told_after(lab, outside, fits, what):
    """How long after something was done outside its signal came, in seconds. `outside` begins it."""
    log = lab.service.log()
    try:
        rest()
        log.clear()
        doing = outside()
        signal = log.wait_for(fits, LIMIT, what)
        # The signal may be there before the tool ends, as this has to hear of the change, too.
        return max(0, signal.time - doing.finish())
    finally:
        log.close()


def member(name, path):
    """Signals of an ObjectManager that are about this object."""
    return lambda s: s.member == name and s.args[0] == path


def health(pool, wanted):
    return lambda s: s.member == "PropertiesChanged" and s.path == pool.path and s.args[1].get("Health") == wanted


def report_told(lines, what, seconds, against=None, base=None):
    taken = [s * 1000 for s in seconds]
    note = f"{len(taken)} times, p50 {percentile(taken, 0.5):.0f}, p99 {percentile(taken, 0.99):.0f}, " \
           f"longest {max(taken):.0f} ms"
    if base:
        lines.add("live", f"{what}: until its signal, p50", median(taken), "ms", against=against, base=base * 1000)
    lines.add("live", f"{what}: until its signal, p99", percentile(taken, 0.99), "ms", target=TOLD, note=note)


def told_of_volumes(lab, lines):
    pool = lab.pool("live", "logical", [lab.disks[0]])
    path = f"{pool.get('Volumes')}/seen"
    made, gone, lvs = [], [], []
    for _ in lab.rounds(lab.size.changes):
        made.append(told_after(lab, lambda: command("lvcreate", "-y", "-L", "8M", "-n", "seen", "live"),
                               member("InterfacesAdded", path), "the volume"))
        lvs.append(timed(lambda: run("lvs", "live"))[0])
        gone.append(told_after(lab, lambda: command("lvremove", "-y", "live/seen"),
                               member("InterfacesRemoved", path), "the volume's end"))
    report_told(lines, "lvcreate by others", made, "lvs, which must be run to see it", median(lvs))
    report_told(lines, "lvremove by others", gone, "lvs, which must be run to see it", median(lvs))


def told_of_partitions(lab, lines):
    disk = lab.disks[1]
    pool = lab.pool("parts", "disk", [disk], **{"source-format": "gpt", "target-path": "/dev"})
    path = f"{pool.get('Volumes')}/{Path(disk).name}1"
    made, gone, read = [], [], []
    for _ in lab.rounds(lab.size.changes):
        made.append(told_after(lab, lambda: command("parted", "--script", disk, "mkpart", "one", "1MiB", "9MiB"),
                               member("InterfacesAdded", path), "the partition"))
        read.append(timed(lambda: run("sfdisk", "--dump", disk))[0])
        gone.append(told_after(lab, lambda: command("parted", "--script", disk, "rm", "1"),
                               member("InterfacesRemoved", path), "the partition's end"))
    report_told(lines, "parted mkpart by others", made, "sfdisk --dump", median(read))
    report_told(lines, "parted rm by others", gone, "sfdisk --dump", median(read))


def told_of_disks(lab, lines, kind, broken, make):
    """A disk that is pulled, and comes back."""
    gone, back = [], []
    with qmp.Monitor() as monitor:
        node = lab.plug(monitor, HOT, HOT_SIZE)
        pool = make()
        for _ in lab.rounds(lab.size.pulls):
            pulled = []

            def pull():
                watch = vanished(node)
                pulled.append(Outside(lambda: lab.unplug(monitor, HOT, keep=True)))
                return watch
            gone.append(told_after(lab, pull, health(pool, broken), "the disk's end"))
            pulled[0].finish()
            back.append(told_after(lab, lambda: Outside(lambda: lab.plug(monitor, HOT, HOT_SIZE)),
                                   health(pool, "ok"), "the disk"))
        lab.call(pool, "Stop", force=True)
        pool.Undefine(timeout=LIMIT)
        lab.unplug(monitor, HOT)
    report_told(lines, f"a disk of a {kind} pool is pulled", gone)
    report_told(lines, f"a disk of a {kind} pool comes back", back)


def measure_live(lab, lines):
    told_of_volumes(lab, lines)
    told_of_partitions(lab, lines)
    told_of_disks(lab, lines, "disk", "inaccessible", lambda: lab.pool(
        "hotparts", "disk", [HOT_LINK], **{"source-format": "gpt", "target-path": "/dev"}))
    told_of_disks(lab, lines, "logical", "degraded", lambda: lab.pool("hotgroup", "logical",
                                                                       [lab.disks[2], HOT_LINK]))


def probed(action):
    rest()
    with Probe() as probe:
        action()
        return probe.finish()


def join(results):
    return {key: [usec for result in results for usec in result[key]] for key in results[0]}


def report_probe(lines, state, times):
    """Beside a process that does nothing but answer, asked in turns with the service: the machine lets all wait."""
    idle = times["idle"]
    for key, what in (("get", "Get of Version"), ("managed", "GetManagedObjects of the root")):
        usec = times[key]
        note = f"p50 {percentile(usec, 0.5) / 1000:.2f}, longest {max(usec) / 1000:.1f} ms of {len(usec):,}; idle " \
               f"process: p50 {percentile(idle, 0.5) / 1000:.2f}, longest {max(idle) / 1000:.1f} ms"
        lines.add("other clients", f"{what}, {state}: p99", percentile(usec, 0.99) / 1000, "ms",
                  against="an idle process's answer", base=percentile(idle, 0.99) / 1000, note=note)
    # The same work as the idle process has; GetManagedObjects has more of it.
    lines.add("other clients", f"Get of Version, {state}: p50 beyond an idle process's",
              max(0, median(times["get"]) - median(idle)) / 1000, "ms", target=PROMPT)


def for_a_while(lab, step):
    def work():
        end = time.monotonic() + lab.size.probe
        number = 0
        while time.monotonic() < end:
            step(number)
            number += 1
    return work


def makes_volumes(name):
    def step(number):
        run("lvcreate", "-y", "-L", "8M", "-n", f"w{number}", name)
        run("lvremove", "-y", f"{name}/w{number}")
    return step


def measure_others(lab, lines):
    report_probe(lines, "quiet", probed(lambda: time.sleep(lab.size.probe)))
    bare_group("bare", lab.disks[1])
    report_probe(lines, "lvcreates in a group that is no pool", probed(for_a_while(lab, makes_volumes("bare"))))
    pool = lab.pool("busy", "logical", [lab.disks[0]])
    report_probe(lines, "lvcreates by others in a pool", probed(for_a_while(lab, makes_volumes("busy"))))

    def makes_and_deletes(number):
        lab.delete(lab.create(pool, f"m{number}", 8 * MIB))
    report_probe(lines, "a client makes volumes", probed(for_a_while(lab, makes_and_deletes)))
    for what, make in (("a file system", in_file_system), ("a logical volume", in_group)):
        results = [pull_under_create(lab, make) for _ in range(max(1, lab.size.pulls // 2))]
        cut = sum(failed for _times, failed in results)
        report_probe(lines, f"a disk is pulled under a create ({what}; {cut} of {len(results)} failed by it)",
                     join([times for times, _failed in results]))


def in_file_system(lab):
    """A pool, and how to begin a create in it that writes for long."""
    target = Path("/run/bench-target")
    target.mkdir(exist_ok=True)
    pool = lab.pool("pulled", "fs", [HOT_LINK], **{"source-format": "ext4", "target-path": str(target)})
    return pool, (300 * MIB, {"preallocation": "full"})


def in_group(lab):
    return lab.pool("pulled", "logical", [HOT_LINK]), (64 * MIB, {})


def pull_under_create(lab, make):
    """(times of another client, whether the create failed by it)"""
    with qmp.Monitor() as monitor:
        lab.plug(monitor, HOT, HOT_SIZE)
        pool, (capacity, options) = make(lab)
        rest()
        with Probe() as probe:
            pending = pool.start("CreateVolume", "big", capacity, {"wait": LIMIT * USEC, **options}, timeout=LIMIT)
            iterate()
            time.sleep(0.4)
            pull = Outside(lambda: lab.unplug(monitor, HOT))
            iterate_until(lambda: pending.done, LIMIT, "the end of the create")
            pull.finish()
            pool.wait_for("Health", "inaccessible", LIMIT)
            times = probe.finish()
        forget(pool)
    return times, pending.error is not None


def forget(pool):
    """A pool whose disk is gone, with the devices that are left of it."""
    for node in Path("/dev/mapper").glob("pulled-*"):
        run("dmsetup", "remove", "--force", "--retry", node.name)
    pool.Stop({"force": True, "wait": LIMIT * USEC}, timeout=LIMIT)
    pool.Undefine(timeout=LIMIT)
