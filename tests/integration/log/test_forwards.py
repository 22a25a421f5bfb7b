"""Log forwards between real users: who gets what, for how long, and what a storm does to the others."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ....policy.dbus_numbers import LogCategory, StatusMinor
from ....policy.limits import LOG_CREDIT, MAX_FORWARDS_PER_USER
from ...lab.connection import LOG, SESSIONS, SESSIONS_PATH, BusClient, BusError, Signal
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.sessions import CONNECTED, PAUSED, RECONNECTING, UserSession, begin

BACKENDS = "net.openvpn.v3.backends"
BOB = 4002


def forwarded(user: BusClient, path: str, member: str = "Log", since: int = 0) -> list[Signal]:
    return [one for one in user.signals(since) if (one.path, one.interface, one.member) == (path, BACKENDS, member)]


def lines(user: BusClient, path: str, since: int = 0) -> list[tuple[int, str]]:
    """Categories and texts of the forwarded lines."""
    return [(one.arguments[1], one.arguments[2]) for one in forwarded(user, path, since=since)]


def wait_line(user: BusClient, path: str, words: str, since: int = 0) -> None:
    user.wait_signal(
        lambda one: one.path == path and one.member == "Log" and words in one.arguments[2],
        since=since,
        what=f"line with {words!r}",
    )


def proxies(user: BusClient) -> str:
    xml: str = user.call("/net/openvpn/v3/log", "org.freedesktop.DBus.Introspectable", "Introspect")
    return xml


def test_a_forward_ends_with_its_receiver(lab: Lab, session: UserSession) -> None:
    other = lab.connection("alice")
    other.session(session.path, "LogForward", "b", True)
    session.call("LogForward", "b", True)
    assert len(session.get("log_forwards")) == 2
    other.close()
    lab.watcher.wait_signal(
        lambda one: one.member == "NameOwnerChanged" and one.arguments == [other.unique_name, other.unique_name, ""]
    )
    [path] = session.get("log_forwards")
    assert session.user.get(path, "target") == session.user.unique_name


def test_forwards_end_with_the_session(session: UserSession) -> None:
    alice = session.user
    session.call("LogForward", "b", True)
    assert '<node name="proxy"/>' in proxies(alice)
    session.call("Disconnect")
    # What the session manager says by itself is no status of the connection.
    assert session.minors[1:] == [StatusMinor.CONN_DISCONNECTING, StatusMinor.CONN_DONE]
    assert [one.interface for one in alice.signals() if one.member == "StatusChange"] == [SESSIONS, *[BACKENDS] * 2]
    assert "<node" not in proxies(alice).partition("<node>")[2]


def test_the_object_of_a_forward(lab: Lab, session: UserSession) -> None:
    alice, bob = session.user, lab.connection("bob")
    session.call("LogForward", "b", True)
    [path] = session.get("log_forwards")
    assert alice.get_all(path, LOG) == {"log_level": 6, "session_path": session.path, "target": alice.unique_name}
    assert bob.get_all(path, LOG) == {}
    with pytest.raises(BusError, match="Access denied"):
        bob.call(path, LOG, "Remove")
    with pytest.raises(BusError, match="Incorrect log level"):
        alice.set(path, "log_level", "u", 7)
    alice.set(path, "log_level", "u", 2)
    session.connect()
    assert not [line for line in lines(alice, session.path) if line[0] < LogCategory.WARN]
    alice.call(path, LOG, "Remove")
    assert session.get("log_forwards") == []
    before = session.seen
    session.call("Pause", "s", "x")
    session.wait(PAUSED, before)
    assert forwarded(alice, session.path, "StatusChange", before) == []


def test_whom_it_is_shared_with_gets_statuses_and_lines_only_if_the_owner_says_so(
    lab: Lab, session: UserSession
) -> None:
    alice, bob = session.user, lab.connection("bob")
    with pytest.raises(BusError, match="Access denied"):
        bob.session(session.path, "LogForward", "b", True)
    session.call("AccessGrant", "u", BOB)
    bob.session(session.path, "LogForward", "b", True)
    session.connect()
    bob.wait_status(session.path, CONNECTED)
    assert lines(bob, session.path) == []
    alice.set(session.path, "restrict_log_access", "b", False)
    session.call("Restart")
    wait_line(bob, session.path, "Connected: ")
    session.call("AccessRevoke", "u", BOB)
    assert session.get("log_forwards") == []
    heard = len(bob.signals())
    before = session.seen
    session.call("Pause", "s", "x")
    session.wait(PAUSED, before)
    assert bob.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    assert [one for one in bob.signals(heard) if one.path == session.path] == []


def test_a_session_given_away(lab: Lab, session: UserSession) -> None:
    alice, bob, root = session.user, lab.connection("bob"), lab.connection("root")
    session.call("LogForward", "b", True)
    root.session(SESSIONS_PATH, "TransferOwnership", "ou", session.path, BOB)
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    assert bob.get(session.path, "log_forwards") == []
    heard = len(alice.signals())
    bob.session(session.path, "LogForward", "b", True)
    bob.session(session.path, "Connect")
    wait_line(bob, session.path, "Connected: ")
    assert [one for one in alice.signals(heard) if one.path == session.path] == []
    with pytest.raises(BusError, match="No session at /net/openvpn/v3/sessions/x"):
        root.session(SESSIONS_PATH, "TransferOwnership", "ou", SESSIONS_PATH + "/x", BOB)


def test_the_level_is_the_profiles_and_changes_at_once(lab: Lab) -> None:
    lab.server()
    lab.supervisor(log_level=0)
    session = begin(lab, more=["verb 1"])
    alice = session.user
    assert session.get("log_verbosity") == 1
    session.call("LogForward", "b", True)
    session.connect()
    assert lines(alice, session.path) == []

    alice.set(session.path, "log_verbosity", "u", 6)
    before = session.seen
    session.call("Restart")
    session.wait(RECONNECTING, before)
    wait_line(alice, session.path, "Connected: ", before)
    categories = {category for category, _ in lines(alice, session.path, before)}
    assert {LogCategory.DEBUG, LogCategory.VERB1, LogCategory.INFO} <= categories

    alice.set(session.path, "log_verbosity", "u", 3)
    before = session.seen
    session.call("Restart")
    wait_line(alice, session.path, "Connected: ", before)
    categories = {category for category, _ in lines(alice, session.path, before)}
    assert min(categories) == LogCategory.INFO
    assert session.get("last_log")["log_message"].startswith("Connected: ")


def test_no_more_forwards_than_a_session_may_have(lab: Lab, session: UserSession) -> None:
    for _ in range(MAX_FORWARDS_PER_USER):
        lab.connection("alice").session(session.path, "LogForward", "b", True)
    with pytest.raises(BusError, match=f"is forwarded to {MAX_FORWARDS_PER_USER} connections of yours already"):
        session.call("LogForward", "b", True)


@contextmanager
def stopped(user: BusClient) -> Iterator[None]:
    """Have a user's connection read nothing."""
    pid = user.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_storm_is_bounded_and_slows_nobody_down(lab: Lab, session: UserSession) -> None:
    """At its highest level the engine logs each packet: thousands of lines in a second."""
    alice, bob, still = session.user, lab.connection("bob"), lab.connection("alice")
    quiet = begin(lab, "quiet", "bob", bob)
    for one in (session, quiet):
        one.call("LogForward", "b", True)
    still.session(session.path, "LogForward", "b", True)
    session.connect()
    alice.set(session.path, "log_verbosity", "u", 6)
    before = session.seen
    began = time.monotonic()
    with stopped(still):
        for _ in range(20):
            data = os.urandom(200_000)
            assert lab.echo(TUNNEL_ADDRESS, data) == data
            assert bob.get(quiet.path, "log_verbosity") == 3
        took = time.monotonic() - began
        wait_line(alice, session.path, "log lines were dropped here", before)
        quiet.call("Pause", "s", "in the middle")
        bob.wait_status(quiet.path, PAUSED)
    assert LOG_CREDIT / 2 < len(lines(alice, session.path, before)) < LOG_CREDIT * (took + 3)
    # Who reads again is told the end, too.
    session.call("Pause", "s", "calm")
    still.wait_status(session.path, PAUSED)
    session.call("Disconnect")
