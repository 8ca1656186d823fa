# SPDX-License-Identifier: LGPL-2.1-or-later
"""The policy layer alone: a small service (tests/unit/policy-driver.c), polkit or one that obeys us."""

import glob
import os
import pwd
import subprocess

import pytest

import harness
from client import Service, error_name, error_text, iterate_until, refused
from fake_polkit import FakePolkit
from gi.repository import Gio, GLib
from harness import ASKED, NOBODY, ONE_POOL, SLOWNESS, build_dir, name_owner, wait_until

pytestmark = pytest.mark.private

PATH = "/org/example/Storage1/test"
HIDDEN = "/org/example/Storage1/hidden"
TEST = "org.example.Storage1.PolicyTest"
REFRESH = "org.example.storage1.refresh-pool"
STOP = "org.example.storage1.stop-pool"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
LIMITS = "org.freedesktop.DBus.Error.LimitsExceeded"
INTERACTIVE = int(Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION)

# policy.h
CALLS_PER_USER = 64
ASKED_PER_USER = 8
ASKED_IN_ALL = 64
ANSWERS = 136


class Driver:
    """The small service, and what callers need."""

    def __init__(self, bus, *args):
        self.bus = bus
        binary = glob.glob(f"{build_dir()}/**/policy-driver", recursive=True)[0]
        env = dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=bus.address, DBUS_SESSION_BUS_ADDRESS=bus.address,
                   ASAN_OPTIONS="quarantine_size_mb=1")
        self.process = subprocess.Popen([binary, *args], env=env, stdin=subprocess.DEVNULL)
        self.watcher = self.client()
        wait_until(lambda: name_owner(self.watcher.connection), what="the service")

    def client(self, uid=0):
        return Service(self.bus.connect(uid))

    def guarded(self, client, *details, action=REFRESH, flags=0, path=PATH):
        return client.start(path, TEST, "Guarded", "(sas)", (action, list(details)), flags=flags)

    def counts(self):
        pending = self.watcher.start(PATH, TEST, "Counts")
        iterate_until(lambda: pending.done)
        return dict(zip(("callers", "pending", "passes", "changes"), pending.result))

    def wait_counts(self, **wanted):
        iterate_until(lambda: wanted.items() <= self.counts().items(), what=f"{wanted}, not {self.counts()}")

    def end(self):
        harness.end_process(self.process)
        assert self.process.returncode == 0, "a sanitizer has something to say, or it crashed"


@pytest.fixture
def drivers(world):
    made = []

    def make(*args, kind="system", polkit=False):
        made.append(Driver(world.bus(kind, polkit), *args))
        return made[-1]
    yield make
    for driver in made:
        driver.end()


@pytest.fixture
def driver(drivers):
    return drivers()


@pytest.fixture
def polkit(driver):
    return FakePolkit(driver.bus)


def asked(polkit, count=1, take=0):
    """Takes one of the questions, once there are that many."""
    iterate_until(lambda: len(polkit.questions) >= count, what=f"{count} questions to polkit")
    return polkit.questions.pop(take)


def all_done(calls):
    iterate_until(lambda: all(c.done for c in calls), what="all answers")


def test_real_polkit(drivers):
    driver = drivers(polkit=True)
    one_pool, nobody, user, root = (driver.client(uid) for uid in (ONE_POOL, NOBODY, ASKED, 0))
    assert driver.guarded(one_pool, "pool", "mine").wait() == ONE_POOL
    assert driver.guarded(root, "pool", "other").wait() == 0
    with refused("AccessDenied") as refusal:
        driver.guarded(one_pool, "pool", "other", "volume", "v").wait()
    for word in ("refresh-pool", "'other'", "'v'", str(ONE_POOL), "rule"):
        assert word in refusal.text
    with refused("AccessDenied"):
        driver.guarded(nobody, "pool", "mine").wait()
    for flags in (0, INTERACTIVE):
        with refused("InteractiveAuthorizationRequired") as refusal:
            driver.guarded(user, "pool", "mine", flags=flags).wait()
    assert "agent" in refusal.text
    with refused("AccessDenied") as refusal:
        driver.guarded(one_pool, action="org.example.storage1.nonsense").wait()
    assert "nonsense" in refusal.text
    twice = [one_pool.start(PATH, TEST, "Twice", "(sassas)", (REFRESH, ["pool", "mine"], STOP, ["pool", p]))
             for p in ("mine", "other")]
    twice[0].wait()
    with refused("AccessDenied"):
        twice[1].wait()


def test_what_polkit_is_asked(driver, polkit):
    user = driver.client(NOBODY)
    calls = [driver.guarded(user, "pool", "p", "capacity", "4096"), driver.guarded(user, flags=INTERACTIVE)]
    first, second = asked(polkit, 2), asked(polkit)
    assert first.subject == ("system-bus-name", {"name": user.connection.get_unique_name()})
    assert (first.action, first.details, first.flags) == (REFRESH, {"pool": "p", "capacity": "4096"}, 0)
    assert (second.details, second.flags) == ({}, 1)
    assert first.id != second.id
    assert driver.counts()["pending"] == 2
    second.answer(True)
    assert calls[1].wait() == NOBODY and not calls[0].done
    first.answer(False)
    with refused("AccessDenied"):
        calls[0].wait()
    driver.wait_counts(pending=0, callers=1)
    assert not polkit.cancelled


def test_root_is_not_asked_about(driver, polkit):
    assert driver.guarded(driver.client()).wait() == 0
    assert not polkit.questions


def test_an_answer_holds_for_one_call_only(driver, polkit):
    user = driver.client(NOBODY)
    for _ in range(2):
        call = driver.guarded(user, "pool", "p")
        asked(polkit).answer(True)
        assert call.wait() == NOBODY
    assert driver.counts()["passes"] == 1 + 2 * 2  # only the first one waits for the bus to say who it is


def test_an_answer_holds_for_its_action_and_details_only(driver, polkit):
    """A yes about one thing is no yes about another one, and each is asked only once."""
    user = driver.client(NOBODY)
    both = [REFRESH, ["pool", "p"]]
    for other in ([STOP, ["pool", "p"]], [REFRESH, ["pool", "q"]], [REFRESH, ["pool", "p", "volume", "v"]]):
        for result in (True, False):
            call = user.start(PATH, TEST, "Twice", "(sassas)", (*both, *other))
            asked(polkit).answer(True)
            question = asked(polkit)
            pairs = other[1]
            assert (question.action, question.details) == (other[0], dict(zip(pairs[::2], pairs[1::2])))
            question.answer(result)
            if result:
                call.wait()
            else:
                with refused("AccessDenied"):
                    call.wait()
    call = user.start(PATH, TEST, "Twice", "(sassas)", (*both, *both))
    asked(polkit).answer(True)
    call.wait()
    assert not polkit.questions


def test_details_that_change_each_time_come_to_an_end(driver, polkit):
    call = driver.client(NOBODY).start(PATH, TEST, "Changing", "(s)", (REFRESH,))
    for _ in range(ANSWERS):
        asked(polkit).answer(True)
    with refused("LimitsExceeded"):
        call.wait()
    assert not polkit.questions
    driver.wait_counts(pending=0)


def test_details_are_limited(driver, polkit):
    user = driver.client(NOBODY)
    for details in (["k", "v"] * 9, ["pool", "x" * 5000]):
        call = driver.guarded(user, *details)
        with refused("InvalidArgument"):
            call.wait()
    assert not polkit.questions


@pytest.mark.parametrize("flags,answer,name,text", [
    (0, (False, True), "InteractiveAuthorizationRequired", "did not allow to ask"),
    (INTERACTIVE, (False, True), "InteractiveAuthorizationRequired", "no agent"),
    (0, (False, False), "AccessDenied", "rule"),
])
def test_refusals_say_why(driver, polkit, flags, answer, name, text):
    call = driver.guarded(driver.client(NOBODY), "pool", "p", flags=flags)
    asked(polkit).answer(*answer)
    with refused(name) as refusal:
        call.wait()
    assert text in refusal.text and "refresh-pool (pool 'p')" in refusal.text


def test_dismissed(driver, polkit):
    call = driver.guarded(driver.client(NOBODY), flags=INTERACTIVE)
    asked(polkit).answer(False, polkit_dismissed="true")
    with refused("AccessDenied") as refusal:
        call.wait()
    assert "dismissed" in refusal.text


def test_polkit_fails(driver, polkit):
    call = driver.guarded(driver.client(NOBODY))
    asked(polkit).fail("org.freedesktop.PolicyKit1.Error.Failed", "no such thing")
    with refused("AccessDenied") as refusal:
        call.wait()
    assert "no such thing" in refusal.text


def test_polkit_crashes(driver, polkit):
    call = driver.guarded(driver.client(NOBODY))
    asked(polkit)
    polkit.connection.close_sync(None)
    with refused("AccessDenied") as refusal:
        call.wait()
    assert "not reachable" in refusal.text


def test_polkit_is_missing(driver):
    with refused("AccessDenied") as refusal:
        driver.guarded(driver.client(NOBODY)).wait()
    assert "polkit is not reachable" in refusal.text and "root" in refusal.text
    assert driver.guarded(driver.client()).wait() == 0
    driver.wait_counts(pending=0)


def test_caller_leaves_while_polkit_thinks(driver, polkit):
    """The dialogue is closed, nothing is remembered, and a late answer meets nobody."""
    user = driver.client(NOBODY)
    for _ in range(ASKED_PER_USER + 3):
        driver.guarded(user, flags=INTERACTIVE)
    iterate_until(lambda: len(polkit.questions) == ASKED_PER_USER)
    driver.wait_counts(callers=1, pending=ASKED_PER_USER + 3)
    passes = driver.counts()["passes"]
    user.connection.close_sync(None)
    driver.wait_counts(callers=0, pending=0)
    iterate_until(lambda: sorted(polkit.cancelled) == sorted(q.id for q in polkit.questions))
    for question in polkit.questions:
        question.answer(True)
    other = driver.guarded(driver.client(NOBODY))
    asked(polkit, ASKED_PER_USER + 1, -1).answer(True)
    assert other.wait() == NOBODY
    assert driver.counts()["passes"] == passes + 3, "only the other caller's"


def test_caller_leaves_as_the_answer_comes(driver, polkit):
    for _ in range(30):
        user = driver.client(NOBODY)
        driver.guarded(user)
        question = asked(polkit)
        question.answer(True)
        user.connection.close_sync(None)
    driver.wait_counts(callers=0, pending=0)


@pytest.mark.parametrize("how,names", [("Hide", ("UnknownObject", "UnknownMethod", "UnknownInterface")),
                                       ("Eat", ("Inaccessible",))])
def test_second_pass_never_reaches_a_handler(driver, polkit, how, names):
    """The object is gone by then, or a filter stops the call."""
    user = driver.client(NOBODY)
    call = driver.guarded(user, path=HIDDEN)
    question = asked(polkit)
    iterate_until(lambda hide=driver.watcher.start(PATH, TEST, how): hide.done)
    question.answer(True)
    with refused(*names):
        call.wait()
    driver.wait_counts(pending=0, callers=1)


def test_memory_is_given_back(driver, polkit):
    """Calls that are over are forgotten, while the same caller goes on."""
    def resident():
        with open(f"/proc/{driver.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def call_often(count):
        for i in range(count):
            call = driver.guarded(user, *["key", "x" * 4000] * 8)
            asked(polkit).answer(i % 2 == 0)
            iterate_until(lambda c=call: c.done)
    user = driver.client(NOBODY)
    call_often(20)
    before = resident()
    call_often(500)  # of 64 kB each
    assert resident() < before + 10_000_000


def known(client):
    """A client whose user the bus has told to the service."""
    pending = client.start(PATH, TEST, "Caller")
    assert pending.wait() is not None
    return client


def test_limits_of_a_user(driver, polkit):
    """A user's calls are asked about a few at a time, in order; too many are refused; others are fine."""
    greedy, other = known(driver.client(NOBODY)), driver.client(ONE_POOL)
    calls = [driver.guarded(greedy, "pool", str(i)) for i in range(100)]
    iterate_until(lambda: sum(c.done for c in calls) == 100 - CALLS_PER_USER, what="refusals")
    assert {error_name(c.error) for c in calls if c.done} == {LIMITS}
    assert str(NOBODY) in error_text(calls[-1].error)
    driver.wait_counts(pending=CALLS_PER_USER)
    assert len(polkit.questions) == ASKED_PER_USER
    call = driver.guarded(other)
    asked(polkit, ASKED_PER_USER + 1, -1).answer(True)
    assert call.wait() == ONE_POOL
    seen = []
    for left in range(CALLS_PER_USER, 0, -1):
        question = asked(polkit, min(ASKED_PER_USER, left))
        assert len(polkit.questions) < ASKED_PER_USER
        seen.append(question.details["pool"])
        question.answer(True)
    all_done(calls)
    assert seen == [str(i) for i in range(CALLS_PER_USER)]
    assert [c.error is None for c in calls] == [i < CALLS_PER_USER for i in range(100)]
    driver.wait_counts(pending=0)


def test_limit_of_all(driver, polkit):
    """dbus-daemon allows us so many answers under way: many users together must not use them up."""
    uids = [user.pw_uid for user in pwd.getpwall() if user.pw_uid]  # the bus knows no others
    users = [known(driver.client(uid)) for uid in uids[:12]]
    assert len(users) * ASKED_PER_USER > ASKED_IN_ALL
    calls = [driver.guarded(user) for user in users for _ in range(ASKED_PER_USER)]
    driver.wait_counts(pending=len(calls))
    assert len(polkit.questions) == ASKED_IN_ALL
    for left in range(len(calls), 0, -1):
        question = asked(polkit, min(ASKED_IN_ALL, left))
        assert len(polkit.questions) < ASKED_IN_ALL
        question.answer(True)
    all_done(calls)
    assert not [c.error for c in calls if c.error]


def test_many_calls_before_the_bus_says_who(driver, polkit):
    user = driver.client(NOBODY)
    calls = [user.start(PATH, TEST, "Caller") for _ in range(400)]
    all_done(calls)
    errors = {error_name(c.error) for c in calls if c.error}
    assert errors <= {LIMITS} and sum(c.error is None for c in calls) >= 128
    assert {c.result[0] for c in calls if not c.error} == {NOBODY}


def test_callers_are_counted_until_they_leave(driver):
    clients = [known(driver.client(uid)) for uid in (0, NOBODY, NOBODY)]
    before = driver.counts()
    assert before["callers"] == 3 and before["passes"] == 6
    known(clients[0])
    assert driver.counts()["passes"] == 7, "who is known is not looked up again"
    for left in (2, 1, 0):
        clients.pop().connection.close_sync(None)
        driver.wait_counts(callers=left)
    assert driver.counts()["changes"] == before["changes"] + 3


def test_idleness_is_told(driver, polkit):
    """When the last question is answered, and the call was taken up, somebody looks whether all is quiet."""
    user = known(driver.client(NOBODY))
    call = driver.guarded(user)
    question = asked(polkit)
    before = driver.counts()
    assert before["pending"] == 1
    question.answer(True)
    call.wait()
    driver.wait_counts(pending=0, changes=before["changes"] + 1)


def test_end_while_polkit_thinks(driver, polkit):
    users = [driver.client(uid) for uid in (NOBODY, ONE_POOL)]
    for user in users:
        driver.guarded(user)
    asked(polkit, len(users))
    driver.end()


def test_session_mode(drivers):
    """No polkit, and not even the first call waits for the bus, unless it needs a permission."""
    driver = drivers("--user", kind="session")
    client = known(driver.client())
    assert driver.counts()["passes"] == 1
    assert driver.guarded(client).wait() == 0
    driver.wait_counts(callers=1, pending=0)
    client.connection.close_sync(None)
    driver.wait_counts(callers=0)
    assert driver.guarded(driver.client()).wait() == 0
    stranger = driver.guarded(driver.client(NOBODY))
    with refused("AccessDenied") as refusal:
        stranger.wait()
    assert str(NOBODY) in refusal.text
