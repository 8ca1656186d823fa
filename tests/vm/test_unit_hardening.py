# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 3x256M
# timeout: 300
"""What the unit takes away from the service is not what the tools of storage need."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = """#!/bin/bash
set -eux
exec 2>&1
mkdir -p /mnt/powers
qemu-img create -f qcow2 -o preallocation=falloc /var/tmp/powers.qcow2 1M
qemu-img create -f luks --object secret,id=s,data=pw -o key-secret=s,iter-time=10 /var/tmp/powers.luks 1M
parted --script {0} mklabel gpt mkpart one 1MiB 64MiB mkpart two 64MiB 128MiB
udevadm settle
mkfs.ext4 -q {0}1
mount -t ext4 {0}1 /mnt/powers
touch /mnt/powers/file
chown 1:1 /mnt/powers/file
mkdir -m 2770 /mnt/powers/folder
pvcreate -qq {1}
vgcreate -qq powers {1}
lvcreate -qq --yes -L 64M -n one powers
lvcreate -qq --yes -s -L 16M -n copy powers/one
mkfs.ext4 -q /dev/powers/one
lvremove -qq --yes powers/copy
mdadm --create /dev/md/powers --run --metadata=1.2 --level=1 --raid-devices=2 {2} missing
udevadm settle
mdadm --stop /dev/md/powers
echo -n pw | cryptsetup luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 -q {0}2 -
echo -n pw | cryptsetup open --key-file=- {0}2 powers
cryptsetup close powers
! unshare --net true
! date --set=@0
echo all done
"""


@pytest.fixture(scope="module")
def output():
    """The tools' work, done under the settings of the unit."""
    script = Path("/var/tmp/powers.sh")
    script.write_text(SCRIPT.format(*os.environ["STORAGED_VM_DISKS"].split()))
    script.chmod(0o755)
    text = Path("/srv/source/data/systemd/storaged.service.in").read_text()
    text = text.replace("Type=dbus", "Type=oneshot").replace("@libexecdir@/storaged", str(script))
    text = re.sub(r"^(BusName|Restart|Alias)=.*\n", "", text, flags=re.MULTILINE)
    text += "[Service]\nStandardOutput=append:/var/tmp/powers\n"
    Path("/run/systemd/system/powers.service").write_text(text)
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=60)
    result = subprocess.run(["systemctl", "start", "powers.service"], timeout=240, check=False)
    said = Path("/var/tmp/powers").read_text()
    assert result.returncode == 0, said
    return said


def test_tools_work(output):
    assert output.endswith("\nall done\n")


def test_what_is_not_needed_is_refused(output):
    assert output.count("not permitted") == 2


def test_mounts_are_the_machines(output):
    assert " /mnt/powers ext4 " in Path("/proc/1/mounts").read_text()
    assert Path("/mnt/powers/folder").stat().st_mode & 0o7777 == 0o2770
