# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Encrypted volumes: QEMU opens them with the passphrase and with no other, and the passphrase is nowhere to be seen.
Each takes QEMU seconds of hashing when it is made, and some when it is opened: there are few of them here.
"""

import json
import os
import signal
import subprocess
import xml.etree.ElementTree as ET

import pytest
from gi.repository import Gio

import guest
from client import MIB, refused
from filesystems import FileSystem
from harness import wait_until
from watcher import Watcher

PASSPHRASE = b"Zaphod & Trillian, 42"
# Nothing of it is what QEMU takes by itself.
CIPHER = """<cipher name='aes' size='128' mode='cbc' hash='sha1'/><ivgen name='essiv' hash='md5'/>"""


@pytest.fixture
def key(service):
    service.manager.SetSecret("key", PASSPHRASE)
    yield "key"
    service.manager.RemoveSecret("key", {"force": True})


def done(service, call, *args, **options):
    """Has it done, however long that takes on a busy machine. The volume's path, if it makes one."""
    result = call(*args, {**options, "wait": 0})
    job = service.wait_job(result if isinstance(result, str) else result[-1], 200)
    if job["State"] != "succeeded":
        raise Gio.DBusError.new_for_dbus_error(job["ErrorName"], job["ErrorMessage"])
    return result[0]


def opened(volume):
    """The options that make QEMU's tools open it, of which the passphrase is in a file called key."""
    path = volume.get("Path")
    if volume.get("Format") == "luks":
        return f"driver=luks,key-secret=s,file.filename={path}"
    return f"driver=qcow2,encrypt.key-secret=s,file.filename={path}"


def io(tmp_path, volume, *commands, passphrase=PASSPHRASE):
    """What became of qemu-io with these commands."""
    (tmp_path / "key").write_bytes(passphrase)
    argv = ["qemu-io", "--object", f"secret,id=s,file={tmp_path}/key", "--image-opts", opened(volume)]
    for command in commands:
        argv += ["-c", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def assert_opens(tmp_path, volume, *commands):
    done = io(tmp_path, volume, *commands)
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr


def special(volume):
    """What qemu-img sees of the encryption, without the passphrase."""
    options = opened(volume).replace("key-secret=s,", "").replace("encrypt.", "")
    done = subprocess.run(["qemu-img", "info", "--output=json", "--image-opts", options], capture_output=True, check=True,
                          timeout=60)
    return json.loads(done.stdout)


XML = """<volume><name>v</name><capacity unit='MiB'>3</capacity><target><format type='{}'/>
<encryption format='{}'><secret type='passphrase' {}/>{}</encryption></target></volume>"""


@pytest.mark.limit(600)
def test_raw(service, daemon, world, pool, key, tmp_path):
    """libvirt's way, with a cipher; the secret by its UUID, and all of the contents allocated."""
    ((_usage, uuid, _description),) = service.manager.ListSecrets()
    path = done(service, pool.CreateVolumeFromXML, XML.format("raw", "luks", f"uuid='{uuid}'", CIPHER))
    # What it is encrypted with is known to whoever comes next, and is not lost by chance.
    daemon.kill()
    daemon.start()
    service = world.client(daemon)
    pool, volume, manager = service.pool(pool.path), service.volume(path), service.manager
    got = volume.all()
    assert (got["Format"], got["Encryption"], got["Capacity"], got["Problem"]) == ("luks", "luks", 3 * MIB, "")
    assert got["Allocation"] >= got["Physical"] > 3 * MIB
    for call, args in ((manager.RemoveSecret, ("key",)), (manager.SetSecret, ("key", b"new"))):
        with refused("HasDependents") as refusal:
            call(*args)
        assert "'v'" in refusal.text

    info = special(volume)
    luks = info["format-specific"]["data"]
    assert info["virtual-size"] == 3 * MIB
    assert (luks["cipher-alg"], luks["cipher-mode"], luks["hash-alg"]) == ("aes-128", "cbc", "sha1")
    assert (luks["ivgen-alg"], luks["ivgen-hash-alg"]) == ("essiv", "md5")
    encryption = ET.fromstring(volume.GetXML()).find("target/encryption")
    assert encryption.get("format") == "luks"
    assert encryption.find("secret").attrib == {"type": "passphrase", "usage": "key"}
    assert volume.GetDiskXML().count("usage='key'") == 1

    assert io(tmp_path, volume, "read 0 1", passphrase=b"wrong").returncode != 0
    assert_opens(tmp_path, volume, "write -P 0x5a 0 1M")
    with open(got["Path"], "rb") as f:
        assert b"\x5a" * 512 not in f.read()
    # A container needs no secret for another size.
    volume.Resize(4 * MIB)
    assert volume.get("Capacity") == 4 * MIB == special(volume)["virtual-size"]
    assert_opens(tmp_path, volume, "read -P 0x5a 0 1M", "write -P 1 3M 1M")

    _path, changes, _job = pool.EnsureVolume("v", 4 * MIB, {"format": "raw", "encryption": "luks", "secret": "key"})
    assert changes == []
    volume.Delete()
    wait_until(lambda: os.listdir(daemon.state_dir + "/volume-secrets") == [], what="the end of the record")
    manager.RemoveSecret("key")
    manager.SetSecret("key", PASSPHRASE)


@pytest.mark.parametrize("options, error", [
    ({"encryption": "luks", "secret": "none-such"}, "NotFound"),
    ({"encryption": "luks", "format": "qcow2", "secret": "none-such"}, "NotFound"),
    ({"encryption": "luks"}, "InvalidArgument"), ({"secret": "key"}, "InvalidArgument"),
    ({"encryption": "qcow", "secret": "key", "format": "qcow2"}, "Unsupported"),
    ({"encryption": "luks2", "secret": "key"}, "Unsupported"),
    ({"encryption": "luks", "secret": "key", "format": "vdi"}, "InvalidArgument"),
    ({"encryption": "rot13", "secret": "key"}, "InvalidArgument")], ids=str)
def test_refused(service, pool, folder, key, options, error):
    """Nobody gets an open volume who asked for an encrypted one."""
    with refused(error) as refusal:
        pool.CreateVolume("v", MIB, options)
    if error == "NotFound":
        assert "none-such" in refusal.text
    assert os.listdir(folder) == [] and service.volumes(pool) == {}


def test_ensure_takes_no_other(service, pool, key):
    for image_format in ("raw", "qcow2"):
        service.make_volume(pool, image_format, format=image_format)
        with refused("Exists"):
            pool.EnsureVolume(image_format, MIB, {"format": image_format, "encryption": "luks", "secret": "key"})


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
@pytest.mark.parametrize("old, new, error", [("aes", "caesar", "Failed"), ("128", "192", "Unsupported")])
def test_cipher_that_there_is_not(service, pool, folder, key, image_format, old, new, error):
    """QEMU does not know it, or would abort."""
    with refused(error) as refusal:
        done(service, pool.CreateVolumeFromXML,
             XML.format(image_format, "luks", "usage='key'", CIPHER.replace(old, new)))
    assert new in refusal.text and "signal" not in refusal.text
    assert os.listdir(folder) == [] and service.volumes(pool) == {}


@pytest.mark.limit(300)
def test_keys_of_192_bits(service, pool, key, tmp_path):
    """In mode xts they can be had."""
    cipher = "<cipher name='aes' size='192' mode='xts' hash='sha256'/><ivgen name='plain64'/>"
    for image_format in ("raw", "qcow2"):
        volume = service.volume(done(service, pool.CreateVolumeFromXML,
                                     XML.format(image_format, "luks", "usage='key'", cipher).replace(">v<", f">{image_format}<")))
        assert volume.get("Capacity") == 3 * MIB and volume.get("Encryption") == "luks"
        found = special(volume)["format-specific"]["data"]
        assert found.get("encrypt", found)["cipher-alg"] == "aes-192"
        assert_opens(tmp_path, volume, "write -P 1 2M 1M", "read -P 1 2M 1M")


def monitored(bus, path):
    """A monitor of all that goes over the bus."""
    with open(path, "wb") as out:
        monitor = subprocess.Popen(["dbus-monitor", "--address", bus.address, "--binary"], stdout=out)
    wait_until(lambda: path.stat().st_size > 0, what="the bus monitor")
    return monitor


def make_under_watch(service, daemon, pool, tmp_path):
    """A qcow2 volume, while somebody looks for its passphrase."""
    monitor, watcher = monitored(daemon.bus, tmp_path / "bus"), Watcher(PASSPHRASE)
    try:
        with watcher:
            path = done(service, pool.CreateVolume, "v", MIB, format="qcow2", encryption="luks", secret="key",
                        **{"cluster-size": 32768})
            service.manager.ListSecrets()
            service.objects()
    finally:
        monitor.terminate()
        monitor.wait(10)
    assert watcher.tools == {"create"}
    assert watcher.found == []
    return service.volume(path)


def assert_nowhere(daemon, seen):
    assert b"CreateVolume" in seen and PASSPHRASE not in seen and PASSPHRASE.hex().encode() not in seen
    assert PASSPHRASE.decode() not in daemon.log()
    for root, _folders, files in os.walk(daemon.base):
        for name in files:
            with open(f"{root}/{name}", "rb") as f:
                assert (PASSPHRASE in f.read()) == name.endswith(".value"), name


@pytest.mark.private
@pytest.mark.limit(600)
def test_qcow2(service, daemon, pool, key, tmp_path):
    """The passphrase is seen by nobody, and the guest that gets it sees its disk."""
    volume = make_under_watch(service, daemon, pool, tmp_path)
    assert_nowhere(daemon, (tmp_path / "bus").read_bytes())
    assert (volume.get("Format"), volume.get("Encryption"), volume.get("Capacity")) == ("qcow2", "luks", MIB)

    service.manager.SetSecret("other", b"other")
    done(service, volume.Resize, 2 * MIB)
    assert volume.get("Capacity") == 2 * MIB
    with refused("InvalidArgument") as refusal:
        done(service, volume.Resize, 3 * MIB, secret="other")
    assert "secret" in refusal.text
    with refused("NotFound"):
        volume.Resize(3 * MIB, {"secret": "none-such"})
    assert volume.get("Capacity") == 2 * MIB

    (tmp_path / "boot").write_bytes(guest.boot_sector(tmp_path))
    assert_opens(tmp_path, volume, f"write -s {tmp_path}/boot 0 512", "write -P 7 512 32256", "read -P 0 1M 1M")
    blockdev = volume.GetBlockdev({"node-name": "v"})
    assert json.loads(blockdev)["encrypt"]["key-secret"] == "secret-key"
    seen, wrote = guest.run(tmp_path, blockdev, "v", "-object", f"secret,id=secret-key,file={tmp_path}/key")
    assert (seen, wrote) == ((tmp_path / "boot").read_bytes() + b"\7" * 32256, True)


def clone(service, pool, source, name, **options):
    return service.volume(done(service, pool.CloneVolume, source.path, name, **options))


@pytest.mark.private
@pytest.mark.limit(600)
def test_clones(service, pool, key, tmp_path):
    """Plain to encrypted and back: what is encrypted stays that, unless the secret of the source alone is named."""
    plain = service.make_volume(pool, "plain")
    with open(plain.get("Path"), "r+b") as f:
        f.write(b"\x5a" * 65536)
    box = clone(service, pool, plain, "box", encryption="luks", secret="key")
    assert (box.get("Format"), box.get("Encryption"), box.get("Capacity")) == ("luks", "luks", MIB)
    # A container as it is: no secret is needed for that, and it is still known.
    copy = clone(service, pool, box, "copy")
    with open(copy.get("Path"), "rb") as one, open(box.get("Path"), "rb") as other:
        assert one.read() == other.read()
    assert "usage='key'" in copy.GetXML()

    image = clone(service, pool, box, "image", format="qcow2")
    assert (image.get("Format"), image.get("Encryption")) == ("qcow2", "luks")
    assert "usage='key'" in image.GetXML()
    service.manager.SetSecret("other", b"other")
    for options, error in (({"source-secret": "other"}, "InvalidArgument"), ({"source-secret": "none"}, "NotFound"),
                           ({"secret": "key"}, "InvalidArgument"), ({"encryption": "luks"}, "InvalidArgument")):
        with refused(error):
            clone(service, pool, image, "no", format="raw", **options)
    with refused("InvalidArgument"):
        clone(service, pool, plain, "no", **{"source-secret": "key"})
    assert sorted(service.volumes(pool)) == ["box", "copy", "image", "plain"]

    opened_up = clone(service, pool, image, "open", format="raw", **{"source-secret": "key"})
    assert opened_up.get("Encryption") == ""
    with open(opened_up.get("Path"), "rb") as f:
        assert f.read() == b"\x5a" * 65536 + bytes(MIB - 65536)


@pytest.mark.private
def test_secret_that_is_being_used(daemon, service, pool, key):
    """As long as a job encrypts with it, it stays what it is, even by force."""
    _, job = pool.CreateVolume("v", 1024 * MIB, {"format": "qcow2", "encryption": "luks", "secret": key,
                                                 "preallocation": "full", "wait": 0})
    wait_until(lambda: daemon.workers("data"), what="the job to begin")
    for pid in daemon.workers("data"):
        os.kill(pid, signal.SIGSTOP)
    number = job.rsplit("/", 1)[-1]
    for force in (False, True):
        for call, args in ((service.manager.RemoveSecret, ("key",)), (service.manager.SetSecret, ("key", b"new"))):
            with refused("Busy") as refusal:
                call(*args, {"force": force})
            assert f"job {number}" in refusal.text and "'key'" in refusal.text
    service.job(job).Cancel()
    assert service.wait_job(job)["State"] == "cancelled"
    service.manager.SetSecret("key", b"new")


@pytest.mark.private
def test_how_many_are_remembered(world, daemon, service, pool, folder, key):
    """Not more than so many of one pool: a volume whose secret would be forgotten is not made."""
    ((_usage, secret, _description),) = service.manager.ListSecrets()
    uuid, other = pool.get("UUID"), service.make_pool("other", world.folder())
    daemon.stop()
    for number in range(1, 4097):
        with open(f"{daemon.state_dir}/volume-secrets/{number}", "w", encoding="ascii") as f:
            f.write(f"pool={uuid}\nvolume=gone{number}\nsecret={secret}\n")
    daemon.start()
    service = world.client(daemon)
    options = {"format": "raw", "encryption": "luks", "secret": key, "wait": 0}
    with refused("LimitsExceeded") as refusal:
        service.pool(pool.path).CreateVolume("v", MIB, options)
    assert "4096" in refusal.text and "'v'" in refusal.text
    service.pool(pool.path).CreateVolume("plain", MIB)
    _, job = service.pool(other.path).CreateVolume("v", MIB, options)
    assert service.wait_job(job, 200)["State"] == "succeeded"


def pattern(number, *, at="0", length="1M", verb="write"):
    return f"{verb} -P {number} {at} {length}"


@pytest.mark.limit(600)
def test_snapshots_in_an_image(service, daemon, pool, key, tmp_path):
    """QEMU must open the image for them; a wrong secret changes nothing, and leaves nothing to be put right."""
    volume = service.volume(done(service, pool.CreateVolume, "v", 2 * MIB, format="qcow2", encryption="luks", secret="key"))
    snapshots = service.proxy(volume.path, "Volume.Snapshots")
    assert_opens(tmp_path, volume, pattern(1))
    with Watcher(PASSPHRASE) as watcher:
        done(service, snapshots.CreateSnapshot, "one")
        assert_opens(tmp_path, volume, pattern(2))
        done(service, snapshots.RevertSnapshot, "one")
    assert watcher.tools == {"snapshot"} and watcher.found == []
    assert PASSPHRASE.decode() not in daemon.log()
    assert_opens(tmp_path, volume, pattern(1, verb="read"))
    (name, _time, _size, _path, more), = snapshots.get("Snapshots")
    assert (name, more["kind"]) == ("one", "internal")

    service.manager.SetSecret("other", b"other")
    for secret, error in (("other", "InvalidArgument"), ("none", "NotFound")):
        with refused(error):
            done(service, snapshots.DeleteSnapshot, "one", secret=secret)
    assert [row[0] for row in snapshots.get("Snapshots")] == ["one"] and volume.get("Problem") == ""
    assert os.listdir(daemon.state_dir + "/intents") == []
    done(service, snapshots.DeleteSnapshot, "one")
    assert snapshots.get("Snapshots") == []
    assert_opens(tmp_path, volume, pattern(1, verb="read"))
    plain = service.make_volume(pool, "plain", format="qcow2")
    with refused("InvalidArgument"):
        service.proxy(plain.path, "Volume.Snapshots").CreateSnapshot("one", {"secret": "key"})


@pytest.mark.limit(600)
def test_snapshot_files(service, world, key, tmp_path):
    """What a container is a file of is shared as it is, without a secret."""
    pool = service.make_pool("shared", FileSystem(world, "xfs").path)
    volume = service.volume(done(service, pool.CreateVolume, "v", 2 * MIB, encryption="luks", secret="key"))
    snapshots = service.proxy(volume.path, "Volume.Snapshots")
    assert_opens(tmp_path, volume, pattern(1))
    snapshots.CreateSnapshot("one")
    with refused("InvalidArgument"):
        snapshots.CreateSnapshot("two", {"secret": "key"})
    assert_opens(tmp_path, volume, pattern(2))
    snapshots.RevertSnapshot("one")
    assert_opens(tmp_path, volume, pattern(1, verb="read"))
    assert volume.get("Encryption") == "luks" and "usage='key'" in volume.GetXML()
    snapshots.DeleteSnapshot("one")
    assert snapshots.get("Snapshots") == []


@pytest.mark.limit(600)
def test_grown_with_storage(service, pool, key, tmp_path):
    """A container as it is, an image with its secret; both with what they had."""
    for image_format in ("raw", "qcow2"):
        volume = service.volume(done(service, pool.CreateVolume, image_format, MIB, format=image_format,
                                     encryption="luks", secret="key"))
        assert_opens(tmp_path, volume, pattern(1))
        # What QEMU wrote is seen a moment later.
        before = volume.wait_for("Allocation", os.stat(volume.get("Path")).st_blocks * 512)
        if image_format == "qcow2":
            service.manager.SetSecret("other", b"other")
            with refused("InvalidArgument"):
                done(service, volume.Resize, 9 * MIB, allocate=True, secret="other")
        else:
            with refused("NoSpace"):
                done(service, volume.Resize, 2**60, allocate=True)
        assert (volume.get("Capacity"), volume.get("Allocation"), volume.get("Problem")) == (MIB, before, "")
        done(service, volume.Resize, 9 * MIB, allocate=True)
        assert volume.get("Capacity") == 9 * MIB == special(volume)["virtual-size"]
        assert volume.get("Allocation") >= before + 8 * MIB
        assert_opens(tmp_path, volume, pattern(1, verb="read"), pattern(3, at="8M"))


def as_a_guest(tmp_path, volume, *command):
    """What a tool of QEMU's does with it as a guest would have it: all of its chain, each image with its secret."""
    (tmp_path / "key").write_bytes(PASSPHRASE)
    argv = [command[0], *command[1:], "--object", f"secret,id=secret-key,file={tmp_path}/key", "json:" + volume.GetBlockdev()]
    return subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)


def write_as_a_guest(tmp_path, volume, command):
    did = as_a_guest(tmp_path, volume, "qemu-io", "-c", command)
    assert did.returncode == 0 and "wrote" in did.stdout, did.stdout + did.stderr


def contents(tmp_path, volume):
    seen = tmp_path / "seen"
    (tmp_path / "key").write_bytes(PASSPHRASE)
    subprocess.run(["qemu-img", "convert", "-O", "raw", "--object", f"secret,id=secret-key,file={tmp_path}/key",
                    "json:" + volume.GetBlockdev(), seen], check=True, timeout=200)
    return seen.read_bytes()


@pytest.fixture
def base(service, pool, key, tmp_path):
    """A container on which others are built, and what is in it."""
    volume = service.volume(done(service, pool.CreateVolume, "base", MIB, encryption="luks", secret="key"))
    assert_opens(tmp_path, volume, pattern(1, length="512k"), pattern(2, at="512k", length="512k"))
    return volume, b"\1" * (MIB // 2) + b"\2" * (MIB // 2)


@pytest.mark.limit(900)
def test_what_is_built_on_an_encrypted_volume(service, daemon, pool, base, tmp_path):
    """Each image is opened with its own secret; what is encrypted stays that, wherever it is copied."""
    base, data = base
    overlay = clone(service, pool, base, "overlay", linked=True)
    assert (overlay.get("Format"), overlay.get("Encryption"), overlay.get("Backing")) == ("qcow2", "luks", base.path)
    assert overlay.get("BackingFormat") == "luks" and overlay.GetDiskXML().count("usage='key'") == 2
    assert contents(tmp_path, overlay) == data
    write_as_a_guest(tmp_path, overlay, pattern(3, length="64k"))
    changed = b"\3" * 65536 + data[65536:]

    with Watcher(PASSPHRASE) as watcher:
        full = clone(service, pool, overlay, "full")
        assert (full.get("Encryption"), full.get("Backing")) == ("luks", "/") and "usage='key'" in full.GetXML()
        assert contents(tmp_path, full) == changed
        done(service, overlay.Commit)
        assert contents(tmp_path, base) == changed
        done(service, overlay.Rebase, full.path)
        assert overlay.get("Backing") == full.path and contents(tmp_path, overlay) == changed
        done(service, overlay.Flatten)
        assert overlay.get("Backing") == "/" and contents(tmp_path, overlay) == changed
    assert watcher.tools >= {"convert", "rebase", "commit"} and watcher.found == []
    assert PASSPHRASE.decode() not in daemon.log()
    assert overlay.get("Encryption") == "luks" and overlay.get("Problem") == base.get("Problem") == ""


@pytest.mark.limit(900)
def test_nothing_is_decrypted_on_the_way(service, pool, base, tmp_path):
    base, data = base
    plain = service.make_volume(pool, "plain")
    open_one = service.volume(pool.CreateVolume("open", 0, {"backing": base.path, "format": "qcow2"})[0])
    assert open_one.get("Encryption") == "" and contents(tmp_path, open_one) == data
    for call, args in ((open_one.Flatten, ()), (open_one.Rebase, (plain.path,))):
        with refused("Unsupported") as refusal:
            done(service, call, *args)
        assert "not encrypted" in refusal.text
    assert open_one.get("Backing") == base.path
    copy = clone(service, pool, open_one, "copy")
    assert copy.get("Encryption") == "luks" and "usage='key'" in copy.GetXML() and contents(tmp_path, copy) == data
    # An encrypted one on a plain one is as good as any, but does not write to that.
    closed = service.volume(done(service, pool.CreateVolume, "closed", 0, backing=plain.path,
                                 format="qcow2", encryption="luks", secret="key"))
    with refused("Unsupported") as refusal:
        done(service, closed.Commit)
    assert "encrypted" in refusal.text

    service.manager.RemoveSecret("key", {"force": True})
    for call, args in ((pool.CloneVolume, (open_one.path, "no")), (closed.Flatten, ())):
        with refused("NotFound"):
            done(service, call, *args)
    assert "no" not in service.volumes(pool)
    service.manager.SetSecret("key", PASSPHRASE)
