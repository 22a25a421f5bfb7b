"""What a hostile worker has others read: escaped before it reaches clients or the log, or the end of the worker."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from ....ipc import messages
from ....policy.causes import Cause
from ....policy.dbus_numbers import InputGroup, LogCategory, StatusMinor
from ....policy.limits import MAX_QUESTION, MAX_STATUS_TEXT, MAX_URL
from ....supervisor.sessions.states import State
from ...lab.connection import SESSIONS, SESSIONS_PATH, BusClient, BusError
from ...lab.hijack import worker_channel
from ...lab.lab import Lab
from ...lab.processes import DEADLINE
from ...lab.service import Service
from ...support.engines import silent_engine
from ...support.hostile_workers import HostileWorkers, send
from ...support.service_life import processes
from ...support.sessions import FAILED

STEERS = "no \x1b[2J\x07 \u202e\x85 way"  # a terminal, and what follows in a line
ESCAPED = r"no \x1b[2J\x07 \u202e\x85 way"
LONG = "x" * 2 * MAX_URL
LOGIN = messages.InputSlot("username", "User", False)


@pytest.fixture
def hostile(lab: Lab) -> Iterator[HostileWorkers]:
    made = HostileWorkers(lab)
    yield made
    made.assert_undisturbed()
    assert "\x1b" not in made.service.log


# What a session on the bus is told.


def needed(slot: messages.InputSlot, attention: str = "", status: str = "asked") -> messages.InputNeeded:
    return messages.InputNeeded(0, InputGroup.USER_PASSWORD, (slot,), attention, status)


@pytest.mark.parametrize(
    ("state", "said", "reason"),
    [
        (State.READY, needed(messages.InputSlot("username", STEERS, False)), "cannot be shown"),
        (State.READY, needed(messages.InputSlot("username", "a\nb", False)), "cannot be shown"),
        (State.READY, needed(messages.InputSlot("username", "x" * (MAX_QUESTION + 1), False)), "cannot be shown"),
        (State.READY, needed(messages.InputSlot("user name", "User", False)), "cannot be shown"),
        (State.READY, needed(messages.InputSlot("", "User", False)), "cannot be shown"),
        *(
            (State.CONNECTED, messages.UrlNeeded(1, url), "no web page")
            for url in ("file:///etc/passwd", "javascript:alert(1)", "--help", "", "https://\x1b", f"https://{LONG}")
        ),
    ],
)
def test_what_cannot_be_shown_ends_the_worker(
    hostile: HostileWorkers, state: State, said: messages.ToSupervisor, reason: str
) -> None:
    session = hostile.session(state)
    since = session.seen
    assert reason in hostile.verdict(session, said)
    told = [one.member for one in session.user.signals(since) if one.path == session.path]
    assert "AttentionRequired" not in told
    assert session.user.statuses(session.path, since)[-1][1] != StatusMinor.SESS_AUTH_URL


def test_the_texts_of_a_question_are_escaped_and_cut(hostile: HostileWorkers) -> None:
    session = hostile.session()
    since = session.seen
    with worker_channel(session.worker.pid) as channel:
        for text in (STEERS, LONG):
            send(channel, needed(LOGIN, text, text))
        session.user.wait_signal(
            lambda one: one.member == "StatusChange" and one.arguments[2].startswith("xxx"), since=since
        )
        signals = [one for one in session.user.signals(since) if one.path == session.path]
    attentions = [one.arguments for one in signals if one.member == "AttentionRequired"]
    assert attentions == [[1, 1, ESCAPED], [1, 1, LONG[:MAX_STATUS_TEXT]]]
    statuses = [one.arguments for one in signals if one.member == "StatusChange"]
    assert statuses == [[2, 4, ESCAPED], [2, 4, LONG[:MAX_URL]]]
    assert session.get("status") == statuses[-1]
    session.call("Disconnect")


@pytest.mark.parametrize(
    "end",
    [
        messages.Failed(STEERS, Cause.UNKNOWN),
        messages.EngineDied(STEERS, Cause.ENGINE_DIED),
        messages.AuthenticationFailed(STEERS, Cause.CREDENTIALS_REFUSED),
        messages.Ended(STEERS),
    ],
    ids=lambda end: type(end).__name__,
)
def test_the_reason_of_an_end_is_escaped(hostile: HostileWorkers, end: messages.ToSupervisor) -> None:
    session = hostile.session(State.CONNECTED)
    since = session.seen
    with worker_channel(session.worker.pid) as channel:
        send(channel, end)
        session.user.wait_signal(lambda one: one.member == "StatusChange" and ESCAPED in one.arguments[2], since=since)
    assert all(text.isprintable() for _, _, text in session.user.statuses(session.path))
    if not isinstance(end, messages.Ended):
        session.call("Disconnect")


def test_log_lines_and_reasons_are_escaped(hostile: HostileWorkers) -> None:
    session = hostile.session(State.CONNECTED)
    session.call("LogForward", "b", True)
    since = session.seen
    with worker_channel(session.worker.pid) as channel:
        send(channel, messages.LogLine(LogCategory.INFO, STEERS), messages.Reconnecting(1, STEERS))
        line = session.user.wait_signal(lambda one: one.member == "Log" and ESCAPED in one.arguments[2], since=since)
        session.user.wait_signal(
            lambda one: one.member == "Log" and f"Reconnecting ({ESCAPED})" in one.arguments[2], since=since
        )
        assert line.arguments == [7, LogCategory.INFO, ESCAPED]
        last = session.get("last_log")
        assert isinstance(last, dict) and last["log_message"].isprintable()
        assert all(name.isprintable() for name in session.user.get(session.path, "statistics"))
    session.call("Disconnect")


@pytest.mark.parametrize(
    ("state", "said", "minor"),
    [
        (State.CONNECTED, messages.UrlNeeded(1, "https://login.example/?token=very-secret"), StatusMinor.SESS_AUTH_URL),
        (State.READY, needed(LOGIN, "code very-secret", "code very-secret"), StatusMinor.CFG_REQUIRE_USER),
    ],
)
def test_what_is_for_the_user_alone_is_not_in_the_log(
    hostile: HostileWorkers, state: State, said: messages.ToSupervisor, minor: StatusMinor
) -> None:
    session = hostile.session(state)
    session.user.set(session.path, "log_verbosity", "u", 6)
    since = session.seen
    with worker_channel(session.worker.pid) as channel:
        send(channel, said)
        assert "very-secret" in session.wait(minor, since)[2]
        since = session.seen
        session.call("Disconnect")
    assert "very-secret" not in hostile.service.log


# What NewTunnel is told.  The engine says nothing, so that its worker has no verdict yet.


@pytest.fixture
def service(lab: Lab) -> Service:
    return lab.supervisor(f"--openvpn={silent_engine(lab.directory)}")


@contextlib.contextmanager
def starting(lab: Lab, alice: BusClient) -> Iterator[tuple[int, socket.socket]]:
    """A call of NewTunnel under way, and its worker's channel."""
    profile = alice.import_profile("work", lab.profile())
    call = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
    until = time.monotonic() + DEADLINE
    while not (workers := processes("openvpn3-session: ")):
        assert time.monotonic() < until
    with worker_channel(workers[0]) as channel:
        yield call, channel


def test_a_refusal_is_escaped(lab: Lab, service: Service) -> None:
    alice = lab.connection("alice")
    with starting(lab, alice) as (call, channel):
        send(channel, messages.Refused(STEERS, Cause.PROFILE))
        with pytest.raises(BusError) as refused:
            alice.finish_call(call)
    assert refused.value.text.endswith(ESCAPED)
    assert "\x1b" not in service.log


@pytest.mark.parametrize("level", [-1, 7, 2**40])
def test_a_log_level_that_there_is_not(lab: Lab, service: Service, level: int) -> None:
    alice = lab.connection("alice")
    with starting(lab, alice) as (call, channel):
        send(channel, messages.Accepted(level))
        with pytest.raises(BusError, match=f"log level {level}"):
            alice.finish_call(call)
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_a_question_is_told_once_the_profile_is_accepted(lab: Lab, service: Service) -> None:
    alice = lab.connection("alice")
    with starting(lab, alice) as (call, channel):
        send(channel, needed(LOGIN, STEERS, STEERS), messages.Accepted(3))
        [path] = alice.finish_call(call)
        assert alice.statuses(path) == [(2, 2, alice.statuses(path)[0][2]), (2, StatusMinor.CFG_REQUIRE_USER, ESCAPED)]
        alice.wait_signal(lambda one: one.member == "AttentionRequired" and one.arguments == [1, 1, ESCAPED])
        send(channel, messages.Failed(STEERS, Cause.UNKNOWN))
        assert alice.wait_status(path, FAILED)[2] == ESCAPED
        alice.session(path, "Disconnect")
