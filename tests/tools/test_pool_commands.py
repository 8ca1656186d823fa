# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl pool."""

import os
import re

from helpers import pool_xml


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


def test_capabilities(tool):
    found = tool.json("capabilities")
    assert "raw" in found["PoolTypes"]["dir"]["volume-formats"] and found["Version"]
    text = tool.ok("capabilities")
    assert re.search(r"^TYPE +OPERATIONS", text, re.MULTILINE) and re.search(r"^dir ", text, re.MULTILINE)
    assert "<storagepoolCapabilities>" in tool.ok("capabilities", "--xml")
