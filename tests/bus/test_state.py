# SPDX-License-Identifier: LGPL-2.1-or-later
"""What survives: restarts, kills, boots, and owners who edit definitions by hand."""

import os
import shutil
import subprocess
import uuid

import pytest

from client import MIB, Service, refused
from harness import find_binary, name_owner, new_folder, wait_until

pytestmark = pytest.mark.private

XML = "<pool type='dir'><name>{name}</name><uuid>{uuid}</uuid><target><path>{path}</path></target></pool>\n"


def pools(service):
    return {row[1]: row[3] for row in service.manager.ListPools()}


def write_definition(daemon, file, name, path, chosen=None):
    os.makedirs(daemon.config_dir + "/pools", exist_ok=True)
    target = f"{daemon.config_dir}/pools/{file}.xml"
    with open(target, "w", encoding="utf-8") as f:
        f.write(XML.format(name=name, uuid=chosen or uuid.uuid4(), path=path))
    return target


def again(world, daemon, kill=False):
    if kill:
        daemon.kill()
    else:
        daemon.stop()
    daemon.start()
    return world.client(daemon)


def everything(service):
    """All that a client can see, but for what tells of time."""
    found = service.steady_objects()
    for properties in list(found.values()):
        for key in ("LastRefresh", "Generation"):
            properties.get("org.example.Storage1.Pool", {}).pop(key, None)
    for path, interfaces in list(found.items()):
        if "org.example.Storage1.Pool" in interfaces:
            found.update(service.objects(interfaces["org.example.Storage1.Pool"]["Volumes"]))
    return {path: properties for path, properties in found.items() if "/job/" not in path}


def settle(service, names):
    """Until the first scans after a start are done."""
    for name in names:
        service.pool(service.manager.GetPoolByName(name)).ListVolumes()


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_all_is_found_again(world, daemon, service, kill):
    lasting = service.make_pool("lasting", world.folder(), autostart=True)
    passing = service.make_pool("passing", world.folder(), transient=True)
    service.make_pool("sleeping", world.folder(), start=False)
    service.make_volume(lasting, "a", MIB)
    service.make_volume(lasting, "b", MIB, format="qcow2")
    service.make_volume(passing, "c", MIB)
    before = everything(service)
    service = again(world, daemon, kill)
    settle(service, ("lasting", "passing"))
    assert everything(service) == before
    assert pools(service) == {"lasting": "active", "passing": "active", "sleeping": "inactive"}
    found = service.pool(passing.path)
    assert not found.get("Persistent")
    found.Stop()
    assert "passing" not in pools(again(world, daemon, kill))
    assert os.path.exists(found.path) is False


def test_running_pools_are_watched_again(world, daemon, service, pool, folder):
    service = again(world, daemon, kill=True)
    with open(folder + "/new", "wb") as f:
        f.write(b"x")
    service.wait_volume(service.pool(pool.path), "new")


def test_calls_right_after_a_start_wait_for_the_scan(world, daemon, service, pool, folder):
    """Never NotFound for something that is there."""
    for i in range(3000):
        os.close(os.open(f"{folder}/v{i}", os.O_CREAT | os.O_WRONLY, 0o600))
    service.wait_volume(pool, "v2999")
    for _ in range(3):
        service = again(world, daemon, kill=True)
        assert service.manager.GetVolumeByPath(folder + "/v2999")
        assert service.pool(pool.path).GetVolume("v1234")
        assert len(service.pool(pool.path).ListVolumes()[0]) == 3000


def test_stopped_pool_stays_stopped(world, daemon, service, pool):
    pool.Stop()
    assert pools(again(world, daemon)) == {"p": "inactive"}


def test_update_stays_pending(world, daemon, service, pool, folder):
    other = world.folder()
    pool.Update({"target-path": other})
    service = again(world, daemon, kill=True)
    pool = service.pool(pool.path)
    assert pool.get("UpdatePending") and pool.get("TargetPath") == folder
    assert pool.get("Definition")["target-path"] == other
    pool.Stop()
    pool.Start()
    assert pool.get("TargetPath") == other


def test_folder_gone_meanwhile(world, daemon, service, pool, folder):
    daemon.stop()
    os.rename(folder, folder + ".away")
    daemon.start()
    service = world.client(daemon)
    pool = service.pool(pool.path)
    wait_until(lambda: pool.get("State") == "inactive" or pool.get("Health") == "inaccessible",
               what="the loss to be seen")
    os.rename(folder + ".away", folder)
    if pool.get("State") == "active":
        pool.wait_for("Health", "ok", 40)
    else:
        pool.Start()


def test_contents_changed_meanwhile(world, daemon, service, pool, folder):
    service.make_volume(pool, "old")
    daemon.stop()
    os.unlink(folder + "/old")
    with open(folder + "/new", "wb"):
        pass
    daemon.start()
    service = world.client(daemon)
    assert [row[1] for row in service.pool(pool.path).ListVolumes()[0]] == ["new"]


def test_edited_by_hand(world, daemon, service):
    first, second = world.folder(), world.folder()
    pool = service.make_pool("p", first, start=False)
    daemon.stop()
    path = f"{daemon.config_dir}/pools/p.xml"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write("<!-- by hand -->\n" + text.replace(first, second) if not text.startswith("<?xml")
                else text.replace(first, second))
    write_definition(daemon, "added", "added", first)
    daemon.start()
    service = world.client(daemon)
    assert service.pool(pool.path).get("TargetPath") == second
    assert pools(service) == {"added": "inactive", "p": "inactive"}


def test_broken_definitions_are_reported_and_kept(world, daemon, service, folder):
    service.make_pool("good", folder)
    daemon.stop()
    bad = {"empty": "", "cut": "<pool type='dir'><name>cut</na", "alien": "<domain/>", "binary": "\0\x01\x02" * 100,
           "huge": "<pool>" + " " * (3 << 20) + "</pool>"}
    for name, text in bad.items():
        with open(f"{daemon.config_dir}/pools/{name}.xml", "w", encoding="utf-8") as f:
            f.write(text)
    os.mkdir(daemon.config_dir + "/pools/folder.xml")
    os.mkfifo(daemon.config_dir + "/pools/fifo.xml")
    os.symlink("/nonexistent", daemon.config_dir + "/pools/dangling.xml")
    os.symlink("../pools/nothing.xml", daemon.config_dir + "/autostart/nothing.xml") if os.path.isdir(
        daemon.config_dir + "/autostart") else None
    with open(daemon.config_dir + "/pools/README", "w", encoding="utf-8") as f:
        f.write("not a definition")
    before = sorted(os.listdir(daemon.config_dir + "/pools"))
    mark = len(daemon.log())
    daemon.start()
    service = world.client(daemon)
    assert pools(service) == {"good": "active"}
    assert sorted(os.listdir(daemon.config_dir + "/pools")) == before
    for name, text in bad.items():
        assert f"{name}.xml" in daemon.log()[mark:], f"nothing is said of {name}.xml"
        with open(f"{daemon.config_dir}/pools/{name}.xml", encoding="utf-8") as f:
            assert f.read() == text


def test_name_that_is_not_the_file_name(world, daemon, service, folder):
    daemon.stop()
    path = write_definition(daemon, "one", "two", folder)
    mark = len(daemon.log())
    daemon.start()
    assert pools(world.client(daemon)) == {} and os.path.exists(path)
    assert "one.xml" in daemon.log()[mark:]


def test_two_definitions_that_exclude_each_other(world, daemon, service):
    daemon.stop()
    same, folder = str(uuid.uuid4()), world.folder()
    paths = [write_definition(daemon, "a", "a", world.folder(), same),
             write_definition(daemon, "b", "b", world.folder(), same),
             write_definition(daemon, "c", "c", folder), write_definition(daemon, "d", "d", folder)]
    daemon.start()
    found = pools(world.client(daemon))
    assert len(found.keys() & {"a", "b"}) == 1
    assert all(os.path.exists(path) for path in paths)
    assert found.keys() & {"c", "d"}


def test_autostart_once_a_boot(world, daemon, service, folder):
    service.make_pool("p", folder, start=False, autostart=True)
    service = again(world, daemon)
    pool = service.pool(service.manager.GetPoolByName("p"))
    pool.wait_for("State", "active")
    pool.Stop()
    service = again(world, daemon)
    settle_time = service.log()
    settle_time.settle(0.5)
    assert pools(service) == {"p": "inactive"}, "it was stopped on purpose in this boot"
    daemon.stop()
    shutil.rmtree(daemon.runtime_dir)
    daemon.start()
    service = world.client(daemon)
    service.pool(pool.path).wait_for("State", "active")


def test_autostart_is_tried_again(world, daemon, service, folder):
    service.make_pool("late", folder + "/leaf", start=False, autostart=True)
    service = again(world, daemon)
    pool = service.pool(service.manager.GetPoolByName("late"))
    service.log().settle(0.5)
    assert pool.get("State") == "inactive"
    os.mkdir(folder + "/leaf")
    pool.wait_for("State", "active", timeout=30)


def test_autostart_of_one_does_not_hold_up_others(world, daemon, service, folder):
    service.make_pool("a-missing", folder + "/missing", start=False, autostart=True)
    service.make_pool("b-there", world.folder(), start=False, autostart=True)
    service = again(world, daemon)
    service.pool(service.manager.GetPoolByName("b-there")).wait_for("State", "active")


def test_state_is_locked(world, daemon, service):
    """A second service on the same folders would destroy what the first one does."""
    other = world.bus()
    argv = daemon.command()
    env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=other.address)
    result = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode != 0 and "another" in result.stderr.lower()
    service.manager.ListPools()


def test_name_on_the_bus_is_taken(world, daemon, service):
    """A second one on the same bus gives up and breaks nothing."""
    base = new_folder("second")
    argv = [find_binary("storaged"), "--config-dir", base + "/etc", "--state-dir", base + "/var", "--runtime-dir",
            base + "/run", "--worker", find_binary("storaged-worker")]
    env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=daemon.bus.address)
    result = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode != 0 and result.stderr
    service.manager.ListPools()


def test_sigterm_waits_for_nothing(world, daemon, service, pool):
    """Not for a worker that hangs either."""
    worker = list(daemon.workers("pool"))[0]
    os.kill(worker, 19)
    service.pool(pool.path).start("Refresh", {})
    daemon.stop()
    wait_until(lambda: not os.path.exists(f"/proc/{worker}"), 20, "the end of the worker")
    daemon.start()


def test_definitions_on_a_full_disk(world, daemon, service, folder):
    """A definition that cannot be written is not there, and the old one is kept."""
    pool = service.make_pool("p", folder, start=False)
    daemon.stop()
    small = world.tmpfs(1 << 20)
    shutil.copytree(daemon.config_dir, small + "/etc", symlinks=True)
    daemon.config_dir = small + "/etc"
    daemon.start()
    service = world.client(daemon)
    ballast = os.open(small + "/ballast", os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(ballast, b"x" * 4096):
            pass
    except OSError:
        os.close(ballast)
    with refused("NoSpace", "Failed"):
        service.manager.DefinePool("q", "dir", {"target-path": world.folder()})
    leaf = world.folder() + "/leaf"
    with refused("NoSpace", "Failed"):
        service.manager.DefinePool("q", "dir", {"target-path": leaf}, {"build": True, "start": True})
    assert not os.path.exists(leaf), "what was built is undone"
    with refused("NoSpace", "Failed"):
        service.pool(pool.path).Update({"target-path": world.folder()})
    assert pools(service) == {"p": "inactive"} and service.pool(pool.path).get("TargetPath") == folder
    os.unlink(small + "/ballast")
    service = again(world, daemon)
    assert pools(service) == {"p": "inactive"} and service.pool(pool.path).get("TargetPath") == folder
    assert sorted(os.listdir(small + "/etc/pools")) == ["p.xml"]


def test_session_mode_keeps_to_the_home_folder(world):
    """Without any folder on the command line, XDG's are used."""
    home = new_folder("home")
    bus = world.bus("session")
    env = dict(os.environ, HOME=home, XDG_RUNTIME_DIR=home + "/run", DBUS_SESSION_BUS_ADDRESS=bus.address)
    for key in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        env.pop(key, None)
    os.mkdir(home + "/run", 0o700)
    process = subprocess.Popen([find_binary("storaged"), "--user", "--worker", find_binary("storaged-worker")], env=env)
    try:
        connection = bus.connect()
        wait_until(lambda: name_owner(connection), what="the service")
        Service(connection).make_pool("mine", world.folder())
        written = [os.path.join(d, f) for d, _, files in os.walk(home) for f in files]
        assert any(path.endswith("/pools/mine.xml") for path in written)
    finally:
        process.terminate()
        assert process.wait(20) == 0
