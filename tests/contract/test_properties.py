"""Properties: types on the wire, values before and after Connect, and every way to ask wrongly."""

import json
import sys
import time
from pathlib import Path

import pytest

from ...policy.dbus_numbers import StatusMajor, StatusMinor
from ..lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH, BusClient
from ..lab.lab import Lab
from . import members
from .subject import (
    ALICE,
    DBUS_ERROR,
    PROPERTIES,
    SUBJECT,
    Begin,
    Session,
    error_of_call,
    error_of_get,
    error_of_set,
    missing,
)

_WIRE_TYPES = str(Path(__file__).with_name("wire_types.py"))


def _wire_types(served_lab: Lab, name: str, path: str) -> dict[str, str]:
    done = served_lab.as_user("alice", [sys.executable, "-I", _WIRE_TYPES, name, path])
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_types_on_the_wire(served_lab: Lab, session: Session) -> None:
    expected = members.property_types(members.SESSION)
    expected["device_path"] = "o"  # declared a string, and always sent as an object path
    if SUBJECT.v24:
        del expected["device_path"]  # the older release has none before Connect
    assert _wire_types(served_lab, SESSIONS, session.path) == expected
    assert _wire_types(served_lab, CONFIGURATION, session.profile) == members.property_types(members.PROFILE)


def test_types_on_the_wire_when_connected(served_lab: Lab, connected: Session) -> None:
    expected = members.property_types(members.SESSION) | {"device_path": "o"}
    assert _wire_types(served_lab, SESSIONS, connected.path) == expected


def test_a_session_before_connect(session: Session) -> None:
    values = session.user.get_all(session.path)
    if SUBJECT.v24:
        values["device_path"] = "/"  # the older release has none before Connect
    assert abs(values.pop("session_created") - time.time()) < 10
    assert values.pop("backend_pid") > 0
    log = values.pop("last_log")
    assert set(log) == {"log_group", "log_category", "log_message"}
    assert 0 <= values.pop("log_verbosity") <= 6
    assert values == {
        "owner": ALICE,
        "acl": [],
        "public_access": False,
        "status": [StatusMajor.CONNECTION, StatusMinor.CFG_OK, f"config_path={session.profile}"],
        "statistics": {},
        "dco": False,
        "device_path": "/",
        "device_name": "",
        "config_path": session.profile,
        "config_name": "work",
        "connected_to": ["", "", 0],
        "session_name": "",
        "restrict_log_access": True,
        "log_forwards": [],
    }
    one_by_one = values.keys() - ({"device_path"} if SUBJECT.v24 else set())
    assert {name: session.get(name) for name in one_by_one} == {name: values[name] for name in one_by_one}


def test_a_session_that_is_connected(connected: Session) -> None:
    values = connected.user.get_all(connected.path)
    assert values["status"] == [StatusMajor.CONNECTION, StatusMinor.CONN_CONNECTED, ""]
    assert values["connected_to"] == ["udp", "198.51.100.1", 1194]
    assert values["session_name"] == "198.51.100.1"
    assert values["device_name"] == connected.device


def test_the_path_of_the_device(connected: Session) -> None:
    assert connected.get("device_path").startswith("/net/openvpn/v3/netcfg/")


def test_the_device_that_the_path_leads_to(connected: Session, root: BusClient) -> None:
    values = root.get_all(connected.get("device_path"))
    common = {name: values.get(name) for name in ("acl", "device_name", "layer", "mtu")}
    assert common == {"acl": [], "device_name": connected.device, "layer": 3, "mtu": 1500}


def test_statistics_are_there_as_soon_as_it_is_connected(connected: Session) -> None:
    statistics = connected.get("statistics")
    assert statistics["BYTES_IN"] > 0
    assert statistics["BYTES_OUT"] > 0
    assert 0 not in statistics.values()


def test_statistics_see_traffic_and_survive_a_restart(served_lab: Lab, connected: Session) -> None:
    before = connected.get("statistics")
    assert served_lab.echo("198.18.0.1", b"x" * 50_000) == b"x" * 50_000
    if SUBJECT.ours:  # for a second, what was read before is read again
        until = time.monotonic() + 5
        while connected.get("statistics")["BYTES_IN"] == before["BYTES_IN"] and time.monotonic() < until:
            pass
    after = connected.get("statistics")
    for name in ("BYTES_IN", "BYTES_OUT", "TUN_BYTES_IN", "TUN_BYTES_OUT"):
        assert after[name] >= before.get(name, 0) + 50_000
    seen = connected.seen
    connected.call("Restart")
    connected.wait(StatusMinor.CONN_CONNECTED, seen)
    again = connected.get("statistics")
    assert {name: again.get(name, 0) >= value for name, value in after.items()} == dict.fromkeys(after, True)


def test_each_session_has_a_backend_of_its_own(session: Session, begin: Begin) -> None:
    assert begin("other").get("backend_pid") != session.get("backend_pid")


@pytest.mark.parametrize("which", ["root", "session", "profile"])
def test_a_property_that_is_not_there(session: Session, which: str) -> None:
    path = {"root": SESSIONS_PATH, "session": session.path, "profile": session.profile}[which]
    for name in ("nope", "receive_log_events"):
        expected = (DBUS_ERROR + "InvalidArgs", f"No such property “{name}”")
        assert error_of_get(session.user, path, name) == expected
        assert error_of_set(session.user, path, name, "s", "x") == expected


def test_an_interface_that_is_not_there(session: Session) -> None:
    alice = session.user
    for member, signature, arguments in (("Get", "ss", ("a.b", "owner")), ("GetAll", "s", ("a.b",))):
        name, text = error_of_call(alice, session.path, PROPERTIES, member, signature, *arguments, to=SESSIONS)
        assert name == DBUS_ERROR + "InvalidArgs"
        assert text.startswith("No such interface")


def test_a_value_of_the_wrong_type(session: Session) -> None:
    expected = (
        DBUS_ERROR + "InvalidArgs", "Error setting property “log_verbosity”: Expected type “u” but got “i”",
    )  # fmt: skip
    assert error_of_set(session.user, session.path, "log_verbosity", "i", 3) == expected


def test_a_property_that_cannot_be_set(session: Session) -> None:
    for path, name, value in ((session.path, "config_name", "x"), (SESSIONS_PATH, "version", "x")):
        expected = (DBUS_ERROR + "InvalidArgs", f"Property “{name}” is not writable")
        assert error_of_set(session.user, path, name, "s", value) == expected


def test_objects_that_are_not_there(alice: BusClient) -> None:
    for kind in ("sessions", "configuration"):
        path = f"/net/openvpn/v3/{kind}/nowhere"
        assert error_of_get(alice, path, "owner") == missing(path)
        assert error_of_set(alice, path, "public_access", "b", True) == missing(path)
        interface = f"net.openvpn.v3.{kind}"
        assert error_of_call(alice, path, PROPERTIES, "GetAll", "s", interface, to=interface) == missing(path)
        member = {"sessions": "Disconnect", "configuration": "Remove"}[kind]
        assert error_of_call(alice, path, interface, member) == missing(path)


def test_setting_log_verbosity(session: Session) -> None:
    for level in (6, 0, 3):
        session.user.set(session.path, "log_verbosity", "u", level)
        assert session.get("log_verbosity") == level
    expected = (DBUS_ERROR + "Failed", "Incorrect log level")
    assert error_of_set(session.user, session.path, "log_verbosity", "u", 7) == expected
    assert session.get("log_verbosity") == 3


@pytest.mark.parametrize(
    ("name", "signature", "value"),
    [("public_access", "b", True), ("restrict_log_access", "b", False), ("log_verbosity", "u", 5)],
)
def test_properties_changed_names_what_was_set_and_nothing_else(
    session: Session, name: str, signature: str, value: object
) -> None:
    before = session.seen
    session.user.set(session.path, name, signature, value)
    signal = session.user.wait_signal(lambda one: one.member == "PropertiesChanged", since=before)
    assert (signal.path, signal.interface) == (session.path, PROPERTIES)
    changed, gone = signal.arguments[1:]
    assert signal.arguments[0] == SESSIONS
    if SUBJECT.ours:
        # It reaches everybody, so it carries no value.
        assert (changed, gone) == ({}, [name])
    else:
        assert (changed, gone) == ({name: value}, [])
    assert session.get(name) == value


def test_status_changes_do_not_count_as_changed_properties(connected: Session) -> None:
    assert [
        one for one in connected.user.signals() if (one.path, one.member) == (connected.path, "PropertiesChanged")
    ] == []


def test_dco_before_connect(session: Session) -> None:
    """`openvpn2` of release 27 asks for it at every start, whatever the profile says, and ends if that fails."""
    session.user.set(session.path, "dco", "b", True)
    # Ours cannot have it, and goes on without.
    assert session.get("dco") is not SUBJECT.ours
    session.user.set(session.path, "dco", "b", False)
    assert session.get("dco") is False


def test_dco_cannot_be_changed_when_connected(connected: Session) -> None:
    expected = (DBUS_ERROR + "Failed", "DCO mode cannot be changed now")
    assert error_of_set(connected.user, connected.path, "dco", "b", True) == expected
