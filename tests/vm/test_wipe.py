# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 1x128M
# timeout: 2400
"""Wiping logical volumes and partitions, and who uses them."""

import contextlib
import os
import subprocess

import pytest

from client import MIB, refused
from harness import wait_until

SIZE = 8 * MIB
KINDS = ["thick", "thin", "partition"]
LONG = 600_000_000
# In a mount namespace of its own, where the device has another name, as libvirt starts guests.
GUEST = ('mount -t tmpfs none /mnt && mknod /mnt/guest b "$1" "$2" && exec /usr/bin/python3 -c '
         '"import os, sys; os.open(\'/mnt/guest\', os.O_RDWR); print(\'up\', flush=True); sys.stdin.read()"')


def make(service, pool, name, **options):
    path, job = pool.CreateVolume(name, SIZE, {"wait": LONG, **options})
    assert job == "/"
    return service.volume(path)


@pytest.fixture
def volumes(service, disks, request):
    """Two of a kind, side by side; the first one is what tests are about."""
    if request.param == "partition":
        names, kind, definition = [os.path.basename(disks[0]) + n for n in "12"], "disk", {"source-format": "gpt", "target-path": "/dev"}
    else:
        names, kind, definition = ["a", "b"], "logical", {}
    path, _ = service.manager.DefinePool("vg0", kind, {"source-devices": disks, **definition},
                                         {"build": True, "start": True, "wait": LONG})
    options = {"allocation": 0} if request.param == "thin" else {}
    return [make(service, service.pool(path), name, **options) for name in names]


def read(volume):
    with open(volume.get("Path"), "rb") as device:
        return device.read()


def fill(volume):
    """Bytes that repeat nowhere, all over it."""
    contents = os.urandom(volume.get("Capacity"))
    with open(volume.get("Path"), "wb") as device:
        device.write(contents)
        os.fsync(device.fileno())
    return contents


def only(kind, *more):
    return pytest.mark.parametrize("volumes", [kind, *more], indirect=True)


def thin_percent():
    out = subprocess.run(["lvs", "--noheadings", "-o", "data_percent", "vg0/a"], capture_output=True, text=True, check=True, timeout=60)
    return float(out.stdout)


@contextlib.contextmanager
def guest(volume):
    """It has a node of its own."""
    numbers = os.stat(volume.get("Path")).st_rdev
    with subprocess.Popen(["unshare", "-m", "sh", "-c", GUEST, "sh", str(os.major(numbers)), str(os.minor(numbers))],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        yield process
        process.stdin.close()


@only(*KINDS)
def test_wipe(request, volumes, settle):
    volume, neighbour = volumes
    before, size = fill(neighbour), volume.get("Capacity")
    for algorithm, byte in (("zero", 0), ("bsi", 0x7f), ("nnsa", 0)):
        fill(volume)
        settle()
        volume.Wipe({"algorithm": algorithm, "wait": LONG})
        assert read(volume) == bytes([byte]) * size, algorithm
    if "thin" in request.node.name:
        for algorithm in ("zero", "trim"):
            fill(volume)
            assert thin_percent() == 100
            volume.Wipe({"algorithm": algorithm, "wait": LONG})
            assert read(volume) == bytes(size) and thin_percent() == 0
    volume.Wipe({"algorithm": "random", "wait": LONG})
    found = read(volume)
    assert len(found) == size and found.count(0) < size // 100
    assert read(neighbour) == before, "it ends where the volume does"
    assert volume.get("Problem") == "" and volume.get("Capacity") == size
    in_use_by_a_guest(request, volume, settle)


def in_use_by_a_guest(request, volume, settle):
    contents = read(volume)
    settle()
    assert volume.ListUsers() == []
    with guest(volume) as process:
        calls = [volume.Wipe, volume.Delete]
        if "thin" not in request.node.name:
            calls.append(lambda: volume.Resize(MIB, {"shrink": True}))
        for call in calls:
            with refused("InUse"):
                call()
        with refused("InUse") as refusal:
            volume.Wipe()
        assert f"process {process.pid} (python3" in refusal.text
        (name, pid, more), = [user for user in volume.ListUsers() if user[1] == process.pid]
        assert name.startswith("python3") and (more["how"], more["mode"], more["uid"]) == ("open", "rw", 0)
        assert read(volume) == contents
        volume.Wipe({"force": True, "wait": LONG})
        assert read(volume) == bytes(volume.get("Capacity"))
    settle()
    volume.Delete()


@pytest.fixture
def thin(service, disks, command):
    """A pool of some 96 MiB of thin volumes, two of which are there: one larger than all of it, and a neighbour."""
    path, _ = service.manager.DefinePool("vg0", "logical", {"source-devices": disks},
                                         {"build": True, "start": True, "wait": LONG})
    pool = service.pool(path)
    made = {}
    for name, size in (("large", 256 * MIB), ("neighbour", SIZE)):
        made[name] = service.volume(pool.CreateVolume(name, size, {"allocation": 0, "wait": LONG})[0])
    return pool, made["large"], made["neighbour"]


def pool_percent(command):
    return float(command("lvs", "--noheadings", "-o", "data_percent", "vg0/thinpool"))


def test_thin_pool_without_room(service, thin, command, settle):
    """It is refused before anything is written, and nobody beside suffers."""
    pool, large, neighbour = thin
    before, used = fill(neighbour), pool_percent(command)
    settle()
    for algorithm in ("random", "nnsa"):
        with refused("NoSpace") as refusal:
            large.Wipe({"algorithm": algorithm, "wait": LONG})
        assert "'large'" in refusal.text and "thin pool" in refusal.text
        assert pool_percent(command) == used and large.get("Problem") == ""
    large.Wipe({"algorithm": "zero", "wait": LONG})
    neighbour.Wipe({"algorithm": "random", "wait": LONG})
    assert read(neighbour) != before and len(read(neighbour)) == SIZE
    large.Delete()
    # What a snapshot has as well is copied when it is written to; what a volume has for itself is written over.
    half = service.volume(pool.CreateVolume("half", 64 * MIB, {"allocation": 0, "wait": LONG})[0])
    fill(half)
    settle()
    half.Wipe({"algorithm": "random", "wait": LONG})
    contents = read(half)
    command("lvcreate", "--snapshot", "--setactivationskip", "n", "--name", "copy", "vg0/half")
    copy = service.wait_volume(pool, "copy", 30)
    used = pool_percent(command)
    with refused("NoSpace") as refusal:
        copy.Wipe({"algorithm": "random", "wait": LONG})
    assert "share" in refusal.text and pool_percent(command) == used and copy.get("Problem") == ""
    assert read(copy) == read(half) == contents
    command("lvremove", "-y", "vg0/copy")
    service.wait_gone(pool, "copy", 30)
    half.Wipe({"algorithm": "random", "wait": LONG})
    assert read(half) != contents


@only("partition")
def test_force_does_not_go_over_the_kernel(volumes, settle):
    volume = volumes[0]
    subprocess.run(["mkfs.ext4", "-q", volume.get("Path")], check=True, timeout=60)
    subprocess.run(["mount", volume.get("Path"), "/mnt"], check=True, timeout=60)
    try:
        for force in (False, True):
            with refused("InUse") as refusal:
                volume.Wipe({"force": force})
            assert "/mnt" in refusal.text
        assert ("/mnt", 0, {"how": "mount", "mode": "rw"}) in volume.ListUsers()
    finally:
        subprocess.run(["umount", "/mnt"], check=True, timeout=60)
    settle()
    volume.Wipe({"wait": LONG})


@only("thick")
def test_cut_off(service, daemon, volumes, settle):
    """By a cancel, then by SIGKILL of the worker, then of the daemon too: each time it is told, until it is done again."""
    volume = volumes[0]
    settle()

    def begin():
        job = service.job(volume.Wipe({"algorithm": "gutmann", "wait": 0}))
        wait_until(lambda: job.get("BytesDone") > 0, 60, "the wipe to begin")
        return job

    job = begin()
    job.Cancel()
    assert service.wait_job(job.path)["State"] == "cancelled"
    assert "incomplete" in volume.get("Problem")
    volume.Wipe({"wait": LONG})
    assert volume.get("Problem") == ""
    job = begin()
    for worker in daemon.workers("data"):
        os.kill(worker, 9)
    assert service.wait_job(job.path)["State"] == "failed"
    assert "incomplete" in volume.get("Problem")
    daemon.restart()
    service.pool(volume.get("Pool")).wait_for("State", "active")
    wait_until(lambda: "incomplete" in volume.get("Problem"), 30, "the mark of an earlier daemon")
    volume.Wipe({"wait": LONG})
    assert volume.get("Problem") == "" and read(volume) == bytes(SIZE)
    begin()
    daemon.kill()
    daemon.start()
    wait_until(lambda: "incomplete" in volume.get("Problem"), 30, "the mark of a job that was cut off")
    volume.Wipe({"wait": LONG})
    assert volume.get("Problem") == "" and read(volume) == bytes(SIZE)
