# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl volume: clone, convert, wipe, snapshots, flatten, rebase and commit; secrets."""

import os
import re
import subprocess
import time

from helpers import GIB, Terminal, random_file, same, volume, volume_xml


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
