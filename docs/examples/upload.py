#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Uploads a file into a volume, or makes a new volume of it, by handing storaged the open file.

The service reads the file itself: nothing is copied through the bus, and the caller needs no right to the pool's folder.
Needs the Debian package python3-gi and nothing else. Usage: upload.py [--user] POOL VOLUME FILE
"""

import sys

from gi.repository import Gio, GLib

NAME = "org.example.Storage1"
ROOT = "/org/example/Storage1"


def call(bus, path, interface, method, arguments, descriptor=None):
    """Calls a method and returns its results as Python values."""
    descriptors = None
    if descriptor is not None:
        descriptors = Gio.UnixFDList()
        descriptors.append(descriptor)
    # The reply may take as long as the job does, unless the option wait says otherwise.
    reply, _ = bus.call_with_unix_fd_list_sync(NAME, path, f"{NAME}.{interface}", method, arguments, None,
                                               Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION, GLib.MAXINT,
                                               descriptors, None)
    return reply.unpack()


def begin(bus, pool_name, name, file):
    """Begins the upload; the path of its job."""
    (pool,) = call(bus, ROOT, "Manager", "GetPoolByName", GLib.Variant("(s)", (pool_name,)))
    # wait 0: the job is answered at once, to be followed.
    options = {"sha256": GLib.Variant("b", True), "sparse": GLib.Variant("b", True), "wait": GLib.Variant("t", 0)}
    try:
        (volume,) = call(bus, pool, "Pool", "GetVolume", GLib.Variant("(s)", (name,)))
    except GLib.Error as error:
        if Gio.DBusError.get_remote_error(error) != f"{NAME}.Error.NotFound":
            raise
        # In the arguments a descriptor is its index in the list that is sent along.
        _volume, _result, job = call(bus, pool, "Pool", "ImportVolume", GLib.Variant("(sha{sv})", (name, 0, options)),
                                     file.fileno())
        return job
    _result, job = call(bus, volume, "Volume", "Upload", GLib.Variant("(ha{sv})", (0, options)), file.fileno())
    return job


def follow(bus, job):
    """Prints the job's progress to its end; whether it succeeded."""
    loop = GLib.MainLoop()
    proxy = Gio.DBusProxy.new_sync(bus, Gio.DBusProxyFlags.NONE, None, NAME, job, f"{NAME}.Job", None)

    def look(*_):
        state, progress = (proxy.get_cached_property(name).unpack() for name in ("State", "Progress"))
        print(f"{state}: {progress:.0%}")
        if state in ("succeeded", "failed", "cancelled"):
            loop.quit()
            return False
        return True
    proxy.connect("g-properties-changed", look)
    if look():
        loop.run()
    if proxy.get_cached_property("State").unpack() != "succeeded":
        print(proxy.get_cached_property("ErrorMessage").unpack(), file=sys.stderr)
        return False
    result = proxy.get_cached_property("Result").unpack()
    print(f"{result['bytes']} bytes, SHA-256 {result['sha256']}")
    return True


def main():
    arguments = [a for a in sys.argv[1:] if a != "--user"]
    if len(arguments) != 3:
        sys.exit(__doc__)
    bus = Gio.bus_get_sync(Gio.BusType.SESSION if "--user" in sys.argv[1:] else Gio.BusType.SYSTEM, None)
    pool, name, path = arguments
    try:
        with open(path, "rb") as file:
            job = begin(bus, pool, name, file)
        sys.exit(0 if follow(bus, job) else 1)
    except (GLib.Error, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
