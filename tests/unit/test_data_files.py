# SPDX-License-Identifier: LGPL-2.1-or-later
"""The unit and the folders: what systemd makes of them."""

import glob
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNIT = f'{SOURCE}/data/systemd/storaged.service.in'
TMPFILES = f'{SOURCE}/data/tmpfiles/storaged.conf.in'

# Each gives a service its own mount namespace, in which the host does not see what it mounts; ProtectClock=
# takes the block devices away.
FORBIDDEN = {
    'BindPaths', 'BindReadOnlyPaths', 'DynamicUser', 'ExecPaths', 'ExtensionImages', 'InaccessiblePaths',
    'LogNamespace', 'MountAPIVFS', 'MountFlags', 'MountImages', 'NetworkNamespacePath', 'NoExecPaths',
    'PrivateDevices', 'PrivateIPC', 'PrivateMounts', 'PrivateNetwork', 'PrivateTmp', 'PrivateUsers',
    'ProcSubset', 'ProtectClock', 'ProtectControlGroups', 'ProtectHome', 'ProtectHostname', 'ProtectKernelLogs',
    'ProtectKernelModules', 'ProtectKernelTunables', 'ProtectProc', 'ProtectSystem', 'ReadOnlyPaths',
    'ReadWritePaths', 'RootDirectory', 'RootImage', 'TemporaryFileSystem', 'LoadCredential', 'SetCredential',
}


def configured(path, **values):
    with open(path, encoding='utf-8') as f:
        text = f.read()
    for key, value in values.items():
        text = text.replace(f'@{key}@', value)
    assert not re.search(r'@\w+@', text)
    return text


def unit():
    lines = configured(UNIT, libexecdir='/usr/libexec').splitlines()
    return [tuple(line.split('=', 1)) for line in lines if '=' in line and not line.startswith('#')]


def test_unit_lives_in_the_machines_mount_namespace():
    assert not FORBIDDEN & {key for key, _ in unit()}


def test_unit_says_what_the_service_relies_on():
    for setting in (('Type', 'dbus'), ('BusName', 'org.example.Storage1'), ('KillMode', 'process'),
                    ('ExecStart', '/usr/libexec/storaged'), ('WantedBy', 'multi-user.target'),
                    ('Alias', 'dbus-org.example.Storage1.service')):
        assert setting in unit()


def test_systemd_takes_the_unit(tmp_path):
    binary = tmp_path / 'storaged'
    binary.write_text('#!/bin/sh\n')
    binary.chmod(0o755)
    path = tmp_path / 'storaged.service'
    path.write_text(configured(UNIT, libexecdir=str(tmp_path)))
    p = subprocess.run(['systemd-analyze', 'verify', '--man=no', path], capture_output=True, text=True,
                       timeout=60, check=False)
    said = [line for line in p.stderr.splitlines() if 'storaged.service' in line]
    assert p.returncode == 0 and not said, p.stderr


def test_activation_starts_what_the_unit_is_called():
    for path, lines in ((f'{SOURCE}/data/dbus-1/org.example.Storage1.service.in',
                         ['Exec=/x/storaged', 'User=root',
                          'SystemdService=dbus-org.example.Storage1.service']),
                        (f'{SOURCE}/data/dbus-1/session/org.example.Storage1.service.in',
                         ['Exec=/x/storaged --user'])):
        text = configured(path, libexecdir='/x').splitlines()
        assert {'[D-BUS Service]', 'Name=org.example.Storage1', *lines} <= set(text)


class Machine:
    """A tree in which systemd-tmpfiles is let loose, as at each boot."""

    def __init__(self, root):
        self.root = root
        factory = root / 'usr/share/storaged/factory'
        shutil.copytree(f'{SOURCE}/data/factory', factory)
        (factory / 'autostart').mkdir()
        (factory / 'autostart/default.xml').symlink_to('../pools/default.xml')
        conf = root / 'usr/lib/tmpfiles.d/storaged.conf'
        conf.parent.mkdir(parents=True)
        conf.write_text(configured(TMPFILES, datadir='/usr/share'))
        self.pool = root / 'etc/storaged/pools/default.xml'
        self.link = root / 'etc/storaged/autostart/default.xml'
        self.images = root / 'var/lib/libvirt/images'

    def boot(self):
        p = subprocess.run(['systemd-tmpfiles', f'--root={self.root}', '--create', 'storaged.conf'],
                           capture_output=True, text=True, timeout=60, check=False)
        assert p.returncode == 0 and not p.stderr, p.stderr

    def mode(self, path):
        return os.stat(f'{self.root}/{path}').st_mode & 0o7777


@pytest.fixture
def machine(tmp_path):
    if os.geteuid() != 0:
        pytest.skip('the folders belong to root')
    return Machine(tmp_path)


def test_folders(machine):
    machine.boot()
    assert machine.mode('etc/storaged/secrets') == 0o700
    assert machine.mode('var/lib/storaged/intents') == 0o700
    assert machine.mode('etc/storaged/pools') == machine.mode('run/storaged') == 0o755
    assert machine.mode('var/lib/libvirt/images') == 0o711
    assert machine.mode('var/lib/libvirt') == 0o755


def test_default_pool_comes_with_autostart(machine):
    machine.boot()
    assert os.readlink(machine.link) == '../pools/default.xml'
    pool = ET.parse(machine.link).getroot()
    assert pool.get('type') == 'dir' and pool.findtext('name') == 'default'
    assert pool.findtext('target/path') == '/var/lib/libvirt/images'
    assert pool.find('uuid') is None, 'each machine has its own'


def test_default_pool_stays_away(machine):
    """Undefined, the last one: it must not come back."""
    machine.boot()
    machine.pool.unlink()
    machine.link.unlink()
    machine.boot()
    assert not machine.pool.exists() and not machine.link.is_symlink()
    assert not glob.glob(f'{machine.root}/etc/storaged/*/*')


def test_autostart_stays_off(machine):
    machine.boot()
    machine.link.unlink()
    machine.pool.write_text('<pool type="dir"/>')
    machine.boot()
    assert machine.pool.read_text() == '<pool type="dir"/>' and not machine.link.is_symlink()


def test_a_machine_with_pools_gets_no_default(machine):
    machine.pool.parent.mkdir(parents=True)
    machine.boot()
    assert not machine.pool.exists()


def test_folder_of_images_is_left_as_it_is(machine):
    machine.images.mkdir(parents=True)
    machine.images.chmod(0o2770)
    os.chown(machine.images, 1, 1)
    machine.boot()
    st = machine.images.stat()
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o2770, 1, 1)
