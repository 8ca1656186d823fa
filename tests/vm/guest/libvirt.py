# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's daemon, for comparisons: started when a test asks for it."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

SOCKET = Path("/run/libvirt/libvirt-sock")
CONFIG = Path("/run/libvirtd.conf")
LOG = Path("/run/libvirtd.log")
INSTALLED = Path("/usr/lib/x86_64-linux-gnu/libvirt/connection-driver")
CHOSEN = Path("/run/libvirt-drivers")
DRIVERS = ("secret", "storage")
URI = "storage:///system"
TIMEOUT = 60

# No group of its own, no polkit: root alone calls it.
SETTINGS = """unix_sock_group = "root"
auth_unix_rw = "none"
auth_unix_ro = "none"
log_level = 3
log_outputs = "3:file:{log}"
"""


class Virsh:
    """virsh("pool-list", "--all") gives what that prints; it fails if virsh does."""

    def run(self, *args, **more):
        """What became of it, whatever that is."""
        return subprocess.run(["virsh", "--quiet", "--connect", URI, *args], capture_output=True, text=True,
                              timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL, **more)

    def __call__(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, f"virsh {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout

    def define(self, xml):
        """Defines a pool of this text."""
        path = Path("/run/libvirt-pool.xml")
        path.write_text(xml)
        return self("pool-define", str(path))

    def forget_pools(self):
        """Stops and undefines all pools."""
        for command, *which in (("pool-destroy",), ("pool-undefine", "--all")):
            for name in self("pool-list", "--name", *which).splitlines():
                if name.strip():
                    self(command, name.strip())


def chosen_drivers():
    """A folder with the drivers that pools take: those for machines and networks need more than is here."""
    CHOSEN.mkdir(exist_ok=True)
    for name in DRIVERS:
        path = CHOSEN / f"libvirt_driver_{name}.so"
        if not path.exists():
            path.symlink_to(INSTALLED / path.name)


@contextlib.contextmanager
def running():
    """A Virsh, with libvirtd for as long as the context lasts."""
    CONFIG.write_text(SETTINGS.format(log=LOG))
    chosen_drivers()
    with subprocess.Popen(["libvirtd", "--config", str(CONFIG)], stdin=subprocess.DEVNULL,
                          env=os.environ | {"LIBVIRT_DRIVER_DIR": str(CHOSEN)}) as daemon:
        virsh = Virsh()
        try:
            deadline = time.monotonic() + TIMEOUT
            while not (SOCKET.exists() and virsh.run("pool-list").returncode == 0):
                log = LOG.read_text() if LOG.exists() else ""
                assert daemon.poll() is None, f"libvirtd ended with {daemon.returncode}\n{log}"
                assert time.monotonic() < deadline, f"libvirtd does not answer\n{log}"
                time.sleep(0.1)
            yield virsh
        finally:
            daemon.terminate()
