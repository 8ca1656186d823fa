# SPDX-License-Identifier: LGPL-2.1-or-later
"""Wiping volumes that are files."""

import os
import subprocess

import pytest

from client import MIB, refused

OVERWRITING = ["random", "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33"]
# What the last pass leaves; random otherwise.
LAST_BYTE = {"nnsa": 0x00, "dod": 0xff, "bsi": 0x7f}


def write(path, size, holes=()):
    """Bytes that repeat nowhere, but for the holes, which are (from, to)."""
    with open(path, "wb") as f:
        f.write(os.urandom(size))
    for start, end in holes:
        subprocess.run(["fallocate", "-p", "-o", str(start), "-l", str(end - start), path], check=True)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def blocks(path):
    return os.stat(path).st_blocks * 512


@pytest.fixture
def volume(service, pool, folder):
    """Of 3 MiB and some, with a hole and without: volume(holes), its file's path."""
    made = []

    def make(size=3 * MIB + 4096 + 512, holes=()):
        path = f"{folder}/v{len(made)}"
        write(path, size, holes)
        service.wait_volume(pool, os.path.basename(path))
        made.append(path)
        return service.volume(pool.GetVolume(os.path.basename(path))), path

    return make


def test_zero_of_a_full_file(volume):
    v, path = volume()
    size, before = os.path.getsize(path), blocks(path)
    assert v.Wipe() == "/"
    assert read(path) == bytes(size)
    assert blocks(path) >= size // 4096 * 4096 and blocks(path) <= before, "what was allocated stays"
    assert v.get("Problem") == "" and v.get("Capacity") == size


def test_zero_of_a_file_with_holes(volume):
    v, path = volume(holes=[(MIB, 2 * MIB)])
    size = os.path.getsize(path)
    assert v.Wipe({"algorithm": "zero"}) == "/"
    assert read(path) == bytes(size) and blocks(path) == 0
    assert v.get("Allocation") == 0 and v.get("Capacity") == size


def test_trim(volume):
    v, path = volume()
    size = os.path.getsize(path)
    v.Wipe({"algorithm": "trim"})
    assert read(path) == bytes(size) and blocks(path) == 0


@pytest.mark.parametrize("algorithm", OVERWRITING)
def test_passes(volume, algorithm):
    v, path = volume(size=MIB + 512, holes=[(0, MIB // 2)])
    before = read(path)
    v.Wipe({"algorithm": algorithm})
    after = read(path)
    assert len(after) == len(before) and blocks(path) >= MIB
    if algorithm in LAST_BYTE:
        assert after == bytes([LAST_BYTE[algorithm]]) * len(before)
    else:
        assert not any(after[i:i + 512] == before[i:i + 512] for i in range(0, len(after), 512))
        assert after.count(0) < len(after) // 100


def test_image_is_raw_after_that(service, pool, folder):
    v = service.make_volume(pool, "v", 64 * MIB, format="qcow2")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", folder + "/v"], check=True, capture_output=True)
    size = os.path.getsize(folder + "/v")
    v.Wipe()
    assert read(folder + "/v") == bytes(size)
    assert v.get("Format") == "raw" and v.get("Capacity") == size


def test_refused(service, pool, volume):
    v, path = volume()
    before = read(path)
    for options in ({"algorithm": "no-such"}, {"algorithm": ""}, {"passes": 3}):
        with refused("InvalidArgument") as refusal:
            v.Wipe(options)
    with refused("InvalidArgument") as refusal:
        v.Wipe({"algorithm": "no-such"})
    assert "no-such" in refusal.text and "pfitzner33" in refusal.text
    pool.CreateVolume("overlay", 0, {"format": "qcow2", "backing": v.path})
    for force in (False, True):
        with refused("HasDependents") as refusal:
            v.Wipe({"force": force})
        assert "overlay" in refusal.text
    assert read(path) == before
