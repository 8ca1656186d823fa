# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured. Each measure takes the World and how much to do, and reports lines of the table."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import harness
from beside import measure_beside
from clone import measure_clone
from failing import measure_failing
from lines import median, percentile
from upload import measure_upload
from world import ROOT, STORAGE, make_empty_files, make_files, rss_kib, run, tool

MANAGER = STORAGE + ".Manager"
POOL = STORAGE + ".Pool"


def ms(usec):
    return usec / 1000


def measure_refresh(world, lines, size):
    """Whole and unchanged refresh, round by round beside libvirt and the loop, so that noise hits all alike."""
    for count in size.refresh_files:
        folder = world.folder()
        make_files(folder, count)
        ours = world.storaged.add_pool(f"refresh{count}", folder)
        theirs = world.libvirt.add_pool(f"refresh{count}", folder) if world.libvirt else None
        times = {name: [] for name in ("loop", "full", "same", "libvirt", "worker", "worker-same")}
        for _ in range(size.rounds):
            refresh_round(world, folder, ours, theirs, times)
        report_refresh(lines, count, {name: ms(median(list_)) for name, list_ in times.items() if list_})
        world.storaged.remove_pool(ours)
        if theirs:
            world.libvirt.remove_pool(f"refresh{count}")
        shutil.rmtree(folder)


def refresh_round(world, folder, ours, theirs, times):
    # At most as often as everybody else: the first pass warms the cache for all.
    times["loop"] += json.loads(run(tool("loop"), folder, "3"))[1:]
    world.storaged.stop_pool(ours)
    times["full"] += world.client("call", STORAGE, ours, POOL, "Start", 1, "o")["usec"]
    times["same"] += world.client("call", STORAGE, ours, POOL, "Refresh", 3, "o")["usec"]
    if theirs:
        times["libvirt"] += world.client("call", "org.libvirt", theirs, "org.libvirt.StoragePool", "Refresh", 2, "u",
                                         0)["usec"]
    alone = json.loads(run(tool("client"), "worker", harness.find_binary("storaged-worker"), folder, "1"))
    times["worker"] += alone["full"]
    times["worker-same"] += alone["unchanged"]


def report_refresh(lines, count, t):
    group = f"refresh of {count:,} files"
    judged = count == 50000
    full = f"{count:,} files, all of it: from Start to its reply"
    lines.add(group, full, t["full"], "ms", against="C loop", base=t["loop"], target=1.5 if judged else None)
    if "libvirt" in t:
        lines.add(group, full, t["full"], "ms", against="libvirt's Refresh", base=t["libvirt"],
                  target=0.3 if judged else None)
        lines.add(group, f"{count:,} files, unchanged: Refresh", t["same"], "ms", against="libvirt's Refresh",
                  base=t["libvirt"], target=0.12)
    lines.add(group, f"{count:,} files, unchanged: Refresh", t["same"], "ms", against="C loop", base=t["loop"])
    lines.add(group, f"{count:,} files, the worker alone, all of it", t["worker"], "ms", against="C loop",
              base=t["loop"])
    lines.add(group, f"{count:,} files, the worker alone, unchanged", t["worker-same"], "ms", against="C loop",
              base=t["loop"])


def churn(world, kind, pool, count, form, prefix):
    """Creates and deletes a second."""
    t = world.client("churn", kind, pool, count, form, prefix)
    return count * 1e6 / t["creating"], count * 1e6 / t["deleting"]


def measure_create(world, lines, size):
    """One client, one call after the other; the folder on the disk and again on tmpfs."""
    for where, parent in (("disk", world.base), ("tmpfs", world.tmpfs)):
        folder = world.folder(parent)
        ours = world.storaged.add_pool(f"create-{where}", folder)
        theirs = world.libvirt.add_pool(f"create-{where}", folder) if world.libvirt else None
        for form, count in (("raw", size.creates), ("qcow2", max(10, size.creates // 10))):
            mine, others = [], []
            for i in range(size.rounds):
                mine.append(churn(world, "storaged", ours, count, form, f"a{i}-"))
                if theirs:
                    others.append(churn(world, "libvirt", theirs, count, form, f"b{i}-"))
            for index, verb in enumerate(("creates", "deletes")):
                judged = form == "raw" and where == "disk"
                lines.add("create and delete", f"{form} {verb} on {where}", median([m[index] for m in mine]), "/s",
                          against="libvirt-dbus" if theirs else None,
                          base=median([o[index] for o in others]) if theirs else None,
                          target=2 if theirs and judged else None, at_least=True)
        world.storaged.remove_pool(ours)
        if theirs:
            world.libvirt.remove_pool(f"create-{where}")


def time_command(argv, times):
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, timeout=180)
        taken.append((time.perf_counter() - begin) * 1e6)
    return median(taken)


def measure_list(world, lines, size):
    folder = world.folder()
    make_files(folder, 10000)
    ours = world.storaged.add_pool("list", folder)
    storagectl = [harness.find_binary("storagectl"), "volume", "list", "list", "--details"]
    command = time_command(storagectl, size.rounds)
    raw = median(world.client("list", ours, size.rounds * 2)["total"])
    virsh = None
    if world.libvirt:
        world.libvirt.add_pool("list", folder)
        virsh = time_command(["virsh", "-c", "qemu:///system", "vol-list", "--details", "list"],
                             max(1, size.rounds // 2))
        world.libvirt.remove_pool("list")
    against = "virsh vol-list --details" if virsh else None
    base = ms(virsh) if virsh else None
    lines.add("listing", "10,000 with details: storagectl volume list --details", ms(command), "ms", against=against,
              base=base, target=0.05 if virsh else None)
    lines.add("listing", "10,000 with details: ListVolumes, read by a C program", ms(raw), "ms", against=against,
              base=base)
    world.storaged.remove_pool(ours)
    shutil.rmtree(folder)
    folder = world.folder()
    make_empty_files(folder, size.huge)
    ours = world.storaged.add_pool("huge", folder)
    pages = world.client("list", ours, size.rounds)
    assert pages["rows"] == size.huge, pages["rows"]
    lines.add("listing", f"{size.huge:,} in pages: all of ListVolumes", ms(median(pages["total"])), "ms", target=1000)
    lines.add("listing", f"{size.huge:,} in pages: one page of 10,000, p99", ms(percentile(pages["pages"], 0.99)),
              "ms")
    world.storaged.remove_pool(ours)
    shutil.rmtree(folder)


def measure_appear(world, lines, size):
    """Files written by another process than the one that listens; on a disk, others' syncs hold up both."""
    for where, parent in (("disk", world.base), ("tmpfs", world.tmpfs)):
        folder = world.folder(parent)
        ours = world.storaged.add_pool("appear", folder)
        volumes = world.storaged.get(ours, "Pool", "Volumes")
        taken = world.client("appear", volumes, folder, size.appear)["usec"]
        lines.add("live", f"a file appears on {where}: until its signal, p50", ms(percentile(taken, 0.5)), "ms")
        lines.add("live", f"a file appears on {where}: until its signal, p99", ms(percentile(taken, 0.99)), "ms",
                  target=20, note=f"{len(taken)} files, longest {ms(max(taken)):.1f} ms")
        world.storaged.remove_pool(ours)
        shutil.rmtree(folder)


def measure_memory(world, lines, size):
    """Of a fresh service, and of libvirtd with the same folder."""
    folder = world.folder()
    make_files(folder, size.memory_files)
    bus = world.new_bus()
    service = world.new_storaged(bus).start()
    time.sleep(1)
    before = rss_kib(world.libvirt.daemon.pid) / 1024 if world.libvirt else None
    lines.add("memory", "storaged, idle", rss_kib(service.pid()) / 1024, "MiB", target=6,
              note=f"libvirtd, idle: {before:.1f} MiB" if before else "")
    ours = service.add_pool("memory", folder)
    time.sleep(2)
    with_volumes = rss_kib(service.pid()) / 1024
    after = None
    if world.libvirt:
        world.libvirt.add_pool("memory", folder)
        after = rss_kib(world.libvirt.daemon.pid) / 1024
        world.libvirt.remove_pool("memory")
    lines.add("memory", f"storaged with {size.memory_files:,} volumes", with_volumes, "MiB",
              against="libvirtd with them" if after else None, base=after)
    for pid in service.worker_pids():
        lines.add("memory", "storaged-worker of that pool", rss_kib(pid) / 1024, "MiB")
    service.remove_pool(ours)
    time.sleep(0.5)
    lines.add("memory", "storaged after that pool is gone", rss_kib(service.pid()) / 1024, "MiB")
    service.stop()
    bus.stop()
    shutil.rmtree(folder)


def measure_activation(world, lines, size):
    """The bus starts the service for a call; there are no pools."""
    bus = world.new_bus()
    service = world.new_storaged(bus)
    service.daemon.activatable()
    taken = []
    for _ in range(size.activations):
        taken += world.client("call", STORAGE, ROOT, "org.freedesktop.DBus.Properties", "Get", 1, "s", MANAGER, "s",
                              "Version", bus=bus)["usec"]
        service.daemon.kill()
    bus.stop()
    lines.add("start", "activation to first reply, median", ms(median(taken)), "ms", target=50,
              note=f"longest {ms(max(taken)):.1f} ms of {len(taken)}")


def report_probe(lines, state, times, quiet=None, target=5):
    for key, what in (("get", "Get of Version"), ("managed", "GetManagedObjects of the root")):
        p99 = ms(percentile(times[key], 0.99))
        lines.add("other clients", f"{what}, {state}: p99", p99, "ms", target=target,
                  note=f"p50 {ms(percentile(times[key], 0.5)):.2f}, longest {ms(max(times[key])):.1f} ms of "
                       f"{len(times[key]):,}" + (f"; quiet p99 {ms(percentile(quiet[key], 0.99)):.2f}" if quiet else ""))


def probe_while(world, action):
    finish = world.probe()
    try:
        action()
    finally:
        times = finish()
    return times


FSYNC = """
import os, sys, time
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    os.pwrite(fd, b"x" * 65536, 0)
    os.fsync(fd)
"""


def start_fsyncs(world, seconds):
    folder = world.folder()
    return [subprocess.Popen([sys.executable, "-c", FSYNC, f"{folder}/file{i}", str(seconds)]) for i in range(3)]


def finish_processes(processes):
    for process in processes:
        process.wait(120)


def appear_all(world, pool, folder, count):
    """Files appear, by another process; ends when the service knows all of them."""
    begin = time.monotonic()
    code = "import sys; sys.path.insert(0, sys.argv[1]); import world; world.make_empty_files(sys.argv[2], " \
           "int(sys.argv[3]))"
    subprocess.run([sys.executable, "-c", code, os.path.dirname(os.path.abspath(__file__)), folder, str(count)],
                   check=True, timeout=120)
    made = time.monotonic()
    harness.wait_until(lambda: world.storaged.get(pool, "Pool", "VolumeCount") == count, 30, "all files to be known",
                       0.1)
    return made - begin, time.monotonic() - made


def measure_latency(world, lines, size):
    quiet = probe_while(world, lambda: time.sleep(size.seconds))
    report_probe(lines, "quiet", quiet, target=None)
    latency_of_many_files(world, lines, size, quiet)
    latency_of_stopped_worker(world, lines, size, quiet)
    processes = start_fsyncs(world, size.seconds + 1)
    times = probe_while(world, lambda: time.sleep(size.seconds))
    finish_processes(processes)
    report_probe(lines, "three processes fsync", times, quiet)
    latency_of_managed_objects(world, lines, size, quiet)


def latency_of_many_files(world, lines, size, quiet):
    folder = world.folder()
    pool = world.storaged.add_pool("many", folder)
    took = []
    times = probe_while(world, lambda: took.extend(appear_all(world, pool, folder, size.huge)))
    report_probe(lines, f"{size.huge:,} files appear", times, quiet)
    lines.add("other clients", f"{size.huge:,} files appear: all known after the last was made", took[1] * 1000, "ms",
              note=f"making them took {took[0]:.1f} s")
    world.storaged.remove_pool(pool)
    shutil.rmtree(folder)


def latency_of_stopped_worker(world, lines, size, quiet):
    folder = world.folder()
    before = set(world.storaged.worker_pids())
    pool = world.storaged.add_pool("stopped", folder)
    worker = (set(world.storaged.worker_pids()) - before).pop()
    os.kill(worker, signal.SIGSTOP)

    def work():
        # Something that must wait for it, and is given up when it goes on.
        env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=world.bus.address)
        with subprocess.Popen([tool("client"), "call", STORAGE, pool, POOL, "Refresh", "1", "o"], env=env,
                              stdout=subprocess.DEVNULL) as waiting:
            time.sleep(size.seconds)
            os.kill(worker, signal.SIGCONT)
            waiting.wait(60)
    report_probe(lines, "a worker is stopped", probe_while(world, work), quiet)
    world.storaged.remove_pool(pool)


def latency_of_managed_objects(world, lines, size, quiet):
    folder = world.folder()
    make_files(folder, 10000)
    pool = world.storaged.add_pool("managed", folder)
    volumes = world.storaged.get(pool, "Pool", "Volumes")
    taken = []

    def ask():
        taken.extend(world.client("call", STORAGE, volumes, "org.freedesktop.DBus.ObjectManager",
                                  "GetManagedObjects", size.rounds * 2)["usec"])
    times = probe_while(world, ask)
    lines.add("other clients", "GetManagedObjects of a pool of 10,000: the call itself", ms(median(taken)), "ms")
    report_probe(lines, "somebody asks GetManagedObjects of 10,000", times, quiet, target=None)
    world.storaged.remove_pool(pool)
    shutil.rmtree(folder)


# Memory first: libvirtd grows with everything that it is asked.
MEASURES = {
    "memory": measure_memory,
    "activation": measure_activation,
    "appear": measure_appear,
    "list": measure_list,
    "refresh": measure_refresh,
    "create": measure_create,
    "latency": measure_latency,
    "clone": measure_clone,
    "beside": measure_beside,
    "upload": measure_upload,
    "failing": measure_failing,
}
