"""Connect to Disconnect: order and form of statuses, and the errors on the way."""

import pytest

from ...policy.dbus_numbers import StatusMajor, StatusMinor
from ..lab.connection import SESSIONS_PATH, BusClient
from ..lab.lab import Lab
from ..lab.openvpn import Server
from . import statuses
from .subject import (
    ALICE,
    DESTROYED,
    REQUEST,
    SUBJECT,
    Begin,
    Session,
    come_about,
    error_of,
    error_of_get,
    events,
    gdbus_error,
    missing,
    wait_event,
)

SILENT = "198.51.100.1 1199"  # where no server is
CONNECT = [statuses.CONFIGURED, statuses.CONNECTING, statuses.CONNECTING, statuses.CONNECTED]
# Ours tells its users how a session ends; the original tells that to its log service alone.
CLOSED = [statuses.STOPPED] if SUBJECT.ours else []


def test_connect(server: Server, session: Session) -> None:
    assert server
    session.watch()
    before = session.seen
    session.call("Connect")
    session.wait(StatusMinor.CONN_CONNECTED)
    assert session.statuses(before) == CONNECT
    texts = [text for _, _, text in session.user.statuses(session.path, before)]
    assert texts == [f"config_path={session.profile}", "", "", ""]


def test_connect_again_changes_nothing(connected: Session) -> None:
    before = connected.seen
    connected.call("Connect")
    connected.call("Ready")
    assert connected.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_CONNECTED, ""]
    assert connected.statuses(before) == []


def test_pause_and_resume(connected: Session) -> None:
    before = connected.seen
    connected.call("Pause", "s", "lunch")
    connected.wait(StatusMinor.CONN_PAUSED, before)
    assert connected.user.statuses(connected.path, before) == [
        (StatusMajor.CONNECTION, StatusMinor.CONN_PAUSING, "Reason: lunch"),
        (StatusMajor.CONNECTION, StatusMinor.CONN_PAUSED, ""),
    ]
    assert connected.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_PAUSED, ""]
    assert connected.device
    if not SUBJECT.v24:
        # The original counts it some time later; the older release may do so after Resume only.
        come_about(lambda: connected.get("statistics").get("N_PAUSE") == 1)
        assert connected.get("statistics")["N_PAUSE"] == 1
    before = connected.seen
    connected.call("Resume")
    connected.wait(StatusMinor.CONN_CONNECTED, before)
    assert connected.statuses(before) == [statuses.RESUMING, statuses.RECONNECTING, statuses.CONNECTED]


def test_connect_and_ready_while_paused(connected: Session) -> None:
    connected.call("Pause", "s", "lunch")
    connected.wait(StatusMinor.CONN_PAUSED)
    connected.call("Ready")
    connected.call("Connect")
    assert connected.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_PAUSED, ""]


def test_pause_twice_and_resume_without(connected: Session) -> None:
    alice = connected.user
    assert error_of(alice, connected.path, "Resume") == gdbus_error(REQUEST, "Connection is not paused")
    connected.call("Pause", "s", "one")
    connected.wait(StatusMinor.CONN_PAUSED)
    expected = gdbus_error(REQUEST, "Connection is already paused")
    assert error_of(alice, connected.path, "Pause", "s", "two") == expected
    assert connected.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_PAUSED, ""]


@pytest.mark.parametrize("first", ["", "Pause"])
def test_restart(connected: Session, first: str) -> None:
    if first:
        connected.call("Pause", "s", "lunch")
        connected.wait(StatusMinor.CONN_PAUSED)
    before = connected.seen
    connected.call("Restart")
    connected.wait(StatusMinor.CONN_CONNECTED, before)
    assert connected.statuses(before) == [statuses.RECONNECTING, statuses.RECONNECTING, statuses.CONNECTED]
    assert connected.get("statistics")["N_RECONNECT"] >= 1


def test_disconnect(connected: Session, bob: BusClient) -> None:
    before = connected.seen
    connected.call("Disconnect")
    # It is gone when the call returns: clients start the same profile again at once.
    alice = connected.user
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    assert alice.session(SESSIONS_PATH, "FetchManagedInterfaces") == []
    assert alice.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == []
    assert error_of(alice, connected.path, "Disconnect") == missing(connected.path)
    assert error_of_get(alice, connected.path, "status") == missing(connected.path)
    for user in (alice, bob):
        assert wait_event(user, connected.path, DESTROYED).arguments[2] == ALICE
    assert len(events(alice, connected.path)) == 2
    assert connected.statuses(before) == [statuses.DISCONNECTING, statuses.DISCONNECTED, statuses.DONE, *CLOSED]
    again = alice.new_tunnel(connected.profile)
    assert alice.get(again, "config_name") == "work"


def test_disconnect_before_connect(session: Session) -> None:
    session.watch()
    before = session.seen
    session.call("Disconnect")
    wait_event(session.user, session.path, DESTROYED)
    assert session.statuses(before) == [statuses.DISCONNECTING, statuses.DONE, *CLOSED]


def test_disconnect_while_connecting(begin: Begin) -> None:
    session = begin(remotes=[SILENT])
    session.watch()
    before = session.seen
    session.call("Connect")
    session.wait(StatusMinor.CONN_CONNECTING, before)
    session.call("Disconnect")
    wait_event(session.user, session.path, DESTROYED)
    assert error_of_get(session.user, session.path, "status") == missing(session.path)
    if not SUBJECT.v24:  # what the older release has behind a session may end before it has said so
        session.wait(StatusMinor.CONN_DONE, before)
    assert statuses.CONNECTED not in session.statuses(before)


def test_no_device_is_shown_until_it_is_connected(begin: Begin) -> None:
    session = begin(remotes=[SILENT])
    session.watch()
    session.call("Connect")
    session.wait(StatusMinor.CONN_CONNECTING)
    assert session.get("device_name") == ""
    if not SUBJECT.v24:  # the older release has no path then
        assert session.get("device_path") == "/"
    assert session.user.session(SESSIONS_PATH, "FetchManagedInterfaces") == [""]


def test_pause_restart_and_resume_before_connect(session: Session) -> None:
    session.watch()
    before = session.seen
    session.call("Pause", "s", "early")
    session.wait(StatusMinor.CONN_PAUSED, before)
    assert session.statuses(before) == [statuses.PAUSING, statuses.PAUSED]
    session.call("Resume")
    session.wait(StatusMinor.CONN_RESUMING, before)
    assert session.statuses(before)[2:] == [statuses.RESUMING]


def test_a_failed_connection_says_why(served_lab: Lab, server: Server, begin: Begin) -> None:
    """The client trusts another authority than that of the server."""
    assert server
    session = begin(authority=served_lab.pki.stranger)
    session.watch()
    before = session.seen
    session.call("Connect")
    _, _, text = session.wait(StatusMinor.CONN_FAILED, before)
    assert text
    if SUBJECT.ours:
        # It stays readable for a while, so that a client that polls learns of it.
        assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_FAILED, text]
        assert session.user.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == []
        assert session.user.new_tunnel(session.profile) != session.path
    elif SUBJECT.v24:
        # The older release keeps it for ever.
        assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_FAILED, text]
    else:
        wait_event(session.user, session.path, DESTROYED)
        assert error_of_get(session.user, session.path, "status") == missing(session.path)
    assert statuses.CONNECTED not in session.statuses(before)


def test_a_server_that_ends_the_session(served_lab: Lab, begin: Begin) -> None:
    """Reconnecting is announced once for each loss, and never before the first connection."""
    other = served_lab.server(port=1195, more=["keepalive 1 3"])
    try:
        session = begin(remotes=["198.51.100.1 1195"])
        session.connect()
        before = session.seen
        other.process.freeze()
        session.wait(StatusMinor.CONN_RECONNECTING, before)
        other.process.thaw()
        session.wait(StatusMinor.CONN_CONNECTED, session.seen)
        assert set(session.statuses(before)) == {statuses.RECONNECTING, statuses.CONNECTED}
        assert session.statuses(before)[-1] == statuses.CONNECTED
        assert session.get("statistics")["N_RECONNECT"] >= 1
    finally:
        other.stop()
