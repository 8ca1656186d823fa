# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every operation that writes data, as test_data_matrix.py sees it, which cuts it off: what it starts from, how it is
asked for, and what may be there afterwards."""

import os
import subprocess
import tempfile
import threading
import time

from gi.repository import GLib

import images
from client import MIB, error_name
from harness import wait_until
from images import qemu_img

OLD, NEW, MARKED = "old", "new", "marked"


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def look(*arguments):
    """qemu-img, once those that were killed have let go of the image."""
    def run():
        done = qemu_img(*arguments, check=False)
        return None if "lock" in done.stderr else done
    done = wait_until(run, what="an image to be let go of")
    assert done.returncode == 0, (arguments, done.stderr)


def guest_sees(path, kind):
    """What a guest would read of it."""
    if kind == "raw":
        return read(path)
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as raw:
        look("convert", "-f", kind, "-O", "raw", path, raw.name)
        return raw.read()


class Place:
    """Where it happens: a pool over a folder, and a folder outside."""

    def __init__(self, world, service, folder):
        self.world, self.service, self.folder = world, service, folder
        self.outside = world.folder()
        self.pool = service.make_pool("matrix", folder)

    def reconnect(self, daemon):
        """After the service was gone."""
        self.service.connection.close_sync(None)  # a bus lets one user have some 250
        self.service = self.world.client(daemon)
        self.pool = self.service.pool(self.pool.path)

    def volume(self, name):
        return self.service.wait_volume(self.pool, name)

    def names(self):
        """Of the volumes that are shown, and what there is in the folder."""
        return sorted(row[1] for row in self.pool.ListVolumes()[0]), sorted(os.listdir(self.folder))


class Operation:
    """One of them. Each prepare() begins anew, under names that were not there before."""

    number = 0
    needs_space = True  # on a full disk it fails

    def __init__(self, rng, size):
        self.rng, self.size = rng, size
        self.data = rng.randbytes(size)

    def next_number(self):
        Operation.number += 1
        return Operation.number

    def source(self, place, kind="raw", data=None):
        """A volume with such data; its name."""
        name = f"{kind}-{self.next_number()}"
        raw = f"{place.outside}/{name}"
        write(raw, self.data if data is None else data)
        if kind == "raw":
            subprocess.run(["mv", raw, f"{place.folder}/{name}"], check=True)
        else:
            qemu_img("convert", "-f", "raw", "-O", kind, raw, f"{place.folder}/{name}")
            os.unlink(raw)
        place.volume(name)
        return name


class Makes(Operation):
    """It makes a volume, which is there and whole, or not there at all."""

    kind = "raw"

    def prepare(self, place):
        self.made = f"made-{self.next_number()}"

    def start(self, place, **options):
        raise NotImplementedError

    def contents(self):
        return self.data

    def state(self, place):
        shown, there = place.names()
        assert (self.made in shown) == (self.made in there), (shown, there)
        if self.made not in there:
            return OLD
        path = f"{place.folder}/{self.made}"
        if self.kind != "raw":
            look("check", "-q", "-f", self.kind, path)
        assert guest_sees(path, self.kind) == self.contents(), f"{self.made} is not whole"
        assert place.volume(self.made).get("Problem") == ""
        return NEW

    def clean(self, place):
        remove(place, self.made)


def remove(place, *names):
    for name in names:
        if os.path.exists(f"{place.folder}/{name}"):
            os.unlink(f"{place.folder}/{name}")
    wait_until(lambda: not set(names) & set(place.names()[0]), what=f"the end of {names}")


class Create(Makes):
    """In full: zeros are written."""

    def contents(self):
        return bytes(self.size)

    def start(self, place, **options):
        return place.pool.start("CreateVolume", self.made, self.size, {"preallocation": "full", "format": self.kind,
                                                                          **options})


class CreateImage(Create):
    kind = "qcow2"


class Clone(Makes):
    """Of a raw file into a raw one."""

    source_kind = "raw"

    def prepare(self, place):
        super().prepare(place)
        self.source_name = self.source(place, self.source_kind)

    def start(self, place, **options):
        return place.pool.start("CloneVolume", place.volume(self.source_name).path, self.made,
                                {"format": self.kind, "reflink": "never", **options})

    def clean(self, place):
        super().clean(place)
        assert guest_sees(f"{place.folder}/{self.source_name}", self.source_kind) == self.data
        remove(place, self.source_name)


class CloneToImage(Clone):
    kind = "qcow2"


class CloneFromImage(Clone):
    source_kind = "qcow2"


class Import(Makes):
    def start(self, place, **options):
        write(f"{place.outside}/import", self.data)
        fd = os.open(f"{place.outside}/import", os.O_RDONLY)
        try:
            return place.pool.start("ImportVolume", self.made, 0, options, fds=[fd])
        finally:
            os.close(fd)


class Changes(Operation):
    """It changes a volume in place: that is as before, or as it should be, or says that it is incomplete."""

    kind = "raw"

    def prepare(self, place):
        self.name = self.source(place, self.kind)

    def contents(self):
        """What should be there."""
        raise NotImplementedError

    def state(self, place):
        volume = place.volume(self.name)
        if "incomplete" in volume.get("Problem"):
            return MARKED
        seen = guest_sees(f"{place.folder}/{self.name}", self.kind)
        if seen == self.contents():
            return NEW
        assert seen == self.data, f"{self.name} is neither old nor new"
        return OLD

    def clean(self, place):
        remove(place, self.name)


class Upload(Changes):
    """Into a file that takes no space yet."""

    def prepare(self, place):
        write(f"{place.outside}/upload", self.contents())
        self.data = bytes(self.size)
        self.name = f"upload-{self.next_number()}"
        with open(f"{place.folder}/{self.name}", "wb") as f:
            f.truncate(self.size)
        place.volume(self.name)

    def contents(self):
        return bytes([7]) * self.size

    def start(self, place, **options):
        fd = os.open(f"{place.outside}/upload", os.O_RDONLY)
        try:
            return place.volume(self.name).start("Upload", 0, options, fds=[fd])
        finally:
            os.close(fd)


def pipe_with(data):
    """Its end to read from, and data comes out of it as long as somebody reads; not so fast that whoever cuts it off
    never finds it half done."""
    ours, theirs = os.pipe()

    def feed():
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(theirs, view[:len(data) // 128]):]
                time.sleep(0.001)
        except BrokenPipeError:
            pass
        os.close(theirs)
    threading.Thread(target=feed, daemon=True).start()
    return ours


class UploadFromPipe(Upload):
    def start(self, place, **options):
        fd = pipe_with(self.contents())
        try:
            return place.volume(self.name).start("Upload", 0, {"length": self.size, "sha256": True, **options},
                                                 fds=[fd])
        finally:
            os.close(fd)


class ImportFromPipe(Makes):
    def start(self, place, **options):
        fd = pipe_with(self.data)
        try:
            return place.pool.start("ImportVolume", self.made, 0, {"length": self.size, "sha256": True, **options},
                                    fds=[fd])
        finally:
            os.close(fd)


class Wipe(Changes):
    needs_space = False  # it gives space back

    def contents(self):
        return bytes(self.size)

    def start(self, place, **options):
        return place.volume(self.name).start("Wipe", options)


class Overwrite(Wipe):
    """In passes, of a file that takes no space yet."""

    needs_space = True

    def prepare(self, place):
        self.data = bytes(self.size)
        self.name = f"wipe-{self.next_number()}"
        with open(f"{place.folder}/{self.name}", "wb") as f:
            f.truncate(self.size)
        place.volume(self.name)

    def contents(self):
        return bytes([255]) * self.size  # the last pass of it

    def start(self, place, **options):
        return place.volume(self.name).start("Wipe", {"algorithm": "dod", **options})


class Allocate(Changes):
    """Growth, and the space for it: what was there stays, whatever happens."""

    def start(self, place, **options):
        return place.volume(self.name).start("Resize", 2 * self.size, {"allocate": True, **options})

    def contents(self):
        return self.data + bytes(self.size)

    def state(self, place):
        state = super().state(place)
        stat = os.stat(f"{place.folder}/{self.name}")
        assert state == OLD or stat.st_blocks * 512 >= stat.st_size
        return state


class Revert(Changes):
    """To a snapshot in a qcow2 image; the data came later."""

    kind = "qcow2"
    needs_space = False

    def prepare(self, place):
        self.name = f"snapshot-{self.next_number()}"
        path = f"{place.folder}/{self.name}"
        images.make(path, self.size)
        images.write(path, 1, 0, self.size)
        qemu_img("snapshot", "-c", "s", path)
        images.write(path, 2, 0, self.size)
        self.data = bytes([2]) * self.size
        wait_until(lambda: place.volume(self.name).get("Format") == "qcow2", what="an image")

    def contents(self):
        return bytes([1]) * self.size

    def start(self, place, **options):
        snapshots = place.service.proxy(place.volume(self.name).path, "Volume.Snapshots")
        return snapshots.start("RevertSnapshot", "s", options)

    def state(self, place):
        state = super().state(place)
        if state != MARKED:
            look("check", "-q", "-f", "qcow2", f"{place.folder}/{self.name}")
        return state


class Flatten(Changes):
    """What a guest sees is the same all the time."""

    kind = "qcow2"

    def make_base(self, place):
        return self.source(place, "qcow2")

    def prepare(self, place):
        self.base = self.make_base(place)
        self.name = f"overlay-{self.next_number()}"
        images.make(f"{place.folder}/{self.name}", self.size, backing_file=self.base, backing_fmt="qcow2")
        wait_until(lambda: place.volume(self.name).get("Backing") != "/", what="an overlay")

    def start(self, place, **options):
        return place.volume(self.name).start("Flatten", options)

    def contents(self):
        return self.data

    def state(self, place):
        assert super().state(place) == NEW, "the contents stay"
        look("check", "-q", "-f", "qcow2", f"{place.folder}/{self.name}")
        return NEW if place.volume(self.name).get("BackingPath") == "" else OLD

    def clean(self, place):
        remove(place, self.name, self.base)


class Rebase(Flatten):
    """From one backing volume to another: what differs is copied."""

    def prepare(self, place):
        super().prepare(place)
        self.other = f"other-{self.next_number()}"
        images.make(f"{place.folder}/{self.other}", self.size)
        place.volume(self.other)

    def start(self, place, **options):
        return place.volume(self.name).start("Rebase", place.volume(self.other).path, options)

    def state(self, place):
        super().state(place)
        return NEW if place.volume(self.name).get("BackingPath").endswith(self.other) else OLD

    def clean(self, place):
        super().clean(place)
        remove(place, self.other)


class Commit(Flatten):
    """The backing volume, which is empty, is written to: it may be incomplete, the overlay may not."""

    def make_base(self, place):
        self.data = bytes(self.size)
        name = f"base-{self.next_number()}"
        images.make(f"{place.folder}/{name}", self.size)
        place.volume(name)
        return name

    def prepare(self, place):
        super().prepare(place)
        images.write(f"{place.folder}/{self.name}", 9, 0, self.size)
        place.volume(self.name)

    def start(self, place, **options):
        return place.volume(self.name).start("Commit", options)

    def state(self, place):
        committed = bytes([9]) * self.size
        assert guest_sees(f"{place.folder}/{self.name}", "qcow2") == committed, "the overlay is whole"
        assert place.volume(self.name).get("Problem") == ""
        if "incomplete" in place.volume(self.base).get("Problem"):
            return MARKED
        seen = guest_sees(f"{place.folder}/{self.base}", "qcow2")
        assert seen in (committed, self.data), f"{self.base} is neither old nor new"
        return NEW if seen == committed else OLD


OPERATIONS = [Create, CreateImage, Clone, CloneToImage, CloneFromImage, Import, ImportFromPipe, Upload,
              UploadFromPipe, Wipe, Overwrite, Allocate, Revert, Flatten, Rebase, Commit]


def was_refused(error, *names):
    return error is not None and error_name(error).rsplit(".", 1)[1] in names


def told(error):
    return error.message if isinstance(error, GLib.Error) else error


# For what is killed, and for what is cancelled.
SMALL, LARGE = 8 * MIB, 32 * MIB
