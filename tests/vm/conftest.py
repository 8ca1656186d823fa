# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the tests in the machine. They stop services and write to disks: never run them elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

if os.environ.get("STORAGED_VM") == "1":
    # The client and the harness of the bus tests, against the installed service.
    os.environ["STORAGED_TEST_SYSTEM"] = "1"
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bus"))

    import devices
    import disks as disk_tools
    import libvirt
    import power
    import qmp
    from client import Service
    from harness import InstalledDaemon, SystemBus

    pytest_collection_modifyitems = power.pytest_collection_modifyitems
else:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def disks():
    """The device nodes of the disks that the test's header asks for: empty again after each test.

    Their names by serial are /dev/disk/by-id/virtio-disk0 and so on, in this order.
    """
    found = os.environ["STORAGED_VM_DISKS"].split()
    yield found
    disk_tools.wipe(found)


@pytest.fixture
def before_disks(request):
    """For fixtures that end what lies on the disks: their end comes before the disks are wiped."""
    if os.environ["STORAGED_VM_DISKS"]:
        request.getfixturevalue("disks")


@pytest.fixture
def settle():
    """settle() waits until udev has seen all that happened so far."""
    return disk_tools.settle


@pytest.fixture
def monitor():
    """QEMU's monitor, which plugs and unplugs disks and CDs: see guest/qmp.py. The header must ask for `hotplug`."""
    with qmp.Monitor() as connection:
        yield connection


@pytest.fixture
def boot():
    """Which boot of the machine this is, from 1 on."""
    return int(os.environ["STORAGED_VM_BOOT"])


@pytest.fixture
def power_off(request):
    """power_off(after=SECONDS) has the power cut, in the midst of what the test goes on doing: see guest/power.py.

    After the next boot the same test runs again, with power_off.happened, and then those that follow it.
    """
    power_off = power.PowerOff(request.node.nodeid)
    yield power_off
    power_off.finish()


@pytest.fixture(scope="module")
def libvirtd():
    """The daemon of virsh, once a file."""
    with libvirt.running() as virsh:
        yield virsh


@pytest.fixture
def virsh(libvirtd, before_disks):
    """libvirt's virsh, with its daemon: see guest/libvirt.py. Its pools are stopped and forgotten after the test."""
    yield libvirtd
    libvirtd.forget_pools()


@pytest.fixture
def command():
    """Runs a command and gives its output; fails with all of it if its exit status is not 0."""
    def run(*args, timeout=60):
        result = subprocess.run(args, capture_output=True, text=True, timeout=timeout)
        assert result.returncode == 0, f"{' '.join(args)}: {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout
    return run


@pytest.fixture
def daemon():
    """The installed service as tests/bus/harness.py knows it: start(), stop(), kill(), restart(), workers(), log()."""
    bus = SystemBus()
    daemon = InstalledDaemon(bus)
    daemon.start()
    yield daemon
    bus.stop()


@pytest.fixture
def service(daemon, before_disks):
    """Root's client of it, as tests/bus/client.py has it. Its pools are stopped and forgotten after the test."""
    service = Service(daemon.bus.connect())
    yield service
    daemon.start()
    Service(daemon.bus.connect()).forget_pools(keep=("default",))


@pytest.fixture
def vg(service, disks):
    """A running pool on the group vg0, which is made on the first disk: nothing there was zero before."""
    devices.dirty(disks[0])
    path, _ = service.manager.DefinePool("vg0", "logical", {"source-devices": [disks[0]]},
                                         {"build": True, "start": True, "wait": 60_000_000})
    return service.pool(path)
