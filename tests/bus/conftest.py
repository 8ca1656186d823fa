# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures. Unless they are told to test the installed service, the tests move into namespaces of their own."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pytest  # noqa: E402

import harness  # noqa: E402
from client import Service  # noqa: E402
from harness import ON_SYSTEM, SLOWNESS  # noqa: E402

INSIDE = "STORAGED_TEST_BASE"


def pytest_configure(config):
    config.addinivalue_line("markers", "private: needs a bus and a service of its own")
    config.addinivalue_line("markers", "limit(seconds): how long the test may take, instead of 60 s")
    if ON_SYSTEM or INSIDE in os.environ:
        return
    if os.geteuid() != 0:
        pytest.exit("these tests need root: they run the service, polkit and a bus in namespaces", 1)
    config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")
    os.execvp("unshare", ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc", sys.executable, script,
                          *config.invocation_params.args])


def pytest_collection_modifyitems(config, items):
    if ON_SYSTEM:
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("private")])
        items[:] = [i for i in items if not i.get_closest_marker("private")]


def on_alarm(_signal, _frame):
    raise TimeoutError("the test took too long")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("limit")
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(int((marker.args[0] if marker else 60) * SLOWNESS))
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for daemon in getattr(item, "daemons", []):
            report.sections.append(("storaged's log", daemon.log()[-6000:]))


class World:
    """What a test may ask for: buses, services, clients, folders. All of it ends with the test."""

    def __init__(self, item):
        self.item = item
        item.daemons = []
        self.daemons = item.daemons
        self.buses = []
        self.folders = []
        self.mounts = []

    def bus(self, kind="system", polkit=False):
        if ON_SYSTEM:
            bus = harness.SystemBus()
        else:
            bus = harness.Bus(harness.new_folder("bus"), kind)
            bus.start(polkit)
        self.buses.append(bus)
        return bus

    def daemon(self, *args, bus=None, kind="system", polkit=False, start=True, activatable=False,
               uid=0):
        """A service on a bus of its own."""
        bus = bus or self.bus(kind, polkit)
        if ON_SYSTEM:
            daemon = harness.InstalledDaemon(bus)
        else:
            daemon = harness.Daemon(bus, harness.new_folder("storaged"), *args, uid=uid)
        self.daemons.append(daemon)
        if activatable and not ON_SYSTEM:
            daemon.activatable()
        elif start:
            daemon.start()
        return daemon

    def client(self, daemon, uid=0):
        return Service(daemon.bus.connect(uid))

    def folder(self):
        """A folder on a real disk, for a pool."""
        path = tempfile.mkdtemp(prefix="pool-", dir=os.environ.get(INSIDE, "/var/tmp"))
        os.chmod(path, 0o755)
        self.folders.append(path)
        return path

    def tmpfs(self, size, options=""):
        """A small file system of its own, to fill or to take away."""
        path = self.folder()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={size}{options}", "tmpfs", path], check=True)
        self.mounts.append(path)
        return path

    def finish(self):
        try:
            for daemon in self.daemons:
                if ON_SYSTEM:
                    root = self.client(daemon)
                    root.forget_pools(keep=("default",))
                    root.forget_secrets()
                daemon.finish()
        finally:
            for bus in self.buses:
                bus.stop()
            for path in self.mounts:
                subprocess.run(["umount", "-l", path], check=False)
            for path in self.folders:
                shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def polkit_files():
    """polkit's actions and rules are files at fixed places: they are put there once."""
    if ON_SYSTEM:
        harness.install_rules()
    else:
        harness.overlay_polkit(os.environ[INSIDE])


@pytest.fixture
def world(request):
    made = World(request.node)
    yield made
    made.finish()


@pytest.fixture
def daemon(world):
    """A fresh service on a fresh system bus."""
    return world.daemon()


@pytest.fixture
def service(world, daemon):
    """Its root client."""
    return world.client(daemon)


@pytest.fixture
def folder(world):
    return world.folder()


@pytest.fixture
def pool(service, folder):
    """A running pool called "p" over an empty folder."""
    return service.make_pool("p", folder)
