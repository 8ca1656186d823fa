# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an image is built on: Flatten, Rebase, Commit; the same contents always, the old file or the new one."""

import contextlib
import os
import random
import subprocess
import time

import pytest
from gi.repository import GLib

import images
from client import MIB, error_name, iterate_until, refused
from harness import SLOWNESS
from killing import Killings

SIZE = 8 * MIB
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))
ROUNDS = int(os.environ.get("STORAGED_TEST_REBASE_ROUNDS", "10"))


class Chain:
    """base (raw) <- middle <- top, each with something of its own, as volumes of a pool."""

    def __init__(self, service, pool, folder):
        self.service, self.pool, self.folder = service, pool, folder
        self.path = {name: f"{folder}/{name}" for name in ("base", "middle", "top", "other")}
        images.make(self.path["base"], SIZE, format="raw")
        images.write(self.path["base"], 1, 0, 2 * MIB, "raw")
        images.make(self.path["middle"], SIZE, backing_file=self.path["base"], backing_fmt="raw")
        images.write(self.path["middle"], 2, MIB, 2 * MIB)
        images.make(self.path["top"], SIZE, backing_file=self.path["middle"], backing_fmt="qcow2")
        images.write(self.path["top"], 3, 5 * MIB, MIB)
        self.volume = {name: service.wait_volume(pool, name) for name in ("base", "middle", "top")}
        self.volume["middle"].wait_for("Backing", self.volume["base"].path)
        self.volume["top"].wait_for("Backing", self.volume["middle"].path)

    def contents(self, name="top"):
        return images.contents(self.path[name], "raw" if name == "base" else "qcow2")


@pytest.fixture
def chain(service, pool, folder):
    return Chain(service, pool, folder)


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.startswith(".storaged")]


def test_flatten(chain):
    top, path = chain.volume["top"], chain.path["top"]
    os.chmod(path, 0o640)
    os.chown(path, 1234, 4321)
    os.setxattr(path, "user.note", b"kept")
    before, log = chain.contents(), chain.service.log()
    assert top.Flatten() == "/"
    st = os.stat(path)
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o640, 1234, 4321) and st.st_nlink == 1
    assert os.getxattr(path, "user.note") == b"kept"
    assert "backing-filename" not in images.info(path) and chain.contents() == before and images.check(path) == 0
    assert top.get("Backing") == "/" and top.get("BackingPath") == "" and top.get("Problem") == ""
    log.wait_changed(top.path, "Backing", "/")
    assert chain.volume["middle"].get("Dependents") == []
    chain.volume["middle"].Delete()
    assert top.Flatten() == "/" and chain.contents() == before and leftovers(chain.folder) == []
    with refused("Unsupported"):
        chain.volume["base"].Flatten()


def test_rebase_keeps_the_contents(chain):
    """Within the chain, to another chain, to nothing; on what is no overlay, too."""
    top, path = chain.volume["top"], chain.path["top"]
    before = chain.contents()
    top.Rebase(chain.volume["base"].path)
    assert (top.get("BackingPath"), top.get("BackingFormat")) == (chain.path["base"], "raw")
    assert chain.contents() == before and images.check(path) == 0
    images.make(chain.path["other"], SIZE, backing_file=chain.path["middle"], backing_fmt="qcow2")
    images.write(chain.path["other"], 9, 0, 4 * MIB)
    other = chain.service.wait_volume(chain.pool, "other")
    other.wait_for("Backing", chain.volume["middle"].path)
    top.Rebase(other.path)
    assert top.get("Backing") == other.path and images.info(path)["backing-filename"] == chain.path["other"]
    assert chain.contents() == before and images.check(path) == 0
    top.Rebase("/")
    assert top.get("Backing") == "/" and chain.contents() == before
    top.Rebase(other.path)
    assert top.get("Backing") == other.path and chain.contents() == before
    for circle in (top, other):
        with refused("InvalidArgument"):
            other.Rebase(top.path) if circle is top else other.Rebase(other.path)


def test_qed(chain):
    """It can only record that what it is built on is raw."""
    images.make(chain.path["other"], SIZE, format="qed", backing_file=chain.path["base"], backing_fmt="raw")
    images.write(chain.path["other"], 9, 3 * MIB, MIB, "qed")
    volume = chain.service.wait_volume(chain.pool, "other")
    volume.wait_for("Backing", chain.volume["base"].path)
    before = images.contents(chain.path["other"], "qed")
    with refused("HasDependents"):
        volume.Commit()
    volume.Flatten()
    assert volume.get("Backing") == "/" and images.contents(chain.path["other"], "qed") == before
    with refused("Unsupported"):
        volume.Rebase(chain.volume["middle"].path)
    volume.Rebase(chain.volume["base"].path)
    assert volume.get("Backing") == chain.volume["base"].path and images.contents(chain.path["other"], "qed") == before
    assert images.check(chain.path["other"], "qed") == 0


def test_unsafe_rebase_records_only(chain):
    top, path = chain.volume["top"], chain.path["top"]
    images.qemu_img("convert", "-O", "qcow2", chain.path["middle"], chain.path["other"])
    other = chain.service.wait_volume(chain.pool, "other")
    other.wait_for("Format", "qcow2")
    before, blocks = chain.contents(), os.stat(path).st_ino
    os.rename(chain.path["middle"], chain.path["middle"] + ".gone")
    top.wait_for("Backing", "/")
    with refused("Unsupported"):
        top.Rebase(other.path)
    with refused("InvalidArgument"):
        top.Rebase("/", {"unsafe": True})
    top.Rebase(other.path, {"unsafe": True})
    assert os.stat(path).st_ino == blocks and top.get("Backing") == other.path
    assert images.info(path)["full-backing-filename"] == chain.path["other"] and chain.contents() == before


def test_commit(chain):
    middle, top = chain.volume["middle"], chain.volume["top"]
    before = chain.contents()
    assert top.Commit() == "/"
    assert chain.contents("middle") == chain.contents() == before
    assert images.check(chain.path["middle"]) == images.check(chain.path["top"]) == 0
    assert top.get("Backing") == middle.path and middle.get("Problem") == top.get("Problem") == ""
    middle.Commit()
    assert images.qemu_img("compare", "-f", "raw", "-F", "qcow2", chain.path["base"], chain.path["top"]).returncode == 0
    with refused("Unsupported"):
        chain.volume["base"].Commit()


def test_commit_needs_the_backing_volume_for_itself(chain):
    images.make(chain.path["other"], SIZE, backing_file=chain.path["middle"], backing_fmt="qcow2")
    other = chain.service.wait_volume(chain.pool, "other")
    other.wait_for("Backing", chain.volume["middle"].path)
    before = chain.contents("other")
    with refused("HasDependents") as refusal:
        chain.volume["top"].Commit()
    assert "other" in refusal.text and chain.contents("other") == before


def test_images_with_snapshots_are_left_alone(chain):
    """What a snapshot has not of its own is in the backing volume."""
    images.qemu_img("snapshot", "-c", "s", chain.path["top"])
    for call in (chain.volume["top"].Flatten, chain.volume["top"].Commit):
        with refused("Unsupported") as refusal:
            call()
        assert "snapshots" in refusal.text


def test_in_use(chain):
    before = {name: chain.contents(name) for name in ("top", "middle", "base")}
    with images.opened(chain.path["top"]):
        for call in (chain.volume["top"].Flatten, chain.volume["top"].Commit,
                     lambda: chain.volume["top"].Rebase(chain.volume["base"].path)):
            with refused("InUse"):
                call()
    with images.opened(chain.path["middle"], read_only=True):
        with refused("InUse"):
            chain.volume["top"].Commit()
    assert {name: chain.contents(name) for name in before} == before and leftovers(chain.folder) == []


def test_header_that_names_something_else_is_not_followed(chain):
    """What QEMU would open by itself is what the service knows of, or nothing."""
    secret = chain.folder + "-secret"
    with open(secret, "wb") as f:
        f.write(b"secret " * 100000)
    try:
        images.qemu_img("rebase", "-u", "-b", secret, "-F", "raw", chain.path["middle"])
        chain.volume["middle"].wait_for("BackingPath", secret)
        with refused("Unsupported"):
            chain.volume["top"].Flatten()
        images.qemu_img("rebase", "-u", "-b", "json:{\"driver\":\"nbd\"}", "-F", "raw", chain.path["middle"])
        chain.volume["middle"].wait_for("BackingPath", lambda text: text.startswith("json"))
        with refused("Unsupported"):
            chain.volume["top"].Flatten()
    finally:
        os.unlink(secret)


def test_changed_meanwhile(chain):
    """Somebody who asks nobody puts another file there: that one stays."""
    images.make_slow(chain.path["other"], 24 * MIB)
    images.make(chain.path["top"] + "2", 24 * MIB, backing_file=chain.path["other"], backing_fmt="qcow2")
    volume = chain.service.wait_volume(chain.pool, "top2")
    volume.wait_for("BackingPath", chain.path["other"])
    pending = volume.start("Flatten", {})
    time.sleep(0.05)
    with open(chain.path["top"] + "2.new", "wb") as f:
        f.write(b"mine")
    os.rename(chain.path["top"] + "2.new", chain.path["top"] + "2")
    iterate_until(lambda: pending.done, 30)
    with open(chain.path["top"] + "2", "rb") as f:
        found = f.read()
    if pending.error is not None:
        assert error_name(pending.error).endswith((".Busy", ".NotFound", ".Unsupported")), pending.error.message
    assert found == b"mine" and leftovers(chain.folder) == []


@pytest.mark.private
def test_disk_full(world, service):
    folder = world.tmpfs("12m")
    chain = Chain(service, service.make_pool("small", folder), folder)
    before = {name: chain.contents(name) for name in ("top", "middle", "base")}
    images.fill(folder)
    for call in (chain.volume["top"].Flatten, lambda: chain.volume["top"].Rebase(chain.volume["base"].path)):
        with refused("NoSpace"):
            call()
        assert chain.contents() == before["top"] and leftovers(folder) == []
    with refused("NoSpace"):
        chain.volume["top"].Commit()
    assert chain.contents() == before["top"] and "incomplete" in chain.volume["middle"].get("Problem")
    os.unlink(f"{folder}/filler")
    chain.volume["top"].Commit()
    assert chain.contents("middle") == before["top"] and chain.volume["middle"].get("Problem") == ""


@pytest.fixture
def slow(service, pool, folder):
    """An overlay that takes a while to be flattened or committed: (folder, overlay, base, their contents)."""
    images.make_slow(f"{folder}/base", 24 * MIB)
    images.make(f"{folder}/over", 24 * MIB, backing_file=f"{folder}/base", backing_fmt="qcow2", cluster_size=512)
    images.write(f"{folder}/over", 7, 0, 12 * MIB)
    over, base = service.wait_volume(pool, "over"), service.wait_volume(pool, "base")
    over.wait_for("Backing", base.path)
    return folder, over, base


def test_cancelled(service, slow):
    folder, over, base = slow
    before, old = images.contents(f"{folder}/over"), images.contents(f"{folder}/base")
    for method in ("Flatten", "Commit"):
        job = service.job(getattr(over, method)({"wait": 0}))
        time.sleep(0.1)
        start = time.monotonic()
        # It may be over already: that is one of the states that this is about.
        with contextlib.suppress(GLib.Error):
            job.Cancel()
        state = service.wait_job(job.path)["State"]
        assert time.monotonic() - start < 2 * SLOWNESS
        assert images.contents(f"{folder}/over") == before and leftovers(folder) == [], method
        if state == "cancelled" and method == "Flatten":
            assert over.get("Backing") == base.path and over.get("Problem") == ""
        if state == "succeeded" and method == "Flatten":
            over.Rebase(base.path)
        elif state == "cancelled" and method == "Commit":
            # It may not have begun to write yet.
            assert "incomplete" in base.get("Problem") or images.contents(f"{folder}/base") == old
            assert over.get("Problem") == ""
    over.Commit()
    assert base.get("Problem") == "" and images.contents(f"{folder}/base") == before


@pytest.mark.private
@pytest.mark.limit(300)
def test_killed_at_random_moments(daemon, service, pool, slow):
    """The overlay reads the same at all times, from an old or a new file; a half-written backing volume says so."""
    folder, over, base = slow
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    pool.SetAutostart(True)
    wanted = images.contents(f"{folder}/over")
    killings = Killings(daemon, rng, ROUNDS)
    for i in killings:
        method = rng.choice(["Flatten", "Commit"]) if over.get("Backing") == base.path else "Rebase"
        args = (base.path, {}) if method == "Rebase" else ({},)
        if method == "Commit":
            # What has been committed already would not be changed by halves. The overlay has this of its own.
            images.write(f"{folder}/base", 100 + i, 0, 12 * MIB)
        before = images.contents(f"{folder}/base")
        killings.cut_off(method, over.start(method, *args))
        images.wait_released(f"{folder}/over")
        images.wait_released(f"{folder}/base")
        what = f"{method}, seed {SEED}, round {i}"
        assert images.contents(f"{folder}/over") == wanted and images.check(f"{folder}/over") == 0, what
        assert over.get("Problem") == "", what
        if method == "Commit" and base.get("Problem"):
            assert "incomplete" in base.get("Problem"), what
            over.Commit()
        elif method == "Commit":
            assert images.contents(f"{folder}/base") in (before, wanted), what
        assert base.get("Problem") == "" and images.check(f"{folder}/base") in (0, 3), what
    daemon.restart()
    service.wait_volume(pool, "over")
    assert leftovers(folder) == []


@pytest.mark.private
def test_a_guest_has_it(chain):
    """Not a tool but a whole QEMU, stopped before its first instruction."""
    argv = ["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio", "-blockdev",
            f"driver=qcow2,node-name=d,file.driver=file,file.filename={chain.path['top']}"]
    try:
        guest = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        pytest.skip("qemu-system-x86_64 is not installed")
    try:
        assert "QEMU" in guest.stdout.readline()
        snapshots = chain.service.proxy(chain.volume["top"].path, "Volume.Snapshots")
        for call in (chain.volume["top"].Flatten, chain.volume["top"].Commit, chain.volume["top"].Delete,
                     lambda: snapshots.CreateSnapshot("x"), lambda: chain.volume["top"].Rebase("/")):
            with refused("InUse"):
                call()
        with refused("InUse"):
            chain.volume["middle"].Flatten()
    finally:
        guest.kill()
        guest.wait(10)
    images.wait_released(chain.path["top"])
    chain.volume["top"].Flatten()


def test_missing_backing_file_is_shown_and_forgotten(world, chain):
    """In a pool: live, whoever takes it away. Outside: when the overlay's pool is looked at."""
    middle, top = chain.volume["middle"], chain.volume["top"]
    log = chain.service.log()
    os.rename(chain.path["base"], chain.path["base"] + ".away")
    log.wait_for(lambda s: s.member == "PropertiesChanged" and "missing" in s.args[1].get("Problem", ""))
    assert chain.path["base"] in middle.get("Problem") and top.get("Problem") == ""
    with refused("Unsupported"):
        top.Flatten()
    os.rename(chain.path["base"] + ".away", chain.path["base"])
    middle.wait_for("Problem", "")
    outside = world.folder() + "/outside"
    images.qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", outside, "-F", "raw", chain.path["other"], SIZE)
    other = chain.service.wait_volume(chain.pool, "other")
    other.wait_for("Problem", lambda text: outside in text and "missing" in text)
    images.make(outside, SIZE, format="raw")
    chain.pool.Refresh()
    assert other.get("Problem") == ""
    os.unlink(outside)
    chain.pool.Refresh()
    assert "missing" in other.get("Problem")
    chain.service.make_pool("outside", os.path.dirname(outside))
    images.make(outside, SIZE, format="raw")
    other.wait_for("Problem", "")


def test_circle_is_shown_and_forgotten(chain):
    """It hurts nobody, and each of its members says so until it is broken."""
    names = ("middle", "top")
    images.qemu_img("rebase", "-u", "-b", chain.path["top"], "-F", "qcow2", chain.path["middle"])
    for name in names:
        chain.volume[name].wait_for("Problem", lambda text: "circle" in text)
    with refused("HasDependents"):
        chain.volume["top"].Delete()
    with refused("LimitsExceeded", "Busy", "Unsupported"):
        chain.volume["top"].Flatten()
    assert {"base", "middle", "top"} <= chain.service.volumes(chain.pool).keys()
    chain.pool.Refresh()
    assert "circle" in chain.volume["top"].get("Problem")
    log = chain.service.log()
    chain.volume["middle"].Rebase(chain.volume["base"].path, {"unsafe": True})
    for name in names:
        log.wait_changed(chain.volume[name].path, "Problem", "")
        assert chain.volume[name].get("Problem") == ""
    # One that names itself.
    images.qemu_img("rebase", "-u", "-b", chain.path["top"], "-F", "qcow2", chain.path["top"])
    chain.volume["top"].wait_for("Problem", lambda text: "circle" in text)
    chain.volume["top"].Rebase(chain.volume["middle"].path, {"unsafe": True})
    assert chain.volume["top"].get("Problem") == ""


def test_long_chains_are_bounded(service, pool, folder):
    """Longer than any job follows, and no slower for it."""
    images.make(f"{folder}/v0", MIB)
    template = f"{folder}/.t"
    for i in range(1, 80):
        images.qemu_img("create", "-q", "-f", "qcow2", "-u", "-b", f"{folder}/v{i - 1}", "-F", "qcow2", template, MIB)
        os.rename(template, f"{folder}/v{i}")
    last = service.wait_volume(pool, "v79")
    last.wait_for("BackingPath", f"{folder}/v78")
    pool.Refresh()
    assert len(service.volumes(pool)) == 80 and last.get("Problem") == ""
    with refused("LimitsExceeded"):
        last.Flatten()
    last.Rebase(service.volume(pool.GetVolume("v0")).path, {"unsafe": True})
    last.Flatten()


def test_what_was_opened_is_let_go_of(chain):
    """A job that fails halfway is shown for a while, but has nothing open."""
    with images.opened(chain.path["middle"], read_only=True):
        job = chain.volume["top"].Commit({"wait": 0})
        assert chain.service.wait_job(job)["ErrorName"].endswith(".InUse")
        with images.opened(chain.path["top"]):
            pass


def test_a_base_has_many_paths(service, world):
    """Whoever is built on a volume keeps it, by whatever path his header names it: in words that QEMU is given every day,
    through links, and where the pool's own path is a link."""
    disk, other = world.folder(), world.folder()
    link, alias = f"{other}/link", f"{other}/alias"
    os.symlink(disk, link)
    os.symlink(disk, alias)
    pool, overlays = service.make_pool("bases", link), service.make_pool("overlays", other)
    paths = {"here": "./here", "up": f"../{os.path.basename(disk)}/up", "twice": f"{disk}//twice",
             "around": f"{other}/../{os.path.basename(disk)}/./around", "own": f"{link}/own", "alias": f"{alias}/alias",
             "real": f"{disk}/real", "last": f"{other}/newest"}
    os.symlink(f"{disk}/last", f"{other}/newest")
    for name, path in paths.items():
        images.make(f"{disk}/{name}", MIB, format="raw")
        folder = disk if name == "here" else other
        images.qemu_img("create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", path, f"{folder}/on-{name}", MIB)
        overlay = service.wait_volume(pool if name == "here" else overlays, f"on-{name}")
        base = service.wait_volume(pool, name)
        overlay.wait_for("Backing", base.path)
        assert base.get("Dependents") == [overlay.path], name
        assert overlay.get("Problem") == "", name
        for method in ("Delete", "Wipe"):
            with refused("HasDependents"):
                getattr(base, method)()
        # Its contents can be read, too.
        clone, job = overlays.CloneVolume(overlay.path, f"of-{name}", {"format": "raw"})
        assert job == "/" and service.volume(clone).get("Capacity") == MIB
        overlay.Delete()
        base.wait_for("Dependents", [])
        base.Delete()
        assert not os.path.exists(f"{disk}/{name}")


@pytest.mark.parametrize("options", [{}, {"unsafe": True}], ids=["", "unsafe"])
def test_onto_what_qemu_calls_otherwise(service, pool, folder, options):
    """An image of a CD has a format here, and is raw there."""
    with open(f"{folder}/cd.iso", "wb") as f:
        f.write(os.urandom(MIB))
        f.seek(32 * 1024)
        f.write(b"\1CD001\1")
    images.make(f"{folder}/over", MIB)
    cd, over = service.wait_volume(pool, "cd.iso"), service.wait_volume(pool, "over")
    cd.wait_for("Format", "iso")
    before = images.contents(f"{folder}/over")
    over.Rebase(cd.path, options)
    assert over.get("Backing") == cd.path and over.get("BackingFormat") == "raw"
    assert images.contents(f"{folder}/over") == (images.contents(f"{folder}/cd.iso", "raw") if options else before)
