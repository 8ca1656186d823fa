# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plugs disks into the running machine, for tests whose header asks for `hotplug: SLOTS`.

QEMU's monitor (QMP) is at the other end of a port of the guest.
"""

import json
import os
import select
import time
from pathlib import Path

PORT = "/dev/virtio-ports/qmp"
TIMEOUT = 30


class QmpError(Exception):
    """QEMU refused a command, or did not answer in time."""


class Monitor:
    """A connection to QEMU's monitor; one at a time."""

    def __init__(self):
        self._port = os.open(PORT, os.O_RDWR | os.O_NONBLOCK)
        self._data = b""
        self.events = []
        # QEMU's greeting was sent once, to the first who looked: no answer can be told from it by now.
        self._send({"execute": "qmp_capabilities", "id": "hello"})
        self._answer("hello", refused_is_fine=True)

    def close(self):
        os.close(self._port)

    def __enter__(self):
        return self

    def __exit__(self, *_args):
        self.close()

    def execute(self, command, **arguments):
        """Runs a command of QMP and gives what it returns."""
        self._send({"execute": command, "arguments": arguments, "id": command})
        return self._answer(command)

    def wait_event(self, name, timeout=TIMEOUT, **data):
        """Waits for an event that has these data, takes it out of .events and gives it."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event["event"] == name and data.items() <= event["data"].items():
                    self.events.remove(event)
                    return event
            self._receive(deadline, f"event {name}")

    def plug_disk(self, name, size, slot=0):
        """Plugs in a virtio disk of `size` bytes and gives its device node once udev made it.

        It is a fresh one, or the one that was unplugged with keep or was there when the power was cut.
        """
        with open(f"/srv/out/{name}", "ab") as backing:
            backing.truncate(size)
        self.execute("blockdev-add", driver="raw", **{"node-name": name}, file={
            "driver": "file", "filename": f"{os.environ['STORAGED_VM_OUT']}/{name}"})
        self.execute("device_add", driver="virtio-blk-pci", id=name, drive=name, serial=name,
                     bus=f"slot{slot}")
        link = Path(f"/dev/disk/by-id/virtio-{name}")
        wait_until(link.exists, f"{link} to appear")
        return str(link.resolve())

    def slow_down(self, name, writes):
        """A disk that was plugged in takes so many writes a second from now on."""
        self.execute("block_set_io_throttle", id=f"/machine/peripheral/{name}/virtio-backend", bps=0, bps_rd=0,
                     bps_wr=0, iops=0, iops_rd=0, iops_wr=writes)

    def unplug_disk(self, name, keep=False):
        """Unplugs a disk, and waits until the guest has let go of it. What is on it may be kept for plug_disk()."""
        self.execute("device_del", id=name)
        self.wait_event("DEVICE_DELETED", device=name)
        self.execute("blockdev-del", **{"node-name": name})
        if not keep:
            os.unlink(f"/srv/out/{name}")

    def plug_drive(self, name, slot=0):
        """Plugs in a drive for CDs, without one, and gives its device node."""
        self.execute("device_add", driver="virtio-scsi-pci", id=f"{name}-bus", bus=f"slot{slot}")
        self.execute("device_add", driver="scsi-cd", id=name, bus=f"{name}-bus.0", serial=name)
        folder = Path("/dev/disk/by-id")
        wait_until(lambda: any(folder.glob(f"*{name}")), f"the drive {name} to appear")
        return str(next(folder.glob(f"*{name}")).resolve())

    def insert(self, name, iso):
        """Puts the file of that name in /srv/out into a drive."""
        self.execute("blockdev-add", driver="raw", **{"node-name": iso, "read-only": True}, file={
            "driver": "file", "filename": f"{os.environ['STORAGED_VM_OUT']}/{iso}"})
        self.execute("blockdev-open-tray", id=name, force=True)
        self.execute("blockdev-insert-medium", id=name, **{"node-name": iso})
        self.execute("blockdev-close-tray", id=name)

    def eject(self, name, iso):
        """Takes it out again, whether the machine has locked the tray or not."""
        self.execute("blockdev-open-tray", id=name, force=True)
        self.execute("blockdev-remove-medium", id=name)
        self.execute("blockdev-del", **{"node-name": iso})

    def unplug_drive(self, name):
        self.execute("device_del", id=f"{name}-bus")
        self.wait_event("DEVICE_DELETED", device=f"{name}-bus")

    def _send(self, message):
        data = json.dumps(message).encode() + b"\r\n"
        while data:
            data = data[os.write(self._port, data):]

    def _answer(self, identity, refused_is_fine=False):
        deadline = time.monotonic() + TIMEOUT
        while True:
            message = self._receive(deadline, f"answer to {identity}")
            if message.get("id") != identity:
                continue
            if "error" in message and not refused_is_fine:
                raise QmpError(f"{identity}: {message['error']['desc']}")
            return message.get("return")

    def _receive(self, deadline, what):
        """The next message; an event is kept in .events as well."""
        while b"\n" not in self._data:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._port], [], [], left)[0]:
                raise QmpError(f"no {what} in time")
            self._data += os.read(self._port, 65536)
        line, _, self._data = self._data.partition(b"\n")
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
        return message


def wait_until(condition, what, timeout=TIMEOUT):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise QmpError(f"waited in vain for {what}")
        time.sleep(0.02)
