# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 6x64M
# hotplug: 1
# timeout: 1800
"""What could be the source of a pool is found, with what it is, what is on it, who has it, and why it would not do."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

WAIT = 120_000_000


@pytest.fixture
def find(service):
    """find("fs", key=value…): what FindPoolSources found, {first device or the name of the group: candidate}."""
    def find(kind, **source):
        found, job = service.manager.FindPoolSources(kind, {k.replace("_", "-"): v for k, v in source.items()},
                                                     {"wait": WAIT}, timeout=60)
        assert job == "/"
        return {c.get("source-name") or c["source-devices"][0]: c for c in found}
    return find


@pytest.fixture
def layout(disks, command, settle):
    """Disks as they are found in real life: blank, divided, in LVM, in an array, formatted, read-only."""
    blank, divided, physical, member, formatted, fixed = disks
    command("parted", "--script", divided, "mklabel", "gpt", "mkpart", "one", "1MiB", "20MiB", "mkpart", "two", "20MiB",
            "40MiB")
    settle()
    command("mkfs.ext4", "-q", f"{divided}1")
    command("mount", f"{divided}1", "/mnt")
    command("vgcreate", "--quiet", "tank", physical)
    command("lvcreate", "--quiet", "--yes", "--size=8M", "--name=root", "tank")
    command("mkfs.ext4", "-q", "/dev/tank/root")
    command("lvcreate", "--quiet", "--yes", "--size=8M", "--thinpool=pool", "--poolmetadatasize=4M", "tank")
    command("mdadm", "--create", "/dev/md/first", "--run", "--quiet", "--level=1", "--raid-devices=2", "--metadata=1.2",
            member, "missing")
    command("mkfs.ext4", "-q", "-L", "data", formatted)
    command("blockdev", "--setro", fixed)
    settle()
    yield {"blank": blank, "divided": divided, "physical": physical, "member": member, "formatted": formatted,
           "fixed": fixed}
    command("umount", "/mnt")
    command("blockdev", "--setrw", fixed)
    command("vgremove", "--quiet", "--yes", "tank")
    command("mdadm", "--stop", "/dev/md/first")


@pytest.fixture
def cdrom(monitor, settle, tmp_path):
    """A CD-ROM drive without a medium; insert() puts one in. Its node is .node."""
    iso = Path("/srv/out/found.iso")
    (tmp_path / "readme").write_text("a medium\n")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", str(iso), str(tmp_path)], check=True, timeout=60)
    monitor.execute("device_add", driver="virtio-scsi-pci", id="scsi", bus="slot0")
    monitor.execute("device_add", driver="scsi-cd", id="cd", bus="scsi.0", serial="drive7")
    deadline = time.monotonic() + 30
    while not os.path.exists("/dev/sr0"):
        assert time.monotonic() < deadline, "the drive did not come"
        time.sleep(0.1)
    settle()

    def insert():
        monitor.execute("blockdev-add", driver="raw", **{"node-name": "iso", "read-only": True}, file={
            "driver": "file", "filename": f"{os.environ['STORAGED_VM_OUT']}/found.iso"})
        monitor.execute("blockdev-open-tray", id="cd", force=True)
        monitor.execute("blockdev-insert-medium", id="cd", **{"node-name": "iso"})
        monitor.execute("blockdev-close-tray", id="cd")
        limit = time.monotonic() + 30
        while "ID_CDROM_MEDIA=1" not in subprocess.run(["udevadm", "info", "--query=property", "/dev/sr0"],
                                                       capture_output=True, text=True, timeout=30, check=True).stdout:
            assert time.monotonic() < limit, "the medium did not come"
            time.sleep(0.2)

    insert.node = "/dev/sr0"
    yield insert
    monitor.execute("device_del", id="scsi")
    monitor.wait_event("DEVICE_DELETED", device="scsi")


def check_fs(found, at):
    blank = found[at["blank"]]
    assert "unsuitable" not in blank and "contents" not in blank and "used-by" not in blank
    assert blank["size"] == 64 << 20 and not blank.get("removable") and not blank.get("read-only")
    assert "/dev/disk/by-id/virtio-disk0" in blank["links"] and blank["serial"] == "disk0"
    divided = found[at["divided"]]
    assert "gpt" in divided["contents"] and "/mnt" in divided["used-by"] and "in use" in divided["unsuitable"]
    mounted = found[at["divided"] + "1"]
    assert mounted["used-by"] == "mounted on /mnt" and mounted["source-format"] == "ext4" and "unsuitable" in mounted
    assert "unsuitable" not in found[at["divided"] + "2"]
    physical = found[at["physical"]]
    assert physical["contents"] == "an LVM physical volume" and "tank" in physical["used-by"]
    assert "unsuitable" in physical
    root = found["/dev/tank/root"]
    assert root["source-format"] == "ext4" and "unsuitable" not in root and root["size"] == 8 << 20
    assert not [d for d in found if "tdata" in d or "tmeta" in d or d.startswith("/dev/dm-")]
    member = found[at["member"]]
    assert "RAID" in member["contents"] and "md" in member["used-by"] and "unsuitable" in member
    assert "unsuitable" not in found["/dev/md/first"]
    formatted = found[at["formatted"]]
    assert formatted["source-format"] == "ext4" and "data" in formatted["contents"] and "unsuitable" not in formatted
    assert found[at["fixed"]]["read-only"] and "read-only" in found[at["fixed"]]["unsuitable"]
    system = os.path.realpath("/dev/disk/by-id/virtio-root")
    assert found[system]["used-by"] == "mounted on /" and "unsuitable" in found[system]
    assert not [d for d in found if re.match("/dev/(ram|loop)", d)]


def check_disk(found, at):
    assert set(at.values()) <= set(found)
    assert not [d for d in found if d[-1].isdigit() and not d.startswith(("/dev/md", "/dev/sr"))]
    assert "unsuitable" not in found[at["blank"]] and "source-format" not in found[at["blank"]]
    assert found[at["divided"]]["source-format"] == "gpt" and "/mnt" in found[at["divided"]]["unsuitable"]
    assert "overwrite" in found[at["formatted"]]["unsuitable"]
    assert "unsuitable" not in found["/dev/md/first"]
    for other in ("physical", "member", "fixed"):
        assert "unsuitable" in found[at[other]], other


def check_logical(found, at):
    tank = found["tank"]
    assert tank["source-devices"] == [at["physical"]] and tank["source-format"] == "lvm2" and "unsuitable" not in tank
    assert 56 << 20 <= tank["size"] < 64 << 20 and tank["serial"] == "disk2"
    assert at["physical"] not in found
    assert "unsuitable" not in found[at["blank"]] and "unsuitable" not in found["/dev/md/first"]
    for other in ("divided", "member", "formatted", "fixed"):
        assert "unsuitable" in found[at[other]], other


def test_same_with_udisks_and_without(find, layout, cdrom, command):
    command("systemctl", "stop", "udisks2")
    alone = {kind: find(kind) for kind in ("fs", "disk", "logical")}
    check_fs(alone["fs"], layout)
    check_disk(alone["disk"], layout)
    check_logical(alone["logical"], layout)
    drive = alone["fs"][cdrom.node]
    assert (drive["vendor"], drive["model"], drive["serial"]) == ("QEMU", "QEMU CD-ROM", "drive7")
    assert drive["removable"] and "no medium" in drive["unsuitable"]
    assert "unsuitable" in alone["disk"][cdrom.node] and "unsuitable" in alone["logical"][cdrom.node]
    assert "org.freedesktop.UDisks2 " not in command("busctl", "--no-legend", "--no-pager", "list", "--acquired")

    cdrom()
    medium = find("fs")[cdrom.node]
    assert medium["source-format"] == "iso9660" and "unsuitable" not in medium and medium["read-only"]
    assert "CD-ROM" in find("disk")[cdrom.node]["unsuitable"]
    alone = {kind: find(kind) for kind in ("fs", "disk", "logical")}
    command("systemctl", "start", "udisks2")
    try:
        for kind, found in alone.items():
            with_udisks = find(kind)
            assert set(with_udisks) == set(found)
            assert [(d, with_udisks[d], found[d]) for d in found if with_udisks[d] != found[d]] == []
    finally:
        command("systemctl", "stop", "udisks2")


def test_only_what_is_asked_for(find, layout):
    assert set(find("fs", source_devices=["/dev/disk/by-id/virtio-disk4"])) == {layout["formatted"]}
    assert "tank" in find("logical", source_name="tank")
    assert "tank" not in find("logical", source_name="other")


def test_users_of_a_group_and_devices_that_it_lacks(find, layout, command, settle):
    command("umount", "/mnt")
    command("mount", "/dev/tank/root", "/mnt")
    tank = find("logical")["tank"]
    assert "/mnt" in tank["used-by"] and "root" in tank["used-by"] and "unsuitable" not in tank
    command("umount", "/mnt")
    command("mount", f"{layout['divided']}1", "/mnt")
    command("vgextend", "--quiet", "tank", layout["blank"])
    command("dd", "if=/dev/zero", f"of={layout['blank']}", "bs=1M", "count=1", "oflag=direct")
    settle()
    assert find("logical")["tank"]["unsuitable"] == "1 of its 2 devices are missing"
    command("vgreduce", "--quiet", "--removemissing", "tank")


def test_device_that_does_not_answer(find, layout, command):
    sectors = command("blockdev", "--getsz", layout["blank"]).strip()
    command("dmsetup", "create", "hung", "--table", f"0 {sectors} linear {layout['blank']} 0")
    command("dmsetup", "suspend", "hung")
    try:
        begin = time.monotonic()
        found = find("fs")
        assert time.monotonic() - begin < 30
        assert found["/dev/mapper/hung"]["unsuitable"] == "it does not answer"
        # The others are told all the same.
        assert found[layout["formatted"]]["source-format"] == "ext4"
        assert "unsuitable" in find("logical")[layout["physical"]]
    finally:
        command("dmsetup", "resume", "hung")
        command("dmsetup", "remove", "--retry", "hung")
    assert find("fs")["/dev/tank/root"]["source-format"] == "ext4"
