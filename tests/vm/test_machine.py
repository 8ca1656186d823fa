# SPDX-License-Identifier: LGPL-2.1-or-later
"""The machine is what the other tests take for granted."""

import os
import platform
import shutil
from pathlib import Path

import pytest


def test_systemd_is_pid_1_and_has_no_failed_unit(command):
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert command("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""


def test_kernel_is_debians():
    assert "Debian" in platform.version()


def test_udevd_has_seen_the_root_disk(command):
    assert command("systemctl", "is-active", "systemd-udevd.service") == "active\n"
    assert "ID_SERIAL=root\n" in command("udevadm", "info", "--query=property", "--name=/dev/vda")


def test_system_bus_answers(command):
    names = command("busctl", "--system", "--no-pager", "--no-legend", "list")
    assert "org.freedesktop.systemd1 " in names


def test_bus_starts_polkitd(command):
    command("busctl", "call", "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
            "org.freedesktop.DBus.Properties", "Get", "ss", "org.freedesktop.PolicyKit1.Authority",
            "BackendName")
    assert command("systemctl", "is-active", "polkit.service") == "active\n"


def test_bus_starts_logind(command):
    command("busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1",
            "org.freedesktop.login1.Manager", "BlockInhibited")
    assert command("systemctl", "is-active", "systemd-logind.service") == "active\n"


def test_sources_are_shared_read_only():
    assert Path("/srv/source/meson.build").is_file()
    with pytest.raises(OSError):
        Path("/srv/source/written-by-a-test").touch()


def test_root_has_room_and_is_a_disk_file_system():
    space = os.statvfs("/var/lib")
    assert space.f_bavail * space.f_frsize > 500 << 20
    assert " / ext4 rw" in "".join(Path("/proc/mounts").read_text())


def test_kernel_has_the_storage_that_tests_need(command):
    modules = ["dm_mod", "dm_thin_pool", "md_mod", "raid1", "iscsi_tcp", "nfsd", "loop"]
    command("modprobe", "--all", *modules)
    assert [m for m in modules if not Path("/sys/module", m).is_dir()] == []
    # To load these takes long, as some measure the processor first.
    command("modprobe", "--dry-run", "--all", "dm_snapshot", "dm_flakey", "raid0", "raid10", "raid456", "scsi_debug",
            "virtio_scsi", "sr_mod", "btrfs", "gfs2", "hfsplus", "isofs", "ocfs2", "udf", "ufs", "vfat", "xfs")


def test_tools_are_installed():
    tools = ["lvm", "mdadm", "parted", "sfdisk", "sgdisk", "thin_check", "iscsiadm", "tgtd", "exportfs", "mount.nfs",
             "multipath", "mkfs.ext2", "mkfs.ext3", "mkfs.ext4", "mkfs.xfs", "mkfs.vfat", "mkfs.btrfs", "mkfs.gfs2",
             "mkfs.ocfs2", "mkfs.udf", "mkisofs", "xorriso", "udisksctl", "qemu-img", "cryptsetup", "xmllint",
             "libvirtd", "virsh"]
    assert [tool for tool in tools if not shutil.which(tool)] == []
