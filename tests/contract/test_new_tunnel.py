"""NewTunnel: its event, its result, its errors; and LookupConfigName, LookupInterface, the lists."""

import pytest

from ...policy.dbus_numbers import StatusMajor, StatusMinor
from ..lab.connection import (
    CONFIGURATION,
    CONFIGURATION_PATH,
    SESSIONS,
    SESSIONS_PATH,
    BusClient,
)
from ..lab.lab import Lab
from ..lab.openvpn import Server
from .subject import (
    ALICE,
    CREATED,
    INTROSPECTABLE,
    MANAGER,
    SUBJECT,
    Begin,
    Session,
    come_about,
    error_of,
    events,
    gdbus_error,
    only,
    wait_event,
)


def test_the_event_reaches_everybody_and_comes_once(session: Session, bob: BusClient, begin: Begin) -> None:
    alice = session.user
    other = begin("other")
    for user, path in ((alice, session.path), (alice, other.path), (bob, other.path)):
        event = wait_event(user, path, CREATED)
        assert (event.path, event.interface) == (SESSIONS_PATH, SESSIONS)
        assert event.sender == alice.owner_of(SESSIONS)
        assert event.arguments == [path, CREATED, ALICE]
        assert len(events(user, path)) == 1


def test_the_session_is_there_before_newtunnel_returns(session: Session) -> None:
    alice = session.user
    assert "<interface" in alice.call(session.path, INTROSPECTABLE, "Introspect")
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [session.path]
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CFG_OK, f"config_path={session.profile}"]


def test_the_status_comes_before_the_event_and_the_event_before_the_reply(session: Session) -> None:
    [event] = events(session.user, session.path)
    if SUBJECT.ours:
        # The original tells nobody but its log service.
        received = [one.member for one in session.user.signals() if session.path in (one.path, *one.arguments)]
        assert received[:2] == ["StatusChange", "SessionManagerEvent"]
    assert event.arguments[1] == CREATED


def test_paths_are_opaque_but_of_the_known_form(session: Session) -> None:
    prefix, _, name = session.path.rpartition("/")
    assert prefix == SESSIONS_PATH
    assert len(name) == 36
    assert set(name) <= set("0123456789abcdefs")


def test_one_session_for_one_profile(session: Session) -> None:
    expected = gdbus_error(MANAGER, "A session with this configuration profile is already running")
    if SUBJECT.v24:
        # The older release makes another one.
        assert session.user.new_tunnel(session.profile) != session.path
    else:
        assert error_of(session.user, SESSIONS_PATH, "NewTunnel", "o", session.profile) == expected


def test_a_profile_that_is_not_there(alice: BusClient) -> None:
    path = CONFIGURATION_PATH + "/nowhere"
    if SUBJECT.ours:
        name, text = error_of(alice, SESSIONS_PATH, "NewTunnel", "o", path)
        assert (name, text) == gdbus_error(MANAGER, f"No configuration profile at {path}")
    else:
        # The original promises a session that never comes, and leaves a process behind.
        promised = alice.new_tunnel(path)
        if SUBJECT.v24:
            # Or, in the older release, one of which only the path is there.
            assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [promised]
        else:
            assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
            assert events(alice, promised) == []


def test_somebody_elses_profile(session: Session, bob: BusClient) -> None:
    if SUBJECT.ours:
        name, text = error_of(bob, SESSIONS_PATH, "NewTunnel", "o", session.profile)
        assert (name, text.startswith("GDBus.Error:net.openvpn.gdbuspp: ")) == (gdbus_error(MANAGER, "")[0], True)
    else:
        # Whoever knows the path may use the original's profiles.
        assert bob.get(bob.new_tunnel(session.profile), "owner") == 4002


def test_lookup_by_the_name_of_the_profile(session: Session, begin: Begin, bob: BusClient) -> None:
    alice = session.user
    again = begin("work")
    other = begin("other")

    def look_up(user: BusClient, name: str) -> set[str]:
        return set(user.session(SESSIONS_PATH, "LookupConfigName", "s", name))

    assert look_up(alice, "work") == {session.path, again.path}
    assert look_up(alice, "other") == {other.path}
    assert look_up(alice, "nothing") == set()
    assert look_up(alice, "") == set()
    assert look_up(bob, "work") == set()


def test_the_name_is_that_at_the_start(session: Session) -> None:
    session.user.set(session.profile, "name", "s", "renamed")
    assert session.get("config_name") == "work"
    assert session.user.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == [session.path]
    assert session.user.session(SESSIONS_PATH, "LookupConfigName", "s", "renamed") == []


def test_lookup_by_the_device(connected: Session, bob: BusClient, begin: Begin) -> None:
    alice = connected.user
    begin("other")
    assert sorted(alice.session(SESSIONS_PATH, "FetchManagedInterfaces")) == ["", connected.device]
    assert bob.session(SESSIONS_PATH, "FetchManagedInterfaces") == []
    assert alice.session(SESSIONS_PATH, "LookupInterface", "s", connected.device) == connected.path
    expected = gdbus_error(MANAGER, "Interface not found")
    assert error_of(alice, SESSIONS_PATH, "LookupInterface", "s", "tun99") == expected
    assert error_of(bob, SESSIONS_PATH, "LookupInterface", "s", connected.device) == expected


def test_lookup_of_no_device(session: Session) -> None:
    if SUBJECT.ours:
        expected = gdbus_error(MANAGER, "Interface not found")
        assert error_of(session.user, SESSIONS_PATH, "LookupInterface", "s", "") == expected
    else:
        # A session without a device is what the original finds by an empty name.
        assert session.user.session(SESSIONS_PATH, "LookupInterface", "s", "") == session.path


def test_two_sessions_two_devices(server: Server, begin: Begin) -> None:
    assert server
    first, second = begin("first"), begin("second")
    first.connect()
    second.connect()
    assert first.device != second.device
    first.call("Disconnect")
    assert second.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_CONNECTED, ""]
    assert only(second.user.session(SESSIONS_PATH, "FetchAvailableSessions")) == second.path


@pytest.mark.parametrize("flag", [False, True])
def test_a_profile_for_one_use_is_gone_with_its_first_session(alice: BusClient, served_lab: Lab, flag: bool) -> None:
    profile = alice.import_profile("once", served_lab.profile(), single_use=flag)
    alice.new_tunnel(profile)

    def is_there() -> bool:
        return profile in alice.call(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs")

    come_about(lambda: is_there() is not flag)
    assert is_there() is not flag
