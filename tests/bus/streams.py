# SPDX-License-Identifier: LGPL-2.1-or-later
"""Descriptors of clients, of all the kinds that there are, and the bytes that go through them."""

import hashlib
import os
import random
import socket
import threading

from client import MIB

SOURCES = ["file", "memfd", "pipe", "socket"]


def content(n, seed=1):
    return random.Random(seed).randbytes(n)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    os.close(fd)


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


class Source:
    """A descriptor of some kind from which data can be read."""

    def __init__(self, kind, data, tmp):
        self.thread = None
        if kind == "file":
            self.fd = os.open(f"{tmp}/source", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        elif kind == "memfd":
            self.fd = os.memfd_create("source")
        if kind in ("file", "memfd"):
            os.pwrite(self.fd, data, 0)
            return
        if kind == "pipe":
            self.fd, feed = os.pipe()
        else:
            ours, theirs = socket.socketpair()
            self.fd, feed = ours.detach(), theirs.detach()
        self.thread = in_thread(write_all, feed, data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        if self.thread:
            self.thread.join(30)


class Sink:
    """A descriptor of some kind, and what was written to it."""

    def __init__(self, kind, tmp):
        self.kind, self.thread, self.got = kind, None, b""
        if kind == "file":
            self.fd = os.open(f"{tmp}/sink", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        elif kind == "memfd":
            self.fd = os.memfd_create("sink")
        elif kind == "pipe":
            drain, self.fd = os.pipe()
        else:
            ours, theirs = socket.socketpair()
            self.fd, drain = ours.detach(), theirs.detach()
        if kind in ("pipe", "socket"):
            self.thread = in_thread(self.read_all, drain)

    def read_all(self, fd):
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        os.close(fd)
        self.got = b"".join(parts)

    def data(self):
        if self.thread:
            os.close(self.fd)
            self.thread.join(30)
            assert not self.thread.is_alive(), "the service keeps the descriptor"
            return self.got
        with os.fdopen(self.fd, "rb") as f:
            f.seek(0)
            return f.read()


def make_raw(service, pool, name="v", size=MIB):
    return service.make_volume(pool, name, size)


def read_file(path):
    with open(path, "rb") as f:
        return f.read()
