"""LogForward: who gets which signals, from where, and for how long."""

from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import BusClient, Signal
from ..lab.openvpn import Server
from . import statuses
from .subject import BOB, MANAGER, SUBJECT, Begin, Connect, Session, error_of, gdbus_error, only

LOG = "net.openvpn.v3.log"
BACKENDS = "net.openvpn.v3.backends"


def _forwarded(user: BusClient, path: str, member: str) -> list[Signal]:
    return [one for one in user.signals() if (one.path, one.member, one.interface) == (path, member, BACKENDS)]


def test_status_and_log_come_from_the_log_service_as_the_backends_signals(server: Server, session: Session) -> None:
    """Clients filter on all four: sender, path, interface, member."""
    assert server
    alice = session.user
    session.call("LogForward", "b", True)
    session.call("Connect")
    alice.wait_signal(lambda one: one.interface == BACKENDS and one.member == "StatusChange" and one.arguments[1] == 7)
    statuses = _forwarded(alice, session.path, "StatusChange")
    assert [one.arguments[:2] for one in statuses] == [[2, 2], [2, 6], [2, 6], [2, 7]]
    logs = _forwarded(alice, session.path, "Log")
    assert logs
    assert {one.sender for one in statuses + logs} == {alice.owner_of(LOG)}
    for one in logs:
        group, category, message = one.arguments
        assert 1 <= group <= 9
        assert 1 <= category <= 8
        assert message


def test_each_status_comes_once(server: Server, session: Session) -> None:
    """Whoever has asked for them gets them in this one form."""
    assert server
    session.call("LogForward", "b", True)
    before = session.seen
    session.call("Connect")
    session.wait(StatusMinor.CONN_CONNECTED, before)
    assert session.statuses(before) == [
        statuses.CONFIGURED,
        statuses.CONNECTING,
        statuses.CONNECTING,
        statuses.CONNECTED,
    ]


def test_forwarding_is_listed_and_ends(session: Session) -> None:
    session.call("LogForward", "b", True)
    assert only(session.get("log_forwards")).startswith("/net/openvpn/v3/log/proxy/")
    session.call("LogForward", "b", False)
    assert session.get("log_forwards") == []


def test_twice_on_and_off_without_on_are_no_errors(session: Session) -> None:
    session.call("LogForward", "b", False)
    session.call("LogForward", "b", True)
    session.call("LogForward", "b", True)
    assert len(session.get("log_forwards")) == 1
    session.call("LogForward", "b", False)
    session.call("LogForward", "b", False)


def test_a_granted_user_and_the_restriction(session: Session, bob: BusClient) -> None:
    session.call("AccessGrant", "u", BOB)
    if SUBJECT.ours:
        # A denial would make a desktop indicator give up on all sessions: statuses come, log lines do not.
        bob.session(session.path, "LogForward", "b", True)
        session.call("Pause", "s", "x")
        bob.wait_status(session.path, StatusMinor.CONN_PAUSED)
        assert _forwarded(bob, session.path, "Log") == []
        bob.session(session.path, "LogForward", "b", False)
    else:
        assert error_of(bob, session.path, "LogForward", "b", True) == gdbus_error(MANAGER, "Access denied")
    session.user.set(session.path, "restrict_log_access", "b", False)
    bob.session(session.path, "LogForward", "b", True)
    assert len(session.get("log_forwards")) == 1


def test_nobody_else_gets_them(server: Server, begin: Begin, users: Connect) -> None:
    assert server
    bob, root = users("bob"), users("root")
    session = begin()
    session.connect()
    for user in (bob, root):
        assert [one for one in user.signals() if one.path == session.path] == []


def test_last_log(server: Server, session: Session) -> None:
    assert server
    session.connect()
    line = session.get("last_log")
    assert 1 <= line["log_group"] <= 9
    assert 1 <= line["log_category"] <= 8
    assert line["log_message"]
