"""What a session does by itself: how long a state may last, what it tells its users, and what it keeps from the log."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ...ipc import messages
from ...policy.access import Caller
from ...policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMinor
from ...supervisor.errors import NotReady, RequestRefused
from ...supervisor.logging.log import Log
from ...supervisor.sessions import deadlines, sharing
from ...supervisor.sessions.device_object import DeviceObjects
from ...supervisor.sessions.session import Session
from ...supervisor.sessions.session_log import SessionLog
from ...supervisor.sessions.session_object import SessionObject
from ...supervisor.sessions.states import Event, State
from ..support.bare import REQUEST_NUMBER, BareSession, Unheard, session_in
from ..support.log_lines import LogLines
from ..support.waiting import until

DEADLINE = 20.0  # seconds
ALICE = Caller(":1.1", 1000)
USERNAME = messages.InputSlot("username", "User", False)
SHOWS_ERRORS, SHOWS_DETAILS = 2, 4  # log levels
CODE = messages.InputSlot("code", "Code", False)


def run(state: State, body: Callable[[BareSession], Coroutine[Any, Any, None]], **others: Any) -> None:
    async def main() -> None:
        with session_in(state, **others) as session:
            try:
                async with asyncio.timeout(DEADLINE):
                    await body(session)
            finally:
                session.forget()

    asyncio.run(main())


def seconds_left(session: BareSession) -> float | None:
    """Until the present state's deadline, if it has one."""
    if session._deadline is None:
        return None
    return session._deadline.when() - asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("before", "event", "seconds"),
    [
        (State.READY, Event.CONNECT, 63),
        (State.CONNECTED, Event.PAUSE, 8),
        (State.CONNECTED, Event.ENGINE_FAILED, 10),
        (State.CONNECTED, Event.ENGINE_REFUSED, 10),
        (State.CONNECTED, Event.ENGINE_RECONNECTING, None),
        (State.CONNECTING, Event.ENGINE_CONNECTED, None),
        (State.CONNECTING, Event.INPUT_NEEDED, None),
        (State.CONNECTING, Event.URL_NEEDED, None),
        (State.CONNECTING, Event.RESTART, 63),
        (State.PAUSING, Event.ENGINE_PAUSED, None),
    ],
)
def test_how_long_a_state_may_last(before: State, event: Event, seconds: int | None) -> None:
    async def body(session: BareSession) -> None:
        session.happened(event)
        left = seconds_left(session)
        assert (left is None) if seconds is None else (left is not None and seconds - 1 < left <= seconds)

    run(before, body)


def test_a_state_that_is_entered_anew_by_a_report_lasts_no_longer() -> None:
    async def body(session: BareSession) -> None:
        session.happened(Event.CONNECT)
        deadline = session._deadline
        session.happened(Event.ENGINE_CONNECTING)
        assert session._deadline is deadline is not None
        session.happened(Event.RESTART)
        assert session._deadline is not deadline and deadline.cancelled()

    run(State.READY, body)


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [(State.CONNECTED, Event.PAUSE, "PAUSING"), (State.READY, Event.CONNECT, "CONNECTING")],
)
def test_a_worker_that_comes_to_no_end_fails_the_session(
    before: State, event: Event, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "PAUSE_DEADLINE", 0.0)
    monkeypatch.setattr(deadlines, "WORKER_GRACE", 0.0)

    async def body(session: BareSession) -> None:
        session.happened(event)
        assert session.state is State[after]
        await until(lambda: session.state is State.FAILED)
        text = f"The session's worker does not come to an end of {after}"
        assert session.status == (2, StatusMinor.CONN_FAILED, text)

    run(before, body, connect_deadline=0.0)


def test_a_failed_session_goes_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "FAILED_READABLE", 0.0)

    async def body(session: BareSession) -> None:
        session.happened(Event.ENGINE_FAILED, "no")
        assert session.state is State.FAILED
        await until(lambda: session.state is State.GONE)

    run(State.CONNECTED, body)


def test_one_that_is_given_up_while_it_is_started_goes() -> None:
    async def body(session: BareSession) -> None:
        session.give_up()
        assert session.state is State.GONE
        await session.ended.wait()

    run(State.STARTING, body)


def test_what_was_asked_for_a_worker_that_died_is_asked_no_more() -> None:
    async def body(session: BareSession) -> None:
        session.user_input.ask(InputGroup.USER_PASSWORD, (USERNAME,))
        session.happened(Event.CRASHED)
        assert session.state is State.DOWN and not session.user_input.missing
        left = seconds_left(session)
        assert left is not None and left <= 3

    run(State.NEEDS_INPUT, body, restart_on_failure=True)


# What it tells its users


def test_a_session_that_waits_for_its_user_is_not_ready() -> None:
    async def body(session: BareSession) -> None:
        shown = SessionObject(session, DeviceObjects.__new__(DeviceObjects))
        shown.ready(ALICE)
        session.hear(messages.UrlNeeded(REQUEST_NUMBER, "https://login.example/"))
        with pytest.raises(NotReady, match=r"^Pending web authentication$"):
            shown.ready(ALICE)
        session.happened(Event.ENGINE_CONNECTED)
        shown.ready(ALICE)
        session.user_input.ask(InputGroup.USER_PASSWORD, (USERNAME,))
        with pytest.raises(NotReady, match=r"^Missing user credentials$"):
            shown.ready(ALICE)
        assert list(session.audience.watchers) == [ALICE.name]

    run(State.CONNECTING, body)


def test_connect_waits_for_what_has_to_be_typed() -> None:
    async def body(session: BareSession) -> None:
        shown = SessionObject(session, DeviceObjects.__new__(DeviceObjects))
        session.user_input.ask(InputGroup.USER_PASSWORD, (USERNAME,))
        for call in (shown.connect, shown.restart):
            with pytest.raises(RequestRefused, match=r"^Required user input not provided$"):
                call(ALICE)
        shown.user_input_provide(ALICE, CREDENTIALS, InputGroup.USER_PASSWORD, 0, "alice")
        shown.connect(ALICE)
        assert session.state is State.CONNECTING

    run(State.READY, body)


def test_the_login_goes_on_when_all_of_its_questions_are_answered() -> None:
    async def body(session: BareSession) -> None:
        group = InputGroup.CHALLENGE_AUTH_PENDING
        session.hear(messages.InputNeeded(REQUEST_NUMBER, group, (CODE, USERNAME), "", "Enter the code"))
        assert session.state is State.NEEDS_INPUT
        shown = SessionObject(session, DeviceObjects.__new__(DeviceObjects))
        after = []
        for number, value in enumerate(("123", "alice")):
            shown.user_input_provide(ALICE, CREDENTIALS, group, number, value)
            after.append(session.state)
        assert after == [State.NEEDS_INPUT, State.CONNECTING]

    run(State.CONNECTING, body)


class Attention(Unheard):
    """Keeps what users are to look at."""

    def __init__(self) -> None:
        self.asked_for: list[tuple[InputGroup, str]] = []

    def attention_required(self, session: Session, group: InputGroup, text: str) -> None:
        self.asked_for.append((group, text))


def test_the_attention_of_users_is_asked_for() -> None:
    async def body(session: BareSession) -> None:
        listener = session._listener = Attention()
        session.hear(messages.UrlNeeded(REQUEST_NUMBER, "https://login.example/"))
        need = messages.InputNeeded(REQUEST_NUMBER, InputGroup.USER_PASSWORD, (USERNAME,), "look here", "status")
        session.hear(need)
        session.hear(messages.InputNeeded(REQUEST_NUMBER, InputGroup.CHALLENGE_STATIC, (CODE,), "", ""))
        assert listener.asked_for == [
            (InputGroup.OPEN_URL, "https://login.example/"),
            (InputGroup.USER_PASSWORD, "look here"),
        ]

    run(State.CONNECTING, body)


# What it keeps from the log, and what it does not


def test_who_is_let_in_is_logged() -> None:
    lines = LogLines()

    async def body(session: BareSession) -> None:
        sharing.grant(session, 1001)
        sharing.revoke(session, 1001)
        sharing.transfer(session, 1002)
        assert lines.texts == [
            "Access granted to user 1001",
            "Access revoked from user 1001",
            "Ownership transferred from user 1000 to user 1002",
        ]

    run(State.CONNECTED, body, log=Log(SHOWS_DETAILS, [lines]))


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ((3, StatusMinor.SESS_AUTH_URL, "https://login.example/?secret"), "Sess auth url"),
        ((2, StatusMinor.CFG_REQUIRE_USER, "your code is"), "Cfg require user"),
        ((2, StatusMinor.CONN_RECONNECTING, "ping-restart"), "Conn reconnecting: ping-restart"),
        ((2, StatusMinor.CONN_FAILED, "no"), "Conn failed: no"),
        ((2, StatusMinor.CONN_AUTH_FAILED, "no"), "Conn auth failed: no"),
        ((2, StatusMinor.CONN_CONNECTED, ""), "Conn connected"),
    ],
)
def test_what_the_log_says_of_a_status(status: tuple[int, int, str], line: str) -> None:
    async def body(session: BareSession) -> None:
        fails = status[1] in (StatusMinor.CONN_FAILED, StatusMinor.CONN_AUTH_FAILED)
        for level, shows in ((SHOWS_ERRORS, fails), (SHOWS_DETAILS, True)):
            lines = LogLines()
            log = SessionLog("s", Log(level, [lines]), session.audience.forwards, 1000)
            log.note_status(status)
            assert lines.texts == ([line] if shows else [])
            assert log.last == (0, 0, "")  # clients have the status itself

    run(State.CONNECTED, body)
