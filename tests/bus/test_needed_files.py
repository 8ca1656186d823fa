# SPDX-License-Identifier: LGPL-2.1-or-later
"""A file that others cannot be read without is known by all of its paths, and however it is named."""

import os
import subprocess

import pytest

import images
from client import MIB, refused
from harness import wait_until

pytestmark = pytest.mark.private


def upload(volume):
    fd = os.memfd_create("data")
    os.write(fd, b"x" * 4096)
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        volume.Upload(0, {}, fds=[fd])
    finally:
        os.close(fd)


def refuses_all(volume, name):
    """Whatever would take from others what they need, naming them."""
    for call in (volume.Wipe, lambda: volume.Delete({"force": True}), lambda: volume.Resize(4096, {"shrink": True}),
                 lambda: upload(volume)):
        with refused("HasDependents") as refusal:
            call()
        assert f"'{name}'" in refusal.text


@pytest.fixture
def base(service, pool, folder):
    images.make(f"{folder}/base", MIB)
    images.write(f"{folder}/base", 7, 0, 65536)
    return service.wait_volume(pool, "base")


NAMES = {
    "json": 'json:{"driver":"qcow2","file":{"driver":"file","filename":"%s/base"}}',
    "single quotes": "json:{'driver':'qcow2','file':{'driver':'file','filename':'%s/base'}}",
    "flat": 'json:{"file.filename":"%s\\/base"}',
    "protocol": "file:%s/base",
}


@pytest.mark.parametrize("kind", NAMES)
def test_named_in_another_way(service, pool, folder, base, kind):
    images.make(f"{folder}/over", MIB, backing_fmt="qcow2", backing_file=f"{folder}/base")
    images.qemu_img("rebase", "-u", "-f", "qcow2", "-b", NAMES[kind] % folder, "-F", "qcow2", f"{folder}/over")
    before = images.contents(f"{folder}/over")
    over = service.wait_volume(pool, "over")
    base.wait_for("Dependents", [over.path])
    over.wait_for("BackingPath", lambda path: path.startswith(("json:", "file:")))
    refuses_all(base, "over")
    assert images.contents(f"{folder}/over") == before
    over.Delete()
    base.wait_for("Dependents", [])
    base.Delete()


@pytest.mark.parametrize("name", ["{}/data", "file:{}/data"])
def test_data_file(service, pool, folder, name):
    images.make(f"{folder}/image", MIB, data_file=name.format(folder))
    images.write(f"{folder}/image", 7, 0, 65536)
    before = images.contents(f"{folder}/image")
    image, data = service.wait_volume(pool, "image"), service.wait_volume(pool, "data")
    data.wait_for("Dependents", [image.path])
    refuses_all(data, "image")
    assert images.contents(f"{folder}/image") == before
    image.Delete()
    data.wait_for("Dependents", [])
    data.Delete()


@pytest.mark.parametrize("way", ["bind mount", "hard link"])
def test_of_another_path(service, world, pool, folder, base, way):
    images.make(f"{folder}/over", MIB, backing_file=f"{folder}/base", backing_fmt="qcow2")
    before = images.contents(f"{folder}/over")
    over = service.wait_volume(pool, "over")
    other = world.folder()
    if way == "hard link":
        os.link(f"{folder}/base", f"{other}/base")
    else:
        subprocess.run(["mount", "--bind", folder, other], check=True)
        world.mounts.append(other)
    second = service.wait_volume(service.make_pool("second", other), "base")
    wait_until(lambda: over.path in second.get("Dependents"), what="the dependent")
    refuses_all(second, "over")
    assert images.contents(f"{folder}/over") == before


def test_a_file_in_the_place_of_another(service, pool, folder, base):
    """What is needed is the file that is there now."""
    images.make(f"{folder}/over", MIB, backing_fmt="qcow2", backing_file=f"{folder}/base")
    images.qemu_img("rebase", "-u", "-f", "qcow2", "-b", NAMES["json"] % folder, "-F", "qcow2", f"{folder}/over")
    over = service.wait_volume(pool, "over")
    base.wait_for("Dependents", [over.path])
    images.make(f"{folder}/next", MIB)
    os.rename(f"{folder}/next", f"{folder}/base")
    pool.Refresh()
    base.wait_for("Dependents", [over.path])
    refuses_all(base, "over")
