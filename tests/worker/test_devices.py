# SPDX-License-Identifier: LGPL-2.1-or-later
"""A pool of the host's own devices: a folder of links in /dev, as /dev/disk/by-id is one."""

import os
import shutil
import subprocess

import pytest
from gi.repository import GLib
from worker_client import WorkerError

SIZE = 16 << 20
XML = "<volume><name>{}</name><capacity>4096</capacity></volume>"


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture
def loop(loop_device, tmp_path):
    path = tmp_path / "disk"
    with open(path, "wb") as file:
        file.truncate(SIZE)
    return loop_device(path)


@pytest.fixture
def links(loop):
    folder = f"/dev/storaged-test-{os.getpid()}"
    os.makedirs(folder + "/folder")
    os.symlink(loop, folder + "/disk")
    os.symlink("/dev/null", folder + "/null")
    os.symlink("/etc/passwd", folder + "/file")
    os.symlink("/dev/there-is-none", folder + "/dangling")
    yield folder
    shutil.rmtree(folder)


def refused(pool, *call):
    with pytest.raises(WorkerError) as refusal:
        pool.call(*call)
    return refusal.value


def test_only_devices_are_shown(new_pool, links):
    pool = new_pool(links)
    assert list(pool.rows) == ["disk"]
    row = pool.rows["disk"]
    assert (row.type, row.format, row.probed, row.in_use) == ("block", "raw", False, False)
    assert row.capacity == row.allocation == row.physical == SIZE
    assert pool.status[:3] == (0, 0, 0) and pool.status[3:] == ("ok", [])


def test_a_mounted_device_is_in_use(new_pool, links, loop, tmp_path):
    run("mkfs.ext4", "-q", loop)
    point = tmp_path / "mounted"
    point.mkdir()
    run("mount", loop, str(point))
    try:
        pool = new_pool(links)
        assert pool.rows["disk"].in_use
        assert "mounted" in refused(pool, "OpenVolume", "(ssa{sv})", "disk", "rw", {}).message
    finally:
        run("umount", str(point))
    pool.call("Refresh")
    assert not pool.rows["disk"].in_use


def test_devices_can_be_opened(new_pool, links):
    pool = new_pool(links)
    pool.call("OpenVolume", "(ssa{sv})", "disk", "rw", {})
    with os.fdopen(pool.fds[0], "r+b", buffering=0) as device:
        assert device.seek(0, os.SEEK_END) == SIZE
        # Nobody else may write it meanwhile.
        assert refused(pool, "OpenVolume", "(ssa{sv})", "disk", "rw", {}).name == "InUse"
    assert refused(pool, "OpenVolume", "(ssa{sv})", "null", "r", {}).name == "InvalidArgument"
    assert refused(pool, "OpenVolume", "(ssa{sv})", "dangling", "r", {}).name == "NotFound"


@pytest.mark.parametrize("mode", ["r", "rw"])
def test_a_guest_with_a_node_of_its_own(new_pool, links, loop, tmp_path, mode):
    """As libvirt starts guests: in a mount namespace with a /dev of their own, where the device has another name."""
    pool = new_pool(links)
    numbers = os.stat(loop).st_rdev
    script = ('mount -t tmpfs none "$1" && mknod "$1/guest" b "$2" "$3" && exec "$4" -c '
              '"import os, sys; f = os.open(sys.argv[1], os.O_RDWR if sys.argv[2] == \'rw\' else os.O_RDONLY);'
              'print(f, flush=True); sys.stdin.read()" "$1/guest" "$5"')
    with subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), str(os.major(numbers)),
                           str(os.minor(numbers)), "/usr/bin/python3", mode],
                          # A child of the worker's parent, in its group, would be the service itself.
                          start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guest:
        assert guest.stdout.readline() == b"3\n"
        refusal = refused(pool, "OpenVolume", "(ssa{sv})", "disk", "write", {})
        assert refusal.name == "InUse" and f"process {guest.pid} (python3" in refusal.message
        (name, pid, more), = pool.call("ListUsers", "(s)", "disk")[0]
        assert name.startswith("python3") and pid == guest.pid and (more["how"], more["mode"]) == ("open", mode)
        if mode == "rw":
            assert refused(pool, "OpenVolume", "(ssa{sv})", "disk", "read", {}).name == "InUse"
        else:
            pool.open("disk", "read")
            os.close(pool.fds[0])
        pool.call("OpenVolume", "(ssa{sv})", "disk", "write", {"force": GLib.Variant("b", True)})
        os.close(pool.fds[0])
        guest.stdin.close()
    pool.open("disk", "write")
    os.close(pool.fds[0])


@pytest.mark.parametrize("call", [
    ("CreateVolume", "(sa{sv})", XML.format("new"), {}),
    ("DeleteVolume", "(sa{sv})", "disk", {"force": GLib.Variant("b", True)}),
    ("ResizeVolume", "(sta{sv})", "disk", SIZE * 2, {}),
], ids=lambda call: call[0])
def test_devices_are_neither_made_nor_deleted(new_pool, links, call):
    pool = new_pool(links)
    before = sorted(os.listdir(links))
    assert refused(pool, *call).name == "Unsupported"
    assert sorted(os.listdir(links)) == before


def test_links_come_and_go(new_pool, links, loop):
    pool = new_pool(links)
    pool.call("Watch", "(b)", True)
    os.symlink(loop, links + "/second")
    pool.wait(lambda: "second" in pool.rows)
    os.unlink(links + "/disk")
    pool.wait(lambda: "disk" not in pool.rows)
