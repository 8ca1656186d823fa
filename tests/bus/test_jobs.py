# SPDX-License-Identifier: LGPL-2.1-or-later
"""Long work: jobs, progress, cancelling."""

import contextlib
import os
import shutil
import signal
import time

import pytest
from gi.repository import GLib

import images
from client import MIB, ROOT, full_name, refused
from harness import ON_SYSTEM, SLOWNESS, wait_until

# So much that writing it takes a while on any disk. Cancelled early, little of it is ever written.
LARGE = min(4096, shutil.disk_usage("/var/tmp").free // MIB // 3) * MIB
# JOB_PUBLISH_USEC: what lasts longer is shown to everybody, whether its caller waits for it or not.
PUBLISHED_AFTER = 0.25


def begin(pool, name="big", size=LARGE, **options):
    path, job = pool.CreateVolume(name, size, {"preallocation": "full", "wait": 0, **options})
    assert job.startswith(ROOT + "/job/")
    return path, job


def wait_empty(folder, timeout=10):
    wait_until(lambda: os.listdir(folder) == [], timeout, "an empty folder")


def test_wait_zero_gives_a_job(service, pool, folder):
    log = service.log()
    path, job = pool.CreateVolume("v", 8 * MIB, {"preallocation": "full", "wait": 0})
    assert job in service.objects(), "jobs are the root ObjectManager's"
    got = service.wait_job(job)
    assert got["State"] == "succeeded" and got["Operation"] == "create-volume"
    assert got["Result"] == {"volume": path} and got["ErrorName"] == "" and got["StartedByUID"] == 0
    assert pool.path in got["Objects"] or path in got["Objects"]
    assert abs(got["StartTime"] / 1e6 - time.time()) < 60 * SLOWNESS
    done = log.wait_for(lambda s: s.member == "Completed" and s.path == job)
    assert done.args == (True, "", "", {"volume": path})
    assert service.volume(path).get("Capacity") == 8 * MIB
    added = log.wait_added(job)
    assert log.signals.index(added) < log.signals.index(done)
    assert os.listdir(folder) == ["v"]


def test_job_without_data_work(service, pool):
    job = pool.Refresh({"wait": 0})
    assert job != "/" and service.wait_job(job)["State"] == "succeeded"
    job = pool.Stop({"wait": 0})
    assert job != "/" and service.wait_job(job)["State"] == "succeeded"
    assert pool.get("State") == "inactive"


def test_failed_job(service, pool, folder):
    with open(folder + "/v", "wb") as f:
        f.truncate(4096)
    service.wait_volume(pool, "v")
    try:
        _, job = pool.CreateVolume("v", 4096, {"wait": 0})
    except GLib.Error as error:
        assert ".Exists" in str(error)
        return
    got = service.wait_job(job)
    assert got["State"] == "failed" and got["ErrorName"].endswith(".Error.Exists") and "v" in got["ErrorMessage"]


def test_failing_start_as_a_job(service, folder):
    pool = service.make_pool("p", folder + "/missing", start=False)
    log = service.log()
    job = pool.Start({"wait": 0})
    got = service.wait_job(job)
    assert got["State"] == "failed" and folder + "/missing" in got["ErrorMessage"]
    done = log.wait_for(lambda s: s.member == "Completed")
    assert done.args[:2] == (False, got["ErrorName"])
    assert pool.get("State") == "inactive"


def test_progress_and_cancel(service, pool, folder):
    log = service.log()
    path, job = begin(pool)
    log.wait_changed(job, "BytesDone", timeout=20)
    proxy = service.job(job)
    got = proxy.all()
    assert got["State"] == "running" and got["Cancelable"] and got["ProgressValid"]
    assert 0 <= got["Progress"] <= 1 and got["BytesTotal"] == LARGE
    with refused("NotFound"):
        pool.GetVolume("big")
    assert "big" not in os.listdir(folder), "nothing is published before it is complete"
    proxy.Cancel()
    done = log.wait_for(lambda s: s.member == "Completed" and s.path == job)
    assert not done.args[0] and done.args[1].endswith(".Error.Cancelled")
    assert proxy.get("State") == "cancelled"
    wait_empty(folder)
    assert service.volumes(pool) == {} and not any(path in s.args for s in log.select("InterfacesAdded"))
    assert proxy.get("State") == "cancelled", "it stays for a while"


def test_progress_is_rare_and_grows(service, pool):
    log = service.log()
    _, job = begin(pool)
    log.settle(2 / SLOWNESS)
    service.job(job).Cancel()
    log.wait_for(lambda s: s.member == "Completed")
    done = [s.args[1]["BytesDone"] for s in log.select("PropertiesChanged", job) if "BytesDone" in s.args[1]]
    assert done == sorted(done) and 1 <= len(done) <= 14, done


def test_cancel_twice_and_late(service, pool, folder):
    _, job = begin(pool)
    proxy = service.job(job)
    proxy.Cancel()
    try:
        proxy.Cancel()
    except GLib.Error as error:
        assert "org.example.Storage1.Error" in str(error)
    service.wait_job(job)
    wait_empty(folder)
    with refused("NotActive", "InvalidArgument", "Failed", "Unsupported", "NotFound"):
        proxy.Cancel()


def test_cancel_of_qcow2(service, pool, folder):
    _, job = begin(pool, "big.qcow2", format="qcow2")
    time.sleep(0.3)
    service.job(job).Cancel()
    assert service.wait_job(job)["State"] == "cancelled"
    wait_empty(folder)


def test_wait_over(service, pool, folder):
    start = time.monotonic()
    path, job = pool.CreateVolume("big", LARGE, {"preallocation": "full", "wait": 200_000})
    assert job != "/" and path.endswith("/big")
    assert 0.15 < time.monotonic() - start < 1 * SLOWNESS
    service.job(job).Cancel()
    service.wait_job(job)
    wait_empty(folder)


def test_work_done_within_wait_has_no_job(service, pool):
    """What takes no longer than a moment is no job that anybody sees; on a busy host a volume may take longer."""
    log, tries = service.log(), 20
    for i in range(tries):
        log.clear()
        start = time.monotonic()
        path, job = pool.CreateVolume(f"v{i}", MIB, {"wait": 30_000_000})
        took = time.monotonic() - start
        assert job == "/" and path != "/"
        log.settle()
        if took < PUBLISHED_AFTER:
            break
    assert took < PUBLISHED_AFTER, f"none of {tries} volumes was made soon"
    assert [s for s in log.select("InterfacesAdded") if "/job/" in s.args[0]] == []


def test_same_name_meanwhile(service, pool, folder):
    """A volume that is being made holds its name."""
    _, job = begin(pool)
    with refused("Exists", "Busy"):
        pool.CreateVolume("big", MIB)
    service.job(job).Cancel()
    service.wait_job(job)
    service.make_volume(pool, "big")
    assert os.listdir(folder) == ["big"]


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_name_taken_from_outside_meanwhile(daemon, service, pool, folder, kind):
    """What another program put there stays, and the job says so."""
    _, job = begin(pool, size=64 * MIB, format=kind)
    workers = wait_until(lambda: daemon.workers("data"), what="the data worker", interval=0.0005)
    try:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        with open(folder + "/big", "xb") as f:
            f.write(b"precious")
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    got = service.wait_job(job, 120)
    assert got["State"] == "failed" and got["ErrorName"].endswith(".Error.Exists"), got
    with open(folder + "/big", "rb") as f:
        assert f.read() == b"precious"
    wait_until(lambda: os.listdir(folder) == ["big"], what="nothing half made")


def test_busy_pool_names_its_jobs(service, pool, folder):
    _, job = begin(pool)
    with refused("Busy") as refusal:
        pool.Stop()
    assert job in refusal.text or "big" in refusal.text
    assert pool.get("State") == "active"
    service.job(job).Cancel()
    service.wait_job(job)
    pool.Stop()
    wait_empty(folder)


def test_pool_serves_during_a_job(service, pool, folder):
    """A job does not stand in the way of the rest of its pool, nor of others."""
    _, job = begin(pool)
    start = time.monotonic()
    service.make_volume(pool, "small").Delete()
    pool.Refresh()
    assert time.monotonic() - start < 3 * SLOWNESS
    assert service.job(job).get("State") == "running"
    service.job(job).Cancel()
    service.wait_job(job)
    wait_empty(folder)


def test_caller_that_leaves_cancels_nothing(world, daemon, service, pool, folder):
    client = world.client(daemon)
    _, job = begin(client.pool(pool.path), size=64 * MIB)
    client.connection.close_sync(None)
    assert service.wait_job(job)["State"] == "succeeded"
    assert os.listdir(folder) == ["big"]


def test_killed_data_worker(daemon, service, pool, folder):
    if ON_SYSTEM:
        pytest.skip("the machine's own service is left alone")
    _, job = begin(pool)
    workers = wait_until(lambda: daemon.workers("data"), what="the data worker")
    for pid in workers:
        os.kill(pid, 9)
    got = service.wait_job(job)
    assert got["State"] == "failed" and got["ErrorName"].endswith((".Interrupted", ".Failed"))
    wait_empty(folder)
    service.make_volume(pool, "next")


def test_job_limits_of_one_user(service, pool, folder):
    """Queues are finite; who is told so can come back later."""
    pendings = [pool.start("CreateVolume", f"b{i}", 8 * MIB, {"preallocation": "full", "wait": 0})
                for i in range(700)]
    jobs, errors = [], []
    for pending in pendings:
        try:
            jobs.append(pending.wait()[1])
        except GLib.Error as error:
            errors.append(str(error))
    assert jobs
    assert all("LimitsExceeded" in e or ".Busy" in e for e in errors), errors[:3]
    assert errors, "700 jobs at once are more than one user may have"
    for job in jobs:
        try:
            service.job(job).Cancel()
        except GLib.Error as error:
            assert "org.example.Storage1.Error" in str(error) or "UnknownObject" in str(error), error
    ended = [service.wait_job(job, 120) for job in jobs]
    whole = {f"b{i}" for i in range(700)} & set(os.listdir(folder))
    assert len(whole) == sum(e["State"] == "succeeded" for e in ended)
    wait_until(lambda: set(os.listdir(folder)) == whole, 30, "nothing half made")


def test_limit_of_what_jobs_have_open(daemon, service, pool, folder):
    """Each volume of a chain is open from before its job's turn: some users with long chains must not take all of the
    service's descriptors."""
    deep, may = 60, 8192
    images.make(f"{folder}/0", MIB)
    for i in range(1, deep):
        images.qemu_img("create", "-q", "-f", "qcow2", "-u", "-F", "qcow2", "-b", f"{folder}/{i - 1}", f"{folder}/{i}", MIB)
    top = service.wait_volume(pool, f"{deep - 1}")
    top.wait_for("Backing", lambda path: path != "/")
    service.wait_volume(pool, "0").wait_for("Dependents", lambda paths: len(paths) == 1)
    (worker,) = daemon.workers("pool")
    os.kill(worker, signal.SIGSTOP)
    jobs = []
    try:
        with refused("LimitsExceeded") as e:
            while len(jobs) <= may // deep:
                jobs.append(pool.CloneVolume(top.path, f"clone{len(jobs)}", {"wait": 0})[1])
        assert "built on" in e.text and len(jobs) == may // (deep + 1)
        service.job(jobs.pop()).Cancel()
        jobs.append(pool.CloneVolume(top.path, "again", {"wait": 0})[1])
        for job in jobs:
            service.job(job).Cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):  # killed, if it has not answered to a Cancel for long
            os.kill(worker, signal.SIGCONT)
    assert {service.wait_job(job)["State"] for job in jobs} <= {"cancelled", "succeeded"}
    service.make_volume(pool, "later")


def test_jobs_end_with_the_service(daemon, service, world, pool, folder):
    """They come back as failed, with the reason, and what was half made is gone."""
    if ON_SYSTEM:
        pytest.skip("needs the service's own folders")
    _, job = begin(pool)
    time.sleep(0.3)
    daemon.stop()
    wait_until(lambda: not any("big" in n for n in os.listdir(folder)), what="no half-made volume")
    daemon.start()
    service = world.client(daemon)
    wait_empty(folder)
    jobs = {p: i[full_name("Job")] for p, i in service.objects().items() if "/job/" in p}
    jobs = [got for got in jobs.values() if got["Operation"] == "create-volume"]  # not the pool's own at the start
    assert jobs and job is not None
    for got in jobs:
        assert got["State"] == "failed" and got["ErrorName"].endswith((".Interrupted", ".Cancelled"))


def test_job_numbers_are_not_used_again(daemon, service, world, pool):
    if ON_SYSTEM:
        pytest.skip("needs a restart of the service")
    first = pool.Refresh({"wait": 0})
    daemon.restart()
    again = world.client(daemon)
    second = again.pool(pool.path).Refresh({"wait": 0})
    assert first != second
