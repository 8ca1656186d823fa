# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x512M
# timeout: 1200
"""libvirt sees the same volumes in the same storage, of the same sizes, types and formats."""

import xml.etree.ElementTree as tree

import pytest

MIB = 1 << 20
WAIT = {"wait": 60_000_000}


def facts(text):
    """What both say of a volume, without what one of them leaves out."""
    volume = tree.fromstring(text)
    target = volume.find("target")
    found = {"type": volume.get("type"), "path": target.findtext("path")}
    for key in ("key", "capacity", "allocation"):
        found[key] = volume.findtext(key)
    if target.find("format") is not None:
        found["format"] = target.find("format").get("type")
    if volume.find("backingStore/path") is not None:
        found["backing"] = volume.findtext("backingStore/path")
    return found


def ours(service, pool):
    return {name: facts(service.volume(pool.GetVolume(name)).GetXML({})) for name in service.volumes(pool)}


def theirs(virsh, pool):
    virsh("pool-refresh", pool)
    names = [line.split()[0] for line in virsh("vol-list", pool).splitlines() if line.strip()]
    return {name: facts(virsh("vol-dumpxml", "--pool", pool, name)) for name in names}


def define(service, name, kind, definition):
    path, _ = service.manager.DefinePool(name, kind, definition, {"build": True, "start": True, **WAIT}, timeout=90)
    return service.pool(path)


def hand_over(virsh, pool):
    """libvirt takes the definition as we print it, and finds the pool running."""
    text = pool.GetXML({"inactive": True})
    virsh.define(text)
    name = tree.fromstring(text).findtext("name")
    if name not in virsh("pool-list", "--name").split():
        virsh("pool-start", name)
    return name


def test_file_systems(service, virsh, disks, tmp_path):
    target = str(tmp_path / "mounted")
    pool = define(service, "files", "fs", {"source-devices": [disks[0]], "source-format": "ext4", "target-path": target})
    pool.CreateVolume("sparse.raw", 8 * MIB, {"allocation": 0, **WAIT})
    pool.CreateVolume("full.raw", 4 * MIB, {"preallocation": "full", **WAIT})
    pool.CreateVolume("base.qcow2", 16 * MIB, {"format": "qcow2", **WAIT})
    pool.CreateVolume("over.qcow2", 16 * MIB, {"format": "qcow2", "backing-path": target + "/base.qcow2",
                                               "backing-format": "qcow2", **WAIT})
    pool.Refresh(WAIT)
    seen = theirs(virsh, hand_over(virsh, pool))
    # A folder of the file system's own.
    seen.pop("lost+found", None)
    mine = ours(service, pool)
    mine.pop("lost+found", None)
    assert mine == seen


def test_logical_volumes(service, virsh, disks):
    pool = define(service, "group", "logical", {"source-devices": disks})
    pool.CreateVolume("one", 8 * MIB, WAIT, timeout=90)
    pool.CreateVolume("two", 30 * MIB, WAIT, timeout=90)
    assert ours(service, pool) == theirs(virsh, hand_over(virsh, pool))


@pytest.mark.parametrize("table", ["gpt", "dos"])
def test_partitions(service, virsh, disks, table):
    pool = define(service, "parts", "disk", {"source-devices": [disks[0]], "source-format": table,
                                             "target-path": "/dev"})
    for number, form in ((1, "linux"), (2, "linux-swap"), (3, "linux")):
        pool.CreateVolume(f"vdb{number}", 16 * MIB * number, {"format": form, **WAIT}, timeout=90)
    mine, seen = ours(service, pool), theirs(virsh, hand_over(virsh, pool))
    # libvirt forgets what a partition is for when it reads the table again.
    for volume in (*mine.values(), *seen.values()):
        volume.pop("format", None)
    assert mine == seen
