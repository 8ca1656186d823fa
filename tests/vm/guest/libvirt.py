# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's daemon, for comparisons: started when a test asks for it."""

import contextlib
import subprocess
import time
from pathlib import Path

SOCKET = Path("/run/libvirt/libvirt-sock")
CONFIG = Path("/run/libvirtd.conf")
LOG = Path("/run/libvirtd.log")
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


@contextlib.contextmanager
def running():
    """A Virsh, with libvirtd for as long as the context lasts. Its pools are stopped and forgotten at the end."""
    CONFIG.write_text(SETTINGS.format(log=LOG))
    # Its part for virtual machines would not start without the user that another package makes.
    Path("/etc/libvirt/qemu.conf").write_text('user = "root"\ngroup = "root"\n')
    with subprocess.Popen(["libvirtd", "--config", str(CONFIG)], stdin=subprocess.DEVNULL) as daemon:
        virsh = Virsh()
        try:
            deadline = time.monotonic() + TIMEOUT
            while not (SOCKET.exists() and virsh.run("version").returncode == 0):
                log = LOG.read_text() if LOG.exists() else ""
                assert daemon.poll() is None, f"libvirtd ended with {daemon.returncode}\n{log}"
                assert time.monotonic() < deadline, f"libvirtd does not answer\n{virsh.run('version').stderr}{log}"
                time.sleep(0.1)
            yield virsh
            for options, command in ((["--all"], "pool-undefine"), ([], "pool-destroy")):
                for name in virsh("pool-list", "--name", *options).split("\n"):
                    if name.strip():
                        virsh.run(command, name.strip())
        finally:
            daemon.terminate()
