# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two services that are compared, on one private bus: storaged, and libvirtd with libvirt-dbus."""

import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE) + "/bus")

import harness  # noqa: E402  pylint: disable=wrong-import-position

STORAGE = "org.example.Storage1"
ROOT = "/org/example/Storage1"
LIBVIRT_PROGRAMS = ("libvirtd", "libvirt-dbus", "virsh")
LIBVIRT_CONFIG = 'listen_tls = 0\nauth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_group = "root"\n'
# libvirt-dbus runs as a user of its own where it is installed; here everybody is root. Ping is for the process that
# does nothing else than answer it.
LIBVIRT_POLICY = """<busconfig><policy user="root"><allow own="org.libvirt"/>
<allow send_destination="org.libvirt"/><allow send_interface="org.freedesktop.DBus.Peer"/></policy></busconfig>
"""
POOL_XML = "<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"


def tool(name):
    return f"{harness.build_dir()}/tests/bench/bench-{name}"


def run(*argv, timeout=180, **how):
    """What a program printed; an error with what it complained of if it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, **how)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv[:6])}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def prefer(pid):
    """Other work on the machine shall disturb as little as may be. Nice values count within a session only, unless
    the session itself is given one."""
    try:
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as f:
            f.write("-15")
    except OSError:
        pass  # no autogroups: os.nice() was enough


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Libvirt:
    """libvirtd with its files below tmpfs: only in a mount namespace of our own."""

    FOLDERS = ("/run", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")

    def __init__(self, bus, base):
        for folder in self.FOLDERS:
            os.makedirs(folder, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        shutil.copytree("/etc/libvirt", base + "/etc-libvirt")
        subprocess.run(["mount", "--bind", base + "/etc-libvirt", "/etc/libvirt"], check=True)
        with open(base + "/libvirtd.conf", "w", encoding="utf-8") as f:
            f.write(LIBVIRT_CONFIG)
        self.daemon = bus.spawn(["libvirtd", "--config", base + "/libvirtd.conf"])
        harness.wait_until(lambda: os.path.exists("/run/libvirt/libvirt-sock"), 30, "libvirtd")
        run("virsh", "-c", "qemu:///system", "pool-list", timeout=60)
        self.bridge = bus.spawn(["libvirt-dbus", "--system"])
        connection = bus.connect()
        harness.wait_until(lambda: harness.name_owner(connection, "org.libvirt"), 30, "libvirt-dbus")
        self.connection = connection

    @staticmethod
    def version():
        return run("libvirtd", "--version").split()[-1]

    @staticmethod
    def virsh(*argv):
        return run("virsh", "-c", "qemu:///system", *argv)

    def add_pool(self, name, folder):
        """A running pool; its object path."""
        xml = f"{folder}.xml"
        with open(xml, "w", encoding="utf-8") as f:
            f.write(POOL_XML.format(name=name, folder=folder))
        self.virsh("pool-create", xml)
        from gi.repository import GLib  # pylint: disable=import-outside-toplevel
        return self.connection.call_sync("org.libvirt", "/org/libvirt/QEMU", "org.libvirt.Connect",
                                         "StoragePoolLookupByName", GLib.Variant("(s)", (name,)), None, 0, 30000,
                                         None).unpack()[0]

    def remove_pool(self, name):
        self.virsh("pool-destroy", name)


class Storaged:
    """Our service with its files on the disk, as /etc and /var would be, and /run on tmpfs."""

    def __init__(self, bus, base, tmpfs, *args):
        os.makedirs(base)
        self.daemon = harness.Daemon(bus, base, *args)
        self.daemon.runtime_dir = tmpfs + "/" + os.path.basename(base)
        self.bus = bus

    def start(self):
        self.daemon.start()
        prefer(self.pid())
        return self

    def stop(self):
        self.daemon.stop()

    def pid(self):
        return self.daemon.pid()

    def worker_pids(self):
        return sorted(self.daemon.workers("pool"))

    def call(self, path, interface, method, signature, *args):
        from gi.repository import GLib  # pylint: disable=import-outside-toplevel
        return self.daemon.connection.call_sync(STORAGE, path, interface, method, GLib.Variant(signature, args), None,
                                                0, 120000, None).unpack()

    def get(self, path, interface, name):
        return self.call(path, "org.freedesktop.DBus.Properties", "Get", "(ss)", f"{STORAGE}.{interface}", name)[0]

    def add_pool(self, name, folder):
        """A running pool; its object path."""
        from gi.repository import GLib  # pylint: disable=import-outside-toplevel
        return self.call(ROOT, STORAGE + ".Manager", "DefinePool", "(ssa{sv}a{sv})", name, "dir",
                         {"target-path": GLib.Variant("s", folder)}, {"start": GLib.Variant("b", True)})[0]

    def add_disk_pool(self, name, device, folder):
        """One on an ext4 that is made on the device."""
        from gi.repository import GLib  # pylint: disable=import-outside-toplevel
        true = GLib.Variant("b", True)
        return self.call(ROOT, STORAGE + ".Manager", "DefinePool", "(ssa{sv}a{sv})", name, "fs",
                         {"source-devices": GLib.Variant("as", [device]), "source-format": GLib.Variant("s", "ext4"),
                          "target-path": GLib.Variant("s", folder)}, {"build": true, "start": true})[0]

    def stop_pool(self, path):
        self.call(path, STORAGE + ".Pool", "Stop", "(a{sv})", {})

    def remove_pool(self, path):
        self.stop_pool(path)
        self.call(path, STORAGE + ".Pool", "Undefine", "(a{sv})", {})


class World:
    """One run of the bench: folders, a bus, both services."""

    def __init__(self, base, with_libvirt):
        self.base = base
        self.tmpfs = base + "/tmpfs"
        self.made = 0
        os.mkdir(self.tmpfs)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=4g", "tmpfs", self.tmpfs], check=True)
        with open(self.tmpfs + "/libvirt-policy.conf", "w", encoding="utf-8") as f:
            f.write(LIBVIRT_POLICY)
        harness.SYSTEM_POLICY += f"  <include>{self.tmpfs}/libvirt-policy.conf</include>\n"
        self.bus = self.new_bus()
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = self.bus.address
        self.libvirt = Libvirt(self.bus, self.folder(self.tmpfs)) if with_libvirt else None
        self.storaged = self.new_storaged().start()

    def folder(self, where=None):
        self.made += 1
        path = f"{where or self.base}/f{self.made}"
        os.mkdir(path)
        return path

    def new_bus(self):
        bus = harness.Bus(self.folder(self.tmpfs), "system")
        bus.start()
        return bus

    def new_storaged(self, bus=None, *args):  # pylint: disable=keyword-arg-before-vararg
        self.made += 1
        return Storaged(bus or self.bus, f"{self.base}/service{self.made}", self.tmpfs, *args)

    def client(self, *argv, bus=None, timeout=300):
        env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=(bus or self.bus).address)
        return json.loads(run(tool("client"), *map(str, argv), timeout=timeout, env=env))

    def probe(self, *what):
        """Starts to measure how long other clients wait; what it returns ends that and gives the times."""
        process = subprocess.Popen([tool("client"), *(what or ["probe"])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def finish():
            out, _ = process.communicate(timeout=150)
            if process.returncode != 0:
                raise RuntimeError("the probing client failed")
            return json.loads(out)
        time.sleep(0.2)
        return finish

    def finish(self):
        self.storaged.stop()
        self.bus.stop()


def make_files(folder, count, qcow2_every=10):
    """Small raw files, and among them headers of qcow2 images: in the page cache afterwards."""
    header_file = folder + ".qcow2"
    run("qemu-img", "create", "-f", "qcow2", header_file, "1G")
    size = os.path.getsize(header_file)
    with open(header_file, "rb") as f:
        header = f.read(512)
    os.unlink(header_file)
    directory = os.open(folder, os.O_RDONLY)
    for i in range(count):
        qcow2 = qcow2_every and i % qcow2_every == 0
        file = os.open(f"volume-{i:06}.{'qcow2' if qcow2 else 'img'}", os.O_CREAT | os.O_WRONLY, 0o644,
                       dir_fd=directory)
        os.write(file, header if qcow2 else b"not an image, %d\n" % i * 30)
        if qcow2:
            os.ftruncate(file, size)
        os.close(file)
    os.close(directory)


def make_empty_files(folder, count):
    directory = os.open(folder, os.O_RDONLY)
    for i in range(count):
        os.close(os.open(f"volume-{i:06}.img", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
    os.close(directory)
