#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Lists the pools and volumes of storaged, then prints what happens to them until Ctrl-C.

Needs the Debian package python3-gi and nothing else. Usage: list-and-watch.py [--user]
"""

import signal
import sys

from gi.repository import Gio, GLib

NAME = "org.example.Storage1"
ROOT = "/org/example/Storage1"


def call(bus, path, interface, method, arguments=None):
    """Calls a method and returns its results as Python values."""
    reply = bus.call_sync(NAME, path, f"{NAME}.{interface}", method, arguments, None,
                          Gio.DBusCallFlags.NONE, 20000, None)
    return reply.unpack()


def volumes(bus, pool):
    """All volumes of a pool, page by page: there may be a hundred thousand."""
    after = ""
    while True:
        options = {"limit": GLib.Variant("u", 1000)}
        if after:
            options["after"] = GLib.Variant("s", after)
        rows, after, _generation = call(bus, pool, "Pool", "ListVolumes", GLib.Variant("(a{sv})", (options,)))
        yield from rows
        if not after:
            return


def show(bus):
    (pools,) = call(bus, ROOT, "Manager", "ListPools", GLib.Variant("(a{sv})", ({},)))
    for path, name, kind, state, _health, _autostart, _persistent, capacity, _allocation, available, _more in pools:
        print(f"pool {name}: {kind}, {state}, {available / 2**30:.1f} of {capacity / 2**30:.1f} GiB available")
        if state != "active":
            continue
        for _path, volume, _key, fmt, size, _allocation, _modified, _more in volumes(bus, path):
            print(f"  {volume}: {fmt}, {size / 2**30:.1f} GiB")


def on_signal(_bus, _sender, path, _interface, signal_name, arguments):
    if signal_name == "InterfacesAdded":
        print("added:", arguments.unpack()[0])
    elif signal_name == "InterfacesRemoved":
        print("removed:", arguments.unpack()[0])
    elif signal_name == "PropertiesChanged":
        changed = arguments.unpack()[1]
        print("changed:", path, ", ".join(f"{key}={value}" for key, value in changed.items()))
    elif signal_name == "Completed":
        success, _error, message, _result = arguments.unpack()
        print("completed:", path, "with success" if success else message)
    sys.stdout.flush()


def main():
    kind = Gio.BusType.SESSION if "--user" in sys.argv[1:] else Gio.BusType.SYSTEM
    bus = Gio.bus_get_sync(kind, None)
    # Watch first, list then: nothing that happens in between is missed.
    bus.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, on_signal)
    show(bus)
    print("Watching; Ctrl-C ends it.")
    sys.stdout.flush()
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGINT, loop.quit)
    loop.run()


if __name__ == "__main__":
    main()
