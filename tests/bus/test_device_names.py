# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which device a path means: by what its links lead to below /dev, and nothing else is touched to find that out."""

import os
import stat
import subprocess
import time

import pytest

import images
from client import MIB, refused
from harness import SLOWNESS

pytestmark = pytest.mark.private


@pytest.fixture
def names():
    """A folder in /dev with a device in it that is not there: only its number matters."""
    folder = f"/dev/storaged-test-{os.getpid()}"
    os.mkdir(folder)
    try:
        os.mknod(folder + "/node", stat.S_IFBLK | 0o600, os.makedev(7, 1023))
        yield folder
    finally:
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)


def define(service, name, device):
    return service.manager.DefinePool(name, "disk", {"source-devices": [device], "target-path": "/dev"})


@pytest.mark.parametrize("link", ["node", "{}/node", "chain"])
def test_links_lead_to_one_device(service, names, link):
    os.symlink(f"{names}/node", names + "/chain")
    os.symlink(link.format(names), names + "/link")
    define(service, "one", names + "/node")
    with refused("Conflict") as e:
        define(service, "two", names + "/link")
    assert "'one'" in e.text and f"{names}/link is the same as {names}/node" in e.text


def test_a_link_in_a_circle_is_no_device(service, names):
    os.symlink(f"{names}/b", names + "/a")
    os.symlink(f"{names}/a", names + "/b")
    define(service, "one", names + "/a")
    define(service, "two", names + "/b")


def test_who_is_built_on_a_device_by_another_name(service, names, folder):
    devices, pool = service.make_pool("devices", names), service.make_pool("images", folder)
    device = service.wait_volume(devices, "node")
    os.symlink("node", names + "/link")
    for at, name in enumerate(("node", "link")):
        images.qemu_img("create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", f"{names}/{name}", f"{folder}/on-{at}", MIB)
        overlay = service.wait_volume(pool, f"on-{at}")
        overlay.wait_for("BackingPath", f"{names}/{name}")
        with refused("HasDependents") as e:
            device.Wipe()
        assert f"'on-{at}'" in e.text
        overlay.Delete()


@pytest.fixture
def hung(world):
    """A mounted file system whose server never answers."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no file systems in user space here")
    folder = world.folder()
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other"
    subprocess.run(["mount", "-i", "-t", "fuse", "-o", options, "hung", folder], pass_fds=[server], check=True)
    try:
        yield folder
    finally:
        os.close(server)
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def shared():
    """A folder below /dev that everybody could have made."""
    folder = f"/dev/shm/storaged-test-{os.getpid()}"
    os.mkdir(folder)
    try:
        yield folder
    finally:
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)


def test_a_dead_server_behind_a_link_hangs_nobody(service, names, shared, hung):
    """Everybody may ask for a path, and anybody may have links in /dev/shm."""
    os.symlink(hung, shared + "/link")
    os.symlink(hung + "/node", names + "/link")
    start = time.monotonic()
    for path in (shared + "/link/node", names + "/link", f"/dev/../{hung}/node", f"/dev/fd/../root{hung}/node"):
        with refused("NotFound", "InvalidArgument"):
            service.manager.GetVolumeByPath(path)
    define(service, "one", shared + "/link/node")
    define(service, "two", names + "/link")
    assert time.monotonic() - start < 2 * SLOWNESS
