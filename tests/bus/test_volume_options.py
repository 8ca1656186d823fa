# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a caller asks for besides name and size is what the file has: of a new volume, of a clone, of an import."""

import fcntl
import os
import stat
import struct
import subprocess

import pytest

import images
from client import MIB, refused
from filesystems import FileSystem

SIZE = 4 * MIB
FS_IOC_GETFLAGS, NOCOW = 0x80086601, 0x00800000
USER = 1234


def has_nocow(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return bool(struct.unpack("l", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))[0] & NOCOW)
    finally:
        os.close(fd)


def make_source(service, pool, kind="raw"):
    """With data at its beginning and in its middle."""
    path = f"{pool.get('TargetPath')}/source-{kind}"
    images.make(path, SIZE, format=kind)
    for at in (0, SIZE // 2):
        images.write(path, 5, at, 300 * 1024, kind)
    service.wait_volume(pool, f"source-{kind}").wait_for("Format", kind)
    return service.volume(pool.GetVolume(f"source-{kind}"))


def assert_same(source, clone):
    images.qemu_img("compare", "-q", "-f", source.get("Format"), "-F", clone.get("Format"), source.get("Path"),
                    clone.get("Path"))


# name: (options, what qemu-img info has then)
QCOW2_OPTIONS = {
    "plain": ({}, {"compat": "1.1", "lazy-refcounts": False, "extended-l2": False}),
    "compat": ({"compat": "0.10"}, {"compat": "0.10"}),
    "lazy": ({"lazy-refcounts": True}, {"lazy-refcounts": True}),
    "extended": ({"extended-l2": True}, {"extended-l2": True}),
    "cluster": ({"cluster-size": 4096}, {"cluster-size": 4096}),
    "all": ({"lazy-refcounts": True, "extended-l2": True, "cluster-size": 131072, "preallocation": "metadata"},
            {"lazy-refcounts": True, "extended-l2": True, "cluster-size": 131072}),
    "compressed": ({"compress": True, "extended-l2": True}, {"extended-l2": True, "compression-type": "zlib"}),
    "compressed-old": ({"compress": True, "compat": "0.10"}, {"compat": "0.10"}),
}


def assert_has(path, wanted):
    info = images.info(path)
    found = {**info["format-specific"]["data"], "cluster-size": info["cluster-size"]}
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
@pytest.mark.parametrize("name", QCOW2_OPTIONS)
def test_image_of_a_clone(service, pool, kind, name):
    """Whatever its source is like."""
    options, wanted = QCOW2_OPTIONS[name]
    source = make_source(service, pool, kind)
    clone = service.volume(pool.CloneVolume(source.path, "clone", {"format": "qcow2", **options})[0])
    assert_has(clone.get("Path"), wanted)
    assert_same(source, clone)
    assert images.check(clone.get("Path")) == 0


def test_image_of_a_clone_where_blocks_can_be_shared(service, world):
    """Its source's file is of the format that it shall have, but not as it shall be."""
    pool = service.make_pool("xfs", FileSystem(world, "xfs").path)
    source = make_source(service, pool, "qcow2")
    for name in ("compat", "lazy", "extended", "cluster", "compressed"):
        options, wanted = QCOW2_OPTIONS[name]
        clone = service.volume(pool.CloneVolume(source.path, name, options)[0])
        assert_has(clone.get("Path"), wanted)
        assert_same(source, clone)


@pytest.mark.parametrize("name", ["compat", "lazy", "extended", "cluster"])
def test_image_of_a_linked_clone(service, pool, name):
    options, wanted = QCOW2_OPTIONS[name]
    source = make_source(service, pool)
    clone = service.volume(pool.CloneVolume(source.path, "clone", {"linked": True, **options})[0])
    assert_has(clone.get("Path"), wanted)
    assert images.info(clone.get("Path"))["full-backing-filename"] == source.get("Path")
    assert_same(source, clone)


@pytest.mark.parametrize("options", [{"format": "raw"}, {"format": "qcow2"}, {"linked": True},
                                     {"format": "raw", "preallocation": "falloc"}],
                         ids=["raw", "qcow2", "linked", "falloc"])
def test_owner_group_and_mode_of_a_clone(service, pool, options):
    source = make_source(service, pool)
    rights = {"owner": USER, "group": USER + 1, "mode": 0o640}
    clone = service.volume(pool.CloneVolume(source.path, "clone", {**options, **rights})[0])
    st = os.stat(clone.get("Path"))
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (USER, USER + 1, 0o640)
    assert (clone.get("Owner"), clone.get("Group"), clone.get("Mode")) == (USER, USER + 1, 0o640)
    assert_same(source, clone)


def test_no_copy_on_write(service, world):
    """On btrfs, of everything that is made; elsewhere it is refused, and nothing is left."""
    pool = service.make_pool("btrfs", FileSystem(world, "btrfs").path)
    folder = pool.get("TargetPath")
    for name, options in {"raw": {}, "qcow2": {"format": "qcow2"}, "full": {"preallocation": "full"},
                          "dir": {"format": "dir"}}.items():
        pool.CreateVolume(name, 0 if name == "dir" else SIZE, {"nocow": True, **options})
        assert has_nocow(f"{folder}/{name}"), name
        pool.CreateVolume(name + "-plain", 0 if name == "dir" else SIZE, options)
        assert not has_nocow(f"{folder}/{name}-plain"), name
    source = make_source(service, pool)
    for name, options in {"copy": {}, "image": {"format": "qcow2"}, "over": {"linked": True}}.items():
        clone = service.volume(pool.CloneVolume(source.path, name, {"nocow": True, **options})[0])
        assert has_nocow(clone.get("Path")), name
        assert_same(source, clone)
    # A file that copies on write shares no blocks with one that does not.
    with refused("Unsupported"):
        pool.CloneVolume(source.path, "shared", {"nocow": True, "reflink": "always"})
    with open(source.get("Path"), "rb") as f:
        pool.ImportVolume("import", 0, {"nocow": True}, fds=[f.fileno()])
    assert has_nocow(f"{folder}/import")
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_no_copy_on_write_where_that_is_unknown(service, world):
    pool = service.make_pool("tmpfs", world.tmpfs("32m"))
    source = make_source(service, pool)
    for options in ({}, {"format": "qcow2"}, {"preallocation": "full"}):
        with refused("Unsupported"):
            pool.CreateVolume("v", SIZE, {"nocow": True, **options})
        with refused("Unsupported"):
            pool.CloneVolume(source.path, "v", {"nocow": True, "reflink": "never", **options})
    assert os.listdir(pool.get("TargetPath")) == ["source-raw"]


def rights_list(*entries):
    """A list of rights as the kernel has it, of (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xffffffff
# Of the owner, of a user, of the group, their mask, of all others.
DEFAULT_RIGHTS = rights_list((0x01, 7, NOBODY), (0x02, 7, USER), (0x04, 7, NOBODY), (0x10, 7, NOBODY), (0x20, 0, NOBODY))


def may_read(path, uid):
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "test", "-r", path]
    return subprocess.run(command, check=False).returncode == 0


@pytest.fixture
def giving(service, folder):
    """A pool in whose folder everything new is a user's, too, by default."""
    os.setxattr(folder, "system.posix_acl_default", DEFAULT_RIGHTS)
    with open(folder + "/probe", "wb"):
        pass
    os.chmod(folder + "/probe", 0o640)
    assert may_read(folder + "/probe", USER), "it would not be seen if rights came from the folder"
    os.unlink(folder + "/probe")
    return service.make_pool("giving", folder)


@pytest.mark.parametrize("mode", [0o640, 0o600, None])
def test_mode_in_a_folder_with_default_rights(service, giving, mode):
    """It is what was asked for that is given, and nothing to those whom the folder names."""
    folder = giving.get("TargetPath")
    rights = {} if mode is None else {"mode": mode}
    source = make_source(service, giving)
    giving.CreateVolume("raw", SIZE, rights)
    giving.CreateVolume("image", SIZE, {"format": "qcow2", **rights})
    giving.CreateVolume("full", SIZE, {"preallocation": "full", **rights})
    giving.CreateVolume("dir", 0, {"format": "dir", **rights})
    giving.CloneVolume(source.path, "clone", {"format": "qcow2", **rights})
    giving.CloneVolume(source.path, "over", {"linked": True, **rights})
    with open(source.get("Path"), "rb") as f:
        giving.ImportVolume("import", 0, rights, fds=[f.fileno()])
    for name in ("raw", "image", "full", "dir", "clone", "over", "import"):
        path = f"{folder}/{name}"
        default = 0o700 if name == "dir" else 0o600
        assert stat.S_IMODE(os.stat(path).st_mode) == (mode or default), name
        assert "system.posix_acl_access" not in os.listxattr(path), name
        assert not may_read(path, USER), name
        # Nor later, when somebody opens it to its group.
        os.chmod(path, 0o640)
        assert not may_read(path, USER), name


def test_replaced_file_in_a_folder_with_default_rights(service, giving):
    """The new file has the old one's rights: a list of its own, too, and nothing of the folder's."""
    folder = giving.get("TargetPath")
    source = make_source(service, giving)
    own = rights_list((0x01, 6, NOBODY), (0x02, 4, USER + 1), (0x04, 0, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY))
    for name, mode in (("plain", 0o640), ("listed", None)):
        over = service.volume(giving.CloneVolume(source.path, name, {"linked": True})[0])
        path = f"{folder}/{name}"
        if mode is None:
            os.setxattr(path, "system.posix_acl_access", own)
        else:
            os.chmod(path, mode)
        before, inode = os.stat(path).st_mode, os.stat(path).st_ino
        over.Flatten()
        assert os.stat(path).st_ino != inode and os.stat(path).st_mode == before
        assert not may_read(path, USER) and may_read(path, USER + 1) == (mode is None)
        images.qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", source.get("Path"), path)
