# SPDX-License-Identifier: LGPL-2.1-or-later
"""Pools on a file system of their own, on loop devices and in a mount namespace of their own."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from worker_client import Pool, Worker, WorkerError
from gi.repository import GLib

MIB = 1 << 20
CLONE_NEWNS = 0x00020000
SIZES = {"ext2": 16, "ext3": 16, "ext4": 32, "xfs": 320, "vfat": 16, "btrfs": 128}
TOOLS = {"xfs": "mkfs.xfs", "vfat": "mkfs.vfat", "btrfs": "mkfs.btrfs"}
FILESYSTEMS = Path("/proc/filesystems").read_text().split()
MAKEABLE = [fmt for fmt in SIZES if fmt in FILESYSTEMS
            and any(os.access(f"{d}/{TOOLS.get(fmt, 'mke2fs')}", os.X_OK) for d in ("/usr/sbin", "/usr/bin"))]


def run(*args):
    return subprocess.run([str(a) for a in args], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", autouse=True)
def own_namespace():
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) < 0:
        pytest.skip("no mount namespace can be made here")
    run("mount", "--make-rprivate", "/")


@pytest.fixture
def device(tmp_path):
    """Makes block devices: device(MiB)."""
    made = []

    def make(size=32):
        image = tmp_path / f"disk{len(made)}"
        with open(image, "wb") as f:
            f.truncate(size * MIB)
        r = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
        if r.returncode != 0:
            pytest.skip(f"no loop devices here: {r.stderr}")
        made.append(r.stdout.strip())
        return made[-1]

    yield make
    for node in made:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
                  if line.split(" - ")[1].split()[1] == node]
        for point in mounts:
            subprocess.run(["umount", "-l", point], check=False)
        # It would outlast the detaching.
        subprocess.run(["blockdev", "--setrw", node], check=False)
        subprocess.run(["losetup", "--detach", node], check=False)


def fs_xml(device, target, fmt="auto", options=(), permissions=""):
    opts = "".join(f"<fs:option name='{o}'/>" for o in options)
    mount = f"<fs:mount_opts>{opts}</fs:mount_opts>" if options else ""
    return (f"<pool type='fs' xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'><name>tank</name>"
            f"<source><device path='{escape(str(device))}'/><format type='{fmt}'/></source>"
            f"<target><path>{target}</path>{permissions}</target>{mount}</pool>")


class FsPool(Pool):
    """The worker of a pool of type fs."""

    def __init__(self, device, target, fmt="auto", **kwargs):
        Worker.__init__(self, "pool")
        self.folder, self.device = str(target), str(device)
        self.call("SetPool", "(sa{sv})", fs_xml(device, target, fmt, **kwargs), {})

    def build(self, overwrite=False):
        return self.call("Build", "(a{sv})", {"overwrite": GLib.Variant("b", overwrite)})[0]

    def start(self):
        self.call("Start", "(a{sv})", {})

    def stop(self):
        self.call("Stop", "(a{sv})", {})

    def remove(self):
        self.call("Delete", "(a{sv})", {})

    def check(self):
        return self.call("Check")[0]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "a" / "mnt"


@pytest.fixture
def fs_pool(started, target):
    return lambda device, fmt="auto", target=target, **kwargs: started(FsPool, device, target, fmt, **kwargs)


def mounted_on(path):
    """(source, type, options) of each mount there, the one that is seen last."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, rest = line.split(" - ")
        if fields.split()[4] == str(path):
            kind, source, _super = rest.split()
            found.append((source, kind, fields.split()[5].split(",")))
    return found


def blkid(device):
    return subprocess.run(["blkid", "-p", "-o", "value", "-s", "TYPE", device], capture_output=True, text=True,
                          check=False).stdout.strip()


def refuses(name, *words):
    return pytest.raises(WorkerError, match="(?s)" + "".join(f"(?=.*{w})" for w in (name, *words)))


@contextlib.contextmanager
def held_up(pool, call, number, act):
    """The worker's first such system call waits until act() is done."""
    if not shutil.which("strace") or os.uname().machine != "x86_64":
        pytest.skip("takes strace, and the numbers of system calls")
    proc = Path("/proc", str(pool.process.pid))
    tracer = subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                               f"inject={call}:delay_enter=3000000:when=1", "-p", str(pool.process.pid)])

    def meanwhile():
        while not (proc / "syscall").read_text().startswith(f"{number} "):
            time.sleep(0.01)
        act()

    while "TracerPid:\t0\n" in (proc / "status").read_text():
        time.sleep(0.01)
    other = threading.Thread(target=meanwhile)
    other.start()
    try:
        yield
    finally:
        other.join(10)
        pool.kill()
        tracer.wait(10)


def test_folder_that_is_swapped_before_it_is_mounted_on(fs_pool, device, target):
    """Who may rename the folder above could have the file system mounted wherever he likes."""
    pool = fs_pool(device(), "ext4")
    pool.build()
    victim, moved = target.parent.with_name("victim"), target.parent.with_name("moved")
    (victim / "mnt").mkdir(parents=True)

    def swap():
        target.parent.rename(moved)
        target.parent.symlink_to(victim)

    with held_up(pool, "mount", 165, swap), refuses("Failed", str(target)):
        pool.start()
    assert mounted_on(victim / "mnt") == [] and mounted_on(moved / "mnt") == []


def test_build_looks_again_before_it_writes(fs_pool, device):
    """Between the first look and mkfs somebody makes a file system; mke2fs would not mind."""
    node = device()
    pool = fs_pool(node, "ext4")
    with held_up(pool, "mkdir", 83, lambda: run("mke2fs", "-q", "-t", "ext4", "-L", "precious", node)), \
            refuses("Exists", "precious"):
        pool.build()
    assert "precious" in run("blkid", "-p", node)


@pytest.mark.parametrize("fmt", MAKEABLE)
def test_built_started_used_stopped_deleted(fs_pool, device, target, fmt):
    node = device(SIZES[fmt])
    pool = fs_pool(node, fmt)
    assert not pool.check()
    assert pool.build() is True
    assert blkid(node) == fmt and mounted_on(target) == []
    pool.start()
    assert pool.check()
    source, kind, options = mounted_on(target)[0]
    assert (source, kind) == (node, fmt) and {"nodev", "nosuid", "noexec"} <= set(options)
    pool.refresh()
    v = os.statvfs(target)
    assert pool.status[:4] == (v.f_blocks * v.f_frsize, (v.f_blocks - v.f_bavail) * v.f_frsize,
                               v.f_bavail * v.f_frsize, "ok")
    pool.create("a", MIB)
    pool.create("b", MIB, fmt="qcow2")
    assert {"a", "b"} <= set(os.listdir(target))
    other = fs_pool(node, fmt)
    other.refresh()
    assert (other.rows["a"].format, other.rows["b"].format) == ("raw", "qcow2")
    pool.stop()
    assert mounted_on(target) == [] and os.listdir(target) == [] and not pool.check()
    with refuses("Failed", "not empty", "[ab]"):
        pool.remove()
    assert blkid(node) == fmt and target.exists()
    pool.start()
    pool.refresh()
    pool.delete("a")
    pool.delete("b")
    pool.stop()
    pool.remove()
    assert blkid(node) == "" and not target.exists()


def test_nothing_is_overwritten_unasked(fs_pool, device, target):
    node = device()
    run("mke2fs", "-q", "-t", "ext4", "-L", "precious", node)
    pool = fs_pool(node, "xfs")
    with refuses("Exists", "ext4", "precious", "overwrite"):
        pool.build()
    assert blkid(node) == "ext4" and not target.exists()
    with refuses("Failed", "ext4", "xfs"):
        pool.start()
    assert not target.exists() and mounted_on(target) == []
    with refuses("Failed", "ext4", "not the pool's"):
        pool.remove()
    pool = fs_pool(node, "ext3")
    assert pool.build(overwrite=True) is False
    assert blkid(node) == "ext3"


@pytest.mark.parametrize("before, after", [("ext4", "vfat"), ("btrfs", "ext4"), ("vfat", "xfs"), ("ext4", "ext4")])
def test_overwritten_there_is_nothing_left_of_what_was(fs_pool, device, target, before, after):
    if not {before, after} <= set(MAKEABLE):
        pytest.skip("cannot make these here")
    node = device(SIZES["xfs"])
    fs_pool(node, before).build()
    pool = fs_pool(node, after)
    pool.build(overwrite=True)
    assert blkid(node) == after
    pool.start()
    assert mounted_on(target)[0][1] == after


def test_a_partition_table_is_not_overwritten_either(fs_pool, device):
    node = device()
    run("parted", "-s", node, "mklabel", "gpt")
    with refuses("Exists", "gpt"):
        fs_pool(node, "ext4").build()


def test_what_cannot_be_made(fs_pool, device, target):
    node = device()
    with refuses("InvalidArgument", "auto", "ext4"):
        fs_pool(node, "auto").build()
    with refuses("Unsupported", "iso9660", "read-only"):
        fs_pool(node, "iso9660").build()
    for fmt, tool in (("ufs", "mkfs.ufs"), ("gfs", "mkfs.gfs")):
        with refuses("Unsupported", tool):
            fs_pool(node, fmt).build()
    with refuses("Unsupported", "vmfs"):
        fs_pool(node, "vmfs").build()
    assert blkid(node) == "" and not target.exists()


def test_nothing_to_start(fs_pool, device, target):
    node = device()
    with refuses("Failed", "no file system", "build"):
        fs_pool(node).start()
    with refuses("NotFound", "/dev/no-such-device"):
        fs_pool("/dev/no-such-device").start()
    with refuses("InvalidArgument", "/dev/null"):
        fs_pool("/dev/null").start()
    assert not target.exists()


def test_a_kernel_that_does_not_know_it(fs_pool, device, target):
    node = device()
    if "minix" in FILESYSTEMS:
        pytest.skip("this one does")
    run("mkfs.minix", node)
    with refuses("Unsupported", "minix", "kernel"):
        fs_pool(node).start()
    assert not target.exists()


def test_auto_takes_what_is_there(fs_pool, device, target):
    node = device()
    run("mke2fs", "-q", "-t", "ext2", node)
    pool = fs_pool(node)
    pool.start()
    assert mounted_on(target)[0][:2] == (node, "ext2")


def test_mount_options(fs_pool, device, target):
    node = device()
    pool = fs_pool(node, "ext4", options=["noatime", "exec"])
    pool.build()
    pool.start()
    options = mounted_on(target)[0][2]
    assert "noatime" in options and "noexec" not in options and "nodev" in options
    pool.stop()
    pool = fs_pool(node, "ext4", options=["no-such-option"])
    with refuses("Failed", node):
        pool.start()
    assert mounted_on(target) == []


@pytest.mark.parametrize("option", ["bind", "remount", "loop", "offset=4096"])
def test_options_that_mount_something_else(fs_pool, device, target, option):
    node = device()
    fs_pool(node, "ext4").build()
    with refuses("InvalidArgument", option):
        fs_pool(node, "ext4", options=[option]).start()
    assert mounted_on(target) == []


def test_read_only_device(fs_pool, device, target):
    node = device()
    fs_pool(node, "ext4").build()
    run("blockdev", "--setro", node)
    pool = fs_pool(node)
    pool.start()
    pool.refresh()
    assert pool.status[3] == "ok" and "ro" in mounted_on(target)[0][2]
    with pytest.raises(WorkerError, match="[Rr]ead-only"):
        pool.create("a", MIB)
    pool.stop()
    with refuses("Failed", "read-only"):
        fs_pool(node, "ext4").build(overwrite=True)
    with refuses("Failed", "read-only"):
        pool.remove()


def test_permissions_are_those_of_the_root(fs_pool, device, target):
    node = device()
    pool = fs_pool(node, "ext4", permissions="<permissions><mode>0750</mode><owner>7</owner><group>8</group>"
                                             "</permissions>")
    pool.build()
    pool.start()
    st = os.stat(target)
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o750, 7, 8)
    pool.refresh()
    assert pool.permissions == (0o750, 7, 8)


def test_adopted(fs_pool, device, target):
    node = device()
    pool = fs_pool(node, "ext4")
    pool.build()
    run("mount", node, target)
    assert pool.check()
    with refuses("InUse", str(target)):
        pool.build(overwrite=True)
    with refuses("InUse", str(target)):
        pool.remove()
    pool.start()
    assert len(mounted_on(target)) == 1
    pool.refresh()
    pool.create("a", MIB)
    pool.stop()
    assert mounted_on(target) == []


def test_another_one_is_mounted_there(fs_pool, device, target):
    node, other = device(), device()
    fs_pool(other, "ext4").build()
    pool = fs_pool(node, "ext4")
    pool.build()
    run("mount", other, target)
    assert not pool.check()
    with refuses("InUse", other, node):
        pool.start()
    pool.stop()
    assert [m[0] for m in mounted_on(target)] == [other]


def test_a_folder_of_it_is_not_it(fs_pool, device, target, tmp_path):
    node = device()
    pool = fs_pool(node, "ext4")
    pool.build()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    run("mount", node, elsewhere)
    (elsewhere / "sub").mkdir()
    run("mount", "--bind", elsewhere / "sub", target)
    assert not pool.check()
    with refuses("InUse", node):
        pool.start()
    run("umount", target)
    run("umount", elsewhere)


def test_busy(fs_pool, device, target):
    node = device()
    pool = fs_pool(node, "ext4")
    pool.build()
    pool.start()
    with subprocess.Popen(["sleep", "60"], cwd=target) as holder:
        with refuses("InUse", f"process {holder.pid}", "sleep"):
            pool.stop()
        holder.kill()
    (target / "f").write_bytes(b"x" * 4096)
    with open(target / "f", "rb"):
        with refuses("InUse", f"process {os.getpid()}"):
            pool.stop()
    (target / "below").mkdir()
    run("mount", "-t", "tmpfs", "none", target / "below")
    with refuses("InUse", f"mount on {target}/below"):
        pool.stop()
    run("umount", target / "below")
    assert pool.check()
    pool.stop()
    assert mounted_on(target) == []


def test_a_mapped_file_holds_it(fs_pool, device, target):
    pool = fs_pool(device(), "ext4")
    pool.build()
    pool.start()
    code = ("import ctypes, os, sys, time\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\nos.ftruncate(fd, 4096)\n"
            "libc = ctypes.CDLL(None)\nlibc.mmap.restype = ctypes.c_void_p\n"
            "libc.mmap(None, ctypes.c_size_t(4096), 1, 2, fd, ctypes.c_long(0))\nos.close(fd)\n"
            "print('ready', flush=True)\ntime.sleep(60)")
    with subprocess.Popen(["/usr/bin/python3", "-c", code, target / "f"], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "ready\n"
        with refuses("InUse", f"process {holder.pid}", "python3"):
            pool.stop()
        holder.kill()
    pool.stop()


def test_unmounted_by_others_and_mounted_again(fs_pool, device, target):
    node = device()
    pool = fs_pool(node, "ext4")
    pool.build()
    pool.start()
    pool.watch()
    (target / "a").write_bytes(b"")
    pool.refresh()
    run("umount", target)
    pool.wait(lambda: pool.status[3] == "inaccessible", 2)
    assert any(code == "inaccessible" and "not mounted" in text for code, text in pool.problems())
    (target / "beneath").write_text("not of the pool")
    pool.spin(0.3)
    pool.refresh()
    assert "a" in pool.rows and "beneath" not in pool.rows
    for call in (lambda: pool.create("c", MIB), lambda: pool.delete("beneath"), lambda: pool.open("beneath")):
        with refuses("Inaccessible", "not mounted"):
            call()
    assert os.listdir(target) == ["beneath"]
    os.unlink(target / "beneath")
    run("mount", node, target)
    pool.wait(lambda: pool.status[3] == "ok", 2)
    assert pool.problems() == []
    (target / "d").write_bytes(b"")
    pool.wait(lambda: "d" in pool.rows, 2)
    assert {"a", "d"} <= set(pool.rows)
    pool.stop()
    assert mounted_on(target) == []


def test_another_one_mounted_over_it(fs_pool, device, target):
    node, other = device(), device()
    fs_pool(other, "ext4").build()
    pool = fs_pool(node, "ext4")
    pool.build()
    pool.start()
    pool.watch()
    pool.refresh()
    run("mount", other, target)
    pool.wait(lambda: pool.status[3] == "inaccessible", 2)
    assert any(other in text for _code, text in pool.problems())
    with refuses("Inaccessible", other):
        pool.create("a", MIB)
    with refuses("InUse", other):
        pool.stop()
    assert len(mounted_on(target)) == 2
    run("umount", target)
    pool.stop()
    assert mounted_on(target) == []


def test_no_descriptor_is_kept(fs_pool, device, target):
    """Whoever unmounts need not know of us."""
    pool = fs_pool(device(), "ext4")
    pool.build()
    pool.start()
    pool.watch()
    pool.refresh()
    pool.create("a", MIB)
    pool.create("q", MIB, fmt="qcow2")
    time.sleep(0.1)
    run("umount", target)


def test_links(fs_pool, device, target, tmp_path):
    node = device()
    link, folder_link = tmp_path / "link", tmp_path / "folder"
    link.symlink_to(node)
    (tmp_path / "real").mkdir()
    folder_link.symlink_to(tmp_path / "real")
    pool = fs_pool(link, "ext4", target=folder_link / "mnt")
    pool.build()
    pool.start()
    assert pool.check() and mounted_on(tmp_path / "real" / "mnt")[0][0] == node
    pool.refresh()
    pool.create("a", MIB)
    pool.stop()
    assert mounted_on(tmp_path / "real" / "mnt") == []


def test_a_link_that_is_gone(fs_pool, device, target, tmp_path):
    node = device()
    link = tmp_path / "link"
    link.symlink_to(node)
    pool = fs_pool(link, "ext4")
    pool.build()
    pool.start()
    link.unlink()
    pool.refresh()
    assert pool.status[3] == "inaccessible" and "gone" in pool.problems()[0][1]
    with refuses("Failed", "link", node):
        pool.stop()
    assert mounted_on(target)[0][0] == node
    link.symlink_to(node)
    pool.refresh()
    assert pool.status[3] == "ok"
    pool.stop()
    assert mounted_on(target) == []


@pytest.mark.skipif("btrfs" not in MAKEABLE, reason="no btrfs here")
def test_btrfs_of_two_devices_by_either(fs_pool, device, target):
    one, two = device(128), device(128)
    run("mkfs.btrfs", "-q", one, two)
    run("btrfs", "device", "scan")
    for node in (one, two):
        pool = fs_pool(node, "btrfs")
        pool.start()
        assert pool.check()
        pool.refresh()
        assert pool.status[3] == "ok"
        pool.stop()
        assert mounted_on(target) == []


def test_switched_to_read_only(fs_pool, device, target):
    pool = fs_pool(device(), "ext4")
    pool.build()
    pool.start()
    run("mount", "-o", "remount,ro", target)
    pool.refresh()
    assert pool.status[3] == "degraded" and pool.problems()[0][0] == "read-only"
