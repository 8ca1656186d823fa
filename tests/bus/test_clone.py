# SPDX-License-Identifier: LGPL-2.1-or-later
"""CloneVolume: the contents of one volume in another."""

import os
import subprocess

import pytest

from client import MIB, refused

SIZE = 6 * MIB


def write_sparse(path, size=SIZE):
    """Data at the beginning, in the middle and at the very end, and holes between them."""
    with open(path, "wb") as f:
        f.truncate(size)
        for at in (0, size // 2 + 4096, size - 65536):
            f.seek(at)
            f.write(os.urandom(65536))


def image(path, kind, size=SIZE, **options):
    """An image of that format with such contents."""
    raw = path + ".raw"
    write_sparse(raw, size)
    if kind == "raw":
        os.rename(raw, path)
        return
    settings = [x for k, v in options.items() for x in ("-o", f"{k}={v}")]
    subprocess.run(["qemu-img", "convert", "-O", kind, *settings, raw, path], check=True)
    os.unlink(raw)


def same(a, kind_a, b, kind_b, strict=False):
    extra = ["-s"] if strict else []
    subprocess.run(["qemu-img", "compare", "-q", *extra, "-f", kind_a, "-F", kind_b, a, b], check=True)


def check(path, kind):
    if kind in ("qcow2", "qed", "vdi", "vmdk"):
        subprocess.run(["qemu-img", "check", "-q", "-f", kind, path], check=True)


@pytest.fixture
def other(service, world):
    return service.make_pool("other", world.folder())


def test_raw_to_raw(service, pool, folder):
    image(folder + "/a", "raw")
    source = service.wait_volume(pool, "a")
    path, job = pool.CloneVolume(source.path, "b")
    assert job == "/"
    clone = service.volume(path)
    assert (clone.get("Format"), clone.get("Capacity")) == ("raw", SIZE)
    same(folder + "/a", "raw", folder + "/b", "raw", True)
    assert os.stat(folder + "/b").st_blocks * 512 <= 4 * 65536
    assert "clone" in pool.get("Operations")


KINDS = ["raw", "qcow2", "qcow", "qed", "vdi", "vmdk", "vpc"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_formats(service, pool, other, folder, kind):
    image(folder + "/a", kind)
    source = service.wait_volume(pool, "a")
    for target in KINDS:
        path, _ = other.CloneVolume(source.path, "to-" + target, {"format": target})
        clone = service.volume(path)
        made = clone.get("Path")
        assert clone.get("Format") == target and clone.get("Capacity") >= SIZE
        same(folder + "/a", kind, made, target)
        check(made, target)
        if target in ("raw", "qcow2"):
            assert os.stat(made).st_blocks * 512 < SIZE // 2, "holes stay holes"
