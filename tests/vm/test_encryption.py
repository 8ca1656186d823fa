# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 3x256M
# timeout: 3000
"""Encrypted volumes on devices: opened with the passphrase and with no other, which nobody sees; nothing half made."""

import json
import os
import random
import struct
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from gi.repository import GLib, Gio

import devices
from client import MIB, refused
from devices import partitions, run
from harness import wait_until
from moments import cut_off
from watcher import Watcher

PASSPHRASE = b"Slartibartfast & 7 fjords"
WAIT = 120_000_000
HEADER = 2068480  # aes-256 in mode xts
EXTENT = 4 * MIB
SEED = int(os.environ.get("STORAGED_TEST_SEED", str(random.randrange(2**32))))
ENCRYPTED = {"encryption": "luks", "secret": "key"}


def lvs():
    """{name: tags}, but for thin pools."""
    return {name: tags for name, (tags, attr) in devices.lvs("lv_tags", "lv_attr").items() if attr[0] != "t"}


def done(service, call, *args, **options):
    """Has it done, however long that takes in the machine. The volume's path, if it makes one."""
    result = call(*args, {**options, "wait": 0})
    job = service.wait_job(result if isinstance(result, str) else result[-1], 300)
    if job["State"] != "succeeded":
        raise Gio.DBusError.new_for_dbus_error(job["ErrorName"], job["ErrorMessage"])
    return result[0]


def records():
    """Of volumes and their secrets; those of earlier tests' volumes stay, as such volumes may come back."""
    return set(os.listdir("/var/lib/storaged/volume-secrets"))


def make(service, pool, name, capacity, **options):
    return service.volume(done(service, pool.CreateVolume, name, capacity, **ENCRYPTED, **options))


@pytest.fixture
def key(service):
    service.manager.SetSecret("key", PASSPHRASE)
    yield "key"
    service.manager.RemoveSecret("key", {"force": True})


@pytest.fixture
def disk_pool(service, disks):
    devices.dirty(disks[1])
    return devices.make_disk_pool(service, disks[1], "gpt")


@pytest.fixture
def files(service, tmp_path):
    (tmp_path / "files").mkdir()
    return service.make_pool("files", str(tmp_path / "files"))


def io(tmp_path, path, *commands, passphrase=PASSPHRASE):
    """What became of qemu-io with these commands, on the container at that path."""
    (tmp_path / "key").write_bytes(passphrase)
    argv = ["qemu-io", "--object", f"secret,id=s,file={tmp_path}/key", "--image-opts",
            f"driver=luks,key-secret=s,file.filename={path}"]
    for command in commands:
        argv += ["-c", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)


def assert_opens(tmp_path, path, *commands):
    did = io(tmp_path, path, *commands)
    assert did.returncode == 0 and "failed" not in did.stdout, did.stdout + did.stderr


def guest_size(path):
    """What a guest sees of the container: the header is not secret."""
    text = run("qemu-img", "info", "--output=json", "--image-opts", f"driver=luks,file.filename={path}")
    return json.loads(text)["virtual-size"]


def device_size(path):
    return int(run("blockdev", "--getsize64", path))


def assert_shown(volume, name):
    """As libvirt shows it, and as a guest gets it."""
    path = volume.get("Path")
    assert (volume.get("Encryption"), volume.get("Problem")) == ("luks", "")
    assert volume.get("Capacity") == guest_size(path) == device_size(path) - HEADER
    encryption = ET.fromstring(volume.GetXML()).find("target/encryption")
    assert encryption.get("format") == "luks" and encryption.find("secret").get("usage") == name
    disk = volume.GetDiskXML()
    assert ET.fromstring(disk).find("source/encryption/secret").get("usage") == name
    node = json.loads(volume.GetBlockdev())
    assert (node["driver"], node["file"]["driver"], node["file"]["filename"]) == ("luks", "host_device", path)
    return disk


def assert_valid(tmp_path, *disks):
    """libvirt takes a machine with these disks."""
    path = tmp_path / "domain.xml"
    path.write_text("<domain type='test'><name>guest</name><memory>65536</memory><os><type>hvm</type></os>"
                    f"<devices>{''.join(disks)}</devices></domain>")
    did = subprocess.run(["virsh", "--connect", "test:///default", f"define --validate {path}"], capture_output=True,
                         text=True, timeout=60, check=False)
    assert did.returncode == 0, did.stderr


def test_logical(daemon, service, vg, key, tmp_path):
    """Thick and thin; capacity is what a guest sees, and is read back whoever looks."""
    before = records()
    with Watcher(PASSPHRASE) as watcher:
        thick = make(service, vg, "thick", 10 * MIB)
        thin = make(service, vg, "thin", 8 * MIB, allocation=0)
    assert (watcher.tools, watcher.found) == ({"create"}, [])
    for text in (daemon.log(), run("journalctl", "-b", "-o", "cat")):
        assert PASSPHRASE.decode() not in text and PASSPHRASE.hex() not in text
    # 8 MiB and the header would have room in the extents of 12.
    assert (device_size("/dev/vg0/thick"), device_size("/dev/vg0/thin")) == (3 * EXTENT, 3 * EXTENT)
    assert lvs() == {"thick": "", "thin": ""}
    assert thick.get("Allocation") == 3 * EXTENT > thick.get("Capacity") >= 10 * MIB
    assert thin.get("Allocation") < EXTENT
    assert_valid(tmp_path, assert_shown(thick, key), assert_shown(thin, key).replace("vda", "vdb"))

    assert io(tmp_path, "/dev/vg0/thick", "read 0 1", passphrase=b"wrong").returncode != 0
    assert_opens(tmp_path, "/dev/vg0/thick", "write -P 0x5a 0 1M")
    with open("/dev/vg0/thick", "rb") as f:
        assert b"\x5a" * 512 not in f.read()
    daemon.kill()
    daemon.start()
    vg.Refresh()
    assert_shown(thick, key)
    assert_shown(thin, key)
    with refused("HasDependents") as refusal:
        service.manager.RemoveSecret("key")
    assert "'thick'" in refusal.text and "'thin'" in refusal.text
    _path, changes, _job = vg.EnsureVolume("thick", 10 * MIB, ENCRYPTED)
    assert changes == []

    # A container needs no secret for another size.
    thick.Resize(EXTENT, {"delta": True, "wait": WAIT})
    assert device_size("/dev/vg0/thick") == 4 * EXTENT
    assert_shown(thick, key)
    with refused("InvalidArgument"):
        thick.Resize(9 * MIB)
    thick.Resize(9 * MIB, {"shrink": True, "wait": WAIT})
    assert device_size("/dev/vg0/thick") == 3 * EXTENT
    assert_opens(tmp_path, "/dev/vg0/thick", "read -P 0x5a 0 1M")
    thick.Delete({"wait": WAIT})
    thin.Wipe({"wait": WAIT})
    assert (thin.get("Encryption"), thin.get("Capacity")) == ("", 3 * EXTENT)
    assert "encryption" not in thin.GetXML() and "encryption" not in thin.GetDiskXML()
    wait_until(lambda: records() == before, what="the end of the records")


def test_partition(daemon, service, disk_pool, disks, key, tmp_path):
    first, second = (Path(disks[1]).name + n for n in "12")
    with Watcher(PASSPHRASE) as watcher:
        part = make(service, disk_pool, first, 10 * MIB)
    assert (watcher.tools, watcher.found) == ({"create"}, [])
    assert part.get("Capacity") == 10 * MIB and part.get("Format") == "none"
    assert_valid(tmp_path, assert_shown(part, key))
    with open(f"/dev/{first}", "rb") as f:
        assert b"storaged" not in f.read(8192), "no mark is left"
    assert_opens(tmp_path, f"/dev/{first}", "write -P 0x5a 9M 1M")
    plain = service.volume(done(service, disk_pool.CreateVolume, second, MIB))
    assert plain.get("Encryption") == "" and plain.get("Capacity") == MIB
    daemon.kill()
    daemon.start()
    disk_pool.Refresh()
    assert_shown(part, key)
    service.volume(disk_pool.GetVolume(second)).Delete({"wait": WAIT})
    part.Resize(2 * MIB, {"delta": True, "wait": WAIT})
    assert part.get("Capacity") == 12 * MIB
    assert_shown(part, key)
    assert_opens(tmp_path, f"/dev/{first}", "read -P 0x5a 9M 1M")


def test_refused(service, vg, disk_pool, disks, key):
    first, before = Path(disks[1]).name + "1", records()
    for options, error in (({"encryption": "luks"}, "InvalidArgument"), ({"secret": "key"}, "InvalidArgument"),
                           ({"encryption": "luks", "secret": "none"}, "NotFound"),
                           ({"encryption": "luks2", "secret": "key"}, "Unsupported"),
                           ({**ENCRYPTED, "preallocation": "full"}, "InvalidArgument")):
        for pool, name in ((vg, "v"), (disk_pool, first)):
            with refused(error):
                done(service, pool.CreateVolume, name, MIB, **options)
    with refused("InvalidArgument"):
        done(service, disk_pool.CreateVolume, first, MIB, format="extended", **ENCRYPTED)
    with refused("NoSpace"):
        done(service, vg.CreateVolume, "v", vg.get("Available"), **ENCRYPTED)
    cipher = """<volume><name>{}</name><capacity>1</capacity><target><encryption format='luks'>
        <secret type='passphrase' usage='key'/><cipher name='{}' size='{}' mode='cbc' hash='sha1'/><ivgen name='plain64'/></encryption></target></volume>"""
    for pool, name in ((vg, "v"), (disk_pool, first)):
        for wanted, error in ((("caesar", 256), "Failed"), (("aes", 192), "Unsupported")):
            with refused(error) as refusal:
                done(service, pool.CreateVolumeFromXML, cipher.format(name, *wanted))
            assert wanted[0] in refusal.text and "signal" not in refusal.text
    assert lvs() == {} and partitions(disks[1]) == {}
    assert service.volumes(vg) == service.volumes(disk_pool) == {} and records() == before


def test_a_guests_own(service, vg, tmp_path):
    """Whoever has a disk may encrypt it; that is no business of ours, and makes no secret known."""
    volume = service.volume(done(service, vg.CreateVolume, "v", 8 * MIB))
    (tmp_path / "key").write_bytes(b"its own")
    run("qemu-img", "create", "-q", "-f", "luks", "--object", f"secret,id=s,file={tmp_path}/key", "-o", "key-secret=s",
        "/dev/vg0/v", str(4 * MIB))
    volume.wait_for("Encryption", "luks", 60)
    assert "encryption" not in volume.GetDiskXML() and json.loads(volume.GetBlockdev())["driver"] == "raw"
    copy = service.volume(done(service, vg.CloneVolume, volume.path, "copy"))
    assert run("cmp", "/dev/vg0/v", "/dev/vg0/copy") == "" and copy.get("Encryption") == "luks"
    # With a version that QEMU does not know, too.
    header = struct.pack(">6sHQQ48s32s64s40s48sQ", b"LUKS\xba\xbe", 2, 16384, 1, b"", b"sha256", b"",
                         b"0e4f6f0c-2f9e-4a3e-8d4b-3c1b5d5c5b5a", b"", 0).ljust(4096, b"\0")
    header += b'{"segments": {"0": {"type": "crypt", "offset": "1048576", "size": "dynamic", "encryption": "aes-xts-plain64"}}}'
    with open("/dev/vg0/copy", "r+b") as f:
        f.write(header.ljust(16384, b"\0"))
    copy.Resize(12 * MIB, {"wait": WAIT})
    assert copy.get("Encryption") == "luks2" and copy.get("Capacity") == device_size("/dev/vg0/copy") - MIB == 15 * MIB
    assert json.loads(copy.GetBlockdev())["driver"] == "raw"


def clone(service, pool, source, name, **options):
    return service.volume(done(service, pool.CloneVolume, source.path, name, **options))


def contents(tmp_path, volume, size, passphrase=PASSPHRASE):
    """The first bytes of what a guest sees of it."""
    path, image = volume.get("Path"), volume.get("Format") == "qcow2"
    (tmp_path / "key").write_bytes(passphrase)
    how = f"driver=qcow2,encrypt.key-secret=s,file.filename={path}" if image else f"driver=luks,key-secret=s,file.filename={path}"
    if not volume.get("Encryption"):
        how = f"driver=raw,file.filename={path}"
    run("qemu-img", "convert", "--object", f"secret,id=s,file={tmp_path}/key", "--image-opts", how, "-O", "raw", tmp_path / "seen")
    with open(tmp_path / "seen", "rb") as f:
        return f.read(size)


def usage(volume):
    secret = ET.fromstring(volume.GetXML()).find("target/encryption/secret")
    return None if secret is None else secret.get("usage")


def put(service, files, tmp_path, data):
    """A plain file, which is whole when the pool sees it for the first time."""
    (tmp_path / "source").write_bytes(data)
    os.rename(tmp_path / "source", files.get("TargetPath") + "/source")
    return service.wait_volume(files, "source")


@pytest.fixture
def source(service, files, tmp_path):
    """One with data at its beginning and at its end, and a hole; its size is no whole number of extents."""
    data = os.urandom(65536) + bytes(4 * MIB) + os.urandom(65536)
    return put(service, files, tmp_path, data), data


def test_clones_that_are_opened(service, files, vg, disk_pool, disks, key, source, tmp_path):
    """Between plain and encrypted, files, logical volumes and partitions: nothing is decrypted but if that is said."""
    plain, data = source
    first, second = (Path(disks[1]).name + n for n in "12")
    with Watcher(PASSPHRASE) as watcher:
        box = clone(service, vg, plain, "box", **ENCRYPTED)
    assert (watcher.tools, watcher.found) == ({"create", "convert"}, [])
    assert_shown(box, key)
    assert contents(tmp_path, box, len(data)) == data
    image = clone(service, files, box, "image", format="qcow2")
    assert (image.get("Encryption"), usage(image)) == ("luks", key)
    assert contents(tmp_path, image, len(data)) == data
    part = clone(service, disk_pool, image, first)
    assert_shown(part, key)
    assert contents(tmp_path, part, len(data)) == data
    with open(f"/dev/{first}", "rb") as f:
        assert b"storaged" not in f.read(8192), "no mark is left"

    service.manager.SetSecret("other", b"other")
    with refused("InvalidArgument"):
        clone(service, disk_pool, part, second, **{"source-secret": "other"})
    for pool, name in ((vg, "no"), (disk_pool, second), (files, "no")):
        with refused("NotFound"):
            clone(service, pool, part, name, **{"source-secret": "none"})
    opened = clone(service, vg, part, "open", **{"source-secret": "key"})
    assert opened.get("Encryption") == "" and contents(tmp_path, opened, len(data)) == data
    assert sorted(lvs()) == ["box", "open"] and list(partitions(disks[1])) == [first]
    service.manager.RemoveSecret("other")


def test_clones_that_stay_closed(service, files, vg, disk_pool, disks, key, source, tmp_path):
    """A container is copied as it is, with its header, if no secret is named; so are snapshots of it."""
    plain, data = source
    box = clone(service, vg, plain, "box", **ENCRYPTED)
    file = clone(service, files, box, "file")
    assert (file.get("Format"), file.get("Capacity"), usage(file)) == ("luks", box.get("Capacity"), key)
    assert run("cmp", box.get("Path"), file.get("Path")) == ""
    part = clone(service, disk_pool, file, Path(disks[1]).name + "1")
    assert_shown(part, key)
    assert run("cmp", part.get("Path"), file.get("Path")) == ""
    larger = clone(service, vg, file, "larger", capacity=11 * MIB)
    assert_shown(larger, key)
    assert 11 * MIB <= larger.get("Capacity") < 15 * MIB
    snapshot = clone(service, vg, box, "linked", linked=True)
    assert_shown(snapshot, key)
    snapshots = service.proxy(box.path, "Volume.Snapshots")
    snapshots.CreateSnapshot("snap", {"wait": WAIT})
    assert_opens(tmp_path, "/dev/vg0/box", "write -P 0x5a 0 1M")
    snapshots.RevertSnapshot("snap", {"wait": WAIT})
    assert contents(tmp_path, box, len(data)) == contents(tmp_path, larger, len(data)) == data
    assert usage(service.volume(vg.GetVolume("snap"))) == key


def test_cut_off(daemon, service, vg, key, tmp_path):
    """What is there after that is whole, and nothing else is there."""
    def settled():
        wait_until(lambda: not any(lvs().values()), 60, f"no leftovers, seed {SEED}")
        wait_until(lambda: set(service.volumes(vg)) == set(lvs()), 60, f"the group as it is, seed {SEED}")
        for name in lvs():
            assert_opens(tmp_path, f"/dev/vg0/{name}", "read 0 1M")
            service.volume(vg.GetVolume(name)).Delete({"wait": WAIT})

    cut_off(daemon, random.Random(SEED),
            lambda i: vg.start("CreateVolume", f"c{i}", 4 * MIB, {"wait": WAIT, **ENCRYPTED}, timeout=300), settled, 4)


def test_cut_off_partitions(daemon, service, disk_pool, disks, key, tmp_path):
    part = Path(disks[1]).name + "1"

    def settled():
        wait_until(lambda: os.listdir("/var/lib/storaged/intents") == [], 60, f"the end of the intent, seed {SEED}")
        wait_until(lambda: set(service.volumes(disk_pool)) == set(partitions(disks[1])), 60, f"the table, seed {SEED}")
        for name in partitions(disks[1]):
            assert_opens(tmp_path, f"/dev/{name}", "read 0 1M")
            service.volume(disk_pool.GetVolume(name)).Delete({"wait": WAIT})

    cut_off(daemon, random.Random(SEED),
            lambda i: disk_pool.start("CreateVolume", part, 4 * MIB, {"wait": WAIT, **ENCRYPTED}, timeout=300), settled, 4)


def test_cancel(service, vg, disk_pool, disks, key):
    for pool, name in ((vg, "c"), (disk_pool, Path(disks[1]).name + "1")):
        with Watcher(PASSPHRASE) as watcher:
            _, job = pool.CreateVolume(name, 8 * MIB, {"wait": 0, **ENCRYPTED})
            wait_until(lambda: "create" in watcher.tools, 60, "the tool")
            service.job(job).Cancel()
            assert service.wait_job(job)["State"] == "cancelled"
    assert lvs() == {} and partitions(disks[1]) == {}
    assert service.volumes(vg) == service.volumes(disk_pool) == {}


def test_overlay_of_a_logical_volume(service, files, vg, key, source, tmp_path):
    """An image on an encrypted device: the guest gets both secrets, and so does who copies it."""
    plain, data = source
    box = clone(service, vg, plain, "box", **ENCRYPTED)
    overlay = clone(service, files, box, "overlay", linked=True)
    assert (overlay.get("Encryption"), overlay.get("BackingFormat"), overlay.get("Backing")) == ("luks", "luks", box.path)
    assert_valid(tmp_path, overlay.GetDiskXML())
    node = json.loads(overlay.GetBlockdev())
    assert (node["backing"]["driver"], node["backing"]["file"]["driver"]) == ("luks", "host_device")
    assert node["encrypt"]["key-secret"] == node["backing"]["key-secret"] == "secret-key"
    copy = clone(service, vg, overlay, "copy")
    assert_shown(copy, key)
    assert contents(tmp_path, copy, len(data)) == data


def test_clone_that_is_cut_off(daemon, service, disk_pool, disks, files, key, tmp_path):
    """A partition has a valid header and a mark while it is filled; with these alone it is no volume."""
    part, before = Path(disks[1]).name + "1", records()
    source = put(service, files, tmp_path, os.urandom(150 * MIB))
    for all_of_it in (False, True):
        with Watcher(PASSPHRASE) as watcher:
            pending = disk_pool.start("CloneVolume", source.path, part, {"wait": WAIT, **ENCRYPTED}, timeout=300)
            wait_until(lambda: "convert" in watcher.tools, 100, "the second tool")
            with open(f"/dev/{part}", "rb") as f:
                head = f.read(4096)
            assert head.startswith(b"LUKS") and b"storaged" in head
            assert service.volumes(disk_pool) == {}
            for pid in daemon.workers("data"):
                os.kill(pid, 9)
            if all_of_it:
                daemon.kill()
                daemon.start()
        with pytest.raises(GLib.Error):
            pending.wait(200)
        wait_until(lambda: os.listdir("/var/lib/storaged/intents") == [], 60, "the end of the intent")
        assert partitions(disks[1]) == service.volumes(disk_pool) == {}
        # A service that finds such an intent cannot know yet that there is no such volume, and notes its secret.
        assert all_of_it or records() == before
