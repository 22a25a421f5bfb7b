"""Names, Ping, introspection, and what the bus lets through."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from ..lab.connection import (
    CONFIGURATION,
    CONFIGURATION_PATH,
    SESSIONS,
    SESSIONS_PATH,
    BusClient,
)
from ..lab.surroundings import SERVICE
from . import members
from .subject import DBUS_ERROR, INTROSPECTABLE, PEER, SUBJECT, Session, error_of, error_of_call

_OURS = {  # which the original does not have
    "ROOT": (f"{SESSIONS}.lock", f"{SESSIONS}.settings"),
    "SESSION": (f"{SESSIONS}.inspect", f"{SESSIONS}.namespace", f"{SESSIONS}.status"),
}
_BUS = ("/org/freedesktop/DBus", "org.freedesktop.DBus")


@pytest.mark.parametrize("name", ["sessions", "configuration", "log", "backends", "netcfg"])
def test_each_name_is_owned_by_the_account_and_answers(alice: BusClient, name: str) -> None:
    """Clients wait 9 s for each name that is neither owned nor activatable."""
    full, path = f"net.openvpn.v3.{name}", f"/net/openvpn/v3/{name}"
    assert alice.call(*_BUS, "GetConnectionUnixUser", "s", full, to=_BUS[1]) == SERVICE.uid
    if not SUBJECT.ours and name == "log":
        # Whoever may ask the original's log service anything may not ping it.
        assert error_of_call(alice, "/", PEER, "Ping", to=full)[0] == DBUS_ERROR + "AccessDenied"
    else:
        assert alice.call("/", PEER, "Ping", to=full) is None
        assert alice.call(path, PEER, "Ping", to=full) is None
    assert re.fullmatch(r"v(\d+)(|\.\d+)(_\w*)*", alice.get(path, "version"))


@pytest.mark.parametrize("path", ["/", SESSIONS_PATH, SESSIONS_PATH + "/nowhere", "/elsewhere"])
def test_ping_is_answered_on_any_path(alice: BusClient, path: str) -> None:
    assert alice.call(path, PEER, "Ping", to=SESSIONS) is None


def test_ping_is_answered_by_a_session_and_a_profile(session: Session) -> None:
    assert session.user.call(session.path, PEER, "Ping") is None
    assert session.user.call(session.profile, PEER, "Ping") is None


def test_a_version_by_which_clients_take_all_features_for_present(alice: BusClient) -> None:
    """From 21 on they use tags, from 22 on Validate; a version that is not of this form turns both off."""
    version = re.fullmatch(r"v(\d+)(|\.\d+)(_\w*)*", alice.get(CONFIGURATION_PATH, "version"))
    assert version
    assert int(version[1]) >= 22


def _introspect(user: BusClient, path: str) -> ElementTree.Element:
    return ElementTree.fromstring(user.call(path, INTROSPECTABLE, "Introspect"))


def _described(node: ElementTree.Element) -> dict[str, set[str]]:
    found = dict[str, set[str]]()
    for interface in node.findall("interface"):
        rows = found[interface.attrib["name"]] = set()
        for one in interface:
            types = {"in": "", "out": ""}
            for argument in one.findall("arg"):
                types[argument.get("direction", "in")] += argument.attrib["type"]
            name = one.attrib["name"]
            match one.tag:
                case "method":
                    rows.add(f"{name}({types['in']})→{types['out']}")
                case "signal":
                    rows.add(f"signal {name}({types['in'] or types['out']})")
                case "property":
                    rows.add(f"{one.attrib['access']} {name} {one.attrib['type']}")
    return found


@pytest.mark.parametrize("which", ["ROOT", "SESSION", "CONFIGURATION_ROOT", "PROFILE"])
def test_introspection_member_by_member(session: Session, which: str) -> None:
    path, interface = {
        "ROOT": (SESSIONS_PATH, SESSIONS),
        "SESSION": (session.path, SESSIONS),
        "CONFIGURATION_ROOT": (CONFIGURATION_PATH, CONFIGURATION),
        "PROFILE": (session.profile, CONFIGURATION),
    }[which]
    expected = members.STANDARD | {interface: members.listed(getattr(members, which))}
    if SUBJECT.ours and which == "ROOT":
        # The original's policy file and its clients know it, the original itself does not.
        expected[interface].add("TransferOwnership(ou)→")
    found = _described(_introspect(session.user, path))
    if SUBJECT.ours:
        assert all(found.pop(interface) for interface in _OURS.get(which, ()))
    assert found == expected


def test_introspection_of_the_roots_lists_the_objects_for_root(session: Session, root: BusClient) -> None:
    """The only way in which `openvpn3-admin sessionmgr-service` finds sessions."""
    for user in (session.user, root):
        for path, one in ((SESSIONS_PATH, session.path), (CONFIGURATION_PATH, session.profile)):
            nodes = [node.attrib["name"] for node in _introspect(user, path).findall("node")]
            assert nodes == [one.rsplit("/", 1)[1]]


def test_the_bus_stops_what_the_policy_does_not_name(session: Session, root: BusClient) -> None:
    denied = DBUS_ERROR + "AccessDenied"
    for user in (session.user, root):
        assert error_of(user, session.path, "Nope")[0] == denied
        assert error_of(user, SESSIONS_PATH, "Nope")[0] == denied
        assert error_of(user, session.profile, "Nope")[0] == denied
    arguments = ("TransferOwnership", "ou", session.path, 4002)
    assert error_of(session.user, SESSIONS_PATH, *arguments)[0] == denied


def test_unknown_methods_and_wrong_arguments(session: Session) -> None:
    alice = session.user
    name, text = error_of(alice, SESSIONS_PATH, "Disconnect")
    assert name == DBUS_ERROR + "UnknownMethod"
    name, text = error_of(alice, SESSIONS_PATH, "NewTunnel", "s", session.profile)
    assert name == DBUS_ERROR + "InvalidArgs"
    assert "“(s)”" in text and "“(o)”" in text
    name, text = error_of(alice, session.path, "Pause")
    assert name == DBUS_ERROR + "InvalidArgs"
