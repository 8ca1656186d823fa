# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is wrong gets one clear error or is skipped with its reason, and nothing is lost."""

import os
import socket
import struct
import subprocess
import time

import pytest
from gi.repository import GLib

from client import MIB, error_name, iterate_until, refused
from harness import NOBODY, SLOWNESS, wait_until

BAD_NAMES = ["", ".", "..", "a/b", "/", "../evil", "a\nb", "a\x01b", "\x7f", "a\tb", "x" * 256, "x" * 300, "é" * 150]
BAD_NAME_IDS = ["empty", "dot", "dots", "folder", "slash", "above", "newline", "control", "delete", "tab", "256", "300",
                "300-utf8"]
POOL_XML = "<pool type='dir'><name>{}</name><target><path>{}</path></target></pool>"


@pytest.mark.parametrize("name", BAD_NAMES, ids=BAD_NAME_IDS)
def test_bad_volume_names(service, pool, folder, name):
    for kind in ("raw", "qcow2", "dir"):
        with refused("InvalidName"):
            pool.CreateVolume(name, MIB, {"format": kind})
    with refused("InvalidName"):
        pool.EnsureVolume(name, MIB, {})
    with refused("NotFound", "InvalidName"):
        pool.GetVolume(name)
    assert os.listdir(folder) == [] and not os.path.exists(folder + "/../evil")


@pytest.mark.parametrize("name", [".storaged-new-0123456789abcdef", ".storaged-new-", ".storaged-snap-a@b"])
def test_names_that_are_ours(service, pool, folder, name):
    """A volume of such a name would be taken for what it is not, and be removed."""
    source = service.make_volume(pool, "source")
    for call in (lambda: pool.CreateVolume(name, MIB), lambda: pool.CloneVolume(source.path, name),
                 lambda: service.call(pool.path, "Pool", "OpenImport", "(sta{sv})", (name, MIB, {}))):
        with refused("InvalidName"):
            call()
    assert os.listdir(folder) == ["source"]


def definitions(daemon):
    return [f for _, _, files in os.walk(daemon.config_dir) for f in files if f.endswith(".xml")]


@pytest.mark.parametrize("name", BAD_NAMES, ids=BAD_NAME_IDS)
def test_bad_pool_names(daemon, service, folder, name):
    before = definitions(daemon)
    with refused("InvalidName"):
        service.manager.DefinePool(name, "dir", {"target-path": folder}, {})
    assert service.pool_names() == []
    assert definitions(daemon) == before


def test_name_of_255_bytes(service, pool, folder):
    name = "x" * 255
    for kind in ("raw", "qcow2"):
        volume = service.make_volume(pool, name, 4096 * 16, format=kind)
        assert os.listdir(folder) == [name] and volume.get("Name") == name
        volume.Delete()


def test_names_that_only_look_bad(service, pool, folder):
    for name in ("...", "..a", "-rf", "a b", "%s%n", "\\", "é", "name;rm", "$(x)", "--help"):
        for kind in ("raw", "qcow2"):
            service.make_volume(pool, name, MIB, format=kind).Delete()
        service.make_volume(pool, name, MIB)
    assert len(os.listdir(folder)) == 10 == len(service.volumes(pool))


def test_option_like_backing_paths(service, pool, folder):
    """A backing path is no option of qemu-img, and no protocol."""
    for path in ("--help", "nbd://localhost/x", "json:{\"driver\":\"null-co\"}", "a\nb", "x" * 5000, "fd:3"):
        try:
            pool.CreateVolume("v", MIB, {"format": "qcow2", "backing-path": path, "backing-format": "raw"})
        except GLib.Error as error:
            assert error_name(error).startswith("org.example.Storage1.Error."), error
            assert os.listdir(folder) == []
        else:
            service.volume(pool.GetVolume("v")).Delete()


def test_huge_xml(world, daemon, service, pool, folder):
    """100 MB: the bus, or the service, says no; everybody else goes on."""
    for size in (2 * MIB, 30 * MIB, 100 * MIB):
        client = world.client(daemon)
        client.connection.set_exit_on_close(False)
        text = POOL_XML.format("big", folder).replace("</pool>", "<!--" + "x" * size + "--></pool>")
        with pytest.raises(GLib.Error) as caught:
            client.manager.DefinePoolFromXML(text, {}, timeout=60)
        if size == 2 * MIB:
            assert error_name(caught.value).endswith((".InvalidXML", ".LimitsExceeded", ".InvalidArgument"))
        assert pool.get("State") == "active"
    with refused("InvalidXML", "LimitsExceeded", "InvalidArgument"):
        pool.CreateVolumeFromXML("<volume><name>v</name>" + " " * (20 * MIB) + "</volume>")
    assert os.listdir(folder) == []


BOMB = ("<?xml version='1.0'?><!DOCTYPE pool [<!ENTITY a 'aaaaaaaaaa'>" +
        "".join(f"<!ENTITY {chr(98 + i)} '{('&' + chr(97 + i) + ';') * 10}'>" for i in range(12)) +
        "]><pool type='dir'><name>&m;</name><target><path>/x</path></target></pool>")
FILE = ("<!DOCTYPE pool [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>"
        "<pool type='dir'><name>n</name><target><path>/x&f;</path></target></pool>")
DTD = "<!DOCTYPE pool SYSTEM 'http://127.0.0.1:9/x.dtd'>" + POOL_XML.format("dtd", "/x")


@pytest.mark.parametrize("text", [BOMB, FILE, "<a>" * 100_000, "<pool>", "", "\0", "<pool type='dir'/>", "<volume/>",
                                  POOL_XML.format("a\x01", "/x"), "<pool " + "a='1' " * 50_000 + "/>",
                                  "<pool type='dir'><name>x</name></pool></pool>"],
                         ids=["bomb", "file", "deep", "cut", "empty", "nul", "incomplete", "other", "control",
                              "attributes", "trailing"])
def test_bad_xml(service, text):
    start = time.monotonic()
    if text == "\0":
        return
    with refused("InvalidXML", "InvalidArgument", "InvalidName") as refusal:
        service.manager.DefinePoolFromXML(text)
    assert "root:" not in refusal.text
    assert time.monotonic() - start < 2 * SLOWNESS
    assert service.pool_names() == []


def test_external_dtd_is_not_fetched(service):
    """Whether it is refused or ignored: nobody connects."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.3)
        try:
            service.manager.DefinePoolFromXML(DTD.replace(":9/", f":{listener.getsockname()[1]}/"))
        except GLib.Error as error:
            assert error_name(error).endswith(".InvalidXML")
        with pytest.raises(TimeoutError):
            listener.accept()


def test_error_tells_the_line(service):
    with refused("InvalidXML") as refusal:
        service.manager.DefinePoolFromXML("<pool type='dir'>\n<name>x</name>\n<target>\n</pool>")
    assert "line 4" in refusal.text.lower() or ":4" in refusal.text


def test_volume_larger_than_the_disk(service, world):
    small = world.tmpfs(16 * MIB)
    pool = service.make_pool("small", small)
    for options in ({"preallocation": "full"}, {"preallocation": "falloc"}, {"allocation": 64 * MIB},
                    {"format": "qcow2", "preallocation": "full"}):
        with refused("NoSpace") as refusal:
            pool.CreateVolume("v", 64 * MIB, options)
        assert "v" in refusal.text
        assert os.listdir(small) == []
    service.make_volume(pool, "sparse", 64 * MIB)
    assert pool.get("Health") == "ok"


def test_capacities_without_sense(service, pool, folder):
    for capacity in (2**63, 2**64 - 1, 2**63 - 1):
        with refused("InvalidArgument", "NoSpace", "Failed"):
            pool.CreateVolume("v", capacity, {})
        with refused("InvalidArgument", "NoSpace", "Failed"):
            pool.CreateVolume("v", capacity, {"format": "qcow2"})
        with refused("InvalidArgument", "NoSpace", "Failed"):
            pool.CreateVolume("v", capacity, {"preallocation": "full"})
    assert os.listdir(folder) == []
    volume = service.make_volume(pool, "v", 4096)
    for capacity in (2**63, 2**64 - 1):
        with refused("InvalidArgument", "NoSpace", "Failed"):
            volume.Resize(capacity)
        with refused("InvalidArgument", "NoSpace", "Failed"):
            volume.Resize(capacity, {"delta": True})
    assert os.stat(folder + "/v").st_size == 4096


def test_full_disk(service, world):
    small = world.tmpfs(4 * MIB)
    pool = service.make_pool("small", small)
    service.make_volume(pool, "fill", 3 * MIB, preallocation="full")
    volume = service.make_volume(pool, "v", 4096)
    with refused("NoSpace"):
        volume.Resize(8 * MIB, {"allocate": True})
    with refused("NoSpace"):
        pool.CreateVolume("q", 2 * MIB, {"format": "qcow2", "preallocation": "full"})
    assert sorted(os.listdir(small)) == ["fill", "v"]
    assert volume.get("Capacity") == os.stat(small + "/v").st_size
    service.volume(pool.GetVolume("fill")).Delete()
    service.make_volume(pool, "now", 2 * MIB, preallocation="full")


def test_no_inodes_left(service, world):
    """Files' attributes may count as some, too: how many volumes there is room for depends on the kernel."""
    small = world.tmpfs(4 * MIB, ",nr_inodes=8")
    pool = service.make_pool("small", small)
    service.make_volume(pool, "a", 4096)
    made = ["a"]
    with refused("NoSpace"):
        for i in range(8):
            service.make_volume(pool, f"b{i}", 4096)
            made.append(f"b{i}")
    assert sorted(os.listdir(small)) == made


def test_read_only_disk(service, world):
    small = world.tmpfs(4 * MIB)
    pool = service.make_pool("small", small)
    service.make_volume(pool, "a", 4096)
    os.system(f"mount -o remount,ro {small}")
    try:
        with refused("Failed", "Inaccessible") as refusal:
            pool.CreateVolume("b", 4096)
        assert "read-only" in refusal.text.lower()
        assert list(service.volumes(pool)) == ["a"]
    finally:
        os.system(f"mount -o remount,rw {small}")


def strange_files(folder, outside):
    """Everything that may lie in a folder and is no volume, and two that are."""
    os.mkfifo(folder + "/fifo")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(folder + "/socket")
    os.symlink("loop-b", folder + "/loop-a")
    os.symlink("loop-a", folder + "/loop-b")
    os.symlink("/nonexistent", folder + "/dangling")
    try:
        os.mknod(folder + "/device", 0o600 | 0o020000, os.makedev(1, 7))
        os.mknod(folder + "/blockdev", 0o600 | 0o060000, os.makedev(7, 250))
    except PermissionError:
        pass
    with open(outside, "wb") as f:
        f.truncate(8192)
    with open(folder.encode() + b"/not-\xff\xfe-utf8", "wb"):
        pass
    with open(folder + "/good", "wb") as f:
        f.truncate(4096)
    with open(folder + "/unreadable", "wb") as f:
        f.truncate(4096)
    os.chmod(folder + "/unreadable", 0)


def test_strange_files(service, world, folder):
    strange_files(folder, world.folder() + "/target")
    start = time.monotonic()
    pool = service.make_pool("p", folder)
    assert time.monotonic() - start < 5 * SLOWNESS
    found = service.volumes(pool)
    assert {"good", "unreadable"} <= set(found)
    assert not {"fifo", "socket", "loop-a", "loop-b", "dangling"} & set(found)
    problems = " ".join(text for _, text in pool.get("Problems"))
    assert "not-" in problems, "a name that is not UTF-8 is told"
    service.make_volume(pool, "more", 4096)
    pool.Refresh()
    assert pool.get("State") == "active"


def test_strange_files_that_come_later(service, world, pool, folder):
    strange_files(folder, world.folder() + "/target")
    service.wait_volume(pool, "good")
    service.wait_volume(pool, "unreadable")
    assert not {"fifo", "socket", "loop-a", "loop-b", "dangling"} & set(service.volumes(pool))
    os.unlink(folder.encode() + b"/not-\xff\xfe-utf8")
    wait_until(lambda: "not-" not in str(pool.get("Problems")), what="the problem to go away")


@pytest.mark.private
def test_unreadable_for_a_session(world):
    """As root everything can be read; a user's service meets files that it may not open."""
    daemon = world.daemon(kind="session", uid=NOBODY)
    service = world.client(daemon, NOBODY)
    folder = world.folder()
    for name, mode in (("good", 0o644), ("unreadable", 0)):
        with open(f"{folder}/{name}", "wb") as f:
            f.truncate(4096)
        os.chmod(f"{folder}/{name}", mode)
    pool = service.make_pool("p", folder)
    assert "good" in service.volumes(pool)
    told = str(pool.get("Problems")) + service.volumes(pool).get("unreadable", {}).get("Problem", "")
    assert "unreadable" in told or "ermission" in told
    with refused("AccessDenied", "Failed", "Inaccessible") as refusal:
        pool.CreateVolume("v", 4096)
    assert "ermission" in refusal.text


def test_volume_turns_into_something_else(service, pool, folder):
    volume = service.make_volume(pool, "v", 4096)
    os.unlink(folder + "/v")
    os.mkfifo(folder + "/v")
    iterate_until(lambda: "v" not in service.volumes(pool), what="the volume's end")
    with refused("NotFound", "UnknownObject", "UnknownMethod", "UnknownInterface"):
        volume.Delete()
    assert os.path.exists(folder + "/v"), "what is no volume is not deleted"


def lying_images():
    qcow2 = struct.pack(">IIQIIQIIQQIIQ", 0x514649fb, 3, 0, 0, 16, 2**62, 0, 2**31, 2**62, 2**62, 2**31, 2**31, 2**62)
    qcow2 += struct.pack(">QQQII", 0, 0, 0, 4, 2**31 - 1)
    loop = bytearray(struct.pack(">IIQIIQIIQQIIQ", 0x514649fb, 2, 72, 4, 16, MIB, 0, 1, 65536, 65536, 1, 0, 0))
    return {
        "tables.qcow2": qcow2 + b"\0" * 100,
        "cut.qcow2": qcow2[:20],
        "backing-beyond.qcow2": struct.pack(">IIQIIQIIQQIIQ", 0x514649fb, 2, 2**40, 1000, 16, MIB, 0, 1, 0, 0, 1, 0, 0),
        "self.qcow2": bytes(loop) + b"self",
        "bits.qcow2": struct.pack(">IIQIIQIIQQIIQ", 0x514649fb, 2, 0, 0, 63, MIB, 0, 1, 0, 0, 1, 0, 0),
        "text.vmdk": b"# Disk DescriptorFile\n" + b"RW 99999999999999999999 SPARSE \"x\n" * 5000,
        "sparse.vmdk": struct.pack("<IIIQQQQIQQQ", 0x564d444b, 1, 3, 2**63, 2**63, 2**63, 2**63, 2**31, 0, 0, 0)
                       + b"x" * 90,
        "conectix.vpc": b"conectix" + b"\xff" * 504,
        "head.vdi": b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe" + b"\xff" * 500,
        "file.vhdx": b"vhdxfile" + b"\xff" * 70000,
        "x.luks": b"LUKS\xba\xbe\xff\xff" + b"\xff" * 600,
        "x.qed": b"QED\0" + b"\xff" * 100,
        "names.qcow2": struct.pack(">IIQIIQIIQQIIQ", 0x514649fb, 2, 72, 6, 16, MIB, 0, 1, 0, 0, 1, 0, 0)
                       + b"\xff\xfe\n\x00ab",
    }


def test_headers_that_lie(service, pool, folder):
    for name, contents in lying_images().items():
        with open(f"{folder}/{name}", "wb") as f:
            f.write(contents)
    with open(folder + "/last", "wb"):
        pass
    service.wait_volume(pool, "last")
    pool.Refresh()
    found = service.volumes(pool)
    assert set(found) == set(lying_images()) | {"last"}
    for name, properties in found.items():
        assert properties["Capacity"] < 2**63, name
        service.volume(pool.GetVolume(name)).GetXML()
    assert found["self.qcow2"]["BackingPath"] == folder + "/self"
    for name in lying_images():
        service.volume(pool.GetVolume(name)).Delete()


def test_backing_loops(service, pool, folder):
    for name, backing in (("a", "b"), ("b", "a"), ("c", "c")):
        subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2",
                        f"{folder}/{name}", "1M"], check=True)
    service.wait_volume(pool, "c")
    service.wait_volume(pool, "b")
    found = service.volumes(pool)
    assert set(found) == {"a", "b", "c"} and found["a"]["BackingPath"] == folder + "/b"
    for name in ("a", "b", "c"):
        service.volume(pool.GetVolume(name)).all()


def test_volumes_of_a_hostile_bus_client(service, pool):
    """Wrong signatures and methods that are not there get the bus's own errors."""
    for method, signature, args in (("CreateVolume", "(s)", ("v",)), ("CreateVolume", "(ss)", ("v", "w")),
                                    ("NoSuch", "()", ()), ("Refresh", "()", ())):
        with refused("InvalidArgs", "UnknownMethod"):
            service.call(pool.path, "Pool", method, signature, args)


def test_too_many_keys(service, folder):
    """An options dict, or a list in a definition, of any length is refused soon."""
    start = time.monotonic()
    with refused("InvalidArgument", "LimitsExceeded"):
        service.manager.DefinePool("n", "dir", {"target-path": folder}, {f"o{i}": 1 for i in range(20000)})
    with refused("InvalidArgument", "LimitsExceeded", "Unsupported"):
        service.manager.DefinePool("n", "netfs", {"target-path": folder, "source-dir": "/x",
                                                  "source-hosts": [("h", 1)] * 20000}, {})
    with refused("InvalidArgument", "LimitsExceeded"):
        service.manager.DefinePool("n", "dir", {"target-path": "/" + "x" * 100000}, {})
    assert time.monotonic() - start < 10 * SLOWNESS
