"""Who may do and read what: the owner, a stranger, root, and what sharing changes."""

from typing import Any

import pytest

from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import SESSIONS_PATH, BusClient, BusError
from . import members
from .subject import (
    ALICE,
    BOB,
    CREATED,
    DBUS_ERROR,
    MANAGER,
    SUBJECT,
    Session,
    error_of,
    error_of_get,
    error_of_set,
    events,
    gdbus_error,
    wait_event,
)

DENIED = gdbus_error(MANAGER, "Access denied")
DENIED_PROPERTY = (DBUS_ERROR + "AccessDenied", "Access denied")

METHODS: dict[str, tuple[Any, ...]] = {
    "Ready": (),
    "Connect": (),
    "Pause": ("s", "x"),
    "Resume": (),
    "Restart": (),
    "Disconnect": (),
    "AccessGrant": ("u", BOB),
    "AccessRevoke": ("u", BOB),
    "LogForward": ("b", True),
    "UserInputQueueGetTypeGroup": (),
    "UserInputQueueCheck": ("uu", 1, 1),
    "UserInputQueueFetch": ("uuu", 1, 1, 0),
    "UserInputProvide": ("uuus", 1, 1, 0, "x"),
}
PROPERTIES = sorted(members.property_types(members.SESSION))


@pytest.mark.parametrize("member", METHODS)
def test_a_stranger_may_call_nothing(session: Session, bob: BusClient, member: str) -> None:
    assert error_of(bob, session.path, member, *METHODS[member]) == DENIED
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == [session.path]


def test_a_stranger_reads_and_sets_nothing(session: Session, bob: BusClient) -> None:
    for name in PROPERTIES:
        assert error_of_get(bob, session.path, name) == DENIED_PROPERTY, name
    assert bob.get_all(session.path) == {}
    for name, signature, value in (("public_access", "b", True), ("log_verbosity", "u", 6), ("dco", "b", False)):
        assert error_of_set(bob, session.path, name, signature, value) == DENIED_PROPERTY
    assert bob.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_a_stranger_hears_of_sessions_and_of_nothing_else(connected: Session, bob: BusClient) -> None:
    connected.call("Pause", "s", "lunch")
    connected.wait(StatusMinor.CONN_PAUSED)
    connected.call("Disconnect")
    wait_event(bob, connected.path, 2)
    of_session = [one for one in bob.signals() if one.path == connected.path]
    assert of_session == []


def test_root_reads_everything(session: Session, root: BusClient) -> None:
    assert root.get_all(session.path) == session.user.get_all(session.path)
    for name in PROPERTIES:
        if SUBJECT.v24 and name == "device_path":
            continue  # the older release has none before Connect
        assert root.get(session.path, name) == session.get(name)


def test_root_sees_and_ends_any_session(session: Session, root: BusClient) -> None:
    if not SUBJECT.ours:
        # Root can look at the original's sessions by their path, and do nothing about them.
        assert root.session(SESSIONS_PATH, "FetchAvailableSessions") == []
        assert error_of(root, session.path, "Disconnect") == DENIED
        return
    assert root.session(SESSIONS_PATH, "FetchAvailableSessions") == [session.path]
    root.session(session.path, "Disconnect")
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_roots_look_ups_find_roots_own_sessions_only(connected: Session, root: BusClient) -> None:
    """openvpn3-systemd would stop the wrong session otherwise."""
    assert root.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == []
    expected = gdbus_error(MANAGER, "Interface not found")
    assert error_of(root, SESSIONS_PATH, "LookupInterface", "s", connected.device) == expected


def _grant(session: Session, uid: int) -> None:
    session.call("AccessGrant", "u", uid)


def test_granting_and_revoking(session: Session) -> None:
    alice = session.user
    _grant(session, BOB)
    assert session.get("acl") == [BOB]
    expected = gdbus_error(MANAGER, "UID already granted access")
    assert error_of(alice, session.path, "AccessGrant", "u", BOB) == expected
    session.call("AccessRevoke", "u", BOB)
    assert session.get("acl") == []
    expected = gdbus_error(MANAGER, "UID not granted access")
    assert error_of(alice, session.path, "AccessRevoke", "u", BOB) == expected


def test_a_granted_user(connected: Session, bob: BusClient) -> None:
    _grant(connected, BOB)
    path = connected.path
    assert bob.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]
    assert bob.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == [path]
    assert bob.session(SESSIONS_PATH, "LookupInterface", "s", connected.device) == path
    assert bob.get_all(path).keys() == connected.user.get_all(path).keys()
    assert error_of(bob, path, "AccessGrant", "u", 0) == DENIED
    assert error_of(bob, path, "AccessRevoke", "u", BOB) == DENIED
    assert error_of_set(bob, path, "public_access", "b", True) == DENIED_PROPERTY
    assert error_of_set(bob, path, "restrict_log_access", "b", False) == DENIED_PROPERTY
    bob.set(path, "log_verbosity", "u", 4)
    bob.session(path, "Ready")
    bob.session(path, "Pause", "s", "by bob")
    connected.wait(StatusMinor.CONN_PAUSED)
    connected.call("AccessRevoke", "u", BOB)
    assert error_of(bob, path, "Resume") == DENIED


def test_a_granted_user_disconnects(session: Session, bob: BusClient) -> None:
    _grant(session, BOB)
    bob.session(session.path, "Disconnect")
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_a_granted_user_cannot_start_another_session_of_the_profile(session: Session, bob: BusClient) -> None:
    """The check for a running session looks at what the caller can see, and so does not reveal sessions."""
    _grant(session, BOB)
    if SUBJECT.v24:
        return  # the older release has no such check
    name, text = error_of(bob, SESSIONS_PATH, "NewTunnel", "o", session.profile)
    assert name == gdbus_error(MANAGER, "")[0]
    if not SUBJECT.ours:
        assert text == "GDBus.Error:net.openvpn.gdbuspp: A session with this configuration profile is already running"


def test_a_public_session(session: Session, bob: BusClient) -> None:
    path = session.path
    session.user.set(path, "public_access", "b", True)
    assert session.get("public_access") is True
    assert bob.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]
    if SUBJECT.ours:
        # Everybody may look; the original has it the wrong way round.
        assert bob.get_all(path).keys() == session.user.get_all(path).keys()
        assert error_of(bob, path, "Disconnect") == DENIED
    else:
        assert error_of_get(bob, path, "status") == DENIED_PROPERTY
        bob.session(path, "Disconnect")


def test_transfer_of_ownership_by_root(root: BusClient, bob: BusClient, session: Session) -> None:
    if not SUBJECT.ours:
        # The policy lets it through, and nobody is there to answer.
        name, _ = error_of(root, SESSIONS_PATH, "TransferOwnership", "ou", session.path, BOB)
        assert name == DBUS_ERROR + "UnknownMethod"
        return
    root.session(SESSIONS_PATH, "TransferOwnership", "ou", session.path, BOB)
    assert bob.get(session.path, "owner") == BOB
    with pytest.raises(BusError, match="Access denied"):
        session.call("Disconnect")
    assert events(bob, session.path)[0].arguments == [session.path, CREATED, ALICE]
