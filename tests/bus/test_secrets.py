# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secrets are stored, listed and removed, and never come back out."""

import os
import re
import stat
import uuid

import pytest

from client import refused
from harness import NOBODY, ON_SYSTEM, wait_until

SECRET = b"correct horse battery staple"
OWN_UUID = "b1c2d3e4-0000-4000-8000-00000000abcd"


@pytest.fixture
def manager(service):
    return service.manager


def files(daemon):
    folder = daemon.config_dir + "/secrets"
    return {name: open(f"{folder}/{name}", "rb").read() for name in os.listdir(folder)}


def test_set_list_remove(manager):
    manager.SetSecret("disk", SECRET)
    (row,) = manager.ListSecrets()
    assert row[0] == "disk" and str(uuid.UUID(row[1])) == row[1] and row[2] == ""
    manager.SetSecret("disk", SECRET + b"2", {"description": "of a disk"})
    assert manager.ListSecrets() == [("disk", row[1], "of a disk")]
    manager.RemoveSecret("disk")
    assert manager.ListSecrets() == []
    with refused("NotFound"):
        manager.RemoveSecret("disk")


def test_uuids(manager):
    """They are libvirt's other way to name a secret."""
    manager.SetSecret("disk", SECRET, {"uuid": OWN_UUID.upper(), "description": "x"})
    assert manager.ListSecrets() == [("disk", OWN_UUID, "x")]
    manager.SetSecret("disk", SECRET, {"uuid": OWN_UUID})
    for usage, wanted in (("other", OWN_UUID), ("disk", str(uuid.uuid4()))):
        with refused("Exists"):
            manager.SetSecret(usage, SECRET, {"uuid": wanted})
    assert manager.ListSecrets() == [("disk", OWN_UUID, "x")]
    manager.RemoveSecret(OWN_UUID)
    assert manager.ListSecrets() == []


def test_files_are_private(daemon, manager):
    value = bytes(range(256))
    manager.SetSecret("disk", value)
    folder = daemon.config_dir + "/secrets"
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    for name in os.listdir(folder):
        assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600
    (row,) = manager.ListSecrets()
    assert files(daemon)[f"{row[1]}.value"] == value
    manager.RemoveSecret("disk")
    assert files(daemon) == {}


def test_they_are_there_after_a_restart(daemon, world, manager):
    manager.SetSecret("a/../b c", SECRET, {"description": "with = and \\ in it"})
    before = manager.ListSecrets()
    leftover = f"{daemon.config_dir}/secrets/{uuid.uuid4()}.value"
    with open(leftover, "wb") as f:
        f.write(SECRET)
    daemon.kill()
    daemon.start()
    assert world.client(daemon).manager.ListSecrets() == before
    assert not os.path.exists(leftover), "half of a secret, of a daemon that was killed"
    daemon.restart()
    assert world.client(daemon).manager.ListSecrets() == before


@pytest.mark.parametrize("broken", ["folder", "empty", "other", "long"])
def test_one_that_cannot_be_read_is_kept(daemon, world, manager, broken):
    """Its value is all that there is of it, and of what is encrypted with it."""
    manager.SetSecret("kept", SECRET, {"uuid": OWN_UUID})
    daemon.stop()
    path = f"{daemon.config_dir}/secrets/{OWN_UUID}"
    before = open(f"{path}.info", "rb").read()
    os.unlink(f"{path}.info")
    if broken == "folder":
        os.mkdir(f"{path}.info")
    else:
        with open(f"{path}.info", "wb") as f:
            f.write({"empty": b"", "other": b"\0\xff" * 100, "long": b"usage=" + b"x" * 300 + b"\n"}[broken])
    for _ in range(2):
        daemon.start()
        root = world.client(daemon).manager
        assert root.ListSecrets() == [] and f"Skipped {path}.info" in daemon.log()
        # What is removed at the start has been removed when a later change is done.
        root.SetSecret("other", b"x")
        root.RemoveSecret("other")
        assert open(f"{path}.value", "rb").read() == SECRET
        daemon.stop()
    if broken == "folder":
        os.rmdir(f"{path}.info")
    with open(f"{path}.info", "wb") as f:
        f.write(before)
    daemon.start()
    assert [row[:2] for row in world.client(daemon).manager.ListSecrets()] == [("kept", OWN_UUID)]


@pytest.mark.parametrize("usage, value, options", [
    ("", SECRET, {}), ("a\nb", SECRET, {}), ("x" * 256, SECRET, {}), (OWN_UUID, SECRET, {}), ("a", b"", {}),
    ("a", b"x" * 4097, {}), ("a", SECRET, {"uuid": "none"}), ("a", SECRET, {"description": "x" * 1025}),
    ("a", SECRET, {"value": "x"})], ids=range(9))
def test_bad_input(daemon, manager, usage, value, options):
    with refused("InvalidArgument") as refusal:
        manager.SetSecret(usage, value, options)
    assert SECRET.decode() not in refusal.text
    assert manager.ListSecrets() == [] and files(daemon) == {}


@pytest.mark.private
@pytest.mark.limit(120)
def test_there_is_a_limit(manager):
    for number in range(1024):
        manager.SetSecret(f"s{number}", b"x")
    with refused("LimitsExceeded"):
        manager.SetSecret("one more", b"x")
    manager.SetSecret("s0", b"y")
    assert len(manager.ListSecrets()) == 1024


def test_others_may_not(world):
    daemon = world.daemon(polkit=True)
    nobody, root = world.client(daemon, NOBODY).manager, world.client(daemon).manager
    root.SetSecret("disk", SECRET)
    for call, args in ((nobody.SetSecret, ("disk", b"other")), (nobody.RemoveSecret, ("disk",)),
                       (nobody.ListSecrets, ())):
        with refused("AccessDenied"):
            call(*args)
    assert [row[0] for row in root.ListSecrets()] == ["disk"]
    root.RemoveSecret("disk")


def test_nothing_shows_them(daemon, service, manager):
    manager.SetSecret("disk", SECRET)
    assert SECRET.decode() not in str(service.objects()) + str(manager.ListSecrets()) + daemon.log()
    for name, content in files(daemon).items():
        assert (SECRET in content) == name.endswith(".value")


def writable_memory(pid):
    """All of it, piece by piece."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if found and "[v" not in line:
                start, end = (int(number, 16) for number in found.groups())
                mem.seek(start)
                yield mem.read(end - start)


@pytest.mark.skipif(ON_SYSTEM, reason="a sanitizer, or the kernel's hardening, may be there")
def test_memory_is_wiped(daemon, manager):
    """Neither the daemon nor the worker that wrote it has it any more when the answer is there."""
    value = os.urandom(4096)
    manager.SetSecret("disk", value)
    manager.ListSecrets()
    # What was freed is soon written over, here and there.
    pieces = [value[start:start + 32] for start in range(0, len(value), 256)]
    pieces += [piece.hex().encode() for piece in pieces]
    for pid in (daemon.pid(), *daemon.workers()):
        if b"__asan" in open(f"/proc/{pid}/exe", "rb").read():
            pytest.skip("a sanitizer keeps what is freed")
        # A message is wiped when it is done with, a moment after it was answered.
        wait_until(lambda p=pid: not any(piece in memory for memory in writable_memory(p) for piece in pieces),
                   what=f"process {pid} to forget it", interval=0.2)
