# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs that move data: whose turn it is, what they say of themselves, and that the machine stays awake meanwhile."""

import os
import shutil
import signal
import time

import pytest
from gi.repository import Gio, GLib

from client import MIB, ROOT
from harness import ON_SYSTEM, ONE_POOL, SLOWNESS, bus_call, wait_until

# So much that writing it takes a while on any disk. Workers are stopped at once, so that little is ever written.
LARGE = min(4096, shutil.disk_usage("/var/tmp").free // MIB // 3) * MIB
AT_ONCE, OF_ONE_USER = 4, 3
CLIENTS_OF_ONE_USER = 8
LOGIND = "org.freedesktop.login1"


class Moving:
    """Jobs that would move data for long: their workers are stopped as soon as they are there."""

    def __init__(self, daemon, service):
        self.daemon, self.service = daemon, service
        self.jobs = {}

    def begin(self, pool, *names):
        for name in names:
            _, self.jobs[name] = pool.CreateVolume(name, LARGE, {"preallocation": "full", "wait": 0})

    def stop_workers(self):
        for pid in self.daemon.workers("data"):
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass

    def state(self, name):
        return self.service.job(self.jobs[name]).get("State")

    def wait_for(self, running, queued):
        """Until just these move data and those wait."""
        def fits():
            self.stop_workers()
            return ([n for n in self.jobs if self.state(n) == "running"] == running.split() and
                    [n for n in self.jobs if self.state(n) == "queued"] == queued.split() and
                    len(self.daemon.workers("data")) == len(running.split()))
        try:
            wait_until(fits, 20, "the jobs' turns")
        except AssertionError:
            raise AssertionError({n: self.state(n) for n in self.jobs}) from None

    def cancel(self, *names):
        for name in names:
            self.service.job(self.jobs[name]).Cancel()
        return [self.service.wait_job(self.jobs[name])["State"] for name in names]


@pytest.fixture
def daemon(world):
    return world.daemon(polkit=True)


def test_users_have_their_turns(world, daemon, service, folder):
    """One who has more to do than there is room for does not keep others waiting, and all see who waits."""
    pool = service.make_pool("mine", folder)
    theirs = world.client(daemon, uid=ONE_POOL).pool(pool.path)
    moving = Moving(daemon, service)
    moving.begin(pool, *(f"r{i}" for i in range(6)))
    moving.wait_for("r0 r1 r2", "r3 r4 r5")
    moving.begin(theirs, "o0", "o1", "o2")
    moving.wait_for("r0 r1 r2 o0", "r3 r4 r5 o1 o2")
    assert service.job(moving.jobs["o1"]).get("StartedByUID") == ONE_POOL
    log = service.log()
    start = time.monotonic()
    assert moving.cancel("r5", "o2") == ["cancelled"] * 2
    assert time.monotonic() - start < 1 * SLOWNESS, "what waits is cancelled at once"
    assert "r5" not in os.listdir(folder)
    moving.wait_for("r0 r1 r2 o0", "r3 r4 o1")
    start = time.monotonic()
    assert moving.cancel("r0", "r1") == ["cancelled"] * 2
    assert time.monotonic() - start < 2 * SLOWNESS, "even where the worker does not answer"
    moving.wait_for("r2 r3 o0 o1", "r4")
    log.wait_changed(moving.jobs["o1"], "State", "running")
    moving.cancel("r2", "r3", "r4", "o0", "o1")
    wait_until(lambda: os.listdir(folder) == [], what="an empty folder")


def test_one_user_may_not_have_all_places(daemon, service, pool):
    moving = Moving(daemon, service)
    moving.begin(pool, *(f"v{i}" for i in range(AT_ONCE + 1)))
    moving.wait_for("v0 v1 v2", "v3 v4")
    assert len(daemon.workers("data")) == OF_ONE_USER
    moving.cancel(*moving.jobs)


def test_rate_and_expected_end(daemon, service, pool):
    log = service.log()
    _, job = pool.CreateVolume("v", LARGE, {"preallocation": "full", "wait": 0})
    began = service.job(job).get("StartTime")
    told = log.wait_for(lambda s: s.member == "PropertiesChanged" and s.path == job and s.args[1].get("Rate")).args[1]
    left = (told["BytesTotal"] - told["BytesDone"]) / told["Rate"]
    assert 0 < told["BytesDone"] < told["BytesTotal"] == LARGE
    assert told["Progress"] == told["BytesDone"] / LARGE
    assert abs(told["ExpectedEndTime"] / 1e6 - (time.time() + left)) < 5 * SLOWNESS
    assert told["ExpectedEndTime"] > began
    service.job(job).Cancel()
    service.wait_job(job)


def test_no_end_is_expected_after_ages(service, pool):
    """The length is the client's word, and the rate at which he writes his choice."""
    (_, _, job), fds = service.call(pool.path, "Pool", "OpenImport", "(sta{sv})", ("v", (1 << 63) - 1, {}), want_fds=True)

    def written():
        os.write(fds[0], b"x" * 100)
        time.sleep(0.1)
        return 0 < service.job(job).get("Rate") < 100000
    wait_until(written, what="a rate")
    told = service.job(job).all()
    assert told["ExpectedEndTime"] == 0 and told["BytesTotal"] == (1 << 63) - 1 and told["Progress"] < 0.01
    service.job(job).Cancel()
    assert service.wait_job(job)["State"] == "cancelled"
    os.close(fds[0])


def test_objects_are_all_that_it_works_on(world, service, pool, folder):
    """What it makes first, then what it needs, in other pools too."""
    templates = service.make_pool("templates", world.folder())
    base = service.make_volume(templates, "base.qcow2", format="qcow2")
    middle = service.make_volume(pool, "middle.qcow2", format="qcow2", backing=base.path, **{"backing-format": "qcow2"})
    job = None
    for i in range(20):
        top, job = pool.CreateVolume(f"top{i}.qcow2", MIB, {"format": "qcow2", "backing": middle.path, "wait": 0,
                                                            "backing-format": "qcow2"})
        if job != "/":
            break
    objects = service.job(job).get("Objects")
    assert objects == [top, pool.path, middle.path, base.path, templates.path]
    assert service.wait_job(job)["State"] == "succeeded"
    job = pool.Refresh({"wait": 0})
    assert service.job(job).get("Objects") == [pool.path]


@pytest.mark.private
def test_cut_off_in_place(world, daemon, service, pool, folder):
    """A job that the service's end cuts off comes back as failed; its volume is incomplete, also after yet another start,
    until what was written is written again."""
    with open(folder + "/v", "wb") as f:
        f.truncate(MIB)
    volume = service.wait_volume(pool, "v")
    reads, feed = os.pipe()
    os.write(feed, b"x" * 4096)
    upload = volume.start("Upload", 0, {"length": MIB // 2, "wait": 0}, fds=[reads])
    _, job = upload.wait()
    wait_until(lambda: open(folder + "/v", "rb").read(1) == b"x", what="the first byte to be written")
    daemon.kill()
    daemon.start()
    service = world.client(daemon)
    left, = [o["org.example.Storage1.Job"] for path, o in service.objects().items() if path == job]
    assert (left["State"], left["Operation"]) == ("failed", "upload-volume")
    assert left["ErrorName"].endswith(".Interrupted") and "incomplete" in left["ErrorMessage"]
    assert left["Objects"] == [volume.path, pool.path] and left["StartedByUID"] == 0
    daemon.restart()
    service = world.client(daemon)
    volume = service.volume(volume.path)
    assert "incomplete" in volume.get("Problem")
    os.write(feed, b"y" * 32768)
    service.call(volume.path, "Volume", "Upload", "(ha{sv})", (0, {"length": 32768}), fds=[reads])
    assert "incomplete" in volume.get("Problem"), "it was more that was to be written"
    with open(folder + "/source", "wb") as f:
        f.write(b"z" * (MIB // 2))
    with open(folder + "/source", "rb") as f:
        service.call(volume.path, "Volume", "Upload", "(ha{sv})", (0, {}), fds=[f.fileno()])
    assert volume.get("Problem") == ""
    os.close(reads)
    os.close(feed)


def holds(pid, fd):
    """Whether that process has our pipe open."""
    try:
        ours = os.readlink(f"/proc/self/fd/{fd}")
        return any(os.readlink(f"/proc/{pid}/fd/{n}") == ours for n in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return False


@pytest.fixture
def pipe():
    reads, feed = os.pipe()
    yield reads, feed
    os.close(reads)
    os.close(feed)


def upload(service, pool, folder, pipe, name="v"):
    """An upload that has begun and waits for more than it was sent: the volume, the job and the file."""
    path = f"{folder}/{name}"
    with open(path, "wb") as f:
        f.truncate(MIB)
    volume = service.wait_volume(pool, name)
    _, job = volume.start("Upload", 0, {"length": MIB // 2, "wait": 0}, fds=[pipe[0]]).wait()
    return volume, job, path


def first_byte(path):
    with open(path, "rb") as f:
        return f.read(1)


def marks(daemon):
    return sorted(os.listdir(f"{daemon.state_dir}/incomplete"))


def intents(daemon):
    return sorted(os.listdir(f"{daemon.state_dir}/intents"))


@pytest.mark.private
def test_nothing_is_written_that_is_not_noted(daemon, service, pool, folder, pipe):
    """While the service does not answer its worker does not write; if that dies then, the volume is as it was."""
    volume, job, path = upload(service, pool, folder, pipe)
    wait_until(lambda: any(holds(pid, pipe[0]) for pid in daemon.workers("data")), what="the worker to begin")
    worker, = daemon.workers("data")
    os.kill(daemon.pid(), signal.SIGSTOP)
    try:
        os.write(pipe[1], b"x" * 4096)
        time.sleep(0.3 * SLOWNESS)
        assert first_byte(path) == b"\0"
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: ") Z" in open(f"/proc/{worker}/stat").read(), what="its end")
    finally:
        os.kill(daemon.pid(), signal.SIGCONT)
    assert service.wait_job(job)["State"] == "failed"
    assert volume.get("Problem") == "" and first_byte(path) == b"\0"
    wait_until(lambda: intents(daemon) == [], what="the intent to go")
    assert marks(daemon) == []


@pytest.mark.private
@pytest.mark.parametrize("victim", ["worker", "daemon"])
def test_death_after_the_first_write(world, daemon, service, pool, folder, pipe, victim):
    volume, job, path = upload(service, pool, folder, pipe)
    os.write(pipe[1], b"x" * 4096)
    wait_until(lambda: first_byte(path) == b"x", what="the first byte to be written")
    if victim == "worker":
        worker, = daemon.workers("data")
        os.kill(worker, signal.SIGKILL)
        assert service.wait_job(job)["State"] == "failed"
    else:
        daemon.kill()
        daemon.start()
    assert "incomplete" in world.client(daemon).volume(volume.path).get("Problem")


@pytest.mark.private
def test_intent_that_cannot_be_written(daemon, service, pool, folder, pipe):
    """Then nothing is changed."""
    volume, job, path = upload(service, pool, folder, pipe)
    wait_until(lambda: len(intents(daemon)) == 1, what="the job to begin")
    name, = intents(daemon)
    folder_of_intents = f"{daemon.state_dir}/intents"
    os.rename(folder_of_intents, f"{folder_of_intents}.away")
    with open(folder_of_intents, "wb"):
        pass
    os.write(pipe[1], b"x" * 4096)
    ended = service.wait_job(job)
    assert ended["State"] == "failed" and "not changed" in ended["ErrorMessage"], ended
    assert volume.get("Problem") == "" and first_byte(path) == b"\0"
    os.unlink(folder_of_intents)
    os.rename(f"{folder_of_intents}.away", folder_of_intents)
    daemon.restart()
    wait_until(lambda: name not in intents(daemon), what="the intent to go")
    assert marks(daemon) == []


class Away:
    """The folder of the marks, in which nothing can be written for a while."""

    def __init__(self, daemon):
        self.path = f"{daemon.state_dir}/incomplete"
        os.rename(self.path, f"{self.path}.away")
        with open(self.path, "wb"):
            pass

    def come_back(self):
        os.unlink(self.path)
        os.rename(f"{self.path}.away", self.path)


@pytest.mark.private
@pytest.mark.parametrize("redone", [False, True])
def test_mark_that_cannot_be_written(world, daemon, service, pool, folder, pipe, redone):
    """The intent stays then, and the next daemon marks the volume, unless that has been put right meanwhile."""
    volume, job, path = upload(service, pool, folder, pipe)
    os.write(pipe[1], b"x" * 4096)
    wait_until(lambda: first_byte(path) == b"x", what="the first byte to be written")
    away = Away(daemon)
    service.job(job).Cancel()
    assert service.wait_job(job)["State"] == "cancelled"
    assert "incomplete" in volume.get("Problem")
    if redone:
        wait_until(lambda: "Cannot note" in daemon.log(), what="the service to see it")
        away.come_back()
        assert len(intents(daemon)) == 1
        volume.Wipe()
        assert volume.get("Problem") == ""
        wait_until(lambda: intents(daemon) == [], what="the intent to go")
        daemon.restart()
        assert world.client(daemon).volume(volume.path).get("Problem") == ""
        return
    daemon.stop()
    away.come_back()
    for _ in range(2):
        daemon.start()
        assert "incomplete" in world.client(daemon).volume(volume.path).get("Problem")
        wait_until(lambda: intents(daemon) == [], what="the intent to make way for the mark")
        assert len(marks(daemon)) == 1
        daemon.stop()


@pytest.mark.private
def test_what_wrote_nothing_is_as_it_was(world, daemon, service, pool, folder):
    """Of jobs that the service's end cuts off only those that may have written leave a mark; that they were cut off is
    told of those that had their turn."""
    pipes = [os.pipe() for _ in range(CLIENTS_OF_ONE_USER + 1)]
    uploads = [upload(service, pool, folder, pipe, f"v{i}") for i, pipe in enumerate(pipes)]
    wait_until(lambda: len(daemon.workers("data")) == CLIENTS_OF_ONE_USER, what="the others to begin")
    wait_until(lambda: len(intents(daemon)) == CLIENTS_OF_ONE_USER, what="their intents")
    wait_until(lambda: service.job(uploads[-1][1]).get("State") == "queued", what="the last one to wait")
    for (_reads, feed), (_volume, _job, path) in list(zip(pipes, uploads))[:2]:
        os.write(feed, b"x" * 4096)
        wait_until(lambda p=path: first_byte(p) == b"x", what="the first byte to be written")
    daemon.restart()
    service = world.client(daemon)
    marked = ["incomplete" in service.volume(volume.path).get("Problem") for volume, _, _ in uploads]
    assert marked == [True] * 2 + [False] * (CLIENTS_OF_ONE_USER - 1)
    told = {path: o["org.example.Storage1.Job"] for path, o in service.objects().items() if "/job/" in path}
    for number, (_volume, job, _path) in enumerate(uploads[:-1]):
        assert told[job]["ErrorName"].endswith(".Interrupted")
        assert ("incomplete" if number < 2 else "as they were") in told[job]["ErrorMessage"]
    assert uploads[-1][1] not in told
    for fds in pipes:
        for fd in fds:
            os.close(fd)


class FakeLogind:
    """Keeps the locks that were asked for, and sees when they are let go."""

    XML = f"""<node><interface name='{LOGIND}.Manager'><method name='Inhibit'>
    <arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='s' direction='in'/>
    <arg type='s' direction='in'/><arg type='h' direction='out'/></method></interface></node>"""

    def __init__(self, bus):
        self.connection = bus.connect()
        self.asked, self.fds = [], []
        interface = Gio.DBusNodeInfo.new_for_xml(self.XML).interfaces[0]
        self.connection.register_object(f"/{LOGIND.replace('.', '/')}", interface, self._called, None, None)
        assert bus_call(self.connection, "RequestName", "(su)", LOGIND, 4) == (1,)

    def _called(self, _connection, _sender, _path, _interface, _method, args, invocation):
        self.asked.append(args.unpack())
        ours, theirs = os.pipe()
        self.fds.append(ours)
        fds = Gio.UnixFDList()
        fds.append(theirs)
        os.close(theirs)
        invocation.return_value_with_unix_fd_list(GLib.Variant("(h)", (0,)), fds)

    def held(self):
        """How many locks are held now."""
        context = GLib.MainContext.default()
        while context.iteration(False):
            pass
        n = 0
        for fd in self.fds:
            os.set_blocking(fd, False)
            try:
                n += os.read(fd, 1) != b""
            except BlockingIOError:
                n += 1
        return n

    def finish(self):
        for fd in self.fds:
            os.close(fd)


class RealLogind:
    """The machine's own."""

    def __init__(self, bus):
        self.connection = bus.connect()

    def held(self):
        reply = self.connection.call_sync(LOGIND, "/org/freedesktop/login1", f"{LOGIND}.Manager", "ListInhibitors",
                                          None, None, 0, int(10000 * SLOWNESS), None)
        return [row[:4] for row in reply.unpack()[0] if row[1] == "storaged"] != []

    def finish(self):
        pass


@pytest.fixture
def logind(daemon):
    made = RealLogind(daemon.bus) if ON_SYSTEM else FakeLogind(daemon.bus)
    yield made
    made.finish()


def test_machine_stays_awake_while_data_moves(daemon, service, pool, logind):
    """One lock for all jobs; it is let go when the last of them has ended."""
    assert not logind.held()
    moving = Moving(daemon, service)
    moving.begin(pool, "a", "b")
    wait_until(lambda: moving.stop_workers() or logind.held() == 1, what="the machine's being kept awake")
    service.job(moving.jobs["a"]).Cancel()
    wait_until(lambda: moving.state("a") == "cancelled" and logind.held() == 1, what="the end of one job")
    service.job(moving.jobs["b"]).Cancel()
    wait_until(lambda: moving.state("b") == "cancelled" and not logind.held(), what="the lock to be let go")
    if not ON_SYSTEM:
        assert [(what, who, mode) for what, who, _why, mode in logind.asked] == [("sleep:shutdown", "storaged", "block")]


@pytest.mark.private
def test_end_of_the_service_lets_the_machine_sleep(daemon, service, pool, logind):
    moving = Moving(daemon, service)
    moving.begin(pool, "a")
    wait_until(lambda: moving.stop_workers() or logind.held() == 1, what="the machine's being kept awake")
    daemon.kill()
    wait_until(lambda: not logind.held(), what="the lock to be let go")
    daemon.start()


def test_no_logind_is_no_harm(service, pool):
    """Nor is what takes no time worth its attention."""
    path, job = pool.CreateVolume("v", MIB, {"preallocation": "full"})
    assert job == "/" and path.startswith(ROOT)
