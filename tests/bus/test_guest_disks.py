# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes as guests get them: libvirt's schema takes the XML, and a guest of QEMU's sees what was written."""

import json
import os
import subprocess
import xml.etree.ElementTree as ET

import pytest

import guest
from client import MIB, refused

DOMAIN = """<domain type='qemu'><name>g</name><memory>65536</memory><os><type>hvm</type></os>
<devices>{}</devices></domain>"""

with_qemu = pytest.mark.skipif(not guest.available(), reason="this machine has no QEMU")


def assert_valid_disk(xml, tmp_path):
    path = tmp_path / "domain.xml"
    path.write_text(DOMAIN.format(xml))
    subprocess.run(["xmllint", "--noout", "--relaxng", "/usr/share/libvirt/schemas/domain.rng", path], check=True,
                   timeout=60, capture_output=True)
    return ET.fromstring(xml)


def io(path, image_format, *commands):
    argv = ["qemu-io", "-f", image_format, path]
    for command in commands:
        argv += ["-c", command]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=60)


def contents(path, image_format, tmp_path):
    raw = tmp_path / "contents"
    subprocess.run(["qemu-img", "convert", "-f", image_format, "-O", "raw", path, raw], check=True, timeout=60)
    return raw.read_bytes()[:guest.SHOWN * guest.SECTOR]


def write_guest(path, tmp_path):
    """A raw disk that boots, with something in each sector."""
    disk = bytearray(b"".join(bytes([n]) * guest.SECTOR for n in range(guest.SHOWN)))
    disk[:guest.SECTOR] = guest.boot_sector(tmp_path)
    with open(path, "r+b") as f:
        f.write(disk)
    return bytes(disk)


def written(disk):
    """What the guest makes of it."""
    return disk[:guest.SECTOR] + disk[-guest.SECTOR:] + disk[2 * guest.SECTOR:]


@with_qemu
def test_guest_on_raw(service, pool, tmp_path):
    volume = service.make_volume(pool, "disk")
    disk = write_guest(volume.get("Path"), tmp_path)
    blockdev = volume.GetBlockdev()
    node = json.loads(blockdev)
    assert (node["driver"], node["file"]["driver"], node["read-only"]) == ("raw", "file", False)
    assert guest.run(tmp_path, blockdev, node["node-name"]) == (disk, True)
    assert contents(volume.get("Path"), "raw", tmp_path) == written(disk)


@with_qemu
def test_guest_that_may_only_read(service, pool, tmp_path):
    volume = service.make_volume(pool, "disk")
    disk = write_guest(volume.get("Path"), tmp_path)
    blockdev = volume.GetBlockdev({"readonly": True, "node-name": "mine"})
    assert guest.run(tmp_path, blockdev, "mine") == (disk, False)
    assert contents(volume.get("Path"), "raw", tmp_path) == disk


@with_qemu
def test_guest_on_a_chain(service, pool, tmp_path):
    base = service.make_volume(pool, "base")
    disk = bytearray(write_guest(base.get("Path"), tmp_path))
    middle = service.make_volume(pool, "middle", format="qcow2", backing=base.path)
    io(middle.get("Path"), "qcow2", "write -P 0xaa 512 1024")
    top = service.make_volume(pool, "top", format="qcow2", backing=middle.path)
    io(top.get("Path"), "qcow2", "write -P 0xbb 1024 1024")
    disk[512:1024], disk[1024:2048] = b"\xaa" * 512, b"\xbb" * 1024
    before = [contents(volume.get("Path"), volume.get("Format"), tmp_path) for volume in (base, middle)]

    blockdev = top.GetBlockdev({"node-name": "top"})
    nodes = json.loads(blockdev)
    assert [nodes["driver"], nodes["backing"]["driver"], nodes["backing"]["backing"]["driver"]] == ["qcow2", "qcow2",
                                                                                                   "raw"]
    assert guest.run(tmp_path, blockdev, "top", "-device", "virtio-scsi-pci", device="scsi-hd") == (bytes(disk), True)
    assert contents(top.get("Path"), "qcow2", tmp_path) == written(bytes(disk))
    assert before == [contents(volume.get("Path"), volume.get("Format"), tmp_path) for volume in (base, middle)]


def test_xml_of_a_chain(service, pool, tmp_path):
    base = service.make_volume(pool, "base & more")
    middle = service.make_volume(pool, "middle", format="qcow2", backing=base.path)
    top = service.make_volume(pool, "top", format="qcow2", backing=middle.path)
    disk = assert_valid_disk(top.GetDiskXML({"bus": "scsi", "target": "sdc", "readonly": True}), tmp_path)
    assert (disk.get("type"), disk.get("device"), disk.find("driver").get("type")) == ("file", "disk", "qcow2")
    assert disk.find("target").attrib == {"dev": "sdc", "bus": "scsi"} and disk.find("readonly") is not None
    found = []
    while disk is not None and disk.find("source") is not None:
        found.append(disk.find("source").get("file"))
        disk = disk.find("backingStore")
    assert found == [volume.get("Path") for volume in (top, middle, base)]
    assert list(disk) == [] and disk.attrib == {}


@pytest.mark.parametrize("options", [
    {}, {"bus": "scsi"}, {"bus": "ide"}, {"bus": "sata"}, {"bus": "usb"}, {"bus": "fdc"}, {"device": "cdrom"},
    {"device": "cdrom", "bus": "ide"}, {"device": "floppy"}], ids=str)
def test_kinds_of_disks(service, pool, tmp_path, options):
    volume = service.make_volume(pool, "v")
    disk = assert_valid_disk(volume.GetDiskXML(options), tmp_path)
    removable = disk.get("device") in ("cdrom", "floppy")
    assert (disk.find("readonly") is not None) == removable


@pytest.mark.parametrize("options", [
    {"bus": "nvme"}, {"device": "tape"}, {"bus": "virtio", "device": "cdrom"}, {"bus": "scsi", "device": "floppy"},
    {"bus": "fdc", "device": "disk"}, {"device": "lun"}, {"target": "sda"}, {"target": "vda1"}, {"target": "../vda"},
    {"bus": "ide", "readonly": True}, {"format": "qcow2"}, {"secret": "s"}], ids=str)
def test_what_makes_no_sense(service, pool, options):
    with refused("InvalidArgument"):
        service.make_volume(pool, "v").GetDiskXML(options)


def test_foreign_backing(service, pool, world):
    """What is in no pool is described by what is recorded of it, but for what might be behind it."""
    elsewhere = world.folder()
    for image_format in ("raw", "qcow2"):
        base, top = f"{elsewhere}/{image_format}", f"{pool.get('TargetPath')}/on-{image_format}"
        subprocess.run(["qemu-img", "create", "-q", "-f", image_format, base, "1M"], check=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", image_format, top], check=True)
    pool.Refresh()
    on_raw, on_qcow2 = (service.wait_volume(pool, name) for name in ("on-raw", "on-qcow2"))
    assert json.loads(on_raw.GetBlockdev())["backing"]["file"]["filename"] == f"{elsewhere}/raw"
    stores = list(ET.fromstring(on_raw.GetDiskXML()).iter("backingStore"))
    assert len(stores) == 2 and len(stores[1]) == 0
    # libvirt looks behind it by itself, QEMU must not.
    stores = list(ET.fromstring(on_qcow2.GetDiskXML()).iter("backingStore"))
    assert len(stores) == 1 and stores[0].find("format").get("type") == "qcow2"
    with refused("Unsupported") as refusal:
        on_qcow2.GetBlockdev()
    assert elsewhere in refusal.text
    service.make_pool("elsewhere", elsewhere)
    assert json.loads(on_qcow2.GetBlockdev())["backing"]["backing"] is None


def test_backing_without_format(service, pool, folder):
    """To guess it would let a guest of the backing store choose what the host opens."""
    top = service.make_volume(pool, "top", format="qcow2", backing=service.make_volume(pool, "base").path)
    with open(top.get("Path"), "r+b") as f:
        # The header extension that names it becomes one that nobody knows.
        f.seek(f.read(4096).index(b"\xe2\x79\x2a\xca"))
        f.write(b"none")
    pool.Refresh()
    assert (top.get("BackingPath"), top.get("BackingFormat")) == (f"{folder}/base", "")
    for call in (top.GetDiskXML, top.GetBlockdev):
        with refused("Unsupported") as refusal:
            call()
        assert "format" in refusal.text


def test_format_of_the_backing_store_is_the_recorded_one(service, pool, folder):
    """A guest that wrote an image's header into its raw disk does not get what that names."""
    service.make_volume(pool, "secret")
    base = service.make_volume(pool, "base", format="qcow2", backing=pool.GetVolume("secret"))
    top = service.make_volume(pool, "top", MIB, **{"format": "qcow2", "backing-path": base.get("Path"),
                                                  "backing-format": "raw"})
    node = json.loads(top.GetBlockdev())
    assert node["backing"]["driver"] == "raw" and "backing" not in node["backing"]
    assert "secret" not in top.GetDiskXML() + base.GetBlockdev({"format": "raw"})


@pytest.mark.parametrize("names", ["a", "ab"])
def test_circles(service, pool, folder, names):
    for name, backing in zip(names, names[1:] + names[0]):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", f"{folder}/{name}", "1M"], check=True)
        subprocess.run(["qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-b", f"{folder}/{backing}", "-F", "qcow2",
                        f"{folder}/{name}"], check=True)
    pool.Refresh()
    volume = service.wait_volume(pool, "a")
    for call in (volume.GetDiskXML, volume.GetBlockdev):
        with refused("Failed") as refusal:
            call()
        assert "endless" in refusal.text


def test_after_a_restart_pools_are_waited_for(service, daemon, world, pool):
    """What is not looked at yet is not taken for a foreign file."""
    base_pool = service.make_pool("q", world.folder())
    base = service.make_volume(base_pool, "base", format="qcow2")
    top = service.make_volume(pool, "top", format="qcow2", backing=base.path)
    before = top.GetBlockdev()
    daemon.kill()
    daemon.start()
    assert world.client(daemon).volume(top.path).GetBlockdev() == before


def test_broken_volumes(service, pool, folder):
    """They are not described, so that no guest sees something else than what was written."""
    volume = service.make_volume(pool, "v", format="qcow2")
    with open(volume.get("Path"), "r+b") as f:
        f.seek(20)
        f.write(b"\xff" * 4)
    pool.Refresh()
    assert volume.get("Problem")
    with refused("Failed"):
        volume.GetBlockdev()
    os.mkdir(f"{folder}/d")
    pool.Refresh()
    with refused("Unsupported"):
        service.wait_volume(pool, "d").GetDiskXML()
