# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 1x512M
# boots: 4
# timeout: 400
"""The power is lost while a file system is made for a pool, and while volumes are made in it."""

import os
import time
from pathlib import Path

import pytest

from client import MIB, error_name, error_text, refused
from gi.repository import GLib

TARGET = "/srv/pools/tank"
DISK = "/dev/disk/by-id/virtio-disk0"


def define(service, **options):
    path, _ = service.manager.DefinePool("tank", "fs", {
        "source-devices": [DISK], "source-format": "ext4", "target-path": TARGET}, options)
    return service.pool(path)


def found(service):
    return service.pool(service.manager.GetPoolByName("tank"))


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_in_a_build(service, disks, power_off, after):
    if not power_off.happened:
        pool = define(service)
        asked = time.monotonic()
        power_off(after)
        while time.monotonic() < asked + 60:
            pool.Build({"overwrite": True})
        pytest.fail("the power was not cut")
    pool = found(service)
    assert pool.get("State") == "inactive"
    # Either it is whole, or what is there is named.
    try:
        pool.Start()
    except GLib.Error as error:
        assert error_name(error).endswith(".Failed")
        assert DISK in error_text(error)
        pool.Build({"overwrite": True})
        pool.Start()
    service.make_volume(pool, "a", MIB, allocation=0)
    assert pool.get("Health") == "ok"


def test_in_a_create(service, disks, command, power_off):
    if not power_off.happened:
        pool = define(service, build=True, start=True)
        service.make_volume(pool, "first", 4 * MIB, format="qcow2")
        os.sync()
        asked, n = time.monotonic(), 0
        power_off(1.0)
        while time.monotonic() < asked + 60:
            n += 1
            pool.CreateVolume(f"full-{n}", 4 * MIB, {"preallocation": "full"})
            pool.CreateVolume(f"image-{n}", 4 * MIB, {"format": "qcow2", "preallocation": "metadata"})
        pytest.fail("the power was not cut")
    pool = found(service)
    if pool.get("State") == "inactive":
        pool.Start()
    volumes = service.volumes(pool)
    assert volumes["first"]["Format"] == "qcow2"
    for name, volume in volumes.items():
        assert name == "lost+found" or volume["Capacity"] == 4 * MIB, (name, volume)
        if name.startswith("full-"):
            assert volume["Allocation"] >= 4 * MIB
        if volume["Format"] == "qcow2":
            command("qemu-img", "check", "-q", f"{TARGET}/{name}")
    assert {p.name for p in Path(TARGET).iterdir()} == set(volumes)
    with refused("Exists"):
        pool.CreateVolume("first", MIB, {})
    service.make_volume(pool, "after", MIB, allocation=0)
