# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what with volumes that depend on each other in one pool: the workers pretend, see fake_worker.py."""

import pytest

from client import refused
from harness import OWN, SOURCE, find_binary

pytestmark = pytest.mark.private

VOLUMES = """
mine-base
mine-snapshot mine-base
theirs mine-base
their-base
mine-from-them their-base
"""


@pytest.fixture
def daemon(world, monkeypatch):
    folder = world.folder()
    with open(f"{folder}/volumes", "w", encoding="ascii") as f:
        f.write(VOLUMES.strip())
    monkeypatch.setenv("FAKE_WORKER", folder)
    monkeypatch.setenv("REAL_WORKER", find_binary("storaged-worker"))
    return world.daemon("--worker", f"{SOURCE}/tests/bus/fake_worker.py", "--verb-timeout", "20", polkit=True)


@pytest.fixture
def pool(service):
    path, job = service.manager.DefinePool("vg", "logical", {"source-name": "vg", "target-path": "/dev/vg"}, {"start": True})
    assert job == "/"
    return service.pool(path)


def test_a_snapshot_is_a_volume_of_its_own(world, daemon, service, pool):
    """Who has the rights on a logical volume only has them on no volume that happens to be a snapshot of it, nor on what
    he could copy out of one into another."""
    own = world.client(daemon, OWN)

    def snapshots(name):
        return own.proxy(pool.GetVolume(name), "Volume.Snapshots")
    assert {row[0] for row in snapshots("mine-base").get("Snapshots")} == {"mine-snapshot", "theirs"}
    for method in ("DeleteSnapshot", "RevertSnapshot", "CreateSnapshot"):
        with refused("AccessDenied"):
            getattr(snapshots("mine-base"), method)("theirs")
        with refused("AccessDenied"):
            getattr(snapshots("their-base"), method)("mine-from-them")
        # What is allowed comes as far as the worker, which can do none of it.
        with refused("Exists" if method == "CreateSnapshot" else "UnknownMethod"):
            getattr(snapshots("mine-base"), method)("mine-snapshot")
    with refused("AccessDenied"):
        snapshots("mine-base").CreateSnapshot("yet-another")
    with refused("NotFound"):
        snapshots("mine-base").DeleteSnapshot("mine-nothing")
