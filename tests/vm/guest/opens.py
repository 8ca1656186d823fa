# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts how often a file is opened, without slowing down those who open it."""

import ctypes
import os
import struct

IN_CLOSE_NOWRITE, IN_OPEN = 0x10, 0x20
EVENT = struct.Struct("iIII")


class Opens:
    """How often a file is opened (or executed) from now on, by anybody."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        # Closing as well: the same event twice in a row counts once.
        if libc.inotify_add_watch(self._fd, os.fsencode(path), IN_OPEN | IN_CLOSE_NOWRITE) < 0:
            raise OSError(ctypes.get_errno(), "inotify", str(path))
        self._n = 0

    def count(self):
        try:
            while data := os.read(self._fd, 65536):
                self._n += sum(bool(mask & IN_OPEN) for _, mask, _, _ in EVENT.iter_unpack(data))
        except BlockingIOError:
            return self._n
        return self._n

    def close(self):
        os.close(self._fd)
