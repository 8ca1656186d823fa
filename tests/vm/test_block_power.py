# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x256M 2x128M 2x64M
# boots: 6
# timeout: 900
"""The power is lost while volume groups, partition tables and arrays are built, and while volumes are made in them.

To spare boots, others are worked on while the cut waits for one moment of a logical pool's work. Partition tables that
are written by halves are the subject of tests/worker/test_disk.py.
"""

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from client import MIB, error_name, error_text, iterate
from gi.repository import GLib
from moments import lvm_command
from partitions import extents, kernel, parted

TAG = "storaged-unfinished"
WAIT = {"wait": 60_000_000}
PATIENCE = 60
# Of what was there before: see remember().
SUMS = Path("/var/tmp/storaged-sums.json")


def by_id(*numbers):
    return [f"/dev/disk/by-id/virtio-disk{n}" for n in numbers]


GROUP = by_id(0, 1)


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def lvs():
    """{name: tags}"""
    rows = json.loads(run("lvs", "--reportformat", "json", "-o", "lv_name,lv_tags", "vg0"))["report"][0]["lv"]
    return {row["lv_name"]: row["lv_tags"] for row in rows}


def define(service, name, **options):
    """The pool of that name: "vg0" a group of two disks, "gpt" and "dos" a disk each with such a table, "md" an array
    with a file system."""
    if name == "vg0":
        kind, definition = "logical", {"source-devices": GROUP}
    elif name == "md":
        kind, definition = "fs", {"raid": {"level": "raid1", "devices": by_id(4, 5)}, "source-format": "ext4",
                                  "target-path": "/srv/md"}
    else:
        kind, definition = "disk", {"source-devices": by_id(3 if name == "dos" else 2), "source-format": name,
                                    "target-path": "/dev"}
    path, _ = service.manager.DefinePool(name, kind, definition, {**WAIT, **options}, timeout=PATIENCE)
    return service.pool(path)


def found(service, name):
    return service.pool(service.manager.GetPoolByName(name))


def create(service, pool, name, size=8 * MIB, **options):
    path, _ = pool.CreateVolume(name, size, {**WAIT, **options})
    return service.volume(path)


class Churn:
    """Calls on one pool, one after the other and again from the first, while the test waits for something else."""

    def __init__(self, *calls):
        self.calls, self.n, self.pending = calls, 0, None

    def step(self):
        iterate()
        if self.pending and not self.pending.done:
            return
        if self.pending:
            self.pending.wait()
        self.pending = self.calls[self.n % len(self.calls)]()
        self.n += 1


def lose_power(power_off, pending, words, after, churn):
    """Waits for a command of LVM, and has the power cut so long after it began; None: before it does anything."""
    while not (process := lvm_command(words)):
        churn.step()
        assert not pending.done, f"{words} was not seen"
    if after is None:
        os.kill(process, signal.SIGSTOP)
    power_off(after or 0.2)
    while True:
        churn.step()
        time.sleep(0.005)


def checksum(node):
    return hashlib.sha256(Path(node).read_bytes()).hexdigest()


def remember(*nodes):
    """What is on these shall be there after the next boot."""
    for node in nodes:
        with open(node, "r+b") as device:
            device.write(os.urandom(2 * MIB))
            os.fsync(device.fileno())
    SUMS.write_text(json.dumps({node: checksum(node) for node in nodes}))
    os.sync()


def check_remembered():
    for node, known in json.loads(SUMS.read_text()).items():
        assert checksum(node) == known, node


def started(pool):
    """Starts it, unless that was done already; what it says if it cannot be."""
    if pool.get("State") == "active":
        return None
    try:
        pool.Start(WAIT, timeout=PATIENCE)
    except GLib.Error as error:
        assert error_name(error).endswith((".Failed", ".NotFound"))
        return error_text(error)
    return None


def rebuild(pool, why, devices):
    """What was cut short is named, with the devices, and can be built anew."""
    assert "build" in why and (all(device in why for device in devices) or "/dev/md/md" in why), why
    try:
        pool.Build(WAIT)
    except GLib.Error as error:
        assert error_name(error).endswith(".Exists") and any(device in error_text(error) for device in devices)
        pool.Build({"overwrite": True, **WAIT}, timeout=PATIENCE)
    pool.Start(WAIT, timeout=PATIENCE)


def check_partitions(service, pool, disk):
    """The service, parted, sfdisk and the kernel agree on what there is."""
    label, by_parted = parted(disk)
    shown = {int(name.removeprefix(Path(disk).name)): extent for name, extent in extents(service, pool).items()}
    assert label == pool.get("SourceFormat")
    assert by_parted == shown and set(kernel(disk)) == set(shown)
    run("sfdisk", "--verify", disk)
    if label == "gpt":
        assert "No problems found" in run("sgdisk", "--verify", disk)
    return set(shown)


def check_built(service, pool, devices):
    """What was being built can be started, or says why not and can be built anew; then it is of use."""
    if why := started(pool):
        rebuild(pool, why, devices)
    # An array of which only one member was written starts, and says that it lacks the other.
    assert pool.get("Health") == "ok" or pool.get("Problems")


@pytest.mark.parametrize("words,after", [("pvcreate", 0.3), ("vgcreate", None)])
def test_in_a_build(service, disks, power_off, words, after):
    table = "gpt" if after else "dos"
    disk = disks[3 if table == "dos" else 2]
    if not power_off.happened:
        pool, other, array = (define(service, name) for name in ("vg0", table, "md"))
        os.sync()
        churn = Churn(lambda: other.start("Build", {"overwrite": True, **WAIT}))
        churn.step()
        array.start("Build", WAIT)
        lose_power(power_off, pool.start("Build", WAIT), words, after, churn)
    pool, other, array = (found(service, name) for name in ("vg0", table, "md"))
    check_built(service, pool, GROUP)
    create(service, pool, "a")
    assert set(service.volumes(pool)) == {"a"} and lvs() == {"a": ""}
    groups = dict(line.split() for line in run("pvs", "--noheadings", "-o", "pv_name,vg_name").splitlines() if
                  len(line.split()) == 2)
    assert {groups[d] for d in disks[:2]} == {"vg0"}
    check_built(service, other, other.get("Definition")["source-devices"])
    create(service, other, Path(disk).name + "1")
    assert check_partitions(service, other, disk) == {1}
    check_built(service, array, by_id(4, 5))
    create(service, array, "a")


@pytest.fixture
def left(power_off, disks):
    """{name: tags} of the group's volumes as the loss of power left them, before the service looked."""
    return lvs() if power_off.happened else {}


def prepare(service, disk, table):
    """A pool of each kind with volumes in it that shall stay: the group's, the table's, and more of the table's to be
    made and deleted again."""
    pool, other = (define(service, name, build=True, start=True) for name in ("vg0", table))
    create(service, pool, "kept")
    name = Path(disk).name
    create(service, other, name + "1")
    if table == "dos":
        create(service, other, name + "2", 64 * MIB, format="extended")
        create(service, other, name + "5")
    remember("/dev/vg0/kept", disk + ("5" if table == "dos" else "1"))
    more = [name + "6", name + "3"] if table == "dos" else [name + "2"]
    volumes = other.get("Volumes")
    return pool, Churn(*(lambda n=n: other.start("CreateVolume", n, 8 * MIB, WAIT) for n in more),
                       *(lambda n=n: service.volume(f"{volumes}/{n}").start("Delete", WAIT) for n in more))


@pytest.mark.parametrize("words,after,thin,table", [
    ("lvchange --deltag", None, False, "dos"), ("lvcreate", 0.4, False, "gpt"), ("lvcreate -V", None, True, "dos")])
def test_in_a_create(left, service, disks, power_off, words, after, thin, table):
    disk = disks[3 if table == "dos" else 2]
    if not power_off.happened:
        pool, churn = prepare(service, disk, table)
        churn.step()
        lose_power(power_off, pool.start("CreateVolume", "victim", 16 * MIB, {"allocation": 0} if thin else {}),
                   words, after, churn)
    if after is None:
        assert left == {"kept": "", "thinpool" if thin else "victim": TAG}
    pool, other = found(service, "vg0"), found(service, table)
    assert started(pool) is None
    shown = set(service.volumes(pool))
    assert shown - {"victim"} == {"kept"} and lvs() == dict.fromkeys(shown, "")
    assert after or shown == {"kept"}
    assert started(other) is None
    numbers = check_partitions(service, other, disk)
    always, maybe = ({1, 2, 5}, {3, 6}) if table == "dos" else ({1}, {2})
    assert always <= numbers <= always | maybe
    check_remembered()
    if "victim" in shown:
        service.volume(pool.GetVolume("victim")).Delete(WAIT)
    create(service, pool, "victim", 16 * MIB, **({"allocation": 0} if thin else {}))
    create(service, other, f"{Path(disk).name}{next(n for n in (1, 2, 3, 4) if n not in numbers)}")
    check_remembered()
    check_partitions(service, other, disk)
