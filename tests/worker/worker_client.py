# SPDX-License-Identifier: LGPL-2.1-or-later
"""Drives storaged-worker as the daemon does: D-Bus over a socketpair, without a bus."""

import os
import signal
import socket
import subprocess
import time

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

PATH = "/org/example/Storage1/worker"
INTERFACE = "org.example.Storage1.Worker"
ERROR = "org.example.Storage1.Error."
UNFINISHED = ".storaged-new-"
QUESTIONS = f"<node><interface name='{INTERFACE}'><method name='Writing'/></interface></node>"
TYPES = ["file", "block", "dir", "network", "netdir", "ploop"]
FIELDS = (
    "name type format probed in_use capacity allocation physical "
    "atime btime ctime mtime mode owner group dev ino extra"
).split()
TIMEOUT_MS = 20000


def worker_binary():
    return os.environ["STORAGED_WORKER"]


def pass_as_3(fd):
    if fd == 3:
        os.set_inheritable(3, True)
    else:
        os.dup2(fd, 3)


class WorkerError(Exception):
    """A D-Bus error: name without the project's prefix, and the text for people."""

    def __init__(self, name, message):
        super().__init__(f"{name}: {message}")
        self.name = name[len(ERROR):] if name.startswith(ERROR) else name
        self.message = message


class Row:
    def __init__(self, values):
        for key, value in zip(FIELDS, values):
            setattr(self, key, value)
        self.type = TYPES[self.type]


class Worker:
    """One worker process, and everything that it has told so far."""

    def __init__(self, role):
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [worker_binary(), role, f"--parent={os.getpid()}"],
                stdin=subprocess.DEVNULL,
                close_fds=False,
                preexec_fn=lambda: pass_as_3(theirs.fileno()),
            )
        self.context = GLib.MainContext.new()
        self.context.push_thread_default()
        try:
            sock = Gio.Socket.new_from_fd(ours.detach())
            stream = sock.connection_factory_create_connection()
            self.bus = Gio.DBusConnection.new_sync(
                stream, None, Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT, None, None
            )
            self.bus.set_exit_on_close(False)
            self.bus.signal_subscribe(
                None, INTERFACE, None, PATH, None, Gio.DBusSignalFlags.NONE, self._on_signal
            )
            self.refuse = None  # what a worker that wants to write is told
            interface = Gio.DBusNodeInfo.new_for_xml(QUESTIONS).interfaces[0]
            self.bus.register_object(PATH, interface, self._on_question, None, None)
        finally:
            self.context.pop_thread_default()
        self.signals = []  # (time, member, values)
        self.rows = {}
        self.status = None
        self.details = None
        # sd-bus takes no descriptors together with the last line of the authentication: that line is read now.
        self.finish(self.send("Ping", interface="org.freedesktop.DBus.Peer"))

    def _on_question(self, _bus, _sender, _path, _interface, method, _parameters, invocation):
        self.signals.append((time.monotonic(), method, ()))
        if self.refuse:
            invocation.return_dbus_error(ERROR + self.refuse, "not now")
        else:
            invocation.return_value(None)

    def _on_signal(self, _bus, _sender, _path, _interface, member, parameters):
        values = parameters.unpack()
        self.signals.append((time.monotonic(), member, values))
        if member == "Rows":
            first, changed, removed = values
            if first:
                self.rows.clear()
            for row in map(Row, changed):
                self.rows[row.name] = row
            for name in removed:
                del self.rows[name]
        elif member == "Status":
            self.status, self.permissions, self.details = values[:5], values[5:8], values[8]

    def send(self, method, signature="()", *arguments, fds=(), timeout=TIMEOUT_MS, interface=INTERFACE):
        """Begins a call; finish() waits for its reply."""
        fd_list = Gio.UnixFDList.new()
        for fd in fds:
            fd_list.append(fd)
        state = {}

        def done(_bus, result):
            state["result"] = result

        self.context.push_thread_default()
        try:
            self.bus.call_with_unix_fd_list(
                None, PATH, interface, method, GLib.Variant(signature, arguments), None,
                Gio.DBusCallFlags.NONE, timeout, fd_list, None, done,
            )
        finally:
            self.context.pop_thread_default()
        return state

    def finish(self, state):
        """The reply's values; its descriptors are put into self.fds."""
        while "result" not in state:
            self.context.iteration(True)
        try:
            reply, out = self.bus.call_with_unix_fd_list_finish(state["result"])
        except GLib.Error as e:
            name = Gio.DBusError.get_remote_error(e) or "local"
            raise WorkerError(name, e.message.removeprefix(f"GDBus.Error:{name}: ")) from None
        self.fds = list(out.steal_fds()) if out else []
        self.spin(0)
        return reply.unpack()

    def call(self, method, signature="()", *arguments, **kwargs):
        return self.finish(self.send(method, signature, *arguments, **kwargs))

    def spin(self, seconds):
        """Takes in signals for a while."""
        end = time.monotonic() + seconds
        while True:
            while self.context.iteration(False):
                pass
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.001))

    def wait(self, condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not seen within {seconds} s"
            self.spin(0.002)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def close(self):
        if self.process.poll() is None:
            self.bus.close_sync(None)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        assert self.process.returncode in (0, -signal.SIGKILL, -signal.SIGTERM), self.process.returncode


def pool_xml(folder, permissions="", features=""):
    return (
        f"<pool type='dir'><name>tank</name>{features}<target><path>{folder}</path>"
        f"{permissions}</target></pool>"
    )


def volume_xml(name, capacity=None, allocation=0, fmt="raw", extra="", target=""):
    size = "" if capacity is None else f"<capacity>{capacity}</capacity>"
    if allocation is not None:
        size += f"<allocation>{allocation}</allocation>"
    return (
        f"<volume><name>{name}</name>{size}<target><format type='{fmt}'/>{target}</target>{extra}</volume>"
    )


class Data(Worker):
    """A worker that fills one volume."""

    def __init__(self):
        super().__init__("data")

    def fill(self, folder, fd, preallocation, name, capacity, **kwargs):
        """Begins it: see finish()."""
        options = {"preallocation": GLib.Variant("s", preallocation)} if preallocation else {}
        xml = volume_xml(name, capacity, **kwargs)
        return self.send("Fill", "(ssha{sv})", pool_xml(folder), xml, 0, options, fds=[fd])


    def transfer(self, verb, volume, peer, **options):
        """Begins Upload or Download between the descriptor of volume "v" and a client's."""
        kinds = {bool: "b", int: "t", str: "s"}
        packed = {key: GLib.Variant(kinds[type(value)], value) for key, value in options.items()}
        return self.send(verb, "(sshha{sv})", pool_xml("/images"), "v", 0, 1, packed, fds=[volume, peer])

    def upload(self, volume, peer, **options):
        return self.finish(self.transfer("Upload", volume, peer, **options))

    def download(self, volume, peer, **options):
        return self.finish(self.transfer("Download", volume, peer, **options))


class Pool(Worker):
    """A pool's worker on a folder."""

    def __init__(self, folder, refresh=True, watch=False, **kwargs):
        super().__init__("pool")
        self.folder = str(folder)
        self.call("SetPool", "(sa{sv})", pool_xml(self.folder, **kwargs), {})
        if watch:
            self.watch()
        if refresh:
            self.refresh()

    def refresh(self):
        self.call("Refresh")

    def watch(self, on=True):
        self.call("Watch", "(b)", on)

    def create(self, name, capacity=None, preallocation="", **kwargs):
        options = {"preallocation": GLib.Variant("s", preallocation)} if preallocation else {}
        token, _fds, rows, _zero = self.call(
            "CreateVolume", "(sa{sv})", volume_xml(name, capacity, **kwargs), options
        )
        if token:
            return token, self.fds[0]
        return Row(rows[0])

    def publish(self, token):
        return Row(self.call("PublishVolume", "(s)", token)[0])

    def discard(self, token):
        self.call("DiscardVolume", "(s)", token)

    def delete(self, name, force=False):
        self.call("DeleteVolume", "(sa{sv})", name, {"force": GLib.Variant("b", force)})

    def resize(self, name, capacity, **flags):
        options = {key: GLib.Variant("b", value) for key, value in flags.items()}
        return Row(self.call("ResizeVolume", "(sta{sv})", name, capacity, options)[0])

    def open(self, name, mode="r"):
        self.call("OpenVolume", "(ssa{sv})", name, mode, {})
        return self.fds[0]

    def problems(self):
        return self.status[4]
