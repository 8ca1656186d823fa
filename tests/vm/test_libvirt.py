# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x128M
# timeout: 180
"""libvirt is there to compare with, and disks are as good as new after what it and others left on them."""

import subprocess

POOL = """<pool type='{type}'><name>{name}</name><source>{source}</source><target><path>{path}</path></target></pool>"""


def test_knows_the_pool_types(virsh):
    known = virsh("pool-capabilities")
    for kind in ("dir", "fs", "logical", "disk"):
        assert f"<pool type='{kind}' supported='yes'>" in known


def test_disk_pool(virsh, disks):
    virsh.define(POOL.format(type="disk", name="disk", path="/dev",
                             source=f"<device path='{disks[0]}'/><format type='gpt'/>"))
    virsh("pool-build", "disk")
    virsh("pool-start", "disk")
    virsh("vol-create-as", "disk", "vdb1", "32M")
    assert "/dev/vdb1" in virsh("vol-list", "disk")


def test_logical_pool(virsh, disks):
    virsh.define(POOL.format(type="logical", name="group", path="/dev/group",
                             source=f"<device path='{disks[0]}'/><name>group</name><format type='lvm2'/>"))
    virsh("pool-build", "group")
    virsh("pool-start", "group")
    virsh("vol-create-as", "group", "one", "32M")
    assert virsh("vol-path", "--pool", "group", "one").strip() == "/dev/group/one"


def test_arrays_go_too(disks, command):
    command("mdadm", "--create", "/dev/md/left", "--run", "--metadata=1.2", "--level=1", "--raid-devices=2", *disks)
    command("mkfs.ext4", "-q", "/dev/md/left")
    command("mount", "/dev/md/left", "/mnt")


def test_nothing_is_left(disks):
    assert subprocess.run(["wipefs", "--noheadings", *disks], capture_output=True, text=True, timeout=60,
                          check=True).stdout == ""
    assert subprocess.run(["lsblk", "--noheadings", "--output=TYPE", *disks], capture_output=True, text=True,
                          timeout=60, check=True).stdout.split() == ["disk", "disk"]
