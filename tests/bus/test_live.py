# SPDX-License-Identifier: LGPL-2.1-or-later
"""What anybody does in a running pool's folder appears on the bus by itself."""

import os
import signal
import subprocess
import time

import pytest
from gi.repository import GLib

from client import MIB, SHARED_SIZES, iterate_until
from harness import SLOWNESS, wait_until


def write(path, size=4096):
    with open(path, "wb") as f:
        f.write(b"x" * size)


def test_created(service, pool, folder):
    log = service.log()
    write(folder + "/new.img", 8192)
    added = log.wait_for(lambda s: s.member == "InterfacesAdded")
    properties = added.args[1]["org.example.Storage1.Volume"]
    assert properties["Name"] == "new.img" and properties["Path"] == folder + "/new.img"
    log.wait_changed(pool.path, "VolumeCount", 1)
    volume = service.wait_volume(pool, "new.img")
    volume.wait_for("Capacity", 8192)


def test_made_by_qemu_img(service, pool, folder):
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder + "/q", "32M"], check=True)
    volume = service.wait_volume(pool, "q")
    volume.wait_for("Format", "qcow2")
    volume.wait_for("Capacity", 32 * MIB)


def test_deleted(service, pool, folder):
    volume = service.make_volume(pool, "v")
    log = service.log()
    os.unlink(folder + "/v")
    log.wait_removed(volume.path)
    log.wait_changed(pool.path, "VolumeCount", 0)


def test_written_truncated_chmodded(service, pool, folder):
    volume = service.make_volume(pool, "v", 4096)
    log = service.log()
    write(folder + "/v", 3 * 4096)
    log.wait_changed(volume.path, "Capacity", 3 * 4096)
    os.truncate(folder + "/v", 1024)
    with open(folder + "/v", "r+b"):
        pass
    log.wait_changed(volume.path, "Capacity", 1024)
    os.chmod(folder + "/v", 0o644)
    log.wait_changed(volume.path, "Mode", 0o644)
    os.chown(folder + "/v", 11, 22)
    log.wait_changed(volume.path, "Owner", 11)
    assert volume.get("Group") == 22


def test_size_follows_while_it_is_written(service, pool, folder):
    """Nobody closes the file: its size is seen all the same."""
    with open(folder + "/growing", "wb", buffering=0) as f:
        volume = service.wait_volume(pool, "growing")
        f.write(b"x" * MIB)
        volume.wait_for("Capacity", MIB, timeout=15)


def test_renamed(service, pool, folder):
    old = service.make_volume(pool, "old")
    log = service.log()
    os.rename(folder + "/old", folder + "/new")
    log.wait_removed(old.path)
    new = service.wait_volume(pool, "new")
    log.wait_added(new.path)
    assert sorted(service.volumes(pool)) == ["new"]


def test_renamed_over_another(service, pool, folder):
    target = service.make_volume(pool, "target", 4096)
    service.make_volume(pool, "source", 8192)
    os.rename(folder + "/source", folder + "/target")
    target.wait_for("Capacity", 8192)
    service.wait_gone(pool, "source")


def test_moved_in_and_out(service, pool, folder, world):
    other = os.path.join(os.path.dirname(folder), "outside-" + os.path.basename(folder))
    write(other)
    log = service.log()
    os.rename(other, folder + "/in")
    volume = service.wait_volume(pool, "in")
    os.rename(folder + "/in", other)
    log.wait_removed(volume.path)
    os.unlink(other)


def test_format_changes(service, pool, folder):
    volume = service.make_volume(pool, "v")
    log = service.log()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder + "/v", "2M"], check=True)
    log.wait_changed(volume.path, "Format", "qcow2")
    # qemu-img writes the header in two steps, and the first may be seen.
    wait_until(lambda: volume.get("Capacity") == 2 * MIB, what="the capacity in the header")


def test_directory_volume_appears(service, pool, folder):
    os.mkdir(folder + "/sub")
    volume = service.wait_volume(pool, "sub")
    assert volume.get("Type") == "dir"
    os.rmdir(folder + "/sub")
    service.wait_gone(pool, "sub")


def test_changes_are_coalesced(service, pool, folder):
    """Thousands of writes are a few signals."""
    volume = service.make_volume(pool, "v", 4096)
    log = service.log()
    end = time.monotonic() + 1
    writes = 0
    while time.monotonic() < end:
        with open(folder + "/v", "r+b") as f:
            f.write(b"x" * 100)
        os.chmod(folder + "/v", 0o600 + writes % 2 * 0o44)
        writes += 1
    log.settle(1)
    signals = log.select("PropertiesChanged", volume.path)
    assert writes > 600 / SLOWNESS
    assert 1 <= len(signals) < writes / 3
    assert volume.get("Mode") == os.stat(folder + "/v").st_mode & 0o777


def test_short_lived_files_do_no_harm(service, pool, folder):
    """Made and deleted at once, thousands of times: nothing remains in the list."""
    for i in range(3000):
        write(f"{folder}/t{i % 7}", 10)
        os.unlink(f"{folder}/t{i % 7}")
    write(folder + "/last")
    service.wait_volume(pool, "last")
    iterate_until(lambda: list(service.volumes(pool)) == ["last"], what="an end of the files that are gone")


def test_own_changes_are_told_once(service, pool):
    log, volumes = service.log(), pool.get("Volumes")
    volume = service.make_volume(pool, "v")
    log.settle(0.7)
    assert len(log.select("InterfacesAdded", volumes)) == 1 and log.select("InterfacesRemoved", volumes) == []
    log.clear()
    volume.Delete()
    log.settle(0.7)
    assert len(log.select("InterfacesRemoved", volumes)) == 1 and log.select("InterfacesAdded", volumes) == []


def test_idle_pool_is_silent(service, pool):
    service.make_volume(pool, "v")
    log = service.log()
    log.clear()
    log.settle(1.5)
    changed = [s for s in log.select("PropertiesChanged") if s.path != pool.path]
    assert changed == [], changed
    for told in log.select("PropertiesChanged", pool.path):
        assert set(told.args[1]) <= set(SHARED_SIZES), told


def test_pool_sizes_follow(service, world):
    """A file system that is filled from outside shows it."""
    small = world.tmpfs(64 * MIB)
    pool = service.make_pool("small", small)
    before = pool.all()
    assert before["Capacity"] == 64 * MIB and before["Available"] <= 64 * MIB
    log = service.log()
    write(small + "/big", 16 * MIB)
    log.wait_changed(pool.path, "Available", before["Available"] - 16 * MIB)
    log.wait_changed(pool.path, "Allocation", before["Allocation"] + 16 * MIB)
    os.unlink(small + "/big")
    log.wait_changed(pool.path, "Available", before["Available"])


def test_modified_is_the_file_time(service, pool, folder):
    write(folder + "/v")
    volume = service.wait_volume(pool, "v")
    os.utime(folder + "/v", ns=(10**18, 10**18))
    volume.wait_for("Modified", 10**15)


def test_generation_grows(service, pool, folder):
    first = pool.get("Generation")
    write(folder + "/a")
    service.wait_volume(pool, "a")
    second = pool.get("Generation")
    os.unlink(folder + "/a")
    service.wait_gone(pool, "a")
    assert first < second < pool.get("Generation")


def test_folder_vanishes_and_comes_back(service, world):
    folder = world.folder() + "/leaf"
    os.mkdir(folder)
    write(folder + "/kept")
    pool = service.make_pool("p", folder)
    log = service.log()
    os.rename(folder, folder + ".away")
    log.wait_changed(pool.path, "Health", "inaccessible", timeout=20)
    assert pool.get("State") == "active"
    assert pool.get("Problems"), "the problem is told in words"
    os.rename(folder + ".away", folder)
    write(folder + "/new")
    pool.wait_for("Health", "ok", timeout=40)
    assert pool.get("Problems") == []
    service.wait_volume(pool, "new", timeout=20)
    assert sorted(service.volumes(pool)) == ["kept", "new"]
    write(folder + "/watched-again")
    service.wait_volume(pool, "watched-again")


def test_deleted_folder(service, world):
    folder = world.folder() + "/leaf"
    os.mkdir(folder)
    pool = service.make_pool("p", folder)
    os.rmdir(folder)
    pool.wait_for("Health", "inaccessible", timeout=20)
    with_error = None
    try:
        pool.CreateVolume("v", 4096, {})
    except GLib.Error as error:
        with_error = str(error)
    assert with_error and ("Inaccessible" in with_error or "NotFound" in with_error)
    assert not os.path.exists(folder), "nobody makes the folder again in secret"
    pool.Stop()
    assert pool.get("State") == "inactive"


@pytest.mark.private
def test_overflow_of_the_watch(daemon, service, pool, folder):
    """Far more events than the kernel keeps (16,384) while the worker cannot read: a rescan puts it right."""
    service.make_volume(pool, "before")
    workers = list(daemon.workers("pool"))
    assert len(workers) == 1
    os.kill(workers[0], signal.SIGSTOP)
    try:
        for i in range(10000):
            write(f"{folder}/s{i % 50}", 1)
            os.unlink(f"{folder}/s{i % 50}")
        os.unlink(folder + "/before")
        write(folder + "/after")
    finally:
        os.kill(workers[0], signal.SIGCONT)
    iterate_until(lambda: list(service.volumes(pool)) == ["after"], 30, "the list to be right again")
    assert list(daemon.workers("pool")) == workers, "the worker was not at fault"


def test_file_to_signal_is_fast(service, pool, folder):
    """A generous bound: the bench measures this exactly."""
    times = []
    for i in range(20):
        log = service.log()
        start = time.monotonic()
        write(f"{folder}/f{i}")
        log.wait_for(lambda s: s.member == "InterfacesAdded")
        times.append(time.monotonic() - start)
        log.close()
        time.sleep(0.05)
    assert sorted(times)[10] < 0.1 * SLOWNESS, times


def test_unfinished_volumes_are_not_shown(service, pool, folder):
    write(folder + "/.storaged-new-1234")
    write(folder + "/shown")
    service.wait_volume(pool, "shown")
    assert list(service.volumes(pool)) == ["shown"]


def test_a_mark_follows_the_file_only(daemon, service, pool, folder):
    """The kernel's clock may stand still for milliseconds: files of one age and size are not one file."""
    for i in range(200):
        with open(f"{folder}/{i}", "wb") as f:
            f.truncate(MIB)
    told = subprocess.run(["stat", "-c", "%w/%n", *os.listdir(folder)], capture_output=True, text=True, check=True,
                          cwd=folder)
    births = {}
    for birth, name in (line.split("/") for line in told.stdout.splitlines()):
        births.setdefault(birth, []).append(name)
    birth, (first, *others) = max(births.items(), key=lambda item: len(item[1]))
    if birth.startswith("-") or not others:
        pytest.skip("no times of birth here, or each has one of its own")
    (_, job), (fd,) = service.wait_volume(pool, first).OpenUpload(MIB, want_fds=True)
    os.write(fd, b"x" * 512)
    os.close(fd)
    assert service.wait_job(job)["State"] == "failed"
    worker, = daemon.workers("pool")
    os.kill(worker, signal.SIGSTOP)
    for name in others:
        os.utime(f"{folder}/{name}")
    os.rename(f"{folder}/{first}", f"{folder}/renamed")
    os.kill(worker, signal.SIGCONT)
    service.wait_gone(pool, first)
    assert [name for name, properties in service.volumes(pool).items() if properties["Problem"]] == ["renamed"]
