# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt through one open connection, as storaged is measured: a virsh for each call would be slower by its start."""

import ctypes

URI = b"storage:///system"

POINTERS = ("virConnectOpen", "virStoragePoolDefineXML", "virStoragePoolLookupByName", "virStorageVolCreateXML",
            "virStorageVolLookupByName")


class LibvirtError(Exception):
    """A call failed; the message is libvirt's."""


class Calls:
    """The calls that are measured. Pools and volumes are libvirt's own pointers."""

    def __init__(self):
        self._lib = ctypes.CDLL("libvirt.so.0")
        for name in POINTERS:
            getattr(self._lib, name).restype = ctypes.c_void_p
        self._lib.virGetLastErrorMessage.restype = ctypes.c_char_p
        self._connection = self._pointer("virConnectOpen", URI)

    def _failed(self, name):
        raise LibvirtError(f"{name}: {self._lib.virGetLastErrorMessage().decode()}")

    def _pointer(self, name, *args):
        found = getattr(self._lib, name)(*args)
        if not found:
            self._failed(name)
        return ctypes.c_void_p(found)

    def _number(self, name, *args):
        if getattr(self._lib, name)(*args) < 0:
            self._failed(name)

    def define(self, xml):
        return self._pointer("virStoragePoolDefineXML", self._connection, xml.encode(), ctypes.c_uint(0))

    def start(self, pool):
        self._number("virStoragePoolCreate", pool, ctypes.c_uint(0))

    def stop(self, pool):
        self._number("virStoragePoolDestroy", pool)

    def build(self, pool):
        self._number("virStoragePoolBuild", pool, ctypes.c_uint(0))

    def refresh(self, pool):
        self._number("virStoragePoolRefresh", pool, ctypes.c_uint(0))

    def count(self, pool):
        return self._lib.virStoragePoolNumOfVolumes(pool)

    def create(self, pool, xml):
        return self._pointer("virStorageVolCreateXML", pool, xml.encode(), ctypes.c_uint(0))

    def delete(self, volume):
        """Deletes it, and lets go of the pointer."""
        self._number("virStorageVolDelete", volume, ctypes.c_uint(0))
        self._lib.virStorageVolFree(volume)
