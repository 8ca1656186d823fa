# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 6x64M
# timeout: 3000
"""Arrays beneath pools: made, failed, mended, stopped, assembled, deleted, and never those of others."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from client import full_name, refused

CHANGED = "PropertiesChanged"
# Of the service, not of the tests: emulation is slow.
WAIT = 300_000_000
LONG = 100


def array(*devices, level="raid1", **more):
    return {"level": level, "devices": list(devices), **more}


def details(name):
    """What mdadm --detail says: {field: value}, and "devices": {node: state}."""
    out = subprocess.run(["mdadm", "--detail", f"/dev/md/{name}"], check=True, capture_output=True, text=True,
                         timeout=60).stdout
    found = dict(line.strip().split(" : ", 1) for line in out.splitlines() if " : " in line)
    found["devices"] = dict(reversed(m) for m in re.findall(r"^ +[-\d]+ +\d+ +\d+ +[-\d]+ +(.*?) +(/dev/\S+)$", out,
                                                            re.MULTILINE))
    return found


def running():
    """The arrays that the kernel has: {"md127": "active raid1 …"}."""
    listing = Path("/proc/mdstat")
    return dict(re.findall(r"^(md\d+) : (.*)$", listing.read_text(), re.MULTILINE)) if listing.exists() else {}


def superblock(device):
    """The UUID of the array that a device says to be a member of."""
    result = subprocess.run(["mdadm", "--examine", "--export", device], capture_output=True, text=True, timeout=60,
                            check=False)
    found = re.search(r"^MD_UUID=(.*)$", result.stdout, re.MULTILINE)
    return found and found[1]


def define(service, name, kind, definition, **options):
    if kind != "logical":
        definition = {"target-path": f"/srv/{name}" if kind == "fs" else "/dev", **definition}
    path, job = service.manager.DefinePool(name, kind, definition, {"wait": WAIT, **options}, timeout=LONG)
    assert job == "/"
    return service.pool(path)


def make(service, name, kind, raid, **options):
    """A pool on a new array, started."""
    definition = {"raid": raid}
    if kind == "fs":
        definition["source-format"] = "ext4"
    if kind == "disk":
        definition["source-format"] = "gpt"
    return define(service, name, kind, definition, build=True, start=True, **options)


def slow(method, *args):
    assert method(*args, {"wait": WAIT}, timeout=LONG) == "/"


def make_volume(service, pool, name, size=8 << 20):
    path, job = pool.CreateVolume(name, size, {"allocation": size, "wait": WAIT}, timeout=LONG)
    assert job == "/"
    return service.volume(path)


def raid_of(service, pool):
    return service.proxy(pool.path, "Pool.Raid")


def devices(raid):
    """{node: state}"""
    return {os.path.realpath(path): state for path, state, _more in raid.get("Devices")}


def wait_whole(raid):
    raid.wait_for("SyncAction", "idle", timeout=60)
    raid.wait_for("Degraded", 0)


@pytest.fixture(autouse=True)
def no_arrays():
    """Each begins without: what the one before left would hold its disks."""
    assert running() == {}


@pytest.mark.parametrize("kind,level,number,spares", [("fs", "raid5", 3, 1), ("logical", "raid1", 2, 0),
                                                      ("disk", "raid10", 4, 1), ("fs", "raid0", 2, 0),
                                                      ("fs", "raid4", 3, 0), ("fs", "raid6", 4, 0)])
def test_pool_on_an_array(service, disks, kind, level, number, spares, command):
    more = {"spares": spares} if spares else {}
    if level != "raid1":
        more["chunk-size"] = 65536
    pool = make(service, "fast", kind, array(*disks[:number + spares], level=level, **more))
    raid = raid_of(service, pool)
    wait_whole(raid)
    real = details("fast")
    assert real["Raid Level"] == raid.get("Level") == level
    assert (real["Raid Devices"], real["Spare Devices"]) == (str(number), str(spares))
    assert real["Version"] == "1.2"
    assert real["Name"].split()[0] == "any:fast"
    assert real.get("Chunk Size") == ("64K" if level != "raid1" else None)
    states = {node: "active" if state.startswith("active") else state for node, state in real["devices"].items()}
    assert states == devices(raid)
    assert pool.get("Health") == "ok" and pool.get("Problems") == []
    assert pool.get("Definition")["source-devices"] == ["/dev/md/fast"]
    assert pool.get("Capacity") > 40 << 20
    volume = make_volume(service, pool, "one" if kind != "disk" else f"{Path('/dev/md/fast').resolve().name}p1")

    slow(pool.Stop)
    assert running() == {} and raid.get("Level") == "" and raid.get("Devices") == []
    assert all(superblock(disk) for disk in disks[:number + spares])
    slow(pool.Start)
    assert os.path.exists("/dev/md/fast") and raid.get("Level") == level
    assert set(service.volumes(pool)) - {"lost+found"} == {volume.get("Name")}
    slow(volume.Delete)
    slow(pool.Stop)
    slow(pool.Delete)
    assert running() == {} and not any(map(superblock, disks))
    assert command("lsblk", "--noheadings", "--output=FSTYPE,PTTYPE", *disks).strip() == ""


@pytest.fixture
def slow_sync():
    """A rebuild takes long enough to be seen."""
    limit = Path("/proc/sys/dev/raid/speed_limit_max")
    before = limit.read_text() if limit.exists() else "200000"
    subprocess.run(["modprobe", "md_mod"], check=True, timeout=60)
    limit.write_text("8000")
    yield
    limit.write_text(before)


def test_changes_of_members(service, disks, slow_sync):
    """Fail, remove and add, as signals tell them at once."""
    pool = make(service, "fast", "fs", array("/dev/disk/by-id/virtio-disk0", disks[1]))
    raid = raid_of(service, pool)
    wait_whole(raid)
    log = service.log()
    first = "/dev/disk/by-id/virtio-disk0"

    def changed(name, wanted):
        signal = log.wait_for(lambda s: s.member == CHANGED and s.args[0] == full_name("Pool.Raid")
                              and name in s.args[1] and wanted(s.args[1][name]), what=f"a change of {name}")
        return signal.time

    with refused("InUse") as error:
        slow(raid.RemoveDevice, disks[1])
    assert "fail it first" in error.text
    # As the kernel would, and nobody asked the service: no udev event tells it.
    subprocess.run(["mdadm", "--quiet", "/dev/md/fast", "--fail", disks[0]], check=True, timeout=60)
    failed = time.monotonic()
    assert changed("Degraded", lambda n: n == 1) - failed < 1
    assert pool.wait_for("Health", "degraded")
    (code, text), = pool.get("Problems")
    assert code == "degraded-array" and first in text and "lacks 1 of its 2" in text
    assert devices(raid) == {disks[0]: "faulty", disks[1]: "active"}

    with refused("InUse") as error:
        slow(raid.FailDevice, disks[1])
    assert disks[1] in error.text and "lose data" in error.text
    with refused("Exists") as error:
        slow(raid.AddDevice, first)
    assert "remove it first" in error.text
    slow(raid.RemoveDevice, first)
    assert devices(raid) == {disks[1]: "active", disks[0]: "missing"}
    assert "missing: " + first in pool.get("Problems")[0][1]
    with refused("NotFound"):
        slow(raid.FailDevice, first)

    log.clear()
    slow(raid.AddDevice, disks[2])
    changed("SyncAction", lambda action: action == "recover")
    changed("SyncProgress", lambda progress: 0 < progress < 1)
    wait_whole(raid)
    pool.wait_for("Health", "ok")
    assert devices(raid) == {disks[1]: "active", disks[2]: "active"}
    # What it is made of is part of the definition: it starts with the new one.
    slow(pool.Stop)
    slow(pool.Start)
    assert devices(raid) == {disks[1]: "active", disks[2]: "active"} and raid.get("Degraded") == 0

    slow(raid.AddDevice, first)
    assert devices(raid)[disks[0]] == "spare"
    slow(raid.FailDevice, disks[2])
    raid.wait_for("SyncAction", "idle", timeout=60)
    raid.wait_for("Devices", lambda _: devices(raid)[disks[0]] == "active", timeout=60)
    slow(raid.RemoveDevice, disks[2])
    pool.wait_for("Health", "ok")


def test_what_is_added_must_be_blank(service, disks, command):
    pool = make(service, "fast", "fs", array(*disks[:2]))
    raid = raid_of(service, pool)
    command("mkfs.ext4", "-q", "-L", "precious", disks[2])
    with refused("Exists") as error:
        slow(raid.AddDevice, disks[2])
    assert "precious" in error.text
    command("mount", disks[2], "/mnt")
    try:
        with refused("InUse") as error:
            slow(raid.AddDevice, disks[2])
        assert "/mnt" in error.text
    finally:
        command("umount", "/mnt")
    with refused("Exists"):
        slow(raid.AddDevice, disks[1])
    with refused("NotFound"):
        slow(raid.AddDevice, "/dev/no-such")
    assert set(devices(raid)) == set(disks[:2])
    assert command("blkid", "-o", "value", "-s", "LABEL", "-p", disks[2]).strip() == "precious"


def test_service_finds_it_again(service, daemon, disks):
    pool = make(service, "fast", "fs", array(*disks[:2]))
    raid = raid_of(service, pool)
    wait_whole(raid)
    before = running()
    daemon.kill()
    daemon.start()
    pool.wait_for("State", "active", timeout=60)
    raid.wait_for("Level", "raid1", timeout=60)
    assert running() == before
    assert devices(raid) == {disks[0]: "active", disks[1]: "active"}
    subprocess.run(["mdadm", "--quiet", "/dev/md/fast", "--fail", disks[0]], check=True, timeout=60)
    raid.wait_for("Degraded", 1)


def test_starts_without_a_member_but_not_without_two(service, disks, command, settle):
    pool = make(service, "fast", "fs", array(*disks[:3], level="raid5"))
    raid = raid_of(service, pool)
    wait_whole(raid)
    slow(pool.Stop)
    command("mkfs.ext4", "-q", "-F", disks[1])
    settle()
    slow(pool.Start)
    assert raid.get("Degraded") == 1 and devices(raid) == {disks[0]: "active", disks[2]: "active", disks[1]: "missing"}
    assert pool.get("Health") == "degraded"
    slow(pool.Stop)
    command("mdadm", "--zero-superblock", disks[2])
    settle()
    with refused("Failed") as error:
        slow(pool.Start)
    assert f"{disks[1]} holds a file system: ext4" in error.text and f"{disks[2]} is blank" in error.text
    assert pool.get("State") == "inactive"
    assert command("blkid", "-o", "value", "-s", "TYPE", "-p", disks[1]).strip() == "ext4"


def test_udev_was_first(service, disks, command, settle):
    """Half of an array that udev has put together is in nobody's way."""
    pool = make(service, "fast", "fs", array(*disks[:2]))
    raid = raid_of(service, pool)
    wait_whole(raid)
    slow(pool.Stop)
    command("udevadm", "trigger", "--action=add", disks[0])
    settle()
    assert "inactive" in "".join(running().values())
    slow(pool.Start)
    assert details("fast")["Active Devices"] == "2" and raid.get("Degraded") == 0
    slow(pool.Stop)
    # All of it: then it is taken as it is.
    command("udevadm", "trigger", "--action=add", *disks[:2])
    settle()
    assert os.path.exists("/dev/md/fast"), "the name is stored in the array, for any host"
    slow(pool.Start)
    assert raid.get("Degraded") == 0
    slow(pool.Stop)
    # And it is in the way of being built anew only as what it is: contents, and maybe in use.
    command("udevadm", "trigger", "--action=add", *disks[:2])
    settle()
    before = superblock(disks[0])
    with refused("Exists") as error:
        slow(pool.Build)
    assert "overwrite" in error.text
    command("mount", "/dev/md/fast", "/mnt")
    with refused("InUse") as error:
        pool.Build({"overwrite": True, "wait": WAIT}, timeout=LONG)
    assert "/mnt" in error.text and superblock(disks[0]) == before
    command("umount", "/mnt")
    pool.Build({"overwrite": True, "wait": WAIT}, timeout=LONG)
    assert superblock(disks[0]) == superblock(disks[1]) != before


def test_members_of_others(service, disks, command, settle):
    """A foreign array is never started, overwritten while it runs, or wiped."""
    pool = make(service, "fast", "fs", array(*disks[:2]))
    wait_whole(raid_of(service, pool))
    slow(pool.Stop)
    command("mdadm", "--zero-superblock", disks[1])
    command("mdadm", "--create", "/dev/md/other", "--run", "--quiet", "--level=1", "--raid-devices=2", "--metadata=1.2",
            disks[1], disks[2])
    settle()
    foreign = superblock(disks[1])
    with refused("Failed") as error:
        slow(pool.Start)
    assert disks[1] in error.text and "another array" in error.text
    with refused("InUse") as error:
        define(service, "wrong", "fs", {"raid": array(disks[2], disks[3]), "source-format": "ext4"},
               build=True, overwrite=True)
    assert disks[2] in error.text and "md" in error.text
    assert superblock(disks[3]) is None
    command("mdadm", "--stop", "/dev/md/other")
    settle()
    with refused("Failed") as error:
        slow(pool.Start)
    assert disks[1] in error.text and "another array" in error.text
    with refused("Failed"):
        slow(pool.Delete)
    assert superblock(disks[1]) == superblock(disks[2]) == foreign
    # Stopped, it is contents as any: only overwrite destroys it.
    with refused("Exists"):
        define(service, "wrong", "fs", {"raid": array(disks[2], disks[3]), "source-format": "ext4"}, build=True)
    assert superblock(disks[2]) == foreign and superblock(disks[3]) is None
    wrong = make(service, "wrong", "fs", array(disks[2], disks[3]), overwrite=True)
    assert superblock(disks[2]) == superblock(disks[3]) != foreign
    slow(wrong.Stop)
    slow(wrong.Delete)


def test_build_that_fails_leaves_nothing(service, disks, command):
    command("mkfs.ext4", "-q", "-L", "precious", disks[1])
    with refused("Exists") as error:
        make(service, "fast", "fs", array(*disks[:2]))
    assert disks[1] in error.text and "precious" in error.text
    with refused("NotFound"):
        make(service, "fast", "fs", array(disks[0], "/dev/no-such"), overwrite=True)
    with refused("InvalidArgument"):
        make(service, "fast", "fs", array(disks[0], "/dev/disk/by-id/virtio-disk0"))
    # More chunk than there is room: mdadm itself refuses.
    with refused("Failed"):
        make(service, "fast", "fs", array(disks[0], disks[2], level="raid0", **{"chunk-size": 1 << 28}))
    assert running() == {} and not any(map(superblock, disks))
    assert service.pool_names() == []
    assert command("blkid", "-o", "value", "-s", "LABEL", "-p", disks[1]).strip() == "precious"


def test_busy_array_is_not_stopped(service, disks):
    pool = make(service, "fast", "logical", array(*disks[:2]))
    node = make_volume(service, pool, "one").get("Path")
    subprocess.run(["mkfs.ext4", "-q", node], check=True, timeout=60)
    subprocess.run(["mount", node, "/mnt"], check=True, timeout=60)
    try:
        with refused("InUse") as error:
            slow(pool.Stop)
        assert "/mnt" in error.text or "one" in error.text
        assert running() and pool.get("State") == "active"
    finally:
        subprocess.run(["umount", "/mnt"], check=True, timeout=60)
    slow(pool.Stop)
    assert running() == {}
