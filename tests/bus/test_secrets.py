# SPDX-License-Identifier: LGPL-2.1-or-later
"""Secrets are stored, listed and removed, and never come back out."""

import os
import stat

import pytest
from gi.repository import GLib

from client import error_name, refused

SECRET = b"correct horse battery staple"


@pytest.fixture
def keeper(service):
    """A service that keeps secrets; one that cannot yet must at least say so clearly."""
    try:
        service.manager.SetSecret("probe", SECRET)
    except GLib.Error as error:
        assert error_name(error) == "org.example.Storage1.Error.Unsupported", error.message
        for call in (lambda: service.manager.RemoveSecret("probe"), service.manager.ListSecrets):
            with refused("Unsupported"):
                call()
        pytest.skip("this version keeps no secrets")
    service.manager.RemoveSecret("probe")
    return service


def test_set_list_remove(keeper):
    keeper.manager.SetSecret("disk", SECRET)
    assert [row[0] for row in keeper.manager.ListSecrets()] == ["disk"]
    keeper.manager.SetSecret("disk", SECRET + b"2")
    keeper.manager.RemoveSecret("disk")
    assert keeper.manager.ListSecrets() == []
    with refused("NotFound"):
        keeper.manager.RemoveSecret("disk")


def test_files_are_private(daemon, keeper):
    keeper.manager.SetSecret("disk", SECRET)
    folder = daemon.config_dir + "/secrets"
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    for name in os.listdir(folder):
        assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600


def test_nothing_shows_them(daemon, keeper):
    keeper.manager.SetSecret("disk", SECRET)
    assert SECRET.decode() not in str(keeper.objects()) + str(keeper.manager.ListSecrets()) + daemon.log()
