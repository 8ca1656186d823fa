# SPDX-License-Identifier: LGPL-2.1-or-later
"""storagectl volume upload, import, download and cat."""

import json
import os
import subprocess

import harness
from helpers import Terminal, random_file, running_jobs, sha256, volume


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


def test_cat_refuses_a_terminal(tool, pool):
    tool.ok("volume", "create", pool, "v", "1M")
    terminal = Terminal(tool, "volume", "cat", pool, "v")
    assert terminal.end() == 2 and "terminal" in terminal.text


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
