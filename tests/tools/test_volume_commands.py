# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl volume: made, listed, shown, resized, deleted; how volumes are built on each other."""

import json
import os
import re
import subprocess

import pytest

from helpers import GIB, volume, volume_xml, volumes


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


def test_descriptions_for_guests(tool, pool, folder):
    tool.ok("volume", "create", pool, "v.qcow2", "1M", "--format", "qcow2")
    xml = tool.ok("volume", "disk-xml", pool, "v.qcow2", "--bus", "scsi", "--target", "sdb", "--readonly")
    for part in ("<disk", "bus='scsi'", "dev='sdb'", f"{folder}/v.qcow2", "<readonly/>", "type='qcow2'"):
        assert part in xml.replace('"', "'"), xml
    described = json.loads(tool.ok("volume", "blockdev", f"{folder}/v.qcow2", "--node-name", "top"))
    assert (described["driver"], described["node-name"]) == ("qcow2", "top")
    assert f"{folder}/v.qcow2" in json.dumps(described)
    assert "bus" in tool.fails(2, "volume", "disk-xml", pool, "v.qcow2", "--bus", "omni")


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
