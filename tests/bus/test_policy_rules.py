# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the example of polkit rules allows, as the real polkit understands it."""

import os
import shutil
import subprocess

import pytest
from gi.repository import GLib

from conftest import INSIDE
from harness import find_source

pytestmark = pytest.mark.private

GIB = 1 << 30
USERS = {"anna": 61001, "ben": 61002, "cleo": 61003}
GROUPS = {"storage": "anna", "students": "ben"}
# Not of the example: who may define a pool may run it.
CLEO_DEFINES = """
polkit.addRule(function(action, subject) {
    if (subject.user == "cleo" && action.id == STORAGE + "define-pool" && action.lookup("pool") == "hers")
        return polkit.Result.YES;
    return polkit.Result.NOT_HANDLED;
});
"""
DAILY = ["start-pool", "stop-pool", "refresh-pool", "find-sources", "create-volume", "clone-volume",
         "delete-volume", "resize-volume", "read-volume", "write-volume", "change-volume", "list-users"]
NOT_DAILY = ["define-pool", "build-pool", "change-array", "delete-pool", "wipe-volume", "manage-secrets", "cancel-job"]


@pytest.fixture
def may(world, tmp_path):
    """may(user, action, **details), with the example's rules and users in its groups."""
    base = os.environ[INSIDE]
    lines = {"/etc/passwd": [f"{name}:x:{uid}:{uid}::/:/bin/false" for name, uid in USERS.items()],
             "/etc/group": [f"{name}:x:{61100 + i}:{GROUPS[name]}" for i, name in enumerate(GROUPS)]}
    for path, added in lines.items():
        copy = tmp_path / os.path.basename(path)
        with open(path, encoding="utf-8") as f:
            kept = [line for line in f.read().splitlines() if line.split(":")[0] not in GROUPS]
        copy.write_text("\n".join(kept + added) + "\n", encoding="utf-8")
        subprocess.run(["mount", "--bind", copy, path], check=True)
    # Before the tests' own rules, which say no to everybody else.
    rules = base + "/rules.d/00-example.rules"
    shutil.copy(find_source("50-storaged.rules.example"), rules)
    with open(rules, "a", encoding="utf-8") as f:
        f.write(CLEO_DEFINES)
    bus = world.bus(polkit=True)
    root = bus.connect()
    users = {name: bus.connect(uid) for name, uid in USERS.items()}

    def ask(user, action, **details):
        subject = ("system-bus-name", {"name": GLib.Variant("s", users[user].get_unique_name())})
        reply = root.call_sync(
            "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
            "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
            GLib.Variant("((sa{sv})sa{ss}us)", (subject, "org.example.storage1." + action, details, 0, "")),
            None, 0, 10000, None)
        return reply.unpack()[0][0]
    yield ask
    os.unlink(rules)
    for path in lines:
        subprocess.run(["umount", path], check=True)


def test_daily_work(may):
    for action in DAILY:
        assert may("anna", action, pool="any", volume="v"), action
        assert not may("cleo", action, pool="any", volume="v"), action
    for action in NOT_DAILY:
        assert not may("anna", action, pool="any", volume="v"), action


def test_every_action_is_decided_on():
    with open(find_source("org.example.storage1.policy"), encoding="utf-8") as f:
        found = [part.split('"')[0] for part in f.read().split('<action id="org.example.storage1.')[1:]]
    assert sorted(found) == sorted(DAILY + NOT_DAILY)


def test_one_pool_and_a_capacity(may):
    volume = {"pool": "classroom", "volume": "ben-disk"}
    assert may("ben", "create-volume", capacity=str(20 * GIB), **volume)
    assert not may("ben", "create-volume", capacity=str(20 * GIB + 1), **volume)
    assert not may("ben", "create-volume", **volume)
    assert not may("ben", "create-volume", pool="classroom", volume="anna-disk", capacity="1")
    assert not may("ben", "create-volume", pool="other", volume="ben-disk", capacity="1")
    assert may("ben", "delete-volume", **volume)
    assert not may("ben", "delete-volume", pool="classroom", volume="not-ben-disk")
    assert not may("ben", "delete-volume", pool="classroom")
    assert may("ben", "refresh-pool", pool="classroom")
    for action in NOT_DAILY + ["stop-pool", "clone-volume"]:
        assert not may("ben", action, **volume), action


def test_imply(may):
    """Rules see the details there too."""
    for action in ("define-pool", "start-pool", "stop-pool", "refresh-pool"):
        assert may("cleo", action, pool="hers"), action
        assert not may("cleo", action, pool="other"), action
    for action in ("delete-pool", "build-pool", "create-volume"):
        assert not may("cleo", action, pool="hers"), action
