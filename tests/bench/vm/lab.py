# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine for a measure: its disks, both services, the tools, and how things are timed one after the other."""

import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "bench"), str(TESTS / "bus"), str(TESTS / "vm" / "guest")]
os.environ["STORAGED_TEST_SYSTEM"] = "1"
os.environ["STORAGED_TEST_SLOWNESS"] = "2"

import disks as disk_tools  # noqa: E402
import qmp  # noqa: E402
from client import Service  # noqa: E402
from harness import InstalledDaemon, SystemBus  # noqa: E402
from libvirt_calls import Calls  # noqa: E402
from moments import children_of  # noqa: E402

LIMIT = 300
USEC = 1_000_000
# Before something is timed the machine is let come to rest: so busy it may be, over so long, and so long is waited.
BUSY = 0.15
LOOK = 0.25
PATIENCE = 15
CLIENT = "/srv/out/bench-client"
# What the probe compares with is a process that has no name on the bus: root may call it all the same.
POLICY = Path("/etc/dbus-1/system.d/bench.conf")
POLICY_XML = """<busconfig><policy user="root"><allow send_destination="*"/></policy></busconfig>
"""
LOGICAL_XML = """<pool type='logical'><name>{name}</name><source>{devices}<name>{name}</name><format type='lvm2'/>
</source><target><path>/dev/{name}</path></target></pool>"""
DISK_XML = """<pool type='disk'><name>{name}</name><source><device path='{device}'/><format type='gpt'/></source>
<target><path>/dev</path></target></pool>"""


@dataclasses.dataclass
class Size:
    """How much is done at most: so many rounds, if there is time."""

    rounds: int = 7
    many: int = 500
    some: int = 100
    starts: int = 3
    changes: int = 12
    pulls: int = 4
    probe: float = 8


QUICK = Size(rounds=3, many=500, some=20, starts=1, changes=4, pulls=1, probe=4)


def run(*argv, timeout=LIMIT):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.returncode} {done.stdout}{done.stderr}")
    return done.stdout


def busy_ticks():
    """Of all processors, and how many there were in all."""
    with open("/proc/stat", encoding="ascii") as f:
        ticks = list(map(int, f.readline().split()[1:9]))
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def rest(patience=PATIENCE):
    """Until udev has seen everything and nobody does much: what one left to be done must not be the next one's time."""
    run("udevadm", "settle", f"--timeout={LIMIT}", timeout=LIMIT + 10)
    deadline = time.monotonic() + patience
    busy, total = busy_ticks()
    while time.monotonic() < deadline:
        time.sleep(LOOK)
        now_busy, now_total = busy_ticks()
        if now_busy - busy < BUSY * (now_total - total):
            return
        busy, total = now_busy, now_total


def timed(function):
    """(how long it took, in seconds; what it gave), from rest."""
    rest()
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


class Lab:
    """What measures work with."""

    def __init__(self, size, virsh):
        self.size = size
        self.virsh = virsh
        self.disks = os.environ["STORAGED_VM_DISKS"].split()
        self.bus = SystemBus()
        self.daemon = InstalledDaemon(self.bus)
        self.daemon.start()
        self.service = Service(self.bus.connect())
        self.libvirt = Calls()
        self._plugged = set()
        self._end, self._parts = 0, 1
        POLICY.write_text(POLICY_XML)
        run("busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig")

    def clean(self):
        """The machine as it was: no pools, empty disks. Before a measure, whatever became of the one before."""
        self.daemon.start()
        self.service.forget_pools(keep=("default",))
        self.virsh.forget_pools()
        if self._plugged:
            with qmp.Monitor() as monitor:
                for name in list(self._plugged):
                    self.unplug(monitor, name)
        disk_tools.wipe(self.disks)
        rest()

    def share(self, seconds, parts):
        """What follows has so much time, for so many parts."""
        self._end, self._parts = time.monotonic() + seconds, parts

    def rounds(self, most, least=1):
        """Numbers of rounds, as many as fit into the time of one part."""
        begin = before = time.monotonic()
        end = begin + 0.9 * (self._end - begin) / max(1, self._parts)
        self._parts -= 1
        for number in range(most):
            yield number
            now = time.monotonic()
            if number + 1 >= least and now + (now - before) > end:
                return
            before = now

    def alternate(self, ways, rounds):
        """{name: {step: [seconds, …]}} of ways {name: function(round) -> {step: seconds}}, and what cut it short.

        One after the other, each round in another order, so that what the machine does besides hits all alike. The
        first round warms caches and is left out.
        """
        times = {name: collections.defaultdict(list) for name in ways}
        names = list(ways)
        try:
            for number in self.rounds(rounds + 1, 2):
                for name in names[number % len(names):] + names[:number % len(names)]:
                    for step, taken in ways[name](number).items():
                        if number:
                            times[name][step].append(taken)
        except TimeoutError as late:
            if not all(times.values()):
                raise
            return times, late
        return times, None

    def plug(self, monitor, name, size):
        self._plugged.add(name)
        return monitor.plug_disk(name, size)

    def unplug(self, monitor, name, keep=False):
        monitor.unplug_disk(name, keep)
        self._plugged.discard(name)

    @contextlib.contextmanager
    def still(self):
        """storaged's pools do not look at what others change: that would be no fair time of theirs.

        None is stopped while it looks: lvm, with nobody to read all that it tells, would keep the group locked.
        """
        workers = self.daemon.workers("pool")

        def signal_all(number):
            for pid in workers:
                os.kill(pid, number)
        try:
            signal_all(signal.SIGSTOP)
            while any(map(children_of, workers)):
                signal_all(signal.SIGCONT)
                time.sleep(LOOK)
                signal_all(signal.SIGSTOP)
            yield
        finally:
            signal_all(signal.SIGCONT)

    def call(self, proxy, method, *args, **options):
        """A call that is waited for until the work is done."""
        return getattr(proxy, method)(*args, {"wait": LIMIT * USEC, **options}, timeout=LIMIT)

    def pool(self, name, kind, devices, **definition):
        """A pool of storaged that was built and runs."""
        path, _ = self.call(self.service.manager, "DefinePool", name, kind,
                            {"source-devices": devices, **definition}, build=True, start=True)
        return self.service.pool(path)

    def group(self, name, device):
        """A pool of storaged on a volume group that is there."""
        path, _ = self.call(self.service.manager, "DefinePool", name, "logical", {"source-devices": [device]})
        return self.service.pool(path)

    def create(self, pool, name, capacity, **options):
        path, _ = self.call(pool, "CreateVolume", name, capacity, **options)
        return self.service.volume(path)

    def delete(self, volume):
        self.call(volume, "Delete")

    def libvirt_pool(self, xml, build=True):
        pool = self.libvirt.define(xml)
        if build:
            self.libvirt.build(pool)
            self.libvirt.start(pool)
        return pool


class Outside(threading.Thread):
    """Does something beside, which is no call of the service; .done is when it was done."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function = function
        self.done = self.error = None
        self.start()

    def run(self):
        try:
            self.function()
        except Exception as error:  # told by who waits for it
            self.error = error
        self.done = time.monotonic()

    def finish(self):
        self.join(LIMIT)
        if self.error or self.done is None:
            raise self.error or RuntimeError("What was done beside did not end")
        return self.done


def command(*argv):
    return Outside(lambda: run(*argv))


def vanished(node):
    """Ends when the kernel knows the disk no more."""
    path = Path("/sys/class/block", Path(node).name)

    def look():
        deadline = time.monotonic() + LIMIT
        while path.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{node} is there still")
            time.sleep(0.002)
    return Outside(look)


class Probe:
    """Another client, which asks the whole time: finish() gives how long it waited, {"get": [µs, …], …}."""

    def __init__(self):
        self.process = subprocess.Popen([CLIENT, "probe", "idle"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        time.sleep(0.3)

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def finish(self):
        out, _ = self.process.communicate(timeout=LIMIT)
        if self.process.returncode:
            raise RuntimeError("the probing client failed")
        return json.loads(out)

