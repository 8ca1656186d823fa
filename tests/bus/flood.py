# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user who floods the service with questions: his polkit agent never answers.

Arguments: address of the bus, path of a pool, how many calls. Prints as JSON how many calls hang and with what
the others were refused, then waits for the end of its input.
"""

import json
import os
import sys

from gi.repository import Gio, GLib

from harness import SLOWNESS, connect

AUTHORITY = ("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
             "org.freedesktop.PolicyKit1.Authority")
AGENT_XML = """<node><interface name='org.freedesktop.PolicyKit1.AuthenticationAgent'>
<method name='BeginAuthentication'><arg type='s' direction='in'/><arg type='s' direction='in'/>
<arg type='s' direction='in'/><arg type='a{ss}' direction='in'/><arg type='s' direction='in'/>
<arg type='a(sa{sv})' direction='in'/></method>
<method name='CancelAuthentication'><arg type='s' direction='in'/></method></interface></node>"""


def start_time():
    with open("/proc/self/stat", encoding="ascii") as f:
        return int(f.read().rsplit(")", 1)[1].split()[19])


def main():
    address, pool, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    connection = connect(address, os.geteuid())
    hanging = []
    interface = Gio.DBusNodeInfo.new_for_xml(AGENT_XML).interfaces[0]
    connection.register_object("/agent", interface, lambda *args: hanging.append(args), None, None)
    subject = ("unix-process", {"pid": GLib.Variant("u", os.getpid()), "start-time": GLib.Variant("t", start_time()),
                                "uid": GLib.Variant("i", os.geteuid())})
    connection.call_sync(*AUTHORITY, "RegisterAuthenticationAgent",
                         GLib.Variant("((sa{sv})ss)", (subject, "C", "/agent")), None, 0, 10000, None)
    answers = {}

    def answered(source, result):
        try:
            source.call_finish(result)
            name = "allowed"
        except GLib.Error as error:
            name = Gio.DBusError.get_remote_error(error) or error.message
        answers[name] = answers.get(name, 0) + 1

    for _ in range(count):
        connection.call("org.example.Storage1", pool, "org.example.Storage1.Pool", "Refresh",
                        GLib.Variant("(a{sv})", ({},)), None, Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION,
                        600000, None, answered)
    loop = GLib.MainLoop()
    GLib.timeout_add(int(700 * SLOWNESS), loop.quit)
    loop.run()
    print(json.dumps({"pending": count - sum(answers.values()), "refused": answers, "asked": len(hanging)}), flush=True)
    GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP,
                      lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main()
