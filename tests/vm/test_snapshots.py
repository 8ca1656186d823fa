# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x512M
# timeout: 3000
"""Snapshots of logical volumes, thick and thin, by the same interface as those of images and files."""

import hashlib
import os
import signal
import subprocess
import time

import pytest

from client import MIB, iterate_until, refused

SIZE = 16 * MIB
WAIT = {"wait": 300_000_000}


@pytest.fixture
def pool(service, disks):
    path, job = service.manager.DefinePool("vg0", "logical", {"source-devices": disks},
                                           {"wait": 60_000_000, "build": True, "start": True})
    assert job == "/"
    return service.pool(path)


@pytest.fixture
def volume(request, service, pool):
    """(its kind, its Volume, its Volume.Snapshots, its device)"""
    kind = getattr(request, "param", "thick")
    options = {"allocation": 0} if kind == "thin" else {}
    path, job = pool.CreateVolume("data", SIZE, {**WAIT, **options})
    assert job == "/"
    write("/dev/vg0/data", 1, 0, 8 * MIB)
    return kind, service.volume(path), service.proxy(path, "Volume.Snapshots"), "/dev/vg0/data"


def write(device, byte, offset, length):
    fd = os.open(device, os.O_WRONLY)
    try:
        os.pwrite(fd, bytes([byte]) * length, offset)
        os.fsync(fd)
    finally:
        os.close(fd)


def contents(device):
    digest = hashlib.sha256()
    with open(device, "rb", buffering=0) as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def names(snapshots):
    return sorted(row[0] for row in snapshots.get("Snapshots"))


def data_percent(name):
    out = subprocess.run(["lvs", "--noheadings", "-o", "data_percent", f"vg0/{name}"], capture_output=True, text=True,
                         timeout=300, check=True).stdout.strip()
    return float(out)


@pytest.mark.parametrize("volume", ["thick", "thin"], indirect=True)
def test_made_listed_gone_back_to_deleted(service, pool, volume):
    kind, data, snapshots, device = volume
    log, first = service.log(), contents(device)
    snapshots.CreateSnapshot("first", WAIT)
    (name, when, size, where, more), = snapshots.get("Snapshots")
    assert (name, where, more) == ("first", pool.GetVolume("first"), {"kind": "logical"}) and when > 0
    log.wait_changed(data.path, "Snapshots", timeout=30)
    assert data.get("Dependents") == [where] and service.volume(where).get("Backing") == data.path
    write(device, 2, 4 * MIB, 8 * MIB)
    second = contents(device)
    snapshots.CreateSnapshot("second", WAIT)
    write(device, 3, 0, 2 * MIB)
    for wanted, name in ((second, "second"), (first, "first")):
        used = data_percent(name)
        snapshots.RevertSnapshot(name, WAIT)
        assert contents(device) == wanted and contents(f"/dev/vg0/{name}") == wanted, name
        assert names(snapshots) == ["first", "second"]
        # Going back takes no room of the snapshot that is gone back to.
        assert data_percent(name) <= used + 0.01
    with refused("HasDependents") as refusal:
        data.Delete(WAIT)
    assert "first" in refusal.text
    with refused("Exists"):
        snapshots.CreateSnapshot("second", WAIT)
    with refused("NotFound"):
        snapshots.RevertSnapshot("data", WAIT)
    for name in ("first", "second"):
        snapshots.DeleteSnapshot(name, WAIT)
    assert names(snapshots) == [] and contents(device) == first and data.get("Problem") == ""
    # One that is made by hand is one, too.
    size = ["-L", "16M"] if kind == "thick" else []
    subprocess.run(["lvcreate", "-q", "-s", "-n", "byhand", *size, "vg0/data"], check=True, timeout=300,
                   capture_output=True)
    iterate_until(lambda: names(snapshots) == ["byhand"], 120, "what was made by hand")


def test_in_use(pool, volume):
    """A new one is what a power cut would leave; but nobody goes back beneath a mounted file system."""
    _kind, data, snapshots, device = volume
    subprocess.run(["mkfs.ext4", "-q", device], check=True, timeout=300)
    snapshots.CreateSnapshot("before", WAIT)
    subprocess.run(["mount", device, "/mnt"], check=True, timeout=300)
    try:
        with open("/mnt/file", "w", encoding="ascii") as f:
            f.write("x" * 100000)
        os.sync()
        snapshots.CreateSnapshot("mounted", WAIT)
        for options in ({}, {"force": True}):
            with refused("InUse"):
                snapshots.RevertSnapshot("before", {**WAIT, **options})
    finally:
        subprocess.run(["umount", "/mnt"], check=True, timeout=300)
    assert data.get("Problem") == ""
    snapshots.RevertSnapshot("mounted", WAIT)
    subprocess.run(["e2fsck", "-p", device], check=False, timeout=300)
    subprocess.run(["mount", device, "/mnt"], check=True, timeout=300)
    try:
        assert os.path.getsize("/mnt/file") == 100000
    finally:
        subprocess.run(["umount", "/mnt"], check=True, timeout=300)


def test_gone_back_to_by_force(volume):
    """Not as a mounted one: it is only open."""
    _kind, data, snapshots, device = volume
    snapshots.CreateSnapshot("old", WAIT)
    old = contents(device)
    write(device, 2, 0, SIZE)
    with open(device, "r+b"):
        with refused("InUse") as refusal:
            snapshots.RevertSnapshot("old", WAIT)
        assert "use force" in refusal.text
        snapshots.RevertSnapshot("old", {**WAIT, "force": True})
    assert contents(device) == old and data.get("Problem") == ""


def test_cut_off(daemon, service, volume):
    """What is gone back to halfway says so, and doing it again makes it whole."""
    _kind, data, snapshots, device = volume
    snapshots.CreateSnapshot("s", WAIT)
    wanted = contents(device)
    # All over, which a thick snapshot must have room for.
    write(device, 7, 0, SIZE)
    pending = snapshots.start("RevertSnapshot", "s", WAIT, timeout=150)
    iterate_until(lambda: daemon.workers("data") or pending.done, 60, "the data worker")
    time.sleep(0.1)
    for pid in daemon.workers("data"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    iterate_until(lambda: pending.done, 120, "the end of it")
    problem = data.get("Problem")
    if problem:
        assert "incomplete" in problem
    else:
        assert contents(device) in (wanted, hashlib.sha256(bytes([7]) * SIZE).hexdigest())
    snapshots.RevertSnapshot("s", WAIT)
    assert data.get("Problem") == "" and contents(device) == wanted


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_files_that_share_blocks(service, disks, kind):
    path, job = service.manager.DefinePool("tank", "fs", {
        "source-devices": disks[:1], "source-format": kind, "target-path": "/srv/pools/tank"},
        {"wait": 300_000_000, "build": True, "start": True})
    assert job == "/"
    pool = service.pool(path)
    volume, _job = pool.CreateVolume("raw", SIZE, WAIT)
    snapshots, file = service.proxy(volume, "Volume.Snapshots"), "/srv/pools/tank/raw"
    write(file, 1, 0, 8 * MIB)
    first = contents(file)
    snapshots.CreateSnapshot("s", WAIT)
    write(file, 2, 4 * MIB, 8 * MIB)
    snapshots.RevertSnapshot("s", WAIT)
    assert contents(file) == first and [row[4] for row in snapshots.get("Snapshots")] == [{"kind": "reflink"}]
    pool.Stop(WAIT)
    pool.Start(WAIT)
    assert names(snapshots) == ["s"] and pool.get("VolumeCount") == 1
    with refused("HasDependents"):
        service.volume(volume).Delete(WAIT)
    snapshots.DeleteSnapshot("s", WAIT)
    service.volume(volume).Delete(WAIT)
    assert os.listdir("/srv/pools/tank") in ([], ["lost+found"])
