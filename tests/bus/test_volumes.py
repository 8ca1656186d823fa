# SPDX-License-Identifier: LGPL-2.1-or-later
"""Volumes of a directory pool: what is made is what qemu-img and stat see."""

import fcntl
import json
import os
import stat
import struct
import subprocess

import pytest
from gi.repository import GLib

from client import MIB, refused
from test_pool_lifecycle import assert_valid

QEMU_FORMATS = ["qcow2", "qcow", "qed", "vmdk", "vdi", "vpc"]

VOLUME_XML = """<volume>
  <name>{name}</name>
  <capacity unit='{unit}'>{capacity}</capacity>
  {more}
</volume>
"""


def qemu_info(path):
    result = subprocess.run(["qemu-img", "info", "-U", "--output=json", path], capture_output=True, check=True)
    return json.loads(result.stdout)


def special(path):
    return qemu_info(path).get("format-specific", {}).get("data", {})


def assert_as_on_disk(service, path):
    """Everything that the volume says of itself against stat and qemu-img."""
    got = service.volume(path).all()
    info, st = qemu_info(got["Path"]), os.stat(got["Path"])
    assert got["Format"] == info["format"]
    assert got["Capacity"] == info["virtual-size"]
    assert got["Allocation"] == st.st_blocks * 512 == info["actual-size"]
    assert got["Physical"] == st.st_size
    assert got["Modified"] == st.st_mtime_ns // 1000
    assert (got["Mode"], got["Owner"], got["Group"]) == (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid)
    assert got["BackingPath"] == info.get("backing-filename", "")
    return got


def settled(service, pool):
    """Sizes on disk may follow a little later than the file (delayed allocation)."""
    os.sync()
    pool.Refresh()


def test_create_raw(service, pool, folder):
    log = service.log()
    path, job = pool.CreateVolume("disk.img", 10 * MIB, {})
    assert job == "/" and path.startswith(pool.get("Volumes") + "/")
    log.wait_added(path)
    got = assert_as_on_disk(service, path)
    assert got["Name"] == "disk.img" and got["Path"] == got["Key"] == folder + "/disk.img"
    assert got["Format"] == "raw" and got["Type"] == "file" and got["Pool"] == pool.path
    assert got["Capacity"] == 10 * MIB and got["Mode"] == 0o600 and got["Backing"] == "/"
    assert os.stat(folder + "/disk.img").st_blocks == 0
    assert pool.GetVolume("disk.img") == path and pool.get("VolumeCount") == 1
    assert service.manager.GetVolumeByPath(folder + "/disk.img") == path
    assert service.manager.GetVolumesByKey(folder + "/disk.img") == [path]
    assert os.listdir(folder) == ["disk.img"]


@pytest.mark.parametrize("kind", QEMU_FORMATS)
def test_create_each_format(service, pool, kind, tmp_path):
    path, _ = pool.CreateVolume("disk." + kind, 16 * MIB, {"format": kind})
    settled(service, pool)
    got = assert_as_on_disk(service, path)
    assert got["Format"] == kind and got["Capacity"] >= 16 * MIB
    assert_valid("storagevol.rng", service.volume(path).GetXML(), tmp_path)


def test_every_offered_format_is_made_or_refused(service, pool, folder):
    """A format that is only recognised says so, and leaves nothing behind."""
    for kind in pool.get("VolumeFormats"):
        before = sorted(os.listdir(folder))
        try:
            path, _ = pool.CreateVolume("v-" + kind, MIB, {"format": kind})
        except GLib.Error as error:
            assert "Unsupported" in str(error) or "InvalidArgument" in str(error), (kind, error)
            assert sorted(os.listdir(folder)) == before
        else:
            assert service.volume(path).get("Format") in (kind, {"vhd": "vpc"}.get(kind))


def luks_container(path, size):
    """As cryptsetup makes one, but that no passphrase opens it: for that each of them takes seconds of hashing."""
    slots, key = b"", 64
    for number in range(8):
        slots += struct.pack(">II32sII", 0x0000dead, 0, b"", 8 + 504 * number, 4000)
    header = struct.pack(">6sH32s32s32sII20s32sI40s", b"LUKS\xba\xbe", 1, b"aes", b"xts-plain64", b"sha256", 4096, key,
                         b"digest", b"salt", 1000, b"00000000-0000-0000-0000-000000000001")
    with open(path, "wb") as f:
        f.write(header + slots)
        f.truncate(4096 * 512 + size)


def test_formats_made_by_others(service, pool, folder):
    """What other programs made is recognised from its header, as qemu-img does it."""
    kinds = [*QEMU_FORMATS, "vhdx", "luks"]
    for kind in kinds:
        if kind == "luks":
            luks_container(f"{folder}/{kind}", 8 * MIB)
        else:
            subprocess.run(["qemu-img", "create", "-q", "-f", kind, f"{folder}/{kind}", "8M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "qcow2", "-F", "qcow2", folder + "/overlay"],
                   check=True)
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", folder + "/cd", "-graft-points", "a=" + __file__],
                   check=True, capture_output=True)
    service.wait_volume(pool, "cd")
    settled(service, pool)
    found = service.volumes(pool)
    for kind in kinds:
        info = qemu_info(f"{folder}/{kind}")
        assert found[kind]["Format"] == ("raw" if kind == "luks" else kind) or found[kind]["Format"] == info["format"]
        assert found[kind]["Capacity"] == info["virtual-size"], kind
        assert found[kind]["Encryption"] == ("luks" if kind == "luks" else "")
    assert found["cd"]["Format"] == "iso"
    overlay = found["overlay"]
    assert (overlay["Backing"], overlay["BackingFormat"]) == (pool.GetVolume("qcow2"), "qcow2")
    assert found["qcow2"]["Dependents"] == [pool.GetVolume("overlay")]


def test_encryption_is_not_promised(service, pool, folder):
    """Nobody gets an open volume who asked for an encrypted one."""
    with refused("Unsupported", "InvalidArgument", "NotFound"):
        pool.CreateVolume("v", MIB, {"format": "qcow2", "encryption": "luks", "secret": "none-such"})
    assert os.listdir(folder) == []


def test_create_directory_volume(service, pool, folder):
    path, _ = pool.CreateVolume("sub", 0, {"format": "dir"})
    got = service.volume(path).all()
    assert os.path.isdir(folder + "/sub") and (got["Type"], got["Format"]) == ("dir", "dir")
    service.volume(path).Delete()
    assert not os.path.exists(folder + "/sub")


def test_qcow2_details(service, pool, folder, tmp_path):
    path, _ = pool.CreateVolume("a.qcow2", 32 * MIB, {"format": "qcow2"})
    assert special(folder + "/a.qcow2")["compat"] == "1.1"
    pool.CreateVolume("old", 32 * MIB, {"format": "qcow2", "compat": "0.10"})
    assert special(folder + "/old")["compat"] == "0.10"
    pool.CreateVolume("lazy", 32 * MIB, {"format": "qcow2", "lazy-refcounts": True, "extended-l2": True,
                                         "cluster-size": 131072})
    data = special(folder + "/lazy")
    assert data["lazy-refcounts"] and data["extended-l2"] and qemu_info(folder + "/lazy")["cluster-size"] == 131072
    text = service.volume(pool.GetVolume("lazy")).GetXML()
    assert "<lazy_refcounts/>" in text and "<extended_l2/>" in text
    for name in ("a.qcow2", "old", "lazy"):
        assert_valid("storagevol.rng", service.volume(pool.GetVolume(name)).GetXML(), tmp_path)
    with refused("InvalidArgument"):
        pool.CreateVolume("wrong", MIB, {"format": "qcow2", "compat": "0.10", "lazy-refcounts": True})
    with refused("InvalidArgument"):
        pool.CreateVolume("wrong", MIB, {"format": "qcow2", "cluster-size": 1000})
    assert service.volume(path).get("Format") == "qcow2" and "wrong" not in os.listdir(folder)


@pytest.mark.parametrize("how,full", [("off", False), ("falloc", True), ("full", True)])
def test_preallocation_of_raw(service, pool, folder, how, full):
    path, _ = pool.CreateVolume("v", 8 * MIB, {"preallocation": how})
    settled(service, pool)
    st = os.stat(folder + "/v")
    assert st.st_size == 8 * MIB and (st.st_blocks * 512 >= 8 * MIB) == full
    assert_as_on_disk(service, path)


@pytest.mark.parametrize("how,least", [("off", 0), ("metadata", 0), ("falloc", 8 * MIB), ("full", 8 * MIB)])
def test_preallocation_of_qcow2(service, pool, folder, how, least):
    path, _ = pool.CreateVolume("v", 8 * MIB, {"format": "qcow2", "preallocation": how})
    settled(service, pool)
    allocated = os.stat(folder + "/v").st_blocks * 512
    assert allocated >= least
    if least == 0:
        assert allocated < 4 * MIB
    assert_as_on_disk(service, path)
    check = json.loads(subprocess.run(["qemu-img", "check", "--output=json", folder + "/v"], capture_output=True,
                                      check=True).stdout)
    assert (check.get("allocated-clusters", 0) > 0) == (how != "off")


def test_partly_allocated_raw(service, pool, folder):
    pool.CreateVolume("v", 16 * MIB, {"allocation": 4 * MIB})
    os.sync()
    st = os.stat(folder + "/v")
    assert st.st_size == 16 * MIB and 4 * MIB <= st.st_blocks * 512 < 6 * MIB


def test_bad_preallocation(service, pool, folder):
    with refused("InvalidArgument"):
        pool.CreateVolume("v", MIB, {"preallocation": "sometimes"})
    with refused("InvalidArgument", "Unsupported"):
        pool.CreateVolume("v", MIB, {"preallocation": "metadata", "format": "raw"})
    assert os.listdir(folder) == []


def test_permissions_and_ownership(service, pool, folder):
    for kind in ("raw", "qcow2"):
        path, _ = pool.CreateVolume("v-" + kind, MIB, {"format": kind, "mode": 0o640, "owner": 1234, "group": 4321})
        st = os.stat(folder + "/v-" + kind)
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o640, 1234, 4321)
        assert_as_on_disk(service, path)
    with refused("InvalidArgument"):
        pool.CreateVolume("v", MIB, {"mode": 0o7777})


def test_umask_does_not_matter(service, pool, folder):
    pool.CreateVolume("open", MIB, {"mode": 0o666})
    assert stat.S_IMODE(os.stat(folder + "/open").st_mode) == 0o666


def test_backing(service, pool, folder):
    base = service.make_volume(pool, "base.qcow2", 8 * MIB, format="qcow2")
    path, _ = pool.CreateVolume("top.qcow2", 16 * MIB, {"format": "qcow2", "backing": base.path})
    info = qemu_info(folder + "/top.qcow2")
    assert info["full-backing-filename"] == folder + "/base.qcow2" and info["backing-filename-format"] == "qcow2"
    got = service.volume(path).all()
    assert got["Backing"] == base.path and got["BackingFormat"] == "qcow2" and got["Capacity"] == 16 * MIB
    assert base.get("Dependents") == [path]
    with refused("HasDependents"):
        base.Delete()
    service.volume(path).Delete()
    assert base.get("Dependents") == []
    base.Delete()


def test_backing_by_path(service, pool, folder, world):
    outside = world.folder() + "/outside.raw"
    with open(outside, "wb") as f:
        f.truncate(4 * MIB)
    path, _ = pool.CreateVolume("top", 0, {"format": "qcow2", "backing-path": outside, "backing-format": "raw"})
    got = service.volume(path).all()
    assert (got["BackingPath"], got["BackingFormat"], got["Backing"]) == (outside, "raw", "/")
    assert got["Capacity"] == 4 * MIB
    with refused("InvalidArgument"):
        pool.CreateVolume("raw-top", MIB, {"format": "raw", "backing-path": outside, "backing-format": "raw"})
    with refused("InvalidArgument", "Unsupported"):
        pool.CreateVolume("full", MIB, {"format": "qcow2", "backing-path": outside, "backing-format": "raw",
                                        "preallocation": "full"})
    assert os.listdir(folder) == ["top"]


def test_create_from_xml(service, pool, folder):
    text = VOLUME_XML.format(name="x.qcow2", unit="MiB", capacity=5,
                             more="<allocation>0</allocation><target><format type='qcow2'/>"
                                  "<permissions><mode>0644</mode></permissions></target>")
    path, _ = pool.CreateVolumeFromXML(text)
    got = assert_as_on_disk(service, path)
    assert got["Capacity"] == 5 * MIB and got["Format"] == "qcow2" and got["Mode"] == 0o644
    # Without allocation, everything is allocated.
    pool.CreateVolumeFromXML(VOLUME_XML.format(name="full", unit="KiB", capacity=2048, more=""))
    os.sync()
    assert os.stat(folder + "/full").st_blocks * 512 >= 2 * MIB
    with refused("InvalidXML") as refusal:
        pool.CreateVolumeFromXML("<volume>\n<name>x</nom></volume>")
    assert "2" in refusal.text
    with refused("InvalidXML", "InvalidArgument"):
        pool.CreateVolumeFromXML(VOLUME_XML.format(name="u", unit="furlong", capacity=1, more=""))


def test_xml_validates(service, pool, tmp_path):
    service.make_volume(pool, "plain")
    base = service.make_volume(pool, "base", format="qcow2")
    service.make_volume(pool, "top", 2 * MIB, format="qcow2", backing=base.path)
    service.make_volume(pool, "<&>'\"", 512)
    for properties in service.volumes(pool).values():
        text = service.volume(pool.GetVolume(properties["Name"])).GetXML()
        assert_valid("storagevol.rng", text, tmp_path)
        assert f"<capacity unit='bytes'>{properties['Capacity']}<" in text.replace('"', "'")
        assert "<timestamps>" in text


def test_exists(service, pool, folder):
    service.make_volume(pool, "v", 4096)
    with open(folder + "/v", "wb") as f:
        f.write(b"precious")
    for kind in ("raw", "qcow2"):
        with refused("Exists") as refusal:
            pool.CreateVolume("v", MIB, {"format": kind})
        assert "v" in refusal.text
    with open(folder + "/v", "rb") as f:
        assert f.read() == b"precious"
    assert os.listdir(folder) == ["v"]


def test_delete(service, pool, folder):
    volume = service.make_volume(pool, "v")
    log = service.log()
    assert volume.Delete() == "/"
    assert os.listdir(folder) == []
    log.wait_removed(volume.path)
    with refused("NotFound"):
        pool.GetVolume("v")
    with refused("UnknownObject", "UnknownMethod", "UnknownInterface", "NotFound"):
        volume.Delete()
    with refused("NotFound"):
        service.manager.GetVolumeByPath(folder + "/v")
    assert service.manager.GetVolumesByKey(folder + "/v") == []


def test_delete_of_what_is_gone(service, pool, folder):
    volume = service.make_volume(pool, "v")
    os.unlink(folder + "/v")
    try:
        volume.Delete()
    except GLib.Error as error:
        assert any(n in str(error) for n in ("NotFound", "UnknownObject", "UnknownMethod")), error
    service.wait_gone(pool, "v")


def test_in_use(service, pool, folder):
    """Somebody has it open for writing, with QEMU's lock on it."""
    volume = service.make_volume(pool, "v")
    script = ("import fcntl,os,struct,sys; f=os.open(sys.argv[1], os.O_RDWR);"
              "fcntl.fcntl(f, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 100, 200, 0));"
              "print('up', flush=True); sys.stdin.read()")
    holder = subprocess.Popen(["/usr/bin/python3", "-c", script, folder + "/v"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"up\n"
        with refused("InUse") as refusal:
            volume.Delete()
        assert "v" in refusal.text
        with refused("InUse"):
            volume.Resize(2 * MIB)
        assert os.path.exists(folder + "/v") and os.stat(folder + "/v").st_size == MIB
        volume.Delete({"force": True})
        assert not os.path.exists(folder + "/v")
    finally:
        holder.communicate()


def test_resize_raw(service, pool, folder):
    volume = service.make_volume(pool, "v", 4 * MIB)
    log = service.log()
    assert volume.Resize(6 * MIB) == "/"
    log.wait_changed(volume.path, "Capacity", 6 * MIB)
    assert os.stat(folder + "/v").st_size == 6 * MIB
    volume.Resize(MIB, {"delta": True})
    assert volume.get("Capacity") == 7 * MIB
    with refused("InvalidArgument"):
        volume.Resize(5 * MIB)
    assert os.stat(folder + "/v").st_size == 7 * MIB
    volume.Resize(5 * MIB, {"shrink": True})
    assert os.stat(folder + "/v").st_size == 5 * MIB
    volume.Resize(MIB, {"delta": True, "shrink": True})
    assert os.stat(folder + "/v").st_size == 4 * MIB
    volume.Resize(6 * MIB, {"allocate": True})
    os.sync()
    assert os.stat(folder + "/v").st_blocks * 512 >= 2 * MIB


def test_resize_never_below_allocation(service, pool, folder):
    volume = service.make_volume(pool, "v", 4 * MIB, preallocation="full")
    settled(service, pool)
    with refused("InvalidArgument"):
        volume.Resize(MIB, {"shrink": True})
    assert os.stat(folder + "/v").st_size == 4 * MIB


@pytest.mark.parametrize("kind", ["qcow2", "qed"])
def test_resize_formats(service, pool, folder, kind):
    volume = service.make_volume(pool, "v", 4 * MIB, format=kind)
    volume.Resize(8 * MIB)
    assert qemu_info(folder + "/v")["virtual-size"] == 8 * MIB == volume.get("Capacity")
    if kind == "qcow2":
        volume.Resize(9 * MIB + 1)
        assert volume.get("Capacity") == 9 * MIB + 512
        volume.Resize(12 * MIB, {"allocate": True})
        assert volume.get("Capacity") == 12 * MIB and os.stat(folder + "/v").st_blocks * 512 >= 2 * MIB
    with refused("InvalidArgument", "Unsupported"):
        volume.Resize(4 * MIB)
    fixed = service.make_volume(pool, "w", 4 * MIB, format="vdi")
    with refused("Unsupported"):
        fixed.Resize(8 * MIB)


def test_resize_of_what_others_are_built_on(service, pool, folder):
    volume = service.make_volume(pool, "v", 4 * MIB)
    pool.CreateVolume("overlay", 0, {"format": "qcow2", "backing": volume.path})
    with refused("HasDependents") as refusal:
        volume.Resize(MIB, {"shrink": True, "force": True})
    assert "overlay" in refusal.text and os.stat(folder + "/v").st_size == 4 * MIB
    volume.Resize(5 * MIB)


def test_resize_keeps_the_contents(service, pool, folder):
    volume = service.make_volume(pool, "v", MIB)
    with open(folder + "/v", "r+b") as f:
        f.write(b"x" * 4096)
    volume.Resize(2 * MIB)
    with open(folder + "/v", "rb") as f:
        assert f.read(4096) == b"x" * 4096 and f.read(1) == b"\0"


def test_open(service, pool, folder):
    volume = service.make_volume(pool, "v", 4096)

    def descriptor(mode):
        _, fds = service.call(volume.path, "Volume", "Open", "(sa{sv})", (mode, {}), want_fds=True)
        assert len(fds) == 1
        return fds[0]
    fd = descriptor("rw")
    assert os.pwrite(fd, b"hello", 0) == 5
    os.close(fd)
    fd = descriptor("r")
    assert os.pread(fd, 5, 0) == b"hello" and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    assert os.readlink(f"/proc/self/fd/{fd}") == folder + "/v"
    with pytest.raises(OSError):
        os.write(fd, b"no")
    os.close(fd)
    for mode in ("w", "", "rwx"):
        with refused("InvalidArgument"):
            descriptor(mode)


def test_open_follows_no_link(service, pool, folder, world):
    """The file was replaced by a link to something precious after it was listed."""
    volume = service.make_volume(pool, "v", 4096)
    secret = world.folder() + "/secret"
    with open(secret, "wb") as f:
        f.write(b"secret")
    os.symlink(secret, folder + "/link")
    os.rename(folder + "/link", folder + "/v")
    with refused("NotFound", "Failed", "InvalidArgument", "UnknownObject", "UnknownMethod", "Inaccessible",
                 "Unsupported"):
        service.call(volume.path, "Volume", "Open", "(sa{sv})", ("r", {}), want_fds=True)


def test_ensure_volume(service, pool, folder):
    path, changes, job = pool.EnsureVolume("v", 2 * MIB, {"format": "qcow2"})
    assert (changes, job) == (["created"], "/")
    assert pool.EnsureVolume("v", 2 * MIB, {"format": "qcow2"}) == (path, [], "/")
    assert pool.EnsureVolume("v", MIB, {"format": "qcow2"}) == (path, [], "/")
    assert pool.EnsureVolume("v", 3 * MIB, {"format": "qcow2"}) == (path, ["resized"], "/")
    assert qemu_info(folder + "/v")["virtual-size"] == 3 * MIB
    with refused("Exists"):
        pool.EnsureVolume("v", 3 * MIB, {"format": "raw"})
    text = VOLUME_XML.format(name="w", unit="b", capacity=4096, more="")
    assert pool.EnsureVolumeFromXML(text)[1] == ["created"]
    assert pool.EnsureVolumeFromXML(text)[1] == []


def test_methods_for_later(service, pool, folder):
    """They are in the interface, and answer Unsupported as long as no backend has them."""
    volume = service.make_volume(pool, "v")
    for call in (volume.Flatten, volume.Commit):
        with refused("Unsupported"):
            call()
    with refused("Unsupported"):
        volume.Rebase(volume.path)
    assert os.listdir(folder) == ["v"]


def test_unknown_options(service, pool, folder):
    volume = service.make_volume(pool, "v")
    before = volume.all()
    for call, args in ((volume.Delete, ()), (volume.Resize, (2 * MIB,)), (volume.GetXML, ()), (volume.Open, ("r",))):
        with refused("InvalidArgument") as refusal:
            call(*args, {"no-such-option": 1})
        assert "no-such-option" in refusal.text
    assert volume.all() == before and os.listdir(folder) == ["v"]


def test_wrongly_typed_option(service, pool, folder):
    for key, value in (("format", GLib.Variant("u", 1)), ("mode", GLib.Variant("s", "0600")),
                       ("nocow", GLib.Variant("s", "yes")), ("wait", GLib.Variant("s", "1"))):
        with refused("InvalidArgument") as refusal:
            pool.CreateVolume("v", MIB, {key: value})
        assert key in refusal.text
    assert os.listdir(folder) == []
