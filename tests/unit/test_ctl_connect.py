"""Waiting for a session: which news ends the wait, and with which exit status."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence

import pytest
from dbus_fast import Message, MessageType

from ...ctl.bus import Bus
from ...ctl.connect import FAILURE, until
from ...ctl.exits import CommandError, CommandExit
from ...ctl.progress import Lines
from ...ctl.services import SESSIONS
from ...ctl.status_text import Status
from ...ctl.watch import Watch
from ...policy.dbus_numbers import StatusMajor, StatusMinor

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATH = "/net/openvpn/v3/sessions/one"
OTHER = "/net/openvpn/v3/sessions/other"
SERVICE = ":1.5"
CONNECTED = StatusMinor.CONN_CONNECTED


def status_change(minor: int, text: str = "", path: str = PATH, sender: str = SERVICE) -> Message:
    return signal_message(path, SESSIONS.name, "StatusChange", "uus", [2, minor, text], sender)


def session_event(path: str, kind: int, sender: str = SERVICE) -> Message:
    return signal_message(SESSIONS.root, SESSIONS.name, "SessionManagerEvent", "oqu", [path, kind, 1000], sender)


def owner_changed(name: str, old: str, new: str, sender: str = "org.freedesktop.DBus") -> Message:
    return signal_message(
        "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", "sss", [name, old, new], sender
    )


def signal_message(path: str, interface: str, member: str, signature: str, body: list, sender: str) -> Message:  # type: ignore[type-arg]  # of anything
    return Message(
        message_type=MessageType.SIGNAL,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=body,
        sender=sender,
    )


def wait(*news: Message, first: Status | None = None, during: Callable[[], None] | None = None) -> Status:
    """Wait for CONNECTED while `news` arrive; at most a tenth of a second after the last of them."""

    async def run() -> Status:
        bus = Bus(None)  # type: ignore[arg-type]  # nothing is sent in these tests
        bus.owner[SESSIONS.name] = SERVICE
        watch = Watch(bus)
        for message in news:
            watch._receive(message)
        with watch.interruptible(), Lines() as shown:
            if during:
                asyncio.get_running_loop().call_soon(during)
            return await until(CONNECTED, watch, PATH, shown, first=first, timeout=0.1)

    return asyncio.run(run())


def failed(*news: Message, first: Status | None = None, during: Callable[[], None] | None = None) -> CommandError:
    with pytest.raises(CommandError) as caught:
        wait(*news, first=first, during=during)
    return caught.value


@pytest.fixture(autouse=True)
def unignored() -> Iterator[None]:
    """Whoever started the tests may have had these signals ignored: nohup(1), or a shell, in the background."""
    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before:
        signal.signal(number, handler)


def test_connected_after_news_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    status = wait(status_change(2), status_change(6), status_change(6), status_change(7, "up"))
    assert status == Status(2, 7, "up")
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "Connection, Configuration OK",
        "Connection, Client connecting",
        "Connection, Client connected: up",
    ]


def test_a_failure_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(failed(status_change(6), status_change(StatusMinor.CONN_FAILED, "because"))).count("because") == 1
    assert capsys.readouterr().err.splitlines() == ["Connection, Client connecting"]


def test_connected_already() -> None:
    assert wait(first=Status(2, 7)) == Status(2, 7)


@pytest.mark.parametrize(
    ("minor", "expected"),
    [
        (StatusMinor.CONN_FAILED, CommandExit.CONNECTION_FAILED),
        (StatusMinor.CONN_AUTH_FAILED, CommandExit.AUTHENTICATION_FAILED),
        (StatusMinor.CONN_DISCONNECTED, CommandExit.CONNECTION_FAILED),
        (StatusMinor.CONN_DONE, CommandExit.CONNECTION_FAILED),
        (StatusMinor.CFG_ERROR, CommandExit.REFUSED),
        (StatusMinor.CFG_REQUIRE_USER, CommandExit.AUTHENTICATION_FAILED),
        (StatusMinor.PROC_KILLED, CommandExit.CONNECTION_FAILED),
    ],
)
def test_statuses_that_end_the_wait(minor: StatusMinor, expected: CommandExit) -> None:
    error = failed(status_change(6), status_change(minor, "because"), status_change(7))
    assert error.status == expected and error.message.endswith(": because")
    assert failed(first=Status(StatusMajor.CONNECTION, minor, "because")).status == expected


@pytest.mark.parametrize("minor", sorted(set(StatusMinor) - FAILURE.keys() - {CONNECTED}))
def test_all_other_statuses_go_on(minor: StatusMinor) -> None:
    assert wait(status_change(minor), status_change(7)).minor == CONNECTED


def test_gone_session_says_its_last_status() -> None:
    error = failed(status_change(8, "bye"), session_event(PATH, 2))
    assert error.status == CommandExit.CONNECTION_FAILED and "Client disconnecting: bye" in error.message


def test_service_that_vanishes() -> None:
    error = failed(status_change(6), owner_changed(SESSIONS.name, SERVICE, ""))
    assert error.status == CommandExit.UNREACHABLE and "session manager has left the bus" in error.message


def test_timeout() -> None:
    assert failed(status_change(6)).status == CommandExit.TIMED_OUT


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupted(number: signal.Signals) -> None:
    error = failed(status_change(6), during=lambda: os.kill(os.getpid(), number))
    assert error.status == 128 + number


def test_a_terminal_that_is_closed_says_so_more_than_once() -> None:
    def close() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)

    assert failed(during=close).status == CommandExit.HUNG_UP


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        error = failed(status_change(6), during=lambda: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert error.status == CommandExit.TIMED_OUT


def test_what_is_told_before_the_first_answer() -> None:
    """Of a service that was there already, or is started by the first call, in the place of one that leaves."""

    async def run(owner: str, news: Sequence[Message], answered: str) -> Status:
        bus = Bus(None)  # type: ignore[arg-type]  # nothing is sent in these tests
        watch = Watch(bus)
        watch._owner = owner
        for message in news:
            watch._receive(message)
        bus.owner[SESSIONS.name] = answered
        with Lines() as shown:
            return await until(CONNECTED, watch, PATH, shown, timeout=0.1)

    assert asyncio.run(run(SERVICE, [status_change(7)], SERVICE)).minor == CONNECTED
    left = owner_changed(SESSIONS.name, ":1.4", "")
    came = owner_changed(SESSIONS.name, "", SERVICE)
    assert asyncio.run(run(":1.4", [left, came, status_change(7)], SERVICE)).minor == CONNECTED
    assert asyncio.run(run("", [came, status_change(7)], SERVICE)).minor == CONNECTED
    with pytest.raises(CommandError, match="has left the bus"):
        asyncio.run(run(SERVICE, [owner_changed(SESSIONS.name, SERVICE, "")], SERVICE))


def test_news_that_do_not_count() -> None:
    """Of other sessions, from other senders, of no interest, or malformed."""
    stranger = ":1.666"
    status = wait(
        status_change(10, path=OTHER),
        status_change(10, sender=stranger),
        session_event(PATH, 2, sender=stranger),
        session_event(OTHER, 2),
        session_event(PATH, 1),
        owner_changed(SESSIONS.name, SERVICE, "", sender=stranger),
        owner_changed(SESSIONS.name, "", SERVICE),
        owner_changed("org.example", ":1.1", ""),
        signal_message(PATH, SESSIONS.name, "StatusChange", "s", ["10"], SERVICE),
        signal_message(PATH, SESSIONS.name, "StatusChange", "", [], SERVICE),
        status_change(7),
    )
    assert status.minor == CONNECTED
