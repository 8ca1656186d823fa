# SPDX-License-Identifier: LGPL-2.1-or-later
"""A FUSE file system of one file, "file", by the kernel's own protocol (linux/fuse.h): to try what users can do to
those who read from their files. Run as a program it serves /dev/fuse's descriptor 0 to its end."""

import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH, INIT, INTERRUPT, BATCH_FORGET = (
    1, 2, 3, 14, 15, 16, 18, 20, 25, 26, 36, 42)
NO_ANSWER = (FORGET, INTERRUPT, BATCH_FORGET)
FOPEN_DIRECT_IO = 1
UNSYNCED = b"a file that begins so cannot be synced"


def attributes(node, size):
    mode, node_size = (stat.S_IFDIR | 0o755, 0) if node == 1 else (stat.S_IFREG | 0o644, size)
    return struct.pack("<6Q10I", node, node_size, (node_size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def note(op, body, log):
    """What is asked of the contents, one a line: what it is, where, and what is written."""
    if op in (READ, WRITE):
        at, length = struct.unpack_from("<QI", body, 8)
        word, more = ("write", body[40:40 + length].hex()) if op == WRITE else ("read", str(length))
        log.write(f"{word} {at} {more}\n")
    elif op == FSYNC:
        log.write("fsync 0 -\n")
    log.flush()


def answer(op, node, body, data, hang):
    """The answer's body, an errno, or None for no answer."""
    size = len(data)
    if op == INIT:
        return struct.pack("<4I2H9I", 7, 31, 0, 0, 0, 0, 1 << 16, *[0] * 8)
    if op == LOOKUP:
        return struct.pack("<4Q2I", 2, 0, 1, 1, 0, 0) + attributes(2, size) if body == b"file\0" else errno.ENOENT
    if op == GETATTR:
        return struct.pack("<Q2I", 1, 0, 0) + attributes(node, size)
    if op == OPEN:
        return struct.pack("<Q2I", 1, FOPEN_DIRECT_IO, 0)
    if op == READ:
        at, length = struct.unpack_from("<QI", body, 8)
        return None if hang and at + length > size // 2 else bytes(data[at:at + length])
    if op == WRITE:
        at, length = struct.unpack_from("<QI", body, 8)
        data[at:at + length] = body[40:40 + length]
        return struct.pack("<2I", length, 0)
    if op == FSYNC and data.startswith(UNSYNCED):
        return errno.EIO
    return b"" if op in (FSYNC, FLUSH, RELEASE) else errno.ENOSYS


def serve(data, hang, log):
    while True:
        try:
            request = os.read(0, 1 << 18)
        except OSError as e:
            if e.errno == errno.ENODEV:
                return
            raise
        length, op, unique, node = struct.unpack_from("<2I2Q", request)
        if op in NO_ANSWER:
            continue
        if log:
            note(op, request[40:length], log)
        body = answer(op, node, request[40:length], data, hang)
        if body is None:
            continue
        error, body = (-body, b"") if isinstance(body, int) else (0, body)
        os.write(0, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


class FuseFile:
    """Mounted at folder: a file, first of zeros, whose second half, with hang, is never given. It has no holes. What is
    done to it is written to the file log, if there is one: see note()."""

    def __init__(self, folder, size, hang=False, log=""):
        self.folder = str(folder)
        self.path = self.folder + "/file"
        fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"test", self.folder.encode(), b"fuse", 0, options) != 0:
            os.close(fd)
            raise OSError(ctypes.get_errno(), "cannot mount a FUSE file system")
        self.process = subprocess.Popen([sys.executable, __file__, str(size), str(int(hang)), str(log)], stdin=fd)
        os.close(fd)

    def close(self):
        self.process.kill()
        self.process.wait()
        subprocess.run(["umount", "-l", self.folder], check=False)


if __name__ == "__main__":
    with open(sys.argv[3] or os.devnull, "w", encoding="ascii") as file:
        serve(bytearray(int(sys.argv[1])), sys.argv[2] == "1", file if sys.argv[3] else None)
