# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl with the real service."""

import hashlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

import harness

GIB = 1 << 30
LONG = GIB  # preallocated in full, it takes long enough to become a job
ENDLESS = 4 * GIB  # so long that it is surely cancelled before its end


def volumes(tool, pool="images"):
    return {v["Name"]: v for v in tool.json("volume", "list", pool)}


def volume(tool, name, pool="images"):
    return tool.json("volume", "show", pool, name)


def pool_xml(name, path):
    return f"<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"


def volume_xml(name, capacity):
    return (f"<volume><name>{name}</name><capacity>{capacity}</capacity><allocation>0</allocation>"
            "<target><format type='raw'/></target></volume>")


# Pools

def test_pool_list_is_a_table(tool, pool, folder):
    lines = tool.ok("pool", "list").splitlines()
    assert re.fullmatch(r"NAME    TYPE  STATE   HEALTH  AUTOSTART +CAPACITY +ALLOCATION +AVAILABLE", lines[0])
    assert re.fullmatch(r"images  dir   active  ok      no +[\d.]+ \w+ +[\d.]+ \w+ +[\d.]+ \w+", lines[1])
    assert len(lines) == 2 and len(lines[0]) == len(lines[1])
    assert tool.ok("pool", "list", "--no-legend").splitlines() == lines[1:]
    assert tool.ok("pool", "list", "--names") == "images\n"


def test_pool_list_selects(tool, pool):
    assert tool.json("pool", "list", "--state", "inactive") == []
    assert tool.json("pool", "list", "--type", "logical") == []
    assert [p["Name"] for p in tool.json("pool", "list", "--state=active", "--type=dir")] == [pool]


def test_pool_as_json(tool, pool, folder):
    listed, = tool.json("pool", "list")
    shown = tool.json("pool", "show", pool)
    space = os.statvfs(folder)
    assert listed["ObjectPath"] == shown["ObjectPath"] == (
        "/org/example/Storage1/pool/" + shown["UUID"].replace("-", "_"))
    for key in ("Name", "Type", "State", "Health", "Autostart", "Persistent", "Capacity"):
        assert listed[key] == shown[key]
    assert shown["Capacity"] == space.f_blocks * space.f_frsize
    assert shown["TargetPath"] == folder and shown["VolumeCount"] == 0 and shown["Autostart"] is False
    assert shown["Definition"]["target-path"] == folder


def test_pool_show(tool, pool, folder):
    text = tool.ok("pool", "show", pool)
    assert re.search(rf"^Target path: +{re.escape(folder)}$", text, re.MULTILINE)
    assert re.search(r"^Capacity: +[\d.]+ [KMGT]iB$", text, re.MULTILINE)
    uuid = tool.json("pool", "show", pool)["UUID"]
    assert tool.ok("pool", "show", uuid) == text
    xml = tool.ok("pool", "show", "--xml", pool)
    assert xml.startswith("<pool type='dir'") or xml.startswith('<pool type="dir"')
    assert uuid in xml


def test_define_from_xml(tool, folder, tmp_path):
    file = tmp_path / "pool.xml"
    file.write_text(pool_xml("fromfile", folder), encoding="utf-8")
    tool.ok("pool", "define", str(file))
    assert tool.json("pool", "show", "fromfile")["State"] == "inactive"
    tool.ok("pool", "undefine", "fromfile")
    assert tool.ok("pool", "define", "-", "--start", stdin=pool_xml("fromstdin", folder)) == (
        "Pool defined from standard input.\n")
    assert tool.json("pool", "show", "fromstdin")["State"] == "active"


def test_define_with_everything(tool, folder):
    target = folder + "/deep/down"
    uuid = "0a9f3b44-51d4-4a27-a7ae-51f3a11a2f7e"
    assert tool.ok("pool", "define", "all", "--type", "dir", "--target", target, "--build", "--mode", "0750",
                   "--start", "--autostart", "--uuid", uuid) == "Pool all defined.\n"
    shown = tool.json("pool", "show", uuid)
    assert (shown["State"], shown["Autostart"], shown["Persistent"]) == ("active", True, True)
    assert os.stat(target).st_mode & 0o7777 == 0o750


def test_dry_run_changes_nothing(tool, folder):
    assert "nothing was changed" in tool.ok("pool", "define", "x", "--type", "dir", "--target", folder, "--dry-run")
    assert tool.json("pool", "list") == []


def test_create_is_transient(tool, folder):
    tool.ok("pool", "create", "brief", "--type=dir", "--target", folder)
    shown = tool.json("pool", "show", "brief")
    assert (shown["State"], shown["Persistent"]) == ("active", False)
    tool.ok("pool", "stop", "brief")
    assert tool.json("pool", "list") == []
    tool.ok("pool", "create", "-", stdin=pool_xml("brief", folder))
    assert tool.json("pool", "show", "brief")["Persistent"] is False


def test_whole_life_of_a_pool(tool, folder):
    target = folder + "/pool"
    say = lambda *args: tool.ok("pool", *args)  # noqa: E731
    assert say("define", "life", "--type", "dir", "--target", target) == "Pool life defined.\n"
    assert say("build", "life") == "Pool life built.\n"
    assert os.path.isdir(target)
    assert say("start", "life") == "Pool life started.\n"
    assert say("refresh", "life", "--quiet") == ""
    assert say("autostart", "life") == "Pool life starts by itself.\n"
    assert tool.json("pool", "show", "life")["Autostart"] is True
    assert say("autostart", "--disable", "life") == "Pool life no longer starts by itself.\n"
    assert say("stop", "life") == "Pool life stopped.\n"
    assert say("delete", "life") == "Pool life deleted; it is still defined.\n"
    assert not os.path.exists(target)
    assert say("undefine", "life") == "Pool life undefined.\n"
    assert say("list", "--names") == ""


def test_update_by_options_keeps_the_rest(tool, pool, folder, tmp_path):
    tool.ok("pool", "update", pool, "--mode", "0755", "--owner", "0")
    tool.ok("pool", "update", pool, "--mode", "0700")
    definition = tool.json("pool", "show", pool)["Definition"]
    assert definition["target-path"] == folder and definition["mode"] == 0o700 and definition["owner"] == 0
    assert tool.json("pool", "show", pool)["UpdatePending"] is True
    other = tmp_path / "other"
    file = tmp_path / "pool.xml"
    file.write_text(pool_xml(pool, other), encoding="utf-8")
    tool.ok("pool", "update", pool, file)
    assert tool.json("pool", "show", pool)["Definition"]["target-path"] == str(other)
    assert str(other) in tool.ok("pool", "show", pool, "--xml", "--inactive")


def test_several_operands(tool, folder):
    for name in ("a", "b"):
        os.mkdir(f"{folder}/{name}")
        tool.ok("pool", "define", name, "--type", "dir", "--target", f"{folder}/{name}")
    done = tool.run("pool", "start", "a", "none", "b")
    assert done.returncode == 3
    assert done.stdout == "Pool a started.\nPool b started.\n"
    assert done.stderr.count("\n") == 1 and "none" in done.stderr


# Volumes

@pytest.mark.parametrize("size, bytes_", [
    ("10G", 10 << 30), ("10GiB", 10 << 30), ("10GB", 10**10), ("1.5T", 3 << 39), ("512", 512), ("1.5 GiB", 3 << 29),
    ("64k", 65536), ("2MB", 2000000),
])
def test_sizes(tool, pool, size, bytes_):
    tool.ok("volume", "create", pool, "v", size)
    assert volume(tool, "v")["Capacity"] == bytes_


def test_volume_list(tool, pool, folder):
    for name, size in (("b.raw", "1G"), ("a.raw", "512")):
        assert tool.ok("volume", "create", pool, name, size) == f"Volume {name} created.\n"
    tool.ok("volume", "create", pool, "größe.qcow2", "20G", "--format=qcow2")
    lines = tool.ok("volume", "list", pool).splitlines()
    assert re.fullmatch(r"NAME         FORMAT +CAPACITY +ALLOCATION", lines[0])
    assert re.fullmatch(r"a\.raw        raw +512\.00 B +0\.00 B", lines[1])
    assert re.fullmatch(r"b\.raw        raw +1\.00 GiB +0\.00 B", lines[2])
    assert re.fullmatch(r"größe\.qcow2  qcow2 +20\.00 GiB +[\d.]+ KiB", lines[3])
    assert len({len(line) for line in lines}) == 1
    detailed = tool.ok("volume", "list", pool, "--details").splitlines()
    assert detailed[0].split() == ["NAME", "FORMAT", "CAPACITY", "ALLOCATION", "MODIFIED", "PATH"]
    assert detailed[1].endswith(f"{folder}/a.raw") and re.search(r"  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  ", detailed[1])
    assert tool.ok("volume", "list", pool, "--names") == "a.raw\nb.raw\ngröße.qcow2\n"
    assert tool.ok("volume", "list", pool, "--names", "--prefix", "b") == "b.raw\n"
    assert tool.ok("volume", "list", "--format=qcow2", pool, "--names") == "größe.qcow2\n"
    listed = volumes(tool)["b.raw"]
    assert listed["Capacity"] == GIB and listed["Key"] == f"{folder}/b.raw"
    assert listed["ObjectPath"] == volume(tool, "b.raw")["ObjectPath"]


def test_list_pages(tool, folder):
    """More volumes than fit on a page."""
    count = 10100
    for i in range(count):
        os.close(os.open(f"{folder}/v{i:05}", os.O_CREAT | os.O_WRONLY, 0o600))
    tool.ok("pool", "create", "many", "--type", "dir", "--target", folder)
    names = tool.ok("volume", "list", "many", "--names").splitlines()
    assert names == [f"v{i:05}" for i in range(count)]
    assert len(tool.json("volume", "list", "many")) == count


def test_volume_show(tool, pool, folder):
    tool.ok("volume", "create", pool, "v.qcow2", "1G", "--format", "qcow2", "--mode", "0640")
    shown = volume(tool, "v.qcow2")
    assert (shown["Path"], shown["Format"], shown["Mode"]) == (f"{folder}/v.qcow2", "qcow2", 0o640)
    text = tool.ok("volume", "show", pool, "v.qcow2")
    assert re.search(r"^Capacity: +1\.00 GiB$", text, re.MULTILINE)
    assert re.search(r"^Mode: +0640$", text, re.MULTILINE)
    assert tool.ok("volume", "show", f"{folder}/v.qcow2") == text
    assert tool.ok("volume", "show", pool, f"{folder}/v.qcow2") == text
    xml = tool.ok("volume", "show", f"{folder}/v.qcow2", "--xml")
    assert "<volume" in xml and f"{folder}/v.qcow2" in xml


def test_create_from_xml(tool, pool, tmp_path):
    tool.ok("volume", "create", pool, "--xml", "-", stdin=volume_xml("piped", 4096))
    file = tmp_path / "v.xml"
    file.write_text(volume_xml("filed", 8192), encoding="utf-8")
    assert tool.ok("volume", "create", pool, "--xml", file) == f"Volume created from {file}.\n"
    assert {n: v["Capacity"] for n, v in volumes(tool).items()} == {"piped": 4096, "filed": 8192}


def test_backing(tool, pool, folder):
    tool.ok("volume", "create", pool, "base.qcow2", "3G", "--format", "qcow2")
    tool.ok("volume", "create", pool, "byname.qcow2", "--format", "qcow2", "--backing", "base.qcow2",
            "--backing-format", "qcow2")
    tool.ok("volume", "create", pool, "bypath.qcow2", "5G", "--format", "qcow2", "--backing",
            f"{folder}/base.qcow2", "--backing-format", "qcow2")
    assert volume(tool, "byname.qcow2")["Capacity"] == 3 * GIB
    assert volume(tool, "bypath.qcow2")["Capacity"] == 5 * GIB
    assert volume(tool, "byname.qcow2")["Backing"] == volume(tool, "base.qcow2")["ObjectPath"]
    assert volume(tool, "bypath.qcow2")["BackingFormat"] == "qcow2"


def test_allocation(tool, pool):
    tool.ok("volume", "create", pool, "part", "8M", "--allocation", "2M")
    tool.ok("volume", "create", pool, "full", "8M", "--preallocation", "falloc")
    assert volume(tool, "part")["Allocation"] == 2 << 20
    assert volume(tool, "full")["Allocation"] >= 8 << 20


def test_resize(tool, pool, folder):
    tool.ok("volume", "create", pool, "v", "1G")
    capacity = lambda: volume(tool, "v")["Capacity"]  # noqa: E731
    assert tool.ok("volume", "resize", pool, "v", "2G") == "Volume v resized.\n"
    assert capacity() == 2 * GIB
    tool.ok("volume", "resize", pool, "v", "+1G")
    assert capacity() == 3 * GIB
    tool.ok("volume", "resize", f"{folder}/v", "1G", "--delta")
    assert capacity() == 4 * GIB
    assert tool.fails(2, "volume", "resize", pool, "v", "1G")
    assert capacity() == 4 * GIB
    tool.ok("volume", "resize", pool, "v", "1M", "--shrink")
    assert capacity() == 1 << 20
    tool.ok("volume", "resize", pool, "v", "2M", "--allocate")
    assert volume(tool, "v")["Allocation"] >= 1 << 20


def same(a, format_a, b, format_b):
    subprocess.run(["qemu-img", "compare", "-q", "-f", format_a, "-F", format_b, a, b], check=True, timeout=60)


def random_file(path, size):
    content = os.urandom(size)
    with open(path, "wb") as f:
        f.write(content)
    return content


def test_clone_and_convert(tool, pool, folder, tmp_path):
    (tmp_path / "other").mkdir()
    tool.ok("pool", "define", "other", "--type", "dir", "--target", tmp_path / "other", "--start")
    random_file(f"{folder}/v.raw", 3 << 20)
    tool.ok("pool", "refresh", pool)
    assert tool.ok("volume", "clone", pool, "v.raw", "copy.raw") == "Volume v.raw cloned to copy.raw.\n"
    same(f"{folder}/v.raw", "raw", f"{folder}/copy.raw", "raw")
    assert tool.ok("volume", "convert", f"{folder}/v.raw", "c.qcow2", "--to-pool", "other", "--format", "qcow2",
                   "--compress", "--cluster-size", "128K") == f"Volume {folder}/v.raw converted to c.qcow2.\n"
    same(f"{folder}/v.raw", "raw", f"{tmp_path}/other/c.qcow2", "qcow2")
    assert volume(tool, "c.qcow2", "other")["Format"] == "qcow2"
    tool.ok("volume", "clone", "other", "c.qcow2", "--linked", "linked.qcow2", "--capacity", "1G")
    linked = volume(tool, "linked.qcow2", "other")
    assert linked["Capacity"] == GIB and linked["Backing"] == volume(tool, "c.qcow2", "other")["ObjectPath"]
    tool.ok("volume", "clone", pool, "v.raw", "--to-pool", "other", "--xml", "-", "--reflink", "never",
            stdin=volume_xml("fromxml", 3 << 20))
    same(f"{folder}/v.raw", "raw", f"{tmp_path}/other/fromxml", "raw")
    tool.fails(6, "volume", "clone", pool, "v.raw", "copy.raw")
    tool.fails(3, "volume", "clone", pool, "none", "new")
    tool.fails(3, "volume", "clone", pool, "v.raw", "new", "--to-pool", "none")
    tool.fails(2, "volume", "clone", pool, "v.raw", "new", "--reflink", "perhaps")


def test_wipe(tool, pool, folder):
    random_file(f"{folder}/v", 1 << 20)
    tool.ok("pool", "refresh", pool)
    assert tool.ok("volume", "wipe", pool, "v") == "Volume v wiped.\n"
    with open(f"{folder}/v", "rb") as f:
        assert f.read() == bytes(1 << 20)
    tool.ok("volume", "wipe", f"{folder}/v", "--algorithm", "random")
    with open(f"{folder}/v", "rb") as f:
        assert f.read() != bytes(1 << 20)
    tool.fails(2, "volume", "wipe", pool, "v", "--algorithm", "soap")
    tool.fails(3, "volume", "wipe", pool, "none")


def test_snapshots(tool, pool, folder):
    tool.ok("volume", "create", pool, "v.qcow2", "8M", "--format", "qcow2")
    snapshot = lambda verb, *args: tool.ok("volume", "snapshot", verb, pool, "v.qcow2", *args)  # noqa: E731
    assert snapshot("create", "clean") == "Snapshot clean of volume v.qcow2 created.\n"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 64k", f"{folder}/v.qcow2"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    snapshot("create", "with space", "--quiet")
    lines = snapshot("list").splitlines()
    assert lines[0].split() == ["NAME", "CREATED", "SIZE"]
    assert re.fullmatch(r"clean       20\d\d-\d\d-\d\d \d\d:\d\d:\d\d +[\d.]+ B", lines[1])
    assert snapshot("list", "--names") == "clean\nwith space\n"
    assert snapshot("revert", "clean") == "Snapshot clean of volume v.qcow2 restored.\n"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "read -P 0 0 64k", f"{folder}/v.qcow2"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    assert snapshot("delete", "with space") == "Snapshot with space of volume v.qcow2 deleted.\n"
    found, = tool.json("volume", "snapshot", "list", f"{folder}/v.qcow2")
    assert found["Name"] == "clean" and abs(found["Created"] / 1e6 - time.time()) < 600 and found["ObjectPath"] == "/"
    tool.fails(3, "volume", "snapshot", "revert", pool, "v.qcow2", "none")
    tool.fails(6, "volume", "snapshot", "create", pool, "v.qcow2", "clean")
    tool.ok("volume", "create", pool, "v.raw", "1M")
    for verb, more in (("list", []), ("create", ["s"])):
        assert "'v.raw' cannot have snapshots" in tool.fails(9, "volume", "snapshot", verb, pool, "v.raw", *more)


def write_image(path, pattern):
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} 0 64k", path], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)


def test_backing_graph_is_changed(tool, pool, folder):
    for name in ("base.qcow2", "other.qcow2"):
        tool.ok("volume", "create", pool, name, "1M", "--format", "qcow2")
    write_image(f"{folder}/base.qcow2", 3)
    for name in ("top.qcow2", "up.qcow2"):
        tool.ok("volume", "create", pool, name, "--format", "qcow2", "--backing", "base.qcow2", "--backing-format",
                "qcow2")
    same(f"{folder}/top.qcow2", "qcow2", f"{folder}/base.qcow2", "qcow2")
    assert tool.ok("volume", "rebase", pool, "top.qcow2", "other.qcow2") == (
        "Volume top.qcow2 is built on other.qcow2.\n")
    assert volume(tool, "top.qcow2")["BackingPath"].endswith("other.qcow2")
    same(f"{folder}/top.qcow2", "qcow2", f"{folder}/base.qcow2", "qcow2")
    assert tool.ok("volume", "flatten", f"{folder}/top.qcow2") == f"Volume {folder}/top.qcow2 flattened.\n"
    assert volume(tool, "top.qcow2")["BackingPath"] == ""
    same(f"{folder}/top.qcow2", "qcow2", f"{folder}/base.qcow2", "qcow2")
    write_image(f"{folder}/up.qcow2", 4)
    assert tool.ok("volume", "commit", pool, "up.qcow2") == "Volume up.qcow2 committed to its backing volume.\n"
    same(f"{folder}/up.qcow2", "qcow2", f"{folder}/base.qcow2", "qcow2")
    tool.ok("volume", "rebase", pool, "up.qcow2", f"{folder}/other.qcow2", "--unsafe")
    assert volume(tool, "up.qcow2")["BackingPath"].endswith("other.qcow2")
    tool.fails(3, "volume", "rebase", pool, "up.qcow2", "none")


def test_descriptions_for_guests(tool, pool, folder):
    tool.ok("volume", "create", pool, "v.qcow2", "1M", "--format", "qcow2")
    xml = tool.ok("volume", "disk-xml", pool, "v.qcow2", "--bus", "scsi", "--target", "sdb", "--readonly")
    for part in ("<disk", "bus='scsi'", "dev='sdb'", f"{folder}/v.qcow2", "<readonly/>", "type='qcow2'"):
        assert part in xml.replace('"', "'"), xml
    described = json.loads(tool.ok("volume", "blockdev", f"{folder}/v.qcow2", "--node-name", "top"))
    assert (described["driver"], described["node-name"]) == ("qcow2", "top")
    assert f"{folder}/v.qcow2" in json.dumps(described)
    assert "bus" in tool.fails(2, "volume", "disk-xml", pool, "v.qcow2", "--bus", "omni")


def test_secrets(tool, pool, folder, tmp_path):
    assert tool.ok("secret", "set", "disk", "-", "--description", "of a disk", stdin="open sesame") == (
        "Secret disk stored.\n")
    (tmp_path / "passphrase").write_text("another", encoding="utf-8")
    tool.ok("secret", "set", "other", tmp_path / "passphrase")
    secrets = {s["Usage"]: s for s in tool.json("secret", "list")}
    assert set(secrets) == {"disk", "other"} and secrets["disk"]["Description"] == "of a disk"
    assert tool.ok("secret", "list").splitlines()[0].split() == ["USAGE", "UUID", "DESCRIPTION"]
    tool.ok("volume", "create", pool, "v", "1M", "--encryption", "luks", "--secret", "disk")
    assert volume(tool, "v")["Encryption"] == "luks"
    tool.fails(6, "secret", "remove", "disk")
    assert tool.ok("secret", "remove", secrets["other"]["UUID"]).endswith("removed.\n")
    tool.fails(3, "secret", "remove", "other")
    tool.fails(2, "secret", "set", "long", "-", stdin="x" * 5000)


def test_secret_is_asked_for_twice(tool):
    terminal = Terminal(tool, "secret", "set", "asked")
    for question in ("Secret: ", "The same again: "):
        terminal.read_until(question)
        time.sleep(0.2)
        os.write(terminal.fd, b"open sesame\n")
    assert terminal.end() == 0 and "sesame" not in terminal.text and "Secret asked stored." in terminal.text


def test_users(tool, pool, folder):
    tool.ok("volume", "create", pool, "v", "1M")
    assert tool.json("volume", "users", pool, "v") == []
    with open(f"{folder}/v", "rb"):
        user, = tool.json("volume", "users", f"{folder}/v")
        assert (user["Process"], user["how"], user["mode"]) == (os.getpid(), "open", "r")
        lines = tool.ok("volume", "users", pool, "v").splitlines()
        assert lines[0].split() == ["COMMAND", "PROCESS", "UID", "HOW", "MODE", "PART", "PROGRAM"]
        assert f" {os.getpid()} " in lines[1] and len(lines) == 2
    tool.fails(3, "volume", "users", pool, "none")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_upload(tool, pool, folder, tmp_path):
    content = random_file(tmp_path / "source", 3_000_017)
    tool.ok("volume", "create", pool, "v", "4M")
    assert tool.ok("volume", "upload", pool, "v", tmp_path / "source", "--sha256") == (
        f"Volume v uploaded: 2.86 MiB.\nSHA-256: {sha256(content)}\n")
    with open(f"{folder}/v", "rb") as f:
        assert f.read() == content + bytes((4 << 20) - len(content))
    done = tool.run("volume", "upload", f"{folder}/v", "-", "--length", "5", "--offset", "1M", "--json", stdin="hello")
    assert (json.loads(done.stdout), done.stderr) == ({"bytes": 5}, "")
    with open(f"{folder}/v", "rb") as f:
        assert f.read()[(1 << 20) - 1:(1 << 20) + 6] == content[(1 << 20) - 1:1 << 20] + b"hello" + content[
            (1 << 20) + 5:(1 << 20) + 6]
    tool.fails(2, "volume", "upload", pool, "v", tmp_path / "source", "--offset", "2M")
    tool.fails(3, "volume", "upload", pool, "none", tmp_path / "source")
    assert "'/no/such'" in tool.fails(3, "volume", "upload", pool, "v", "/no/such")
    # less than was promised: the volume is not what it should be
    assert "5" in tool.fails(1, "volume", "upload", pool, "v", "-", "--length", "10", stdin="hello")
    assert "incomplete" in volume(tool, "v")["Problem"]


def test_import(tool, pool, folder, tmp_path):
    content = random_file(tmp_path / "source", 3_000_017)
    assert tool.ok("volume", "import", pool, "v", tmp_path / "source", "--sha256", "--mode", "0640") == (
        f"Volume v imported: 2.86 MiB.\nSHA-256: {sha256(content)}\n")
    with open(f"{folder}/v", "rb") as f:
        assert f.read() == content
    assert volume(tool, "v")["Mode"] == 0o640
    assert tool.ok("volume", "import", pool, "piped", "-", "--length", "5", stdin="hello") == (
        "Volume piped imported: 5.00 B.\n")
    assert volume(tool, "piped")["Capacity"] == 5
    assert "qcow2" in tool.fails(2, "volume", "import", pool, "w", tmp_path / "source", "--format", "qcow2")
    tool.fails(6, "volume", "import", pool, "v", tmp_path / "source")
    tool.fails(1, "volume", "import", pool, "short", "-", "--length", "10", stdin="hello")
    assert sorted(os.listdir(folder)) == ["piped", "v"]


def test_download(tool, pool, folder, tmp_path):
    content = random_file(f"{folder}/v", 3_000_017)
    tool.ok("pool", "refresh", pool)
    out = tmp_path / "out"
    assert tool.ok("volume", "download", pool, "v", out) == "Volume v downloaded: 2.86 MiB.\n"
    assert out.read_bytes() == content and out.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert str(out) in tool.fails(6, "volume", "download", pool, "v", out, "--length", "3")
    assert json.loads(tool.ok("volume", "download", f"{folder}/v", out, "--length", "3", "--offset", "1", "--sha256",
                              "--overwrite", "--json")) == {"bytes": 3, "sha256": sha256(content[1:4])}
    assert out.read_bytes() == content[1:4]
    done = tool.run("volume", "download", pool, "v", "-", text=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, content, b"Volume v downloaded: 2.86 MiB.\n")
    tool.fails(3, "volume", "download", pool, "none", tmp_path / "new")
    tool.fails(2, "volume", "download", pool, "v", tmp_path)
    tool.fails(3, "volume", "download", pool, "v", tmp_path / "no" / "such")
    tool.fails(2, "volume", "download", pool, "v", tmp_path / "new", "--offset", "4M")
    assert sorted(os.listdir(tmp_path)) == sorted(["bus", "images", "out", "storaged"]), "nothing half made is left"


def test_download_to_a_fifo(tool, pool, folder, tmp_path):
    """What is there and no file stays what it is."""
    content = random_file(f"{folder}/v", 1 << 20)
    tool.ok("pool", "refresh", pool)
    os.mkfifo(tmp_path / "fifo")
    process = tool.start("volume", "download", pool, "v", tmp_path / "fifo")
    assert (tmp_path / "fifo").read_bytes() == content
    assert process.communicate(timeout=30)[0] == "Volume v downloaded: 1.00 MiB.\n"


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_delete(tool, pool, folder):
    for name in ("a", "b", "c", "d"):
        tool.ok("volume", "create", pool, name, "1M")
    assert tool.ok("volume", "delete", pool, "a", "b") == "Volume a deleted.\nVolume b deleted.\n"
    tool.ok("volume", "delete", f"{folder}/c")
    assert os.listdir(folder) == ["d"]
    done = tool.run("volume", "delete", pool, "none", "d")
    assert done.returncode == 3 and done.stdout == "Volume d deleted.\n"


def test_names_with_odd_characters(tool, pool):
    for name in ("-dash", "with space", "ünïcödé", "a:b'c\"d"):
        tool.ok("volume", "create", pool, "--", name, "1M")
        assert volumes(tool)[name]["Capacity"] == 1 << 20
        tool.ok("volume", "delete", pool, "--", name)


def test_cat(tool, pool, folder, tmp_path):
    content = os.urandom(3_000_017)
    with open(f"{folder}/v", "wb") as f:
        f.write(content)
    tool.ok("pool", "refresh", pool)
    assert tool.run("volume", "cat", pool, "v", text=False).stdout == content
    # sendfile() does not append, and a pipe takes only parts
    with open(tmp_path / "out", "ab") as out:
        subprocess.run(tool.argv("volume", "cat", f"{folder}/v"), env=tool.env, stdout=out, check=True, timeout=60)
    assert (tmp_path / "out").read_bytes() == content


def test_cat_complains_of_a_full_output(tool, pool, folder):
    with open(f"{folder}/v", "wb") as f:
        f.write(b"x" * 100000)
    tool.ok("pool", "refresh", pool)
    with open("/dev/full", "wb") as out:
        done = subprocess.run(tool.argv("volume", "cat", pool, "v"), env=tool.env, stdout=out, timeout=60,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 7 and "standard output" in done.stderr


def image(path, *backing):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-u", *backing, path, "1G"], check=True, timeout=60)


def overlay(path, base):
    image(path, "-b", base, "-F", "qcow2")


def test_tree(tool, pool, folder, tmp_path):
    """What is built on what, in several pools; a backing store that is missing; a cycle."""
    (tmp_path / "other").mkdir()
    tool.ok("pool", "define", "other", "--type", "dir", "--target", tmp_path / "other", "--start")
    image(f"{folder}/base.qcow2")
    overlay(f"{folder}/b.qcow2", "base.qcow2")
    overlay(f"{folder}/a.qcow2", "base.qcow2")
    overlay(f"{folder}/deep.qcow2", "a.qcow2")
    overlay(f"{tmp_path}/other/far.qcow2", f"{folder}/deep.qcow2")
    overlay(f"{folder}/orphan.qcow2", "/no/such.qcow2")
    overlay(f"{folder}/x.qcow2", "y.qcow2")
    overlay(f"{folder}/y.qcow2", "x.qcow2")
    with open(f"{folder}/z.raw", "wb") as f:
        f.truncate(GIB)
    tool.ok("pool", "refresh", pool, "other", "-q")
    lines = tool.ok("volume", "tree").splitlines()
    assert lines[0].split() == ["NAME", "FORMAT", "CAPACITY", "ALLOCATION", "PROBLEM"]
    drawing = [line[:lines[0].index("FORMAT")].rstrip() for line in lines[1:]]
    assert drawing == [
        "images",
        "├─ base.qcow2",
        "│  ├─ a.qcow2",
        "│  │  └─ deep.qcow2",
        "│  │     └─ other/far.qcow2",
        "│  └─ b.qcow2",
        "├─ /no/such.qcow2",
        "│  └─ orphan.qcow2",
        "├─ x.qcow2",
        "│  └─ y.qcow2",
        "│     └─ x.qcow2 (again: a cycle)",
        "└─ z.raw",
        "other",
    ]
    assert re.search(r"base\.qcow2 +qcow2 +1\.00 GiB +[\d.]+ KiB", lines[2])
    assert lines[7].endswith("no volume of an active pool")
    only = tool.ok("volume", "tree", "other", "--no-legend").splitlines()
    assert [line.split("  qcow2")[0].rstrip() for line in only] == [
        "other" + only[0][5:].rstrip(), "└─ images/base.qcow2", "   ├─ images/a.qcow2", "   │  └─ images/deep.qcow2",
        "   │     └─ far.qcow2", "   └─ images/b.qcow2"]
    found = {p["Pool"]: p["Volumes"] for p in tool.json("volume", "tree")}
    base = [v for v in found["images"] if v.get("Name") == "base.qcow2"][0]
    assert [v["Name"] for v in base["Overlays"]] == ["a.qcow2", "b.qcow2"] and base["Capacity"] == GIB
    assert base["Overlays"][0]["Overlays"][0]["Overlays"][0]["Pool"] == "other" and found["other"] == []
    ascii_ = subprocess.run(tool.argv("volume", "tree", pool), env=dict(tool.env, LC_ALL="C"), capture_output=True,
                            check=True, timeout=60).stdout.decode("ascii")
    assert "\n|- base.qcow2" in ascii_ and "\n`- z.raw" in ascii_
    assert "'none'" in tool.fails(3, "volume", "tree", "none")


# Errors

def test_not_found(tool, pool):
    assert "'none'" in tool.fails(3, "pool", "show", "none")
    assert "none" in tool.fails(3, "volume", "show", pool, "none")
    assert "/none" in tool.fails(3, "volume", "show", "/none")
    tool.fails(3, "pool", "start", "7cbb4e4c-7a3b-4e35-92a7-1d2f4b6f1c6f")
    assert "there is no job 4711" in tool.fails(3, "job", "watch", "4711")
    assert "there is no job 4711" in tool.fails(3, "job", "cancel", "4711")


def test_volume_of_another_pool(tool, pool, folder, tmp_path):
    (tmp_path / "other").mkdir()
    tool.ok("pool", "create", "other", "--type", "dir", "--target", tmp_path / "other")
    tool.ok("volume", "create", pool, "v", "1M")
    assert "in another pool" in tool.fails(3, "volume", "show", "other", f"{folder}/v")


def test_in_the_way(tool, pool, folder):
    tool.ok("volume", "create", pool, "v", "1M")
    tool.fails(6, "volume", "create", pool, "v", "1M")
    assert pool in tool.fails(6, "pool", "define", "second", "--type", "dir", "--target", folder)
    tool.fails(6, "pool", "undefine", pool)
    tool.ok("pool", "stop", pool)
    tool.fails(6, "volume", "create", pool, "w", "1M")


def test_bad_definitions(tool, pool, tmp_path):
    assert "line 1" in tool.fails(2, "pool", "define", "-", stdin="<pool type='dir'><name>x</nam></pool>")
    tool.fails(2, "pool", "define", "a/b", "--type", "dir", "--target", "/x")
    tool.fails(2, "pool", "define", "x", "--type", "nosuchtype", "--target", "/x")
    tool.fails(2, "volume", "create", pool, "..", "1M")
    tool.fails(2, "volume", "create", pool, "v", "1M", "--format", "nosuchformat")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in tool.fails(2, "pool", "define", tmp_path / "binary")
    (tmp_path / "huge").write_bytes(b" " * (1 << 21))
    assert "larger than" in tool.fails(2, "pool", "define", tmp_path / "huge")
    tool.fails(3, "volume", "create", pool, "--xml", "/no/such/file")


def test_service_that_ends_while_work_goes_on(tool, pool, daemon):
    process = tool.start("volume", "create", pool, "big", ENDLESS, "--preallocation", "full")
    harness.wait_until(lambda: running_jobs(tool), what="a job")
    daemon.kill()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (5, "")
    assert "the service ended before the work was done" in err
    daemon.start()


# Jobs

def running_jobs(tool):
    return [j for j in tool.json("job", "list") if j["State"] in ("queued", "running", "cancelling")]


def start_job(tool, size=LONG):
    """A job that takes a while; its object path."""
    path = tool.ok("volume", "create", "images", "big", size, "--preallocation", "full", "--no-wait").strip()
    assert path.startswith("/org/example/Storage1/job/")
    return path


def test_no_wait_and_watch(tool, pool):
    path = start_job(tool)
    number = path.rsplit("/", 1)[1]
    job, = [j for j in tool.json("job", "list") if j["ObjectPath"] == path]
    assert job["Operation"] == "create-volume"
    lines = tool.ok("job", "list").splitlines()
    assert lines[0].split() == ["JOB", "OPERATION", "ON", "STATE", "PROGRESS", "RATE", "LEFT", "BEGAN", "ERROR"]
    assert any(line.split()[:3] == [number, "create-volume", "images/big"] for line in lines[1:])
    assert tool.ok("job", "watch", number) == f"{number} create-volume succeeded\n"
    ended = json.loads(tool.ok("job", "watch", path, "--json"))
    assert (ended["State"], ended["ErrorName"]) == ("succeeded", "")
    assert volume(tool, "big")["Allocation"] >= LONG
    assert tool.ok("job", "watch") == ""


def test_cancel_a_job(tool, pool, folder):
    number = start_job(tool, ENDLESS).rsplit("/", 1)[1]
    assert tool.ok("job", "cancel", number) == f"Job {number} is being cancelled.\n"
    done = tool.run("job", "watch", number)
    assert done.returncode == 130 and done.stdout.startswith(f"{number} create-volume cancelled")
    assert volumes(tool) == {} and os.listdir(folder) == []


class Terminal:
    """storagectl with a terminal as its input and output."""

    def __init__(self, tool, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(tool.binary, tool.argv(*args), dict(tool.env, TERM="xterm"))
        self.text = ""
        self.status = None

    def read_until(self, pattern=None):
        """Reads until the pattern appears, or to the end."""
        end = time.monotonic() + 30 * harness.SLOWNESS
        while not (pattern and re.search(pattern, self.text)):
            assert time.monotonic() < end, f"never came: {pattern} in {self.text!r}"
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                self.text += os.read(self.fd, 4096).decode()
            except OSError:  # the other side is closed
                break

    def press_ctrl_c(self):
        os.write(self.fd, b"\x03")

    def end(self):
        self.read_until()
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return self.status


def test_progress_bar(tool, pool):
    terminal = Terminal(tool, "volume", "create", pool, "big", LONG, "--preallocation", "full")
    assert terminal.end() == 0
    percents = [int(p) for p in re.findall(r"create big \[#*-*\] +(\d+) %", terminal.text)]
    assert percents and percents == sorted(percents) and percents[-1] > 0
    assert " of 1.00 GiB" in terminal.text
    assert re.search(r" [MG]iB/s  0:\d\d, 0:\d\d left", terminal.text)
    # the bar is gone at the end
    assert terminal.text.endswith("\r\x1b[KVolume big created.\r\n")


def test_no_progress_without_a_terminal(tool, pool):
    done = tool.run("volume", "create", pool, "big", LONG, "--preallocation", "full")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Volume big created.\n", "")


def test_quiet_has_no_progress(tool, pool):
    terminal = Terminal(tool, "volume", "create", pool, "big", LONG, "--preallocation", "full", "-q")
    assert terminal.end() == 0 and terminal.text == ""


def test_ctrl_c_cancels(tool, pool, folder):
    terminal = Terminal(tool, "volume", "create", pool, "big", ENDLESS, "--preallocation", "full")
    terminal.read_until(r"%")
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.text
    assert "Cancelling; press Ctrl-C again" in terminal.text
    assert volumes(tool) == {} and os.listdir(folder) == []


def test_ctrl_c_in_a_transfer(tool, pool, folder, tmp_path):
    """Nothing is left of a file that is not whole, and a volume that is half written says so."""
    with open(f"{folder}/v", "wb") as f:
        f.truncate(1 << 20)
    tool.ok("pool", "refresh", pool)
    feed, ours = os.pipe()
    terminal = Terminal(tool, "volume", "upload", pool, "v", f"/proc/{os.getpid()}/fd/{feed}", "--length", "1M")
    os.write(ours, b"x" * 65536)
    terminal.read_until(r"upload v \[")
    harness.wait_until(lambda: running_jobs(tool), what="a job")
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.text
    assert "Cancelling" in terminal.text
    os.close(ours)
    os.close(feed)
    os.mkfifo(tmp_path / "fifo")
    keep = os.open(tmp_path / "fifo", os.O_RDWR)
    with open(f"{folder}/large", "wb") as f:
        f.truncate(1 << 20)
    tool.ok("pool", "refresh", pool)
    terminal = Terminal(tool, "volume", "download", pool, "large", tmp_path / "fifo")
    terminal.read_until(r"download large \[")
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.text
    os.close(keep)


def test_second_ctrl_c_leaves(tool, pool, daemon):
    terminal = Terminal(tool, "volume", "create", pool, "big", ENDLESS, "--preallocation", "full")
    terminal.read_until(r"%")
    # a service that does not answer: nothing but leaving helps
    os.kill(daemon.pid(), signal.SIGSTOP)
    try:
        terminal.press_ctrl_c()
        terminal.read_until("Cancelling")
        terminal.press_ctrl_c()
        assert terminal.end() == 130, terminal.text
        assert "left before the end" in terminal.text
    finally:
        os.kill(daemon.pid(), signal.SIGCONT)


def test_cat_refuses_a_terminal(tool, pool):
    tool.ok("volume", "create", pool, "v", "1M")
    terminal = Terminal(tool, "volume", "cat", pool, "v")
    assert terminal.end() == 2 and "terminal" in terminal.text


# Monitor

class Monitor:
    """A monitor that has subscribed."""

    def __init__(self, tool, *args):
        self.process = tool.start("monitor", *args)
        assert self.process.stderr.readline() == "Watching org.example.Storage1; Ctrl-C ends it.\n"

    def line(self, pattern):
        """The first line that matches."""
        for line in self.process.stdout:
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line like {pattern}")

    def event(self, **wanted):
        """The first object with these members."""
        for line in self.process.stdout:
            o = json.loads(line)
            if all(o[k] == v for k, v in wanted.items()):
                return o
        raise AssertionError(f"no event like {wanted}")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=10 * harness.SLOWNESS)
        return self.process.returncode


def test_monitor_tells_what_happens(tool, pool, folder):
    monitor = Monitor(tool)
    tool.ok("volume", "create", pool, "v.raw", "1G")
    added = monitor.line(r"volume +added +images/v\.raw")
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  volume   added      images/v\.raw  ", added)
    assert "Format=raw" in added and "Capacity=1.00 GiB" in added
    tool.ok("volume", "resize", pool, "v.raw", "2G")
    assert "Capacity=2.00 GiB" in monitor.line(r"volume +changed +images/v\.raw")
    os.unlink(f"{folder}/v.raw")
    monitor.line(r"volume +removed +images/v\.raw$")
    tool.ok("pool", "stop", pool)
    monitor.line(r"pool +changed +images .*State=inactive")
    tool.ok("pool", "undefine", pool)
    monitor.line(r"pool +removed +images$")
    assert monitor.end() == 0


def test_monitor_as_json(tool, pool, folder):
    monitor = Monitor(tool, "--json")
    before = time.time()
    with open(f"{folder}/dropped in", "wb") as f:
        f.truncate(4096)
    event = monitor.event(Kind="volume", Event="added")
    assert event["Name"] == "images/dropped in" and event["Properties"]["Path"] == f"{folder}/dropped in"
    assert before - 1 < event["Time"] / 1e6 < time.time() + 1
    path = start_job(tool)
    assert monitor.event(Kind="job", Event="added", ObjectPath=path)["Properties"]["Operation"] == "create-volume"
    tool.ok("job", "watch", path)
    assert monitor.event(Kind="job", Event="completed", ObjectPath=path)["Properties"]["Success"] is True
    tool.ok("pool", "refresh", pool)
    assert monitor.event(Kind="pool", Event="refreshed")["Name"] == pool
    assert monitor.end() == 0


def test_monitor_sees_new_pools_and_the_end_of_the_service(tool, daemon, folder):
    monitor = Monitor(tool, "--json")
    tool.ok("pool", "define", "new", "--type", "dir", "--target", folder)
    assert monitor.event(Kind="pool", Event="added")["Name"] == "new"
    daemon.stop()
    assert monitor.event(Kind="service")["Event"] == "stopped"
    daemon.start()
    assert monitor.event(Kind="service")["Event"] == "started"
    assert monitor.end() == 0


def test_monitor_ends_by_itself(tool, pool):
    monitor = Monitor(tool, "--count", "2")
    tool.ok("volume", "create", pool, "a", "1M")
    tool.ok("volume", "create", pool, "b", "1M")
    out, err = monitor.process.communicate(timeout=10 * harness.SLOWNESS)
    assert (monitor.process.returncode, out.count("\n"), err) == (0, 2, "")
    assert tool.run("monitor", "--timeout", "0", "--no-legend").returncode == 0
    done = tool.run("monitor", "--timeout", "1", "--count", "1000")
    assert done.returncode == 8 and "instead of 1000" in done.stderr


# The service itself

def test_capabilities(tool):
    found = tool.json("capabilities")
    assert "raw" in found["PoolTypes"]["dir"]["volume-formats"] and found["Version"]
    text = tool.ok("capabilities")
    assert re.search(r"^TYPE +OPERATIONS", text, re.MULTILINE) and re.search(r"^dir ", text, re.MULTILINE)
    assert "<storagepoolCapabilities>" in tool.ok("capabilities", "--xml")


def test_example_lists_and_watches(tool, pool, folder):
    tool.ok("volume", "create", pool, "v.raw", "1G")
    example = os.path.join(harness.SOURCE, "docs/examples/list-and-watch.py")
    with subprocess.Popen(["/usr/bin/python3", example, "--user"], env=tool.env, stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            assert lines[0].startswith("pool images: dir, active, ")
            assert lines[1] == "  v.raw: raw, 1.0 GiB\n"
            assert lines[2].startswith("Watching")
            tool.ok("volume", "delete", pool, "v.raw")
            assert any(line.startswith("removed: ") for line in process.stdout)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_example_clones(tool, pool, folder):
    random_file(f"{folder}/v", 32 << 20)
    tool.ok("pool", "refresh", pool)
    example = os.path.join(harness.SOURCE, "docs/examples/clone-with-progress.py")
    done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "v", "w"], env=tool.env, timeout=60,
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "succeeded " and all(re.fullmatch(r"\d+% of 32\.0 MiB, \d+ MiB/s", line) for line in lines[:-1])
    same(f"{folder}/v", "raw", f"{folder}/w", "raw")
    done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "none", "w"], env=tool.env, timeout=60,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "none" in done.stderr and done.stdout == ""


def test_example_uploads(tool, pool, folder):
    example = os.path.join(harness.SOURCE, "docs/examples/upload.py")
    source = f"{folder}.source"
    data = os.urandom(1 << 20)
    with open(source, "wb") as f:
        f.write(data)
    for _ in range(2):  # a new volume, then one that is there
        done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "v", source], env=tool.env, text=True,
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"
        with open(f"{folder}/v", "rb") as f:
            assert f.read() == data
    os.truncate(f"{folder}/v", 10)
    done = subprocess.run(["/usr/bin/python3", example, "--user", pool, "v", "/dev/null"], env=tool.env, text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and "neither a pipe" in done.stderr
    os.unlink(source)


# Pools on devices

RAID = ("--raid-level", "raid1", "--raid-dev", "/dev/no-such-a", "--raid-dev", "/dev/no-such-b")


def test_array_by_options(tool, folder):
    tool.ok("pool", "define", "mirror", "--type", "fs", "--target", f"{folder}/m", *RAID, "--raid-chunk-size", "64K",
            "--quiet")
    shown = tool.json("pool", "show", "mirror")
    assert shown["Definition"]["raid"] == {
        "level": "raid1", "devices": ["/dev/no-such-a", "/dev/no-such-b"], "chunk-size": 65536}
    assert shown["Definition"]["source-devices"] == ["/dev/md/mirror"]
    assert shown["Raid"] == {"Level": "", "SyncAction": "", "Degraded": 0, "SyncProgress": 0.0, "Devices": []}
    text = tool.ok("pool", "show", "mirror")
    for line in ("Level: +-", "Sync action: +-", "Sync progress: +0 %", "Degraded: +0", "Devices: +-"):
        assert re.search(rf"^{line}$", text, re.MULTILINE), line
    tool.ok("pool", "update", "mirror", *RAID, "--raid-dev", "/dev/no-such-c", "--raid-spares", "1", "--quiet")
    raid = tool.json("pool", "show", "mirror")["Definition"]["raid"]
    assert (raid["spares"], len(raid["devices"]), "chunk-size" in raid) == (1, 3, False)
    tool.ok("pool", "update", "mirror", "--source-format", "xfs", "--quiet")
    assert tool.json("pool", "show", "mirror")["Definition"]["raid"] == raid
    assert "level='raid1'" in tool.ok("pool", "show", "mirror", "--xml")


def test_array_needs_a_running_pool_that_has_one(tool, pool, folder):
    tool.ok("pool", "define", "mirror", "--type", "fs", "--target", f"{folder}/m", *RAID, "--quiet")
    for command in ("add-device", "fail-device", "remove-device"):
        assert "start it first" in tool.fails(6, "pool", command, "mirror", "/dev/no-such-c")
        assert "array" in tool.fails(9, "pool", command, pool, "/dev/no-such-c")
    assert "/dev/no-such-a" in tool.fails(3, "pool", "build", "mirror")


def test_pools_without_an_array_show_none(tool, pool):
    assert not {"Raid", "Disk", "Logical"} & set(tool.json("pool", "show", pool))
    assert "Devices:" not in tool.ok("pool", "show", pool)


def test_find_sources(tool):
    header = tool.ok("pool", "find-sources", "fs").splitlines()[0].split()
    assert header == ["DEVICES", "NAME", "FORMAT", "SIZE", "MODEL", "SERIAL", "CONTENTS", "UNSUITABLE"]
    for source in tool.json("pool", "find-sources", "logical"):
        assert source["source-devices"] or source["source-name"]
    assert tool.json("pool", "find-sources", "fs", "--source-dev", "/dev/no-such") == []
    assert tool.ok("pool", "find-sources", "fs", "--xml").startswith("<sources")
    assert "dir" in tool.fails(9, "pool", "find-sources", "dir")
    tool.fails(2, "pool", "find-sources", "fs", "--xml", "--source-dev", "/dev/a")
    tool.fails(2, "pool", "find-sources")
