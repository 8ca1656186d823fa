#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clones a volume and shows how far the job is, as a program with a window would; Ctrl-C gives it up.

Needs the Debian package python3-gi and nothing else. Usage: clone-with-progress.py [--user] POOL VOLUME NEW-NAME
"""

import signal
import sys

from gi.repository import Gio, GLib

NAME = "org.example.Storage1"
ROOT = "/org/example/Storage1"
ENDED = ("succeeded", "failed", "cancelled")


class Clone:
    """A clone under way."""

    def __init__(self, bus, loop):
        self.bus, self.loop, self.job, self.outcome = bus, loop, None, None
        # Before the call, so that no news of the job can be missed.
        bus.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, self.on_signal)

    def call(self, path, interface, method, arguments=None):
        return self.bus.call_sync(NAME, path, interface, method, arguments, None, Gio.DBusCallFlags.NONE, 20000,
                                  None).unpack()

    def begin(self, pool_name, volume_name, new_name):
        (pool,) = self.call(ROOT, f"{NAME}.Manager", "GetPoolByName", GLib.Variant("(s)", (pool_name,)))
        (source,) = self.call(pool, f"{NAME}.Pool", "GetVolume", GLib.Variant("(s)", (volume_name,)))
        options = {"wait": GLib.Variant("t", 0)}  # answer at once, with the job
        _volume, self.job = self.call(pool, f"{NAME}.Pool", "CloneVolume",
                                      GLib.Variant("(osa{sv})", (source, new_name, options)))
        # What it says now may be all that it ever says: it may be over.
        self.show(self.call(self.job, "org.freedesktop.DBus.Properties", "GetAll",
                            GLib.Variant("(s)", (f"{NAME}.Job",)))[0])

    def on_signal(self, _bus, _sender, path, _interface, member, arguments):
        if path == self.job and member == "PropertiesChanged":
            self.show(arguments.unpack()[1])

    def show(self, changed):
        if "BytesTotal" in changed and changed["BytesTotal"] > 0:
            print(f"{changed['Progress']:.0%} of {changed['BytesTotal'] / 2**20:.1f} MiB, "
                  f"{changed['Rate'] / 2**20:.0f} MiB/s", flush=True)
        if changed.get("State") in ENDED:
            self.outcome = changed["State"]
            print(self.outcome, changed.get("ErrorMessage", ""), flush=True)
            self.loop.quit()

    def cancel(self):
        self.call(self.job, f"{NAME}.Job", "Cancel", GLib.Variant("(a{sv})", ({},)))
        return GLib.SOURCE_CONTINUE


def main():
    names = [word for word in sys.argv[1:] if word != "--user"]
    if len(names) != 3:
        sys.exit(__doc__.rsplit("\n", 2)[1])
    kind = Gio.BusType.SESSION if "--user" in sys.argv[1:] else Gio.BusType.SYSTEM
    loop = GLib.MainLoop()
    try:
        clone = Clone(Gio.bus_get_sync(kind), loop)
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, clone.cancel)
        clone.begin(*names)
    except GLib.Error as error:
        sys.exit(error.message)
    if clone.outcome is None:
        loop.run()
    return 0 if clone.outcome == "succeeded" else 1


if __name__ == "__main__":
    sys.exit(main())
