# SPDX-License-Identifier: LGPL-2.1-or-later
"""The world that the tests run in: a message bus, polkit, and the service, all of them real and private.

Two kinds of world. Usually everything is started here, inside namespaces of our own (see conftest.py). With
STORAGED_TEST_SYSTEM=1 the system bus and the installed service of this machine are used instead.
"""

import glob
import os
import re
import signal
import subprocess
import tempfile
import time

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

BUS_NAME = "org.example.Storage1"
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ON_SYSTEM = os.environ.get("STORAGED_TEST_SYSTEM") == "1"
# How much slower than a plain build on an idle machine things may be.
SLOWNESS = float(os.environ.get("STORAGED_TEST_SLOWNESS", "6" if ON_SYSTEM else "2"))

# The bus turns away users that are not in passwd: these five are in every Debian's.
NOBODY = 65534  # may nothing
ONE_POOL = 9  # news: may everything in the pool called "mine", and nothing else
SMALL = 10  # uucp: may create volumes of up to 1 MiB
OWN = 7  # lp: may everything with volumes called mine-…, but make none of more than 2 MiB
ASKED = 13  # proxy: would have to authenticate for everything

RULES = """
polkit.addRule(function(action, subject) {
    if (action.id.indexOf("org.example.storage1.") != 0)
        return polkit.Result.NOT_HANDLED;
    var user = subject.user;
    if (user == "news")
        return action.lookup("pool") == "mine" ? polkit.Result.YES : polkit.Result.NO;
    if (user == "uucp")
        return action.id == "org.example.storage1.create-volume" &&
            Number(action.lookup("capacity")) <= 1048576 ? polkit.Result.YES : polkit.Result.NO;
    if (user == "lp") {
        var makes = /(create|clone|resize)-volume$/.test(action.id);
        return (action.lookup("volume") || "").indexOf("mine-") == 0 &&
            (!makes || Number(action.lookup("capacity")) <= 2097152) ? polkit.Result.YES : polkit.Result.NO;
    }
    if (user == "proxy")
        return polkit.Result.AUTH_SELF;
    return polkit.Result.NO;
});
"""

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>{kind}</type>
  <listen>unix:path={base}/bus</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{base}/services</servicedir>
  {policy}
</busconfig>
"""

# As dbus's own system.conf has it.
SYSTEM_POLICY = """
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <include>/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  <include>{conf}</include>
  <policy user="root">
    <allow own="org.freedesktop.login1"/>
    <allow send_destination="org.freedesktop.login1"/>
  </policy>
"""

SESSION_POLICY = """
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
"""

LOG_ALARMS = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed")


def wait_until(condition, timeout=10, what="condition", interval=0.01):
    """Polls until condition() is true and returns what it returned."""
    end = time.monotonic() + timeout * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout * SLOWNESS:.0f} s in vain for: {what}")
        time.sleep(interval)


def find_source(name):
    """A file of the source tree by its name, wherever it is kept."""
    for folder in ("data", "policy", "interfaces"):
        found = glob.glob(f"{SOURCE}/{folder}/**/{name}", recursive=True)
        if found:
            return found[0]
    raise FileNotFoundError(f"{name} is not in the source tree")


def build_dir():
    chosen = os.environ.get("STORAGED_BUILD_DIR")
    if chosen:
        return chosen
    files = glob.glob(f"{SOURCE}/build*/build.ninja")
    if not files:
        raise FileNotFoundError("there is no build directory: run meson setup, or set STORAGED_BUILD_DIR")
    return os.path.dirname(max(files, key=os.path.getmtime))


def find_binary(name):
    for path in glob.glob(f"{build_dir()}/*/{name}") + glob.glob(f"{build_dir()}/{name}"):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f"{name} is not built in {build_dir()}")


def process_exists(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """Direct children that live, as {pid: argv}."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            if fields[0] == "Z" or int(fields[1]) != pid:
                continue
            with open(f"/proc/{entry}/cmdline", encoding="utf-8", errors="replace") as f:
                found[int(entry)] = f.read().rstrip("\0").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def connect(address, uid=0):
    """A connection of its own to a bus, as another user if asked."""
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    if uid == os.geteuid():
        return Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(uid)
    os.seteuid(uid)
    try:
        return Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def end_process(process, timeout=10):
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout)


def overlay_polkit(base):
    """Our actions and the tests' rules, over what this machine has. Only in a mount namespace of our own."""
    actions, rules = base + "/actions", base + "/rules.d"
    for folder in (actions, rules):
        os.mkdir(folder, 0o755)
    for path in ("/usr/share/polkit-1/actions/org.freedesktop.policykit.policy", find_source("*.policy*")):
        with open(path, encoding="utf-8") as f, open(f"{actions}/{os.path.basename(path)}", "w",
                                                     encoding="utf-8") as out:
            out.write(f.read())
    with open(rules + "/00-tests.rules", "w", encoding="utf-8") as f:
        f.write(RULES)
    # polkitd gives up root before it reads them.
    for source, target in ((actions, "/usr/share/polkit-1/actions"), (rules, "/etc/polkit-1/rules.d")):
        subprocess.run(["mount", "--bind", source, target], check=True)


def install_rules():
    """The tests' rules on a whole machine, where polkit runs already."""
    with open("/etc/polkit-1/rules.d/00-storaged-tests.rules", "w", encoding="utf-8") as f:
        f.write(RULES)
    subprocess.run(["systemctl", "restart", "polkit.service"], check=True, timeout=60)


class AnyBus:
    """What both kinds share: connections, which must not outlive a test (a user may only have so many)."""

    address = None

    def __init__(self):
        self.connections = []

    def connect(self, uid=0):
        connection = connect(self.address, uid)
        self.connections.append(connection)
        return connection

    def disconnect(self):
        for connection in self.connections:
            if not connection.is_closed():
                connection.close_sync(None)
        self.connections.clear()


class Bus(AnyBus):
    """A dbus-daemon of our own, with polkitd on it if it is a system one."""

    def __init__(self, base, kind="system"):
        super().__init__()
        self.base = base
        self.kind = kind
        self.address = f"unix:path={base}/bus"
        self.processes = []
        self.log = open(base + "/bus.log", "w", encoding="utf-8")
        os.mkdir(base + "/services")

    def start(self, polkit=False):
        policy = SESSION_POLICY
        if self.kind == "system":
            policy = SYSTEM_POLICY.format(conf=find_source("org.example.Storage1.conf"))
        config = self.base + "/bus.conf"
        with open(config, "w", encoding="utf-8") as f:
            f.write(BUS_CONFIG.format(kind=self.kind, base=self.base, policy=policy))
        self.spawn(["dbus-daemon", "--config-file=" + config, "--nofork", "--nopidfile"])
        wait_until(self._answers, what="the bus")
        if polkit:
            self.start_polkit()

    def _answers(self):
        try:
            return connect(self.address).close_sync(None)
        except GLib.Error:
            return False

    def spawn(self, argv):
        env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.address, DBUS_SESSION_BUS_ADDRESS=self.address)
        process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process

    def start_polkit(self):
        self.spawn(["/usr/lib/polkit-1/polkitd", "--no-debug"])
        connection = self.connect()
        wait_until(lambda: name_owner(connection, "org.freedesktop.PolicyKit1"), what="polkitd")

    def stop(self):
        self.disconnect()
        for process in reversed(self.processes):
            end_process(process)
        self.log.close()


class SystemBus(AnyBus):
    """The system bus of this machine."""

    kind = "system"
    address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")

    def stop(self):
        self.disconnect()


def bus_call(connection, method, signature, *args):
    return connection.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", method,
                                GLib.Variant(signature, args), None, Gio.DBusCallFlags.NONE,
                                int(10000 * SLOWNESS), None).unpack()


def name_owner(connection, name=BUS_NAME):
    """Who owns the name, or None; starts nobody."""
    try:
        return bus_call(connection, "GetNameOwner", "(s)", name)[0]
    except GLib.Error as error:
        if Gio.DBusError.get_remote_error(error) != "org.freedesktop.DBus.Error.NameHasNoOwner":
            raise
        return None


def name_pid(connection, name=BUS_NAME):
    return bus_call(connection, "GetConnectionUnixProcessID", "(s)", name)[0] if name_owner(connection) else None


class Daemon:
    """storaged, started by us or by our bus, with folders of its own."""

    def __init__(self, bus, base, *args, uid=0):
        self.bus = bus
        self.base = base
        self.args = args if "--idle-timeout" in args else (*args, "--idle-timeout", "600")
        self.uid = uid
        os.chown(base, uid, uid)
        self.process = None
        self.log_path = base + "/storaged.log"
        self.config_dir = base + "/etc"
        self.state_dir = base + "/var"
        self.runtime_dir = base + "/run"
        self.connection = bus.connect()

    def command(self):
        mode = ["--user"] if self.bus.kind == "session" else []
        user = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"] if self.uid else []
        return [*user, find_binary("storaged"), *mode, "--config-dir", self.config_dir, "--state-dir", self.state_dir,
                "--runtime-dir", self.runtime_dir, "--worker", find_binary("storaged-worker"), *self.args]

    def start(self):
        env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.bus.address,
                   DBUS_SESSION_BUS_ADDRESS=self.bus.address)
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command(), env=env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        wait_until(self._started, what="the service to take its name")

    def _started(self):
        if self.process.poll() is not None:
            raise AssertionError(f"storaged ended with {self.process.returncode} at its start:\n{self.log()}")
        return name_owner(self.connection)

    def activatable(self):
        """Lets the bus start it when it is called, instead of us."""
        user = "User=root\n" if self.bus.kind == "system" else ""
        wrapper = self.base + "/start"
        with open(wrapper, "w", encoding="utf-8") as f:
            command = " ".join(f"'{word}'" for word in self.command())
            f.write(f"#!/bin/sh\nexec {command} >>'{self.log_path}' 2>&1\n")
        os.chmod(wrapper, 0o755)
        with open(f"{self.bus.base}/services/{BUS_NAME}.service", "w", encoding="utf-8") as f:
            f.write(f"[D-BUS Service]\nName={BUS_NAME}\nExec={wrapper}\n{user}")
        bus_call(self.connection, "ReloadConfig", "()")

    def pid(self):
        return self.process.pid if self.process else name_pid(self.connection)

    def workers(self, role=None):
        """The workers that live, as {pid: argv}; role: store, pool or data."""
        pid = self.pid()
        return {p: argv for p, argv in children(pid).items()
                if "storaged-worker" in argv[0] and (role is None or role in argv[1:])} if pid else {}

    def kill(self):
        """SIGKILL, and waits until it is gone from the bus as well."""
        pid = self.pid()
        if not pid:
            return
        os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait(10)
            self.process = None
        wait_until(lambda: not process_exists(pid) and not name_owner(self.connection), what="its end")

    def stop(self):
        """SIGTERM; it must not take long."""
        pid = self.pid()
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        if self.process:
            try:
                code = self.process.wait(10 * SLOWNESS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("storaged did not end on SIGTERM") from None
            self.process = None
            assert code == 0, f"storaged ended with {code} on SIGTERM:\n{self.log()[-4000:]}"
        wait_until(lambda: not process_exists(pid) and not name_owner(self.connection), what="its end")

    def restart(self):
        self.stop()
        self.start()

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def finish(self):
        """The end of a test: it must still be there, end in order, and have nothing bad in its log."""
        if self.process:
            code = self.process.poll()
            assert code is None, f"storaged ended by itself with {code}:\n{self.log()[-4000:]}"
        self.stop()
        alarm = LOG_ALARMS.search(self.log())
        assert not alarm, f"in the service's log: {self.log()[alarm.start():][:4000]}"


class InstalledDaemon(Daemon):
    """The installed service of this machine, which systemd starts."""

    def __init__(self, bus):
        self.bus = bus
        self.process = None
        self.config_dir, self.state_dir = "/etc/storaged", "/var/lib/storaged"
        self.runtime_dir = "/run/storaged"
        self.connection = bus.connect()

    def start(self):
        bus_call(self.connection, "StartServiceByName", "(su)", BUS_NAME, 0)
        wait_until(lambda: name_owner(self.connection), what="the service to take its name")

    def stop(self):
        subprocess.run(["systemctl", "stop", "storaged.service"], check=True, timeout=30 * SLOWNESS)
        subprocess.run(["systemctl", "reset-failed", "storaged.service"], check=False)

    def kill(self):
        super().kill()
        subprocess.run(["systemctl", "reset-failed", "storaged.service"], check=False)

    def log(self):
        return subprocess.run(["journalctl", "-b", "-u", "storaged.service", "-o", "cat", "-n", "400"],
                              capture_output=True, text=True, check=False).stdout

    def finish(self):
        pass


def new_folder(name="w"):
    """A folder below the state tmpfs: for things that nobody should wait for a disk for."""
    path = tempfile.mkdtemp(prefix=name + "-", dir=os.environ["STORAGED_TEST_BASE"] + "/state")
    os.chmod(path, 0o755)
    return path
