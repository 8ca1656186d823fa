# SPDX-License-Identifier: LGPL-2.1-or-later
# disks: 2x512M
# timeout: 900
"""Each lvm process takes about as long as what it does: no more of them are run than are needed, and what is told
without asking lvm is what lvm tells."""

import subprocess

import pytest

from client import MIB
from lvm_runs import lvm_runs

WAIT = {"wait": 120_000_000}


@pytest.fixture
def pool(service, disks):
    path, _ = service.manager.DefinePool("vg0", "logical", {"source-devices": disks},
                                         WAIT | {"build": True, "start": True}, timeout=200)
    return service.pool(path)


def kinds(more):
    """What to make, of every kind, as create() takes it; more: room for differences of a thick snapshot."""
    return {
        "thick": {},
        "thin": {"allocation": 0},
        "snap": {"backing-path": "/dev/vg0/thick", **more},
        "light": {"backing-path": "/dev/vg0/thin"},
    }


def create(service, pool, name, options):
    path, _ = pool.CreateVolume(name, 16 * MIB, WAIT | options, timeout=200)
    return service.volume(path)


def write(mib, device):
    subprocess.run(["dd", "if=/dev/urandom", f"of={device}", "bs=1M", f"count={mib}", "oflag=direct"], check=True,
                   capture_output=True, timeout=60)


def test_processes(service, pool):
    with lvm_runs() as runs:
        assert runs.of(lambda: pool.Stop(WAIT, timeout=200)) == []
        assert runs.of(lambda: pool.Start(WAIT, timeout=200)) == ["vgs", "vgchange"]
        create(service, pool, "first", {"allocation": 0})
        for name, options in kinds({}).items():
            assert runs.of(lambda n=name, o=options: create(service, pool, n, o)) == ["lvcreate", "lvchange"], name
        for name in ("light", "snap", "thin", "thick"):
            volume = service.volume(pool.GetVolume(name))
            assert runs.of(lambda v=volume: v.Delete(WAIT, timeout=200)) == ["lvremove"], name
        assert runs.of(lambda: pool.Stop(WAIT, timeout=200)) == ["vgchange"]


def test_one_after_the_other(service, pool):
    """What we have just made is no reason to read the group again. That others may have is: the service looks, at times
    between the two."""
    def make_two(name):
        pending = [pool.start("CreateVolume", f"{name}{n}", 16 * MIB, WAIT, timeout=200) for n in range(2)]
        for call in pending:
            call.wait(200)
    with lvm_runs() as runs:
        several = [runs.of(lambda n=name: make_two(n)) for name in "abcd"]
    assert ["lvcreate", "lvchange"] * 2 in several


def test_what_was_made_is_told_once(service, pool):
    """Nothing but the moment of its creation, which lvm's clock has in seconds, is told otherwise by the next look."""
    log = service.log()
    paths = {}
    for name, options in kinds({"allocation": 8 * MIB}).items():
        paths[create(service, pool, name, options).path] = name
        if name == "thin":
            write(3, "/dev/vg0/thin")
    log.settle()
    made = {paths[s.args[0]]: s.args[1] for s in log.signals if s.member == "InterfacesAdded" and s.args[0] in paths}
    rows = {name: next(p for p in interfaces.values() if "Capacity" in p) for name, interfaces in made.items()}
    assert {name: (row["Capacity"], row["Allocation"], row["BackingPath"]) for name, row in rows.items()} == {
        "thick": (16 * MIB, 16 * MIB, ""), "thin": (16 * MIB, 0, ""), "snap": (16 * MIB, 0, "/dev/vg0/thick"),
        "light": (16 * MIB, rows["light"]["Allocation"], "/dev/vg0/thin")}
    assert rows["light"]["Allocation"] == pytest.approx(3 * MIB, rel=0.1)
    pool.Refresh(WAIT, timeout=200)
    log.settle(2)
    changed = {(paths[s.path], name) for s in log.signals if s.member == "PropertiesChanged" and s.path in paths
               for name in s.args[1]}
    # The thin one was written to after it was told.
    told = {"Modified", "InUse", "Dependents", "Snapshots"}
    assert {(name, what) for name, what in changed if name != "thin" and what not in told} == set()
