# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 3x512M
# timeout: 2400
"""What others keep on the devices, or do with them at the worst moment: none of it is lost by what was not asked."""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from client import MIB, iterate_until, refused
from gi.repository import GLib

TAG = "storaged-unfinished"
PATIENCE = 15
WAIT = {"wait": 200_000_000}
# For lvm's commands that others run although somebody has the lock.
UNLOCKED = ("--config", 'global{locking_dir="/run/lock/others-lvm"}')


@pytest.fixture
def define(service):
    def make(name, kind, devices, **options):
        definition = {"source-devices": devices}
        if kind == "fs":
            definition |= {"source-format": options.pop("format", "ext4"), "target-path": "/srv/pools/tank"}
        if kind == "disk":
            definition |= {"source-format": options.pop("format", "dos"), "target-path": "/dev"}
        path, _ = service.manager.DefinePool(name, kind, definition, WAIT | options, timeout=200)
        return service.pool(path)
    return make


@pytest.fixture
def vg(define, disks):
    """A pool on two disks, which runs."""
    return define("vg0", "logical", disks[:2], build=True, start=True)


@pytest.fixture
def refused_build(define):
    """Nothing is built on the disk, whatever kind of pool is to be; gives what was said."""
    def check(disk, error, **options):
        said = []
        for kind in ("fs", "logical", "disk"):
            pool = define(kind, kind, [disk])
            with refused(error) as e:
                pool.Build(WAIT | options, timeout=200)
            said.append(e.text)
            pool.Undefine()
        return said
    return check


@pytest.fixture
def loop(command):
    """loop(device) puts a loop device on it."""
    made = []

    def make(device):
        command("modprobe", "loop")
        made.append(command("losetup", "--find", "--show", device).strip())
        return made[-1]
    yield make
    for node in made:
        command("losetup", "--detach", node)


def lvs(vg="vg0"):
    out = subprocess.run(["lvs", "-a", "--reportformat", "json", "--units", "b", "--nosuffix", "-o",
                          "lv_name,lv_size,lv_uuid,lv_tags", vg], capture_output=True, text=True, timeout=60,
                         check=True).stdout
    return {row["lv_name"]: row for row in json.loads(out)["report"][0]["lv"]}


def wait(condition, what):
    iterate_until(condition, PATIENCE, what)


def worker():
    """The process that looks after the pool: that of the pool that ships is older."""
    return int(subprocess.run(["pgrep", "--newest", "--full", "storaged-worker pool"], capture_output=True, text=True,
                              timeout=60, check=True).stdout)


def waits_for_lock(path):
    """Whether some process does: /proc/locks shows it with an arrow."""
    inode = f":{os.stat(path).st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


@contextlib.contextmanager
def writers_wait(name):
    """lvm reads, but what would write waits, when it has taken its decisions: others may act before it."""
    path = f"/run/lock/lvm/{name}"
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield lambda: wait(lambda: waits_for_lock(path), "lvm to wait for its turn")


@contextlib.contextmanager
def mounted(device, mkfs=("mkfs.ext4", "-q")):
    """A file system with a file in it, whose contents must be the same at the end."""
    subprocess.run([*mkfs, device], check=True, timeout=60)
    subprocess.run(["mount", device, "/mnt"], check=True, timeout=60)
    try:
        precious = os.urandom(MIB)
        Path("/mnt/precious").write_bytes(precious)
        os.sync()
        yield
        Path("/proc/sys/vm/drop_caches").write_text("3")
        assert Path("/mnt/precious").read_bytes() == precious
    finally:
        subprocess.run(["umount", "/mnt"], check=True, timeout=60)
    assert subprocess.run(["fsck", "-n", device], timeout=60, check=False).returncode == 0


def put_mark(device, at=0):
    """Contents that nobody recognises; what it gives asserts that they are there."""
    mark = os.urandom(4096)
    with open(device, "r+b", buffering=0) as f:
        f.seek(at)
        f.write(mark)
        os.fsync(f)

    def check():
        with open(device, "rb", buffering=0) as f:
            f.seek(at)
            assert f.read(4096) == mark
    return check


# Volume groups


def test_a_leftover_that_others_built_on_stays(service, vg, daemon, command):
    """It would take all that is upon it with it."""
    command("lvcreate", "-y", "--type", "thin-pool", "-L", "64M", "--addtag", TAG, "-n", "thinpool", "vg0")
    command("lvcreate", "-y", "-V", "64M", "--thinpool", "thinpool", "-n", "theirs", "vg0")
    command("lvcreate", "-y", "-L", "16M", "--addtag", TAG, "-n", "origin", "vg0")
    command("lvcreate", "-y", "-s", "-L", "8M", "-n", "snap", "vg0/origin")
    command("lvcreate", "-y", "-L", "8M", "--addtag", TAG, "-n", "half", "vg0")
    checks = [put_mark(f"/dev/vg0/{name}") for name in ("theirs", "snap")]
    daemon.kill()
    daemon.start()
    wait(lambda: "half" not in lvs(), "the leftover to go")
    pool = service.pool(service.manager.GetPoolByName("vg0"))
    wait(lambda: pool.get("VolumeCount") == 2, "both volumes")
    for check in checks:
        check()


def test_no_backup_of_lvm_has_the_tag(service, vg):
    """What is restored from one would be taken for a leftover."""
    def kept():
        return [path for folder in ("backup", "archive") for path in Path("/etc/lvm", folder).glob("*")]
    for path in kept():
        path.unlink()
    for name, more in (("thick", {}), ("thin", {"allocation": 0}), ("snap", {"backing-path": "/dev/vg0/thick"})):
        vg.CreateVolume(name, 16 * MIB, WAIT | more, timeout=200)
    assert any("thick" in path.read_text() for path in kept())
    # That it was in the command is noted there, too.
    # The descriptions tell which command it was.
    assert not [re.findall("description = .*|tags = .*", path.read_text()) for path in kept()
                if re.search(rf'tags = \[.*"{TAG}"', path.read_text())]


def test_growing_never_shrinks(service, vg, command):
    """Somebody makes it larger still, between our look and our deed."""
    path, _ = vg.CreateVolume("disk", 8 * MIB, WAIT, timeout=200)
    with writers_wait("V_vg0") as decided:
        pending = service.volume(path).start("Resize", 16 * MIB, WAIT, timeout=200)
        decided()
        command("lvextend", *UNLOCKED, "-L", "64M", "vg0/disk")
        check = put_mark("/dev/vg0/disk", 48 * MIB)
    with refused("Failed"):
        pending.wait(60)
    assert lvs()["disk"]["lv_size"] == str(64 * MIB)
    check()


def test_deleting_takes_no_snapshot_with_it(service, vg, command):
    path, _ = vg.CreateVolume("disk", 8 * MIB, WAIT, timeout=200)
    with writers_wait("V_vg0") as decided:
        pending = service.volume(path).start("Delete", WAIT, timeout=200)
        decided()
        command("lvcreate", *UNLOCKED, "-y", "-s", "-L", "8M", "-n", "snap", "vg0/disk")
        check = put_mark("/dev/vg0/snap")
    with refused("HasDependents") as e:
        pending.wait(60)
    assert "'snap'" in e.text and {"disk", "snap"} <= set(lvs())
    check()


def test_another_volume_of_the_name_is_not_the_one(service, vg, command):
    path, _ = vg.CreateVolume("disk", 8 * MIB, WAIT, timeout=200)
    vg.Refresh()
    pid = worker()
    os.kill(pid, signal.SIGSTOP)
    try:
        command("lvremove", "-y", "vg0/disk")
        command("lvcreate", "-y", "-L", "8M", "-n", "disk", "vg0")
        check = put_mark("/dev/vg0/disk")
        pending = service.volume(path).start("Delete", WAIT, timeout=200)
        time.sleep(0.5)
    finally:
        os.kill(pid, signal.SIGCONT)
    with refused("NotFound") as e:
        pending.wait(60)
    assert "another" in e.text
    check()
    wait(lambda: service.volume(path).get("Key") == lvs()["disk"]["lv_uuid"], "the other one to be shown")
    service.volume(path).Delete(WAIT, timeout=200)


def test_deleting_a_group_takes_no_volume_with_it(vg, command):
    vg.Stop(WAIT, timeout=200)
    with writers_wait("V_vg0") as decided:
        pending = vg.start("Delete", WAIT, timeout=200)
        decided()
        command("lvcreate", *UNLOCKED, "-y", "-L", "8M", "-n", "new", "vg0")
        check = put_mark("/dev/vg0/new")
    with refused("HasDependents"):
        pending.wait(60)
    check()


def test_build_looks_again_before_it_writes(define, disks, command):
    """A file system is made on the second disk while the first is taken."""
    pool = define("vg0", "logical", disks[:2])
    Path("/run/lock/lvm").mkdir(exist_ok=True)
    with writers_wait("P_global") as decided:
        pending = pool.start("Build", WAIT, timeout=200)
        decided()
        command("mkfs.ext4", "-q", "-L", "precious", disks[1])
    with refused("Exists") as e:
        pending.wait(60)
    assert "precious" in e.text
    command("fsck.ext4", "-n", disks[1])


def test_failed_build_leaves_what_others_took(define, disks, command):
    """Between pvcreate and vgcreate it becomes a part of their group."""
    pool = define("vg0", "logical", disks[:1])
    Path("/run/lock/lvm").mkdir(exist_ok=True)
    with writers_wait("V_vg0") as decided:
        pending = pool.start("Build", WAIT, timeout=200)
        decided()
        command("vgcreate", "--nolocking", "theirs", disks[0])
    with refused("Failed"):
        pending.wait(60)
    assert command("vgs", "--noheadings", "-o", "vg_name").split() == ["theirs"]


def test_groups_of_other_hosts_are_groups(define, disks, command):
    """lvm does not show them to this one."""
    command("vgcreate", "--config", "global{system_id_source=lvmlocal} local{system_id=other}", "theirs", disks[0])
    assert "theirs" not in command("vgs")
    with refused("InUse") as e:
        define("vg0", "logical", disks[:1]).Build(WAIT | {"overwrite": True}, timeout=200)
    assert "theirs" in e.text
    assert "theirs" in command("vgs", "--foreign")


def test_a_part_of_a_group_is_no_disk(refused_build, disks, command):
    """What is in the group lies on its other disk, so that this one is used by nobody."""
    command("vgcreate", "theirs", *disks[:2])
    command("lvcreate", "-L", "8M", "-n", "theirs", "theirs", disks[1])
    assert all("theirs" in said for said in refused_build(disks[0], "InUse", overwrite=True))
    command("sh", "-c", f"echo 1MiB,64MiB | sfdisk -q -X gpt {disks[2]}")
    command("udevadm", "settle")
    command("vgextend", "theirs", f"{disks[2]}1")
    assert all("theirs" in said for said in refused_build(disks[2], "InUse", overwrite=True))
    assert "unknown" not in command("pvs", "-o", "pv_name,vg_name")


def test_groups_that_lvm_has_not_noted(define, disks, command, tmp_path):
    """It has notes of which devices to look at, and what is restored from a backup is not in them."""
    backup = tmp_path / "theirs"
    command("vgcreate", "theirs", disks[0])
    command("dd", f"if={disks[0]}", f"of={backup}", "bs=1M", "count=4", "status=none")
    command("blkdiscard", "--force", "--zeroout", disks[0])
    command("vgcreate", "noted", disks[1])
    command("vgs")
    command("dd", f"if={backup}", f"of={disks[0]}", "bs=1M", "oflag=direct", "status=none")
    with refused("InUse") as e:
        define("vg0", "logical", disks[:1]).Build(WAIT | {"overwrite": True}, timeout=200)
    assert "theirs" in e.text


def test_two_groups_of_one_name(service, define, disks, command, tmp_path):
    """A disk of another host brings its own: which one is meant cannot be known, unless it was seen before."""
    theirs_disk = tmp_path / "theirs"
    command("vgcreate", "vg0", disks[2])
    command("lvcreate", "-an", "-Zn", "-L", "8M", "-n", "disk", "vg0")
    theirs = lvs()["disk"]["lv_uuid"]
    command("dd", f"if={disks[2]}", f"of={theirs_disk}", "bs=1M", "count=4", "status=none")
    command("blkdiscard", "--force", "--zeroout", disks[2])
    command("udevadm", "settle")
    vg = define("vg0", "logical", disks[:2], build=True, start=True)
    path, _ = vg.CreateVolume("disk", 8 * MIB, WAIT, timeout=200)
    command("dd", f"if={theirs_disk}", f"of={disks[2]}", "bs=1M", "oflag=direct", "status=none")
    command("udevadm", "settle")
    # lvm's notes of what is where would go if a disk came.
    Path("/run/lvm/hints").unlink(missing_ok=True)

    def uuids():
        return set(command("lvs", "--noheadings", "-o", "lv_uuid").split())
    assert theirs in uuids()
    with contextlib.suppress(GLib.Error):
        service.volume(path).Delete(WAIT, timeout=200)
    assert theirs in uuids()
    with contextlib.suppress(GLib.Error):
        vg.Stop(WAIT, timeout=200)
    with contextlib.suppress(GLib.Error):
        vg.Delete(WAIT, timeout=200)
    assert theirs in uuids() and len(command("vgs", "--noheadings", "-o", "vg_uuid").split()) == 2


# Devices


def test_a_disk_beneath_a_loop_device_is_in_use(refused_build, loop, disks):
    """The kernel does not tell: neither is it held, nor can it not be opened alone."""
    node = loop(disks[0])
    with mounted(node):
        assert all(node in said for said in refused_build(disks[0], "InUse", overwrite=True))


def test_a_disk_that_a_guest_has_is_in_use(refused_build, disks):
    """As QEMU has a disk, without asking for it alone; it may well be empty still."""
    with open(disks[0], "r+b"):
        assert all(str(os.getpid()) in said for said in refused_build(disks[0], "InUse"))


def test_what_is_damaged_is_not_blank(refused_build, disks, command):
    """blkid passes over what has a wrong checksum, or lacks its first sector."""
    command("mkfs.xfs", "-q", "-f", disks[0])
    with open(disks[0], "r+b", buffering=0) as f:
        f.seek(0x6C)  # its label: its checksum is wrong from now on
        f.write(b"damaged")
    command("sh", "-c", f"echo 1MiB,16MiB | sfdisk -q -X gpt {disks[1]}")
    with open(disks[1], "r+b", buffering=0) as f:
        f.write(bytes(512))
    for disk in disks[:2]:
        refused_build(disk, "Exists")


def test_hidden_subvolumes_are_contents(define, disks, command):
    """What is mounted when nothing else is said may be empty, and yet not all of it."""
    pool = define("tank", "fs", disks[:1], format="btrfs", build=True)
    command("mount", disks[0], "/mnt")
    command("btrfs", "subvolume", "create", "/mnt/precious")
    Path("/mnt/precious/file").write_text("x")
    command("btrfs", "subvolume", "create", "/mnt/new")
    command("btrfs", "subvolume", "set-default", "/mnt/new")
    command("umount", "/mnt")
    with refused("Failed") as e:
        pool.Delete(WAIT, timeout=200)
    assert "not empty" in e.text
    command("mount", "-o", "subvol=/precious", disks[0], "/mnt")
    try:
        assert Path("/mnt/file").read_text() == "x"
    finally:
        command("umount", "/mnt")


def test_what_fsck_rescued_is_contents(define, disks, command):
    pool = define("tank", "fs", disks[:1], build=True)
    command("mount", disks[0], "/mnt")
    Path("/mnt/lost+found/#12").write_text("x")
    command("umount", "/mnt")
    with refused("Failed") as e:
        pool.Delete(WAIT, timeout=200)
    assert "lost+found" in e.text
    command("fsck.ext4", "-n", disks[0])


def test_a_device_swapped_before_it_is_written(define, disks, command, tmp_path):
    """The link leads to another disk when the first has been looked at."""
    link = Path("/dev/a-disk")
    link.symlink_to(disks[0])
    check = put_mark(disks[1])
    try:
        pool = define("vg0", "logical", [str(link)])
        Path("/run/lock/lvm").mkdir(exist_ok=True)
        with writers_wait("P_global") as decided:
            pending = pool.start("Build", WAIT, timeout=200)
            decided()
            link.unlink()
            link.symlink_to(disks[1])
        pending.wait(60)
    finally:
        link.unlink()
    check()


def test_an_array_of_another_name_is_not_the_pools(service, disks, command):
    """Disks have got other names, and those of the definition are members of what others made."""
    command("mdadm", "--create", "/dev/md/theirs", "--run", "--level=1", "--raid-devices=2", "--metadata=1.2",
            "--homehost=any", *disks[:2])
    command("sh", "-c", "echo 1MiB,16MiB | sfdisk -q -X gpt /dev/md/theirs")
    command("udevadm", "settle")
    checks = [put_mark(os.path.realpath("/dev/md/theirs"), 2 * MIB)]
    command("mdadm", "--stop", "/dev/md/theirs")
    path, _ = service.manager.DefinePool("tank", "disk", {
        "source-format": "gpt", "target-path": "/dev", "raid": {"level": "raid1", "devices": disks[:2]}}, WAIT, timeout=200)
    with refused("Failed") as e:
        service.pool(path).Delete(WAIT, timeout=200)
    assert "'theirs'" in e.text
    command("mdadm", "--assemble", "--run", "/dev/md/theirs", *disks[:2])
    assert "gpt" in command("blkid", "-p", "/dev/md/theirs")
    for check in checks:
        check()
    command("mdadm", "--stop", "/dev/md/theirs")
    command("mdadm", "--zero-superblock", *disks[:2])


def test_what_the_members_held_before_is_overwritten(service, disks, command):
    """A group in an array of before is in the new one as well, at the same place."""
    command("mdadm", "--create", "/dev/md/theirs", "--run", "--level=1", "--raid-devices=2", "--metadata=1.2",
            "--homehost=any", *disks[:2])
    command("udevadm", "settle")
    command("vgcreate", "theirs", "/dev/md/theirs")
    command("udevadm", "settle")
    command("mdadm", "--stop", "/dev/md/theirs")
    path, _ = service.manager.DefinePool("tank", "fs", {
        "source-format": "ext4", "target-path": "/srv/pools/tank", "raid": {"level": "raid1", "devices": disks[:2]}},
        WAIT, timeout=200)
    pool = service.pool(path)
    with refused("Exists"):
        pool.Build(WAIT, timeout=200)
    pool.Build(WAIT | {"overwrite": True}, timeout=200)
    pool.Start(WAIT, timeout=200)
    pool.Stop(WAIT, timeout=200)
    pool.Delete(WAIT, timeout=200)


# Partitions


def test_a_partition_that_only_the_kernel_knows(define, disks, command):
    """Somebody took it out of the table, and did not tell: it is mounted still."""
    command("sh", "-c", f"echo 1MiB,256MiB | sfdisk -q -X dos {disks[0]}")
    command("udevadm", "settle")
    with mounted(f"{disks[0]}1"):
        command("sfdisk", "-q", "--no-reread", "--no-tell-kernel", "--delete", disks[0], "1")
        pool = define("disk", "disk", [disks[0]])
        with refused("InUse", "Failed"):
            pool.Start(WAIT, timeout=200)
            pool.CreateVolume(f"{Path(disks[0]).name}1", 64 * MIB, WAIT, timeout=200)


def test_a_disk_that_is_a_file_system_and_has_a_table(define, disks, command):
    """As a whole it is mounted; in its first sector, which file systems leave alone, is an old table."""
    with mounted(disks[0]):
        command("sh", "-c", f"echo 1MiB,16MiB | sfdisk -q --force --no-reread --no-tell-kernel -X dos -w never "
                f"-W never {disks[0]}")
        pool = define("disk", "disk", [disks[0]])
        with refused("InUse", "Failed"):
            pool.Start(WAIT, timeout=200)
            pool.CreateVolume(f"{Path(disks[0]).name}2", 64 * MIB, WAIT, timeout=200)


@contextlib.contextmanager
def part_of_array(command, disks):
    """An array that does not run; the table in it is seen on the disk, too."""
    array = ("/dev/md/theirs", "--run", *disks[:2])
    command("mdadm", "--create", *array[:2], "--level=1", "--raid-devices=2", "--metadata=1.0", "--homehost=any",
            *disks[:2])
    command("sh", "-c", "echo 1MiB,16MiB | sfdisk -q -X dos /dev/md/theirs")
    command("udevadm", "settle")
    check = put_mark(os.path.realpath("/dev/md/theirs"), 17 * MIB)
    command("mdadm", "--stop", "/dev/md/theirs")
    command("udevadm", "settle")
    try:
        yield
        command("mdadm", "--assemble", *array)
        check()
    finally:
        subprocess.run(["mdadm", "--stop", "/dev/md/theirs"], timeout=60, check=False)


@contextlib.contextmanager
def has_old_table(command, disk, *make):
    """What takes the whole disk leaves room for a table, or somebody wrote one afterwards."""
    command(*make, disk)
    command("sh", "-c", f"echo 1MiB,16MiB | sfdisk -q --force --no-reread -X dos -w never -W never {disk}")
    command("udevadm", "settle")
    check = put_mark(disk, 17 * MIB)
    yield
    check()


@pytest.mark.parametrize("what", ["array", "ext4"])
def test_a_disk_with_a_table_that_is_something_else(define, disks, command, what):
    """Nobody uses it now; new partitions would lie on what is in it."""
    with contextlib.ExitStack() as stack:
        if what == "array":
            stack.enter_context(part_of_array(command, disks))
        else:
            stack.enter_context(has_old_table(command, disks[0], "mkfs.ext4", "-q"))
        pool = define("disk", "disk", [disks[0]])
        if what == "array":
            with refused("Exists") as e:
                pool.Start(WAIT, timeout=200)
        else:
            pool.Start(WAIT, timeout=200)
            with refused("Exists") as e:
                pool.CreateVolume(f"{Path(disks[0]).name}2", 128 * MIB, WAIT, timeout=200)
            pool.Stop(WAIT, timeout=200)
        assert {"array": "RAID", "ext4": "ext4"}[what] in e.text and "wipefs" in e.text
        with refused("Exists"):
            pool.Delete(WAIT, timeout=200)


@pytest.mark.parametrize("use", ["loop", "swap", "dm", "open"])
def test_partitions_in_use_are_not_deleted(service, define, loop, disks, command, use):
    pool = define("disk", "disk", [disks[0]], build=True, start=True)
    path, _ = pool.CreateVolume(f"{Path(disks[0]).name}1", 64 * MIB, WAIT, timeout=200)
    node = f"{disks[0]}1"
    with contextlib.ExitStack() as stack:
        if use == "loop":
            loop(node)
        elif use == "swap":
            command("mkswap", node)
            command("swapon", node)
            stack.callback(command, "swapoff", node)
        elif use == "dm":
            command("dmsetup", "create", "held", "--table", f"0 2048 linear {node} 0")
            stack.callback(command, "dmsetup", "remove", "--retry", "held")
        else:
            stack.enter_context(open(node, "rb"))
        with refused("InUse"):
            service.volume(path).Delete(WAIT | {"force": True}, timeout=200)
        with refused("InUse"):
            service.volume(path).Resize(32 * MIB, WAIT | {"shrink": True, "force": True}, timeout=200)
        assert "1" in command("partx", "-g", "-o", "NR", disks[0])
