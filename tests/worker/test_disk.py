# SPDX-License-Identifier: LGPL-2.1-or-later
"""Partition tables of which only a part gets written: what the loss of power leaves, or a disk that goes away."""

import os
import shutil
import subprocess

import pytest
from gi.repository import GLib
from worker_client import Worker, WorkerError

MIB = 1 << 20
SIZE = 16 * MIB
# So small that wiping what is in its place takes few writes.
SMALL = 64 << 10
XML = ("<pool type='disk'><name>d</name><source><device path='{}'/><format type='{}'/></source>"
       "<target><path>/dev</path></target></pool>")
MOST_WRITES = 60
# So many writes zero the first and the last MiB before a table is made.
WIPING = 32


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture
def disk(tmp_path):
    """A loop device on tmp_path/disk."""
    if os.geteuid() != 0 or not shutil.which("strace"):
        pytest.skip("takes root and strace")
    path = tmp_path / "disk"
    path.write_bytes(bytes(SIZE))
    try:
        device = run("losetup", "--partscan", "--show", "--find", str(path)).strip()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop devices here: {error.stderr}")
    yield device
    forget(device)
    run("losetup", "--detach", device)


def forget(disk):
    """The kernel's partitions: no kernel reads a loop device's table by itself."""
    subprocess.run(["partx", "--delete", disk], capture_output=True, timeout=30, check=False)


def write_whole(disk, contents):
    forget(disk)
    with open(disk, "r+b", buffering=0) as device:
        device.write(contents)
        os.fsync(device.fileno())


def read_whole(disk):
    with open(disk, "rb") as device:
        return device.read()


def parted(contents, path):
    """{number: (start, end)} as parted reads them from such a disk."""
    path.write_bytes(contents)
    lines = run("parted", "--script", "--machine", str(path), "unit", "B", "print").splitlines()[2:]
    rows = [line.rstrip(";").split(":") for line in lines]
    return {int(r[0]): (int(r[1][:-1]), int(r[2][:-1]) + 1) for r in rows}


class Disk(Worker):
    """A worker of a disk pool. Of its writes only the first so many reach the disk, if a number is given."""

    def __init__(self, disk, table, writes=None):
        super().__init__("pool")
        self.disk = disk
        self.name = os.path.basename(disk) + "p"
        self.tracer = None
        self.call("SetPool", "(sa{sv})", XML.format(disk, table), {})
        if writes is not None:
            self.limit(writes)

    def limit(self, writes):
        self.tracer = subprocess.Popen(
            ["strace", "-qq", "-o", "/dev/null", "-P", self.disk, "-e", "trace=pwrite64", "-e",
             f"inject=pwrite64:error=EIO:when={writes + 1}+", "-p", str(self.process.pid)])
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            def traced():
                status.seek(0)
                return "TracerPid:\t0\n" not in status.read()
            self.wait(traced)

    def build(self):
        self.call("Build", "(a{sv})", {"overwrite": GLib.Variant("b", True)})

    def start(self):
        self.call("Start", "(a{sv})", {})
        self.call("Refresh")
        assert self.status[3] == "ok", self.status

    def make(self, number, size=SMALL, fmt="linux"):
        xml = (f"<volume><name>{self.name}{number}</name><capacity>{size}</capacity><target><format type='{fmt}'/>"
               "</target></volume>")
        self.call("CreateVolume", "(sa{sv})", xml, {})

    def numbers(self):
        return {int(name.removeprefix(self.name)) for name in self.rows}

    def end(self):
        self.kill()
        if self.tracer:
            self.tracer.wait(10)


def attempt(call, *args):
    """Whether all of its writes were made."""
    try:
        call(*args)
    except WorkerError as error:
        assert error.name in ("Failed", "Inaccessible") and "/dev/loop" in error.message, error
        return False
    return True


@pytest.mark.parametrize("table", ["gpt", "dos", "mac"])
def test_a_partition_is_made_by_halves(started, disk, tmp_path, table):
    """At each write: the partitions that were there are whole, and the new one is or is not."""
    worker = started(Disk, disk, table)
    worker.build()
    worker.start()
    if table == "dos":
        worker.make(1, 8 * MIB, "extended")
    first = {"gpt": 1, "dos": 5, "mac": 2}[table]
    for number in (first, first + 1):
        worker.make(number)
    before, places = read_whole(disk), parted(read_whole(disk), tmp_path / "copy")
    new, kept = first + 2, {first, first + 1, *([1] if table == "dos" else [])}
    for writes in range(MOST_WRITES):
        write_whole(disk, before)
        worker = started(Disk, disk, table, writes)
        worker.call("Start", "(a{sv})", {})
        done = attempt(worker.make, new)
        worker.end()
        forget(disk)
        found = parted(read_whole(disk), tmp_path / "copy")
        assert {n: found.get(n) for n in places} == places and set(found) - set(places) <= {new}, writes
        worker = started(Disk, disk, table)
        worker.start()
        shown = worker.numbers()
        assert shown - {new} == kept and (new in shown or not done), writes
        worker.make(new + 1 if new in shown else new)
        assert {n: place for n, place in parted(read_whole(disk), tmp_path / "copy").items() if n in places} == places
        worker.end()
        if done:
            break
    assert done and writes > 2


def test_a_table_is_made_by_halves(started, disk):
    """At each write: there is none, and that is told, or there is the new one; then it can be built."""
    for writes in (0, *range(WIPING - 2, MOST_WRITES)):
        worker = started(Disk, disk, "gpt", writes)
        done = attempt(worker.build)
        worker.end()
        forget(disk)
        worker = started(Disk, disk, "gpt")
        if attempt(worker.start):
            assert worker.numbers() == set()
        else:
            assert not done
            worker.build()
            worker.start()
        worker.make(1)
        worker.end()
        if done:
            break
    assert done and writes > WIPING + 1


def test_a_change_of_size_that_others_change(started, disk, tmp_path):
    """What was meant for the size that it had is not done to the one that somebody else gave it meanwhile."""
    def resize(capacity, start, **options):
        packed = {key: GLib.Variant("t" if key == "from" else "b", value) for key, value in options.items()}
        worker.call("ResizeVolume", "(sta{sv})", worker.name + "1", capacity, {**packed, "start": GLib.Variant("t", start)})

    def size():
        """As it is on the disk, and as the kernel knows it."""
        begin, end = parted(read_whole(disk), tmp_path / "copy")[1]
        assert int(run("blockdev", "--getsize64", f"{disk}p1")) == end - begin
        return end - begin

    worker = started(Disk, disk, "gpt")
    worker.build()
    worker.start()
    worker.make(1, 2 * MIB)
    start = parted(read_whole(disk), tmp_path / "copy")[1][0]
    resize(3 * MIB, start, **{"from": 2 * MIB})
    assert size() == 3 * MIB
    run("parted", "--script", disk, "unit", "B", "resizepart", "1", str(start + 6 * MIB - 1))
    for wanted in ({"capacity": 4 * MIB}, {"capacity": 2 * MIB, "shrink": True}, {"capacity": 7 * MIB}):
        with pytest.raises(WorkerError) as error:
            resize(start=start, **wanted, **{"from": 3 * MIB})
        assert error.value.name == "Busy" and "meanwhile" in error.value.message
        assert size() == 6 * MIB, wanted
    # It has it already, or nobody cares what it had.
    resize(6 * MIB, start, **{"from": 3 * MIB})
    resize(7 * MIB, start)
    assert size() == 7 * MIB
    resize(5 * MIB, start, shrink=True, **{"from": 7 * MIB})
    assert size() == 5 * MIB


@pytest.mark.parametrize("table", ["dvh", "pc98", "sun"])
def test_tables_of_other_sectors_are_refused(started, tmp_path, table):
    """libparted writes in them where on the disk nobody else would look: the contents stay."""
    if os.geteuid() != 0:
        pytest.skip("takes root")
    path = tmp_path / "disk"
    path.write_bytes(os.urandom(SIZE))
    device = run("losetup", "--sector-size", "4096", "--show", "--find", str(path)).strip()
    try:
        before = read_whole(device)
        worker = started(Disk, device, table)
        with pytest.raises(WorkerError, match="4096 bytes"):
            worker.build()
        assert read_whole(device) == before
        worker = started(Disk, device, "gpt")
        worker.build()
        worker.start()
        worker.make(1)
        worker.end()
    finally:
        forget(device)
        run("losetup", "--detach", device)


def test_a_partition_that_begins_where_the_disk_does(started, disk, tmp_path):
    """What is in it is not on the disk as a whole."""
    run("parted", "--script", disk, "mklabel", "sun")
    subprocess.run(["sfdisk", "--quiet", "--force", "--append", "--no-reread", disk], input="0,8192,83\n", text=True,
                   check=True, timeout=30)
    image = tmp_path / "image"
    image.write_bytes(bytes(4 * MIB))
    run("mke2fs", "-q", "-F", str(image))
    with open(disk, "r+b", buffering=0) as device:
        device.seek(512)
        device.write(image.read_bytes()[512:])
    assert "ext2" in run("blkid", "-p", disk) and "sun" in run("blkid", "-p", disk)
    worker = started(Disk, disk, "sun")
    worker.start()
    assert worker.numbers() == {1}
    worker.make(2)
    assert set(parted(read_whole(disk), tmp_path / "copy")) == {1, 2} and "ext2" in run("blkid", "-p", disk)
