# SPDX-License-Identifier: LGPL-2.1-or-later
"""CloneVolume: the contents of one volume in another."""

import json
import os
import random
import shutil
import subprocess
import time

import pytest
from gi.repository import GLib

from client import MIB, error_name, iterate, refused
from filesystems import FileSystem
from harness import ON_SYSTEM, ONE_POOL, SLOWNESS, wait_until

SIZE = 6 * MIB
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))


def write_sparse(path, size=SIZE):
    """Data at the beginning, in the middle and at the very end, and holes between them."""
    with open(path, "wb") as f:
        f.truncate(size)
        for at in (0, size // 2 + 4096, size - 65536):
            f.seek(at)
            f.write(os.urandom(65536))


def image(path, kind, size=SIZE, data=0):
    """An image of that format with such contents, which appears in its folder when it is whole."""
    raw = os.path.dirname(os.path.dirname(path)) + "/making"
    made = raw
    write_sparse(raw, size)
    with open(raw, "r+b") as f:
        f.write(os.urandom(data))
    if kind != "raw":
        made = raw + "-" + kind
        subprocess.run(["qemu-img", "convert", "-O", kind, raw, made], check=True)
        os.unlink(raw)
    shutil.move(made, path)


def same(a, kind_a, b, kind_b, strict=False):
    extra = ["-s"] if strict else []
    subprocess.run(["qemu-img", "compare", "-q", *extra, "-f", kind_a, "-F", kind_b, a, b], check=True)


def check(path, kind):
    if kind in ("qcow2", "qed", "vdi", "vmdk"):
        subprocess.run(["qemu-img", "check", "-q", "-f", kind, path], check=True)


WAIT = {"wait": 100_000_000}  # a machine may be busy


def make_clone(pool, source, name, options=None):
    return pool.CloneVolume(source, name, {**WAIT, **(options or {})})


def clone_xml(pool, source, xml):
    return pool.CloneVolumeFromXML(source, xml, WAIT)


@pytest.fixture
def other(service, world):
    return service.make_pool("other", world.folder())


def test_raw_to_raw(service, pool, folder):
    image(folder + "/a", "raw")
    source = service.wait_volume(pool, "a")
    path, job = make_clone(pool, source.path, "b")
    assert job == "/"
    clone = service.volume(path)
    assert (clone.get("Format"), clone.get("Capacity")) == ("raw", SIZE)
    same(folder + "/a", "raw", folder + "/b", "raw", True)
    assert os.stat(folder + "/b").st_blocks * 512 <= 4 * 65536
    assert "clone" in pool.get("Operations")


# On an emulated processor less is enough: the formats are the same everywhere.
KINDS = ["raw", "qcow2"] if ON_SYSTEM else ["raw", "qcow2", "qcow", "qed", "vdi", "vmdk", "vpc"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_formats(service, world, pool, folder, kind):
    image(folder + "/a", kind)
    source = service.wait_volume(pool, "a")
    other = service.make_pool("other", world.tmpfs("256m"))
    for target in KINDS:
        path, _ = make_clone(other, source.path, "to-" + target, {"format": target})
        clone = service.volume(path)
        made = clone.get("Path")
        assert clone.get("Format") == target and clone.get("Capacity") >= SIZE
        same(folder + "/a", kind, made, target)
        check(made, target)
        if target in ("raw", "qcow2"):
            assert os.stat(made).st_blocks * 512 < SIZE // 2, "holes stay holes"


def test_what_is_taken_from_the_source(service, pool, other, folder):
    image(folder + "/a", "qcow2")
    source = service.wait_volume(pool, "a")
    clone = service.volume(make_clone(other, source.path, "same", {"capacity": MIB})[0])
    assert (clone.get("Format"), clone.get("Capacity")) == ("qcow2", SIZE), "the larger of the two"
    same(folder + "/a", "qcow2", clone.get("Path"), "qcow2", True)
    larger = service.volume(make_clone(other, source.path, "larger", {"capacity": 2 * SIZE, "format": "raw"})[0])
    assert (larger.get("Format"), larger.get("Capacity")) == ("raw", 2 * SIZE)
    same(folder + "/a", "qcow2", larger.get("Path"), "raw")
    check(clone.get("Path"), "qcow2")


def test_options_of_the_new_volume(service, pool, other, folder):
    image(folder + "/a", "raw")
    source = service.wait_volume(pool, "a")
    path, _ = make_clone(other, source.path, "q", {
        "format": "qcow2", "cluster-size": 4096, "lazy-refcounts": True, "mode": 0o640, "preallocation": "metadata"})
    clone = service.volume(path)
    made = clone.get("Path")
    found = json.loads(subprocess.run(["qemu-img", "info", "--output=json", made], capture_output=True, check=True).stdout)
    assert found["cluster-size"] == 4096 and found["format-specific"]["data"]["lazy-refcounts"]
    assert os.stat(made).st_mode & 0o777 == 0o640
    same(folder + "/a", "raw", made, "qcow2")
    for how in ("falloc", "full"):
        path, _ = make_clone(other, source.path, how, {"preallocation": how})
        st = os.stat(service.volume(path).get("Path"))
        assert st.st_blocks * 512 >= SIZE and st.st_mode & 0o777 == 0o600
        same(folder + "/a", "raw", service.volume(path).get("Path"), "raw")
    path, _ = make_clone(other, source.path, "old", {"format": "qcow2", "compat": "0.10"})
    assert "<compat>0.10</compat>" in service.volume(path).GetXML()


def test_compressed(service, pool, other, folder):
    with open(folder + "/../a", "wb") as f:
        f.write(b"the same again and again" * (SIZE // 24))
    os.rename(folder + "/../a", folder + "/a")
    source = service.wait_volume(pool, "a")
    path, _ = make_clone(other, source.path, "z", {"format": "qcow2", "compress": True})
    made = service.volume(path).get("Path")
    assert os.stat(made).st_blocks * 512 < SIZE // 4
    same(folder + "/a", "raw", made, "qcow2")
    check(made, "qcow2")


@pytest.mark.parametrize("options, error", [
    ({"reflink": "perhaps"}, "InvalidArgument"),
    ({"compress": True}, "InvalidArgument"),
    ({"format": "iso"}, None),
    ({"format": "vdi", "preallocation": "full"}, "Unsupported"),
    ({"format": "bochs"}, "Unsupported"),
    ({"backing-path": "a", "format": "qcow2"}, "InvalidArgument"),
    ({"linked": True, "compress": True}, "InvalidArgument"),
    ({"linked": True, "format": "raw"}, "InvalidArgument"),
    ({"reflink": "always", "format": "qcow2"}, "Unsupported"),
    ({"capacity": 1 << 63}, "InvalidArgument"),
    ({"secret": "x"}, "InvalidArgument"),
])
def test_what_does_not_fit(service, pool, folder, options, error):
    image(folder + "/a", "raw")
    source = service.wait_volume(pool, "a")
    if error is None:
        make_clone(pool, source.path, "b", options)
        same(folder + "/a", "raw", folder + "/b", "raw", True)
        return
    with refused(error):
        make_clone(pool, source.path, "b", options)
    assert os.listdir(folder) == ["a"]


def test_names_and_sources(service, pool, folder):
    image(folder + "/a", "raw")
    os.mkdir(folder + "/d")
    source = service.wait_volume(pool, "a")
    with refused("Exists"):
        make_clone(pool, source.path, "a")
    with refused("InvalidName"):
        make_clone(pool, source.path, "x/y")
    with refused("NotFound"):
        make_clone(pool, pool.path, "b")
    with refused("NotFound"):
        make_clone(pool, source.path + "_none", "b")
    with refused("Unsupported"):
        make_clone(pool, service.wait_volume(pool, "d").path, "b")
    assert sorted(os.listdir(folder)) == ["a", "d"]


def test_from_xml(service, pool, other, folder):
    image(folder + "/a", "qcow2")
    source = service.wait_volume(pool, "a")
    path, job = clone_xml(other, source.path, "<volume><name>short</name></volume>")
    assert job == "/"
    clone = service.volume(path)
    assert (clone.get("Format"), clone.get("Capacity")) == ("qcow2", SIZE)
    assert clone.get("Allocation") < SIZE // 2
    path, _ = clone_xml(other, source.path, source.GetXML().replace("<name>a<", "<name>copy<"))
    same(folder + "/a", "qcow2", service.volume(path).get("Path"), "qcow2")
    xml = "<volume><name>raw</name><capacity unit='MiB'>9</capacity><target><format type='raw'/></target></volume>"
    clone = service.volume(clone_xml(other, source.path, xml)[0])
    assert clone.get("Capacity") == 9 * MIB and clone.get("Allocation") < SIZE // 2
    full = xml.replace("<name>raw<", "<name>full<").replace("<target>", "<allocation unit='MiB'>9</allocation><target>")
    clone = service.volume(clone_xml(other, source.path, full)[0])
    assert clone.get("Allocation") >= 9 * MIB
    overlay = service.volume(make_clone(pool, source.path, "over", {"linked": True})[0])
    path, _ = clone_xml(other, overlay.path, overlay.GetXML().replace("<name>over<", "<name>whole<"))
    whole = service.volume(path)
    assert whole.get("BackingPath") == ""
    same(folder + "/a", "qcow2", whole.get("Path"), "qcow2")
    with refused("InvalidArgument"):
        clone_xml(other, source.path, overlay.GetXML().replace("<name>over<", "<name>no<"))
    with refused("InvalidXML"):
        clone_xml(other, source.path, "<volume><name>no</name>")


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_linked(service, pool, other, folder, kind):
    image(folder + "/a", kind)
    source = service.wait_volume(pool, "a")
    path, _ = make_clone(other, source.path, "over", {"linked": True, "capacity": 2 * SIZE})
    clone = service.volume(path)
    assert (clone.get("Format"), clone.get("BackingPath"), clone.get("BackingFormat")) == ("qcow2", folder + "/a", kind)
    assert clone.get("Capacity") == 2 * SIZE and clone.get("Backing") == source.path
    assert clone.get("Allocation") < MIB
    assert source.get("Dependents") == [path]
    with refused("HasDependents"):
        source.Delete()
    same(folder + "/a", kind, clone.get("Path"), "qcow2")


def test_chain_over_pools(service, pool, other, folder):
    """What the source is built on comes with it, wherever that is."""
    image(folder + "/base", "raw")
    base = service.wait_volume(pool, "base")
    middle = service.volume(make_clone(other, base.path, "middle", {"linked": True})[0])
    top = service.volume(make_clone(pool, middle.path, "top", {"linked": True})[0])
    for path, at, byte in ((middle.get("Path"), 1, 5), (top.get("Path"), 2, 6)):
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {at}M 256k", path], check=True,
                       stdout=subprocess.DEVNULL)
    clone = service.volume(make_clone(other, top.path, "whole", {"format": "raw"})[0])
    same(top.get("Path"), "qcow2", clone.get("Path"), "raw")
    assert clone.get("BackingPath") == ""
    other.Stop()
    with refused("Unsupported", "NotActive") as e:
        make_clone(pool, top.path, "no")
    assert "middle" in e.text
    assert sorted(os.listdir(folder)) == ["base", "top"]


@pytest.mark.parametrize("kind, base", [("qed", "raw"), ("vmdk", "vmdk")])
def test_chain_of_other_formats(service, pool, other, folder, kind, base):
    image(folder + "/a", base)
    source = service.wait_volume(pool, "a")
    over = service.volume(make_clone(pool, source.path, "over", {"linked": True, "format": kind})[0])
    assert over.get("Backing") == source.path and over.get("Format") == kind
    whole = service.volume(make_clone(other, over.path, "whole", {"format": "raw"})[0])
    same(folder + "/a", base, whole.get("Path"), "raw")


def make_overlay(path, backing, *recorded):
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, *recorded, path, str(SIZE)], check=True)


def test_what_a_header_names_is_not_read(service, pool, folder, world):
    """Nothing but volumes is behind a volume, and their formats are recorded."""
    image(folder + "/base", "raw")
    secret = world.folder() + "/secret"
    with open(secret, "wb") as f:
        f.write(b"s" * 65536)
    make_overlay(folder + "/foreign", secret, "-F", "raw")
    make_overlay(folder + "/remote", "nbd://example.org/x", "-F", "raw")
    make_overlay(folder + "/guessed", folder + "/base", "-F", "raw")
    with open(folder + "/guessed", "r+b") as f:  # as images before QEMU 6.1 often are: without the format
        head = f.read(512)
        at = head.index(b"\xe2\x79\x2a\xca")
        f.seek(at)
        f.write(b"\0" * 4)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={folder}/data", folder + "/outside",
                    str(SIZE)], check=True)
    os.unlink(folder + "/data")
    os.symlink(secret, folder + "/data")
    with open(folder + "/flat.vmdk", "w", encoding="ascii") as f:
        f.write("# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
                f"RW {65536 // 512} FLAT \"{secret}\" 0\nddb.adapterType = \"ide\"\n")
    names = ["foreign", "remote", "guessed", "outside", "flat.vmdk"]
    before = sorted(os.listdir(folder))
    for name in names:
        source = service.wait_volume(pool, name)
        with refused("Unsupported") as e:
            make_clone(pool, source.path, "no", {"format": "raw"})
        assert len(e.text) > 40, e.text
        assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_reflink(service, world, kind):
    mount = FileSystem(world, kind).path
    contents = {"raw": "raw", "image": "qcow2"}
    for name, form in contents.items():
        image(f"{mount}/{name}", form, 16 * MIB)
    pool = service.make_pool("links", mount)
    for name, form in contents.items():
        source = service.wait_volume(pool, name)
        path, _ = make_clone(pool, source.path, name + "-link", {"reflink": "always"})
        shared = subprocess.run(["filefrag", "-v", service.volume(path).get("Path")], capture_output=True, text=True,
                                check=True).stdout
        assert "shared" in shared, shared
        same(f"{mount}/{name}", form, f"{mount}/{name}-link", form)
        path, _ = make_clone(pool, source.path, name + "-own", {"reflink": "never"})
        own = subprocess.run(["filefrag", "-v", service.volume(path).get("Path")], capture_output=True, text=True,
                             check=True).stdout
        assert "shared" not in own
        same(f"{mount}/{name}", form, f"{mount}/{name}-own", form)
        with refused("Unsupported"):
            make_clone(pool, source.path, "no", {"reflink": "always", "format": "vdi"})
    larger = service.volume(make_clone(pool, pool.GetVolume("raw"), "larger", {"capacity": 20 * MIB})[0])
    assert larger.get("Capacity") == 20 * MIB
    same(f"{mount}/raw", "raw", f"{mount}/larger", "raw")


def test_no_reflink(service, pool, folder):
    """On this file system nothing can be shared, or it can: then it is."""
    image(folder + "/a", "raw")
    source = service.wait_volume(pool, "a")
    kind = subprocess.run(["stat", "-fc", "%T", folder], capture_output=True, text=True, check=True).stdout.strip()
    if kind in ("btrfs", "xfs"):
        make_clone(pool, source.path, "b", {"reflink": "always"})
    else:
        with refused("Unsupported") as e:
            make_clone(pool, source.path, "b", {"reflink": "always"})
        assert "reflink" in e.text and os.listdir(folder) == ["a"]


@pytest.mark.parametrize("options", [{}, {"format": "qcow2"}, {"preallocation": "full"}, {"format": "qcow2", "compress": True}])
def test_no_space(service, world, pool, folder, options):
    image(folder + "/a", "raw", 12 * MIB, data=12 * MIB)
    source = service.wait_volume(pool, "a")
    small = service.make_pool("small", world.tmpfs("8m"))
    with refused("NoSpace"):
        make_clone(small, source.path, "b", options)
    wait_until(lambda: os.listdir(small.get("TargetPath")) == [], what="nothing left")
    assert service.volumes(small) == {}


SLOW_SIZE = (16 if ON_SYSTEM else 64) * MIB
SLOW = {"format": "qcow2", "compress": True, "wait": 0}


@pytest.fixture
def slow(service, pool, folder):
    """A source that takes a while to compress."""
    image(folder + "/a", "raw", SLOW_SIZE, data=SLOW_SIZE)
    return service.wait_volume(pool, "a")


def test_progress_and_cancel(service, other, slow):
    log = service.log()
    path, job = make_clone(other, slow.path, "b", SLOW)
    log.wait_changed(job, "BytesDone", timeout=20)
    got = service.job(job).all()
    assert got["Operation"] == "clone-volume" and got["BytesTotal"] == SLOW_SIZE and 0 <= got["Progress"] <= 1
    assert path in got["Objects"] and slow.path in got["Objects"]
    began = time.monotonic()
    service.job(job).Cancel()
    assert service.wait_job(job)["State"] == "cancelled"
    assert time.monotonic() - began < 2 * SLOWNESS
    wait_until(lambda: os.listdir(other.get("TargetPath")) == [], what="nothing left")
    assert service.volumes(other) == {}


def test_cancel_of_a_plain_copy(service, other, slow):
    _, job = make_clone(other, slow.path, "b", {"capacity": 1 << 40, "preallocation": "off", "wait": 0})
    try:
        service.job(job).Cancel()
    except GLib.Error as error:
        assert "over" in str(error)
    state = service.wait_job(job)["State"]
    wait_until(lambda: os.listdir(other.get("TargetPath")) == (["b"] if state == "succeeded" else []), what="all or nothing")


def test_locks(service, pool, other, folder, slow):
    """The source stays as it is as long as it is read, and everything else goes on."""
    _, job = make_clone(other, slow.path, "b", SLOW)
    for call in (slow.Delete, lambda: slow.Resize(2 * SLOW_SIZE), pool.Stop, other.Stop):
        with refused("Busy") as e:
            call()
        assert job.rsplit("/", 1)[1] in e.text
    with refused("Busy", "Exists"):
        other.CreateVolume("b", MIB)
    _, second = make_clone(other, slow.path, "c", SLOW)
    wait_until(lambda: service.job(second).get("State") == "running", what="both at once")
    service.make_volume(pool, "small").Delete()
    service.make_volume(other, "small").Delete()
    pool.Refresh()
    assert service.job(job).get("State") == "running"
    for number in (job, second):
        service.job(number).Cancel()
        service.wait_job(number)
    slow.Resize(2 * SLOW_SIZE)
    slow.Delete()
    assert os.listdir(folder) == []


def test_source_in_use(service, pool, folder):
    """A guest writes to it, or reads it."""
    image(folder + "/a", "qcow2")
    source = service.wait_volume(pool, "a")
    for args, busy in ((["-f", "qcow2"], True), (["-r", "-f", "qcow2"], False)):
        guest = subprocess.Popen(["qemu-io", *args, folder + "/a"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        guest.stdin.write(b"read 0 512\n")
        guest.stdin.flush()
        guest.stdout.readline()
        try:
            if busy:
                with refused("InUse"):
                    make_clone(pool, source.path, "b")
                assert os.listdir(folder) == ["a"]
            else:
                make_clone(pool, source.path, "b")
        finally:
            guest.communicate(b"quit\n", timeout=20)
    same(folder + "/a", "qcow2", folder + "/b", "qcow2")


def test_no_guest_begins_meanwhile(service, other, slow):
    _, job = make_clone(other, slow.path, "b", SLOW)
    wait_until(lambda: service.job(job).get("BytesDone") > 0, what="the copy to begin")
    done = subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 512", slow.get("Path")], capture_output=True, text=True,
                          check=False)
    assert done.returncode != 0 and "lock" in done.stderr
    service.job(job).Cancel()
    service.wait_job(job)


def test_rights(world):
    """Who clones reads: both are asked for."""
    daemon = world.daemon(polkit=True)
    root = world.client(daemon)
    secret = root.make_pool("secret", world.folder())
    mine = root.make_pool("mine", world.folder())
    there, here = root.make_volume(secret, "v"), root.make_volume(mine, "v")
    user = world.client(daemon, ONE_POOL)
    with refused("AccessDenied", "InteractiveAuthorizationRequired"):
        make_clone(user.pool(mine.path), there.path, "stolen")
    with refused("AccessDenied", "InteractiveAuthorizationRequired"):
        make_clone(user.pool(secret.path), here.path, "given")
    make_clone(user.pool(mine.path), here.path, "copy")
    assert sorted(os.listdir(mine.get("TargetPath"))) == ["copy", "v"] and os.listdir(secret.get("TargetPath")) == ["v"]


def delete(service, pool, name):
    """A worker that was killed may get the call before its death is noticed."""
    def ask():
        try:
            service.volume(pool.GetVolume(name)).Delete()
        except GLib.Error as error:
            return error_name(error).endswith(".NotFound")
        return True
    wait_until(ask, what=f"{name} deleted")


@pytest.mark.private
@pytest.mark.limit(120)
def test_killed_at_any_moment(world, daemon, service, folder):
    """Worker, pools' workers, service, or all: what is there is whole, and nothing else is there."""
    if ON_SYSTEM:
        pytest.skip("needs a service of its own")
    rng = random.Random(SEED)
    pool, target = service.make_pool("p", folder), world.tmpfs("400m")
    other = service.make_pool("other", target)
    kinds = {"raw": {}, "qcow2": {"format": "qcow2"}, "prealloc": {"preallocation": "full"}}
    image(folder + "/a", "raw", 48 * MIB, data=24 * MIB)
    seconds = {}
    for i in range(24):
        kind = list(kinds)[i % 3]
        source = service.wait_volume(pool, "a")
        began = time.monotonic()
        pending = other.start("CloneVolume", source.path, f"{kind}-{i}", kinds[kind])
        if i >= 3:
            end = began + rng.random() * seconds[kind]
            while time.monotonic() < end:
                iterate()
                time.sleep(0.0005)
            whom = rng.choice(["data", "pool", "service", "all"])
            for pid in daemon.workers() if whom == "all" else daemon.workers(whom) if whom != "service" else []:
                os.kill(pid, 9)
            if whom in ("service", "all"):
                daemon.kill()
                daemon.start()
                service = world.client(daemon)
                pool, other = service.pool(pool.path), service.pool(other.path)
        try:
            pending.wait(60)
            seconds.setdefault(kind, time.monotonic() - began)
        except GLib.Error as error:
            assert i >= 3, error
        whole = wait_until(lambda: (lambda names: names == sorted(service.volumes(other)) and [names])(
            sorted(os.listdir(target))), 20, f"folder and pool to agree, seed {SEED}")[0]
        for name in whole:
            assert not name.startswith("."), (name, SEED)
            same(folder + "/a", "raw", f"{target}/{name}", "qcow2" if name.startswith("qcow2") else "raw")
            delete(service, other, name)
    intents = daemon.state_dir + "/intents"
    wait_until(lambda: os.listdir(intents) == [], what="no intents")
