# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was made as a raw volume is one, also if its guest writes an image's header into it."""

import json
import os

import pytest

import images
from client import MIB, refused
from filesystems import FileSystem
from harness import wait_until

ATTRIBUTE = "user.storaged.format"
SECRET_FILE = "/etc/hostname"


@pytest.fixture
def shared(world):
    """A folder where files can share blocks."""
    return FileSystem(world, "xfs").path


@pytest.fixture
def pool(service, shared):
    return service.make_pool("shared", shared)


def image(path):
    """A qcow2 image that names a file of the host as what it is built on."""
    images.qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", SECRET_FILE, "-F", "raw", path, MIB)
    with open(path, "rb") as f:
        return f.read()


def write(volume, data, offset=0):
    """As a guest does: nothing is cut off, and nothing of the file but its contents changes."""
    with open(volume.get("Path"), "r+b") as f:
        f.seek(offset)
        f.write(data)


@pytest.fixture
def header(tmp_path):
    return image(tmp_path / "header")


@pytest.fixture
def lying(service, pool, header):
    volume = service.make_volume(pool, "disk", 4 * MIB)
    write(volume, header)
    return volume


def wait_seen(volume):
    wait_until(lambda: "qcow2" in volume.get("Problem"), 10, "the header to be seen")


def assert_raw(volume, capacity=4 * MIB):
    wait_seen(volume)
    properties = volume.all()
    assert (properties["Format"], properties["Capacity"], properties["FormatProbed"]) == ("raw", capacity, False)
    assert (properties["BackingPath"], properties["Backing"]) == ("", "/")
    xml = volume.GetDiskXML()
    assert "type='raw'" in xml and "qcow2" not in xml and SECRET_FILE not in xml
    assert json.loads(volume.GetBlockdev())["driver"] == "raw"


def test_a_guest_cannot_make_it_an_image(world, daemon, service, pool, lying):
    assert_raw(lying)
    with refused("InvalidArgument"):
        lying.GetDiskXML({"format": "qcow2"})
    os.rename(lying.get("Path"), os.path.dirname(lying.get("Path")) + "/other")
    assert_raw(service.wait_volume(pool, "other"))
    daemon.restart()
    service = world.client(daemon)
    assert_raw(service.wait_volume(service.pool(pool.path), "other"))


def test_others_files_are_what_they_look_like(service, pool, shared):
    image(f"{shared}/theirs")
    volume = service.wait_volume(pool, "theirs")
    # The tool writes the header in two steps, and the first may be seen.
    volume.wait_for("BackingPath", SECRET_FILE)
    assert (volume.get("Format"), volume.get("FormatProbed")) == ("qcow2", True)


def test_it_can_be_made_one_by_hand(lying):
    wait_seen(lying)
    os.removexattr(lying.get("Path"), ATTRIBUTE)
    wait_until(lambda: lying.get("Format") == "qcow2", 10, "the new format")
    assert lying.get("BackingPath") == SECRET_FILE and lying.get("FormatProbed")


def test_a_new_image_in_its_place(lying, header):
    """A tool that writes one over the file makes it shorter, which no guest can. It may be longer again later."""
    wait_seen(lying)
    images.qemu_img("create", "-q", "-f", "qcow2", lying.get("Path"), 2 * MIB)
    wait_until(lambda: (lying.get("Format"), lying.get("Capacity")) == ("qcow2", 2 * MIB), 10, "the new image")
    os.truncate(lying.get("Path"), 64 * MIB)
    wait_until(lambda: lying.get("Physical") == 64 * MIB, 10, "the new size")
    assert (lying.get("Format"), lying.get("Problem")) == ("qcow2", "")


def test_copies(service, pool, lying, header):
    """They have the same bytes, and what is raw among them is recorded, too."""
    wait_seen(lying)
    path, _job = pool.CloneVolume(lying.path, "raw", {})
    clone = service.volume(path)
    assert_raw(clone)
    path, _job = pool.CloneVolume(lying.path, "image", {"format": "qcow2"})
    converted = service.volume(path)
    assert (converted.get("Format"), converted.get("BackingPath"), converted.get("Problem")) == ("qcow2", "", "")
    images.qemu_img("compare", "-f", "raw", "-F", "qcow2", lying.get("Path"), converted.get("Path"))
    path, _job = pool.CloneVolume(lying.path, "linked", {"linked": True})
    assert images.info(service.volume(path).get("Path"))["backing-filename-format"] == "raw"
    back, _job = pool.CloneVolume(converted.path, "back", {"format": "raw"})
    assert_raw(service.volume(back))


def test_overlay_by_path(service, pool, lying):
    """The format that is recorded of its backing store is not the one that this looks like."""
    path, _job = pool.CreateVolume("overlay", 0, {"format": "qcow2", "backing-path": lying.get("Path")})
    overlay = service.volume(path)
    assert (overlay.get("BackingFormat"), overlay.get("Capacity")) == ("raw", 4 * MIB)


def test_a_commit_brings_no_format(service, pool, header):
    base = service.make_volume(pool, "disk", 4 * MIB)
    path, _job = pool.CreateVolume("overlay", 0, {"format": "qcow2", "backing": base.path})
    overlay = service.volume(path)
    with open(base.get("Path") + ".data", "wb") as f:
        f.write(header)
    images.qemu_io(overlay.get("Path"), f"write -s {f.name} 0 {len(header) // 512 * 512}")
    overlay.Commit()
    assert_raw(base)


def test_snapshots(service, pool, header):
    volume = service.make_volume(pool, "disk", 4 * MIB)
    snapshots = service.proxy(volume.path, "Volume.Snapshots")
    write(volume, header)
    snapshots.CreateSnapshot("s")
    snapshots.RevertSnapshot("s")
    assert_raw(volume)


@pytest.mark.parametrize("changed", [{"capacity": 8 * MIB}, {"capacity": 2 * MIB, "shrink": True}])
def test_resized(lying, changed):
    wait_seen(lying)
    lying.Resize(changed["capacity"], {"shrink": changed.get("shrink", False)})
    assert_raw(lying, changed["capacity"])
    # The size that it is to have at least follows.
    os.truncate(lying.get("Path"), changed["capacity"] // 2)
    wait_until(lambda: (lying.get("Format") == "qcow2") == ("shrink" in changed), 10, "the size to be seen")


def upload(volume, data, offset=0):
    fd = os.memfd_create("data")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    volume.Upload(0, {"offset": offset}, fds=[fd])
    os.close(fd)


def test_an_image_that_is_uploaded_is_one(service, pool, header):
    """Whoever may do that says what it is."""
    volume = service.make_volume(pool, "disk", 4 * MIB)
    upload(volume, header)
    assert (volume.get("Format"), volume.get("FormatProbed")) == ("qcow2", True)


def test_other_uploads_say_nothing(lying):
    """Neither what only begins before the guest's header nor what comes behind it."""
    wait_seen(lying)
    upload(lying, b"Q")
    upload(lying, b"x" * 4096, 65536)
    assert_raw(lying)
    upload(lying, b"x" * 4096)
    assert lying.get("Problem") == "" and ATTRIBUTE in os.listxattr(lying.get("Path"))


@pytest.mark.parametrize("wanted", ["raw", None])
def test_imported(service, pool, header, wanted):
    data = b"x" * MIB if wanted else header
    fd = os.memfd_create("data")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    path, _result, _job = pool.ImportVolume("new", 0, {"format": wanted} if wanted else {}, fds=[fd])
    os.close(fd)
    volume = service.volume(path)
    assert volume.get("Format") == (wanted or "qcow2")
    if wanted:
        write(volume, header)
        assert_raw(volume, MIB)

