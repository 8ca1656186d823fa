# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x256M
# timeout: 300
"""libvirt takes machines with the disks that the service describes: of files, of logical volumes,
of partitions, and of what is built on them."""

import json
import subprocess
import xml.etree.ElementTree as ET

import pytest

from client import MIB

DOMAIN = """<domain type='test'><name>guest</name><memory>65536</memory><os><type>hvm</type></os>
<devices>{}</devices></domain>"""


def defined(tmp_path, *disks):
    """The disks of the machine that libvirt made of these. Its test driver parses as all of its drivers do."""
    path = tmp_path / "domain.xml"
    path.write_text(DOMAIN.format("".join(disks)))
    done = subprocess.run(["virsh", "--connect", "test:///default", f"define --validate {path}; dumpxml guest"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return ET.fromstring(done.stdout[done.stdout.index("<domain"):]).findall("devices/disk")


@pytest.fixture
def group(service, disks):
    path, job = service.manager.DefinePool("vg0", "logical", {"source-devices": disks[:1]},
                                           {"build": True, "start": True, "wait": 120_000_000})
    assert job == "/"
    return service.pool(path)


@pytest.fixture
def folder_pool(service, tmp_path):
    (tmp_path / "pool").mkdir()
    return service.make_pool("files", str(tmp_path / "pool"))


def test_disks_in_a_machine(service, group, folder_pool, tmp_path):
    block = service.make_volume(group, "block", 8 * MIB, wait=60_000_000)
    file = service.make_volume(folder_pool, "file")
    overlay = service.make_volume(folder_pool, "overlay", 8 * MIB, format="qcow2", backing=block.path)
    one, two, three, four = defined(
        tmp_path, overlay.GetDiskXML(), block.GetDiskXML({"bus": "scsi", "readonly": True}),
        file.GetDiskXML({"device": "cdrom", "target": "sdb"}), file.GetDiskXML({"bus": "fdc"}))
    assert (one.get("type"), one.find("driver").get("type")) == ("file", "qcow2")
    assert one.find("backingStore").get("type") == "block"
    assert one.find("backingStore/source").get("dev") == block.get("Path") == "/dev/vg0/block"
    assert one.find("backingStore/backingStore") is not None
    assert (two.get("type"), two.find("source").get("dev")) == ("block", "/dev/vg0/block")
    assert (three.get("device"), four.get("device")) == ("cdrom", "floppy")

    node = json.loads(overlay.GetBlockdev())["backing"]
    assert (node["driver"], node["file"]["driver"], node["file"]["filename"]) == ("raw", "host_device", "/dev/vg0/block")


def test_a_lun(service, group, tmp_path):
    block = service.make_volume(group, "block", 8 * MIB, wait=60_000_000)
    assert defined(tmp_path, block.GetDiskXML({"device": "lun"}))[0].get("device") == "lun"


def test_a_partition(service, disks, folder_pool, tmp_path):
    path, job = service.manager.DefinePool(
        "table", "disk", {"source-devices": disks[1:], "source-format": "gpt", "target-path": "/dev/disk/by-path"},
        {"build": True, "start": True, "wait": 120_000_000})
    assert job == "/"
    pool = service.pool(path)
    name = disks[1].rsplit("/", 1)[-1] + "1"
    part = service.make_volume(pool, name, 8 * MIB, wait=60_000_000)
    overlay = service.make_volume(folder_pool, "overlay", 8 * MIB, format="qcow2", backing=part.path)
    one, two = defined(tmp_path, part.GetDiskXML(), overlay.GetDiskXML({"target": "vdb"}))
    device = part.get("Path")
    assert device.startswith("/dev/disk/by-path/") and (one.get("type"), one.find("driver").get("type")) == ("block", "raw")
    assert one.find("source").get("dev") == two.find("backingStore/source").get("dev") == device
    node = json.loads(part.GetBlockdev())
    assert (node["driver"], node["file"]["driver"], node["file"]["filename"]) == ("raw", "host_device", device)
