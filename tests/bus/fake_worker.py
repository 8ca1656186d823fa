#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A worker that pretends: pools of every type with an array beneath them, on devices that there are not.

What it is to do is said by files in the folder $FAKE_WORKER: "hold" lets changes of arrays wait while it is there,
"die" ends the worker in the middle of one, "linger" leaves a process behind that cannot be got rid of. A logical pool has
the volumes that "volumes" lists, a line each: a name, and that of its origin if it has one. $REAL_WORKER writes the
service's files.
"""

import os
import sys
import time
import xml.etree.ElementTree as ET

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

PATH = "/org/example/Storage1/worker"
NAME = "org.example.Storage1.Worker"
INTERFACE = f"""<node><interface name='{NAME}'>
  <method name='SetPool'><arg type='s'/><arg type='a{{sv}}'/></method>
  <method name='Check'><arg type='b' direction='out'/></method>
  <method name='Start'><arg type='a{{sv}}'/></method>
  <method name='Stop'><arg type='a{{sv}}'/></method>
  <method name='Watch'><arg type='b'/></method>
  <method name='Refresh'/>
  <method name='ChangeRaid'><arg type='s'/><arg type='s'/></method>
  <method name='FindSources'><arg type='s'/><arg type='s'/></method>
  <method name='Ping'/>
</interface></node>"""
STATUS = "(tttsa(ss)uuua{sv})"
ROWS = "(ba(sysbbtttxxxxuuutta{sv})as)"
MIB = 1 << 20
BLOCK = 1  # of VolumeType


def said(word):
    return os.path.exists(os.path.join(os.environ["FAKE_WORKER"], word))


def linger():
    """Leaves a dead process in this one's group, whose parent is outside of it and does not look."""
    group = os.getpid()
    ready, joined = os.pipe()
    if os.fork() > 0:
        os.close(joined)
        os.read(ready, 1)
        return
    os.setpgid(0, 0)
    if os.fork() == 0:
        os.setpgid(0, group)
        os.close(joined)
        time.sleep(3600)
    os.close(joined)
    while said("linger"):
        time.sleep(0.02)
    os._exit(0)


class Worker:
    def __init__(self, connection):
        self.connection = connection
        self.members = []

    def set_pool(self, text):
        for root in instructions(text):
            self.members = self.members or [device.get("path") for device in root.iter("device")]

    def rows(self):
        with open(os.path.join(os.environ["FAKE_WORKER"], "volumes"), encoding="ascii") as f:
            volumes = [line.split() for line in f]
        rows = []
        for name, *origin in volumes:
            more = {"path": GLib.Variant("s", f"/dev/vg/{name}"), "key": GLib.Variant("s", f"uuid-of-{name}")}
            if origin:
                more["backing-path"] = GLib.Variant("s", f"/dev/vg/{origin[0]}")
            rows.append((name, BLOCK, "", False, False, MIB, MIB, MIB, 0, 0, 0, 0, 0o600, 0, 0, 0, 0, more))
        self.connection.emit_signal(None, PATH, NAME, "Rows", GLib.Variant(ROWS, (True, rows, [])))

    def report(self):
        if said("volumes"):
            self.rows()
        members = GLib.Variant("a(ss)", [(path, "active") for path in self.members])
        details = {"raid-level": GLib.Variant("s", "raid1"), "raid-action": GLib.Variant("s", "idle"),
                   "raid-degraded": GLib.Variant("u", 0), "raid-progress": GLib.Variant("d", 0),
                   "raid-members": members}
        self.connection.emit_signal(None, PATH, NAME, "Status",
                                    GLib.Variant(STATUS, (100, 10, 90, "ok", [], 0o755, 0, 0, details)))

    def change(self, action, device):
        while said("hold"):
            time.sleep(0.005)
        if said("die"):
            os._exit(3)
        if action == "add":
            self.members.append(device)
        elif action == "remove":
            self.members.remove(device)
        self.report()

    def on_call(self, _connection, _sender, _path, _interface, method, arguments, invocation):
        arguments = arguments.unpack()
        if method == "SetPool":
            self.set_pool(arguments[0])
        elif method == "Refresh":
            self.report()
        elif method == "ChangeRaid":
            self.change(*arguments)
        elif method == "FindSources":
            os._exit(3)
        invocation.return_value(GLib.Variant("(b)", (False,)) if method == "Check" else None)


def instructions(text):
    """The roots of the XML in <?storaged …?>."""
    builder = ET.TreeBuilder(insert_pis=True)
    for node in ET.fromstring(text, ET.XMLParser(target=builder)).iter(ET.ProcessingInstruction):
        yield ET.fromstring(node.text.split(None, 1)[1])


def main():
    if sys.argv[1] != "pool":
        os.execv(os.environ["REAL_WORKER"], [os.environ["REAL_WORKER"], *sys.argv[1:]])
    if said("linger"):
        linger()
    stream = Gio.Socket.new_from_fd(3).connection_factory_create_connection()
    wanted = Gio.DBusConnectionFlags
    flags = (wanted.AUTHENTICATION_SERVER | wanted.AUTHENTICATION_ALLOW_ANONYMOUS |
             wanted.DELAY_MESSAGE_PROCESSING)
    connection = Gio.DBusConnection.new_sync(stream, Gio.dbus_generate_guid(), flags, None, None)
    info = Gio.DBusNodeInfo.new_for_xml(INTERFACE)
    connection.register_object(PATH, info.interfaces[0], Worker(connection).on_call, None, None)
    connection.start_message_processing()
    GLib.MainLoop().run()


main()
