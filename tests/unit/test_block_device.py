# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which device a path means, what is on it and who has it: on loop devices."""

import os
import subprocess

import pytest

DRIVER = os.environ["BLOCK_DEVICE_DRIVER"]
SIZE = 64 << 20


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True, timeout=30,
                          stdin=subprocess.DEVNULL).stdout.strip()


def ask(question, path, *args):
    """The answer; an error begins with its name, without what all have in common."""
    result = subprocess.run([DRIVER, question, path, *args], check=False, capture_output=True, text=True, timeout=30)
    assert result.returncode in (0, 1), result
    return result.stdout.strip().removeprefix("org.example.Storage1.Error.")


@pytest.fixture
def attach(tmp_path):
    devices = []

    def make(*options):
        path = tmp_path / f"disk{len(devices)}"
        with open(path, "wb") as file:
            file.truncate(SIZE)
        devices.append(run("losetup", "--show", "-f", *options, str(path)))
        return devices[-1]

    if os.geteuid() != 0:
        pytest.skip("loop devices are root's")
    yield make
    for device in devices:
        run("losetup", "-d", device)


@pytest.fixture
def loop(attach):
    return attach()


@pytest.fixture
def mounted(loop, tmp_path):
    run("mkfs.ext4", "-q", "-L", "data", loop)
    folder = tmp_path / "mount point"
    folder.mkdir()
    run("mount", loop, str(folder))
    yield loop, folder
    run("umount", str(folder))


def test_empty_device_may_be_written(loop):
    assert ask("contents", loop) == ""
    assert ask("use", loop) == ""
    assert ask("writable", loop) == ""


def test_what_is_on_it_is_told_and_kept(loop):
    run("mkfs.ext4", "-q", "-L", "data", loop)
    assert ask("contents", loop) == "a file system: ext4 labelled 'data'"
    refusal = ask("writable", loop)
    assert refusal.startswith("Exists: ") and "ext4" in refusal and loop in refusal and "overwrite" in refusal
    assert ask("overwritable", loop) == ""
    assert ask("contents", loop) == "a file system: ext4 labelled 'data'"


@pytest.mark.parametrize("fmt", ["qcow2", "qed", "vdi", "vmdk", "vhdx"])
def test_a_disk_image_is_something(loop, tmp_path, fmt):
    """blkid knows none of them, and a guest's disk on a logical volume may be one."""
    run("qemu-img", "create", "-f", fmt, str(tmp_path / "image"), "16M")
    image = (tmp_path / "image").read_bytes()[:SIZE]
    with open(loop, "r+b") as device:
        device.write(image)
    assert ask("contents", loop) == f"a disk image: {fmt}"
    refusal = ask("writable", loop)
    assert refusal.startswith("Exists: ") and fmt in refusal
    assert ask("overwritable", loop) == ""
    assert ask("wipe", loop) == ""
    assert ask("writable", loop) == ""


@pytest.mark.parametrize("make, words", [
    (("mkswap", "-q"), "swap space"),
    (("mkfs.vfat",), "a file system: vfat"),
    (("parted", "-s"), "a partition table (gpt)"),
])
def test_contents(loop, make, words):
    run(*make, loop, *(("mklabel", "gpt") if make[0] == "parted" else ()))
    assert ask("contents", loop) == words
    assert ask("writable", loop).startswith("Exists: ")


def test_label_that_is_not_utf8(loop):
    run("mkfs.ext4", "-q", loop)
    subprocess.run(["tune2fs", "-L", b"\xff\xfe", loop], check=True, capture_output=True, timeout=30)
    assert ask("contents", loop).startswith("a file system: ext4 labelled '")


def test_mounted_device_is_never_overwritten(mounted):
    loop, folder = mounted
    assert ask("use", loop) == f"mounted on {folder}"
    for question in ("writable", "overwritable", "wipe"):
        refusal = ask(question, loop)
        assert refusal.startswith("InUse: ") and str(folder) in refusal
    run("mountpoint", str(folder))


def test_read_only_device(attach):
    refusal = ask("overwritable", attach("-r"))
    assert refusal.startswith("Failed: ") and "read-only" in refusal


def test_held_by_another_process(loop):
    fd = os.open(loop, os.O_RDONLY | os.O_EXCL)
    try:
        assert ask("use", loop) == ""
        refusal = ask("overwritable", loop)
        assert refusal.startswith("InUse: ") and "for itself alone" in refusal
    finally:
        os.close(fd)


def test_wipe_leaves_nothing_that_is_recognised(loop):
    run("parted", "-s", loop, "mklabel", "gpt")
    run("mkfs.ext4", "-q", "-F", loop)
    assert ask("wipe", loop) == ""
    assert ask("contents", loop) == ""
    assert run("wipefs", "-n", loop) == ""
    with open(loop, "rb") as file:
        assert not any(file.read(1 << 20))
        file.seek(SIZE - (1 << 20))
        assert not any(file.read())


def test_paths_that_are_no_device(tmp_path):
    (tmp_path / "file").touch()
    assert ask("contents", str(tmp_path / "none")).startswith("NotFound: ")
    assert ask("contents", str(tmp_path / "file")).startswith("InvalidArgument: ")


def test_stable_path_is_the_first_link(loop, tmp_path):
    for name in ("b-link", "a-link"):
        (tmp_path / name).symlink_to(loop)
    (tmp_path / "0-other").symlink_to("/dev/null")
    assert ask("stable", str(tmp_path / "b-link"), str(tmp_path)) == str(tmp_path / "a-link")
    assert ask("stable", loop, "/dev") == loop
    (tmp_path / "empty").mkdir()
    assert ask("stable", loop, str(tmp_path / "empty")) == ""
