# SPDX-License-Identifier: LGPL-2.1-or-later
"""A polkit that answers when and what a test wants."""

import pwd

from gi.repository import Gio, GLib

from harness import bus_call

POLKIT = "org.freedesktop.PolicyKit1"
XML = f"""<node><interface name='{POLKIT}.Authority'>
<method name='CheckAuthorization'><arg type='(sa{{sv}})' direction='in'/><arg type='s' direction='in'/>
<arg type='a{{ss}}' direction='in'/><arg type='u' direction='in'/><arg type='s' direction='in'/>
<arg type='(bba{{ss}})' direction='out'/></method>
<method name='CancelCheckAuthorization'><arg type='s' direction='in'/></method></interface></node>"""


class Question:
    """One that was asked and is not answered yet."""

    def __init__(self, invocation, args):
        self.invocation = invocation
        self.subject, self.action, self.details, self.flags, self.id = args

    def answer(self, authorized, challenge=False, **details):
        details = {key.replace("_", "."): value for key, value in details.items()}
        self.invocation.return_value(GLib.Variant("((bba{ss}))", ((authorized, challenge, details),)))

    def fail(self, name, text):
        self.invocation.return_dbus_error(name, text)


class FakePolkit:
    """It runs in the test's own main context: the test must not make calls that block."""

    def __init__(self, bus):
        # Nobody else may own the name, says polkit's own bus policy.
        self.connection = bus.connect(pwd.getpwnam("polkitd").pw_uid)
        self.questions = []
        self.cancelled = []
        interface = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]
        path = f"/{POLKIT.replace('.', '/')}/Authority"
        self.connection.register_object(path, interface, self._called, None, None)
        assert bus_call(self.connection, "RequestName", "(su)", POLKIT, 4) == (1,)

    def _called(self, _connection, _sender, _path, _interface, method, args, invocation):
        if method == "CheckAuthorization":
            self.questions.append(Question(invocation, args.unpack()))
        else:
            self.cancelled.append(args.unpack()[0])
            invocation.return_value(None)
