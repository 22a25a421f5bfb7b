"""What ovpnctl prints: layout, JSON, words, and nothing that could steer a terminal."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from ...ctl import show
from ...ctl.__main__ import cli
from ...ctl.exits import MEANING, CommandError, CommandExit, help_epilog
from ...ctl.status_text import Status
from ...policy.dbus_numbers import StatusMajor, StatusMinor

PATH = "/net/openvpn/v3/sessions/46fff369sd155s41e5sb97fs1c8ef4ee8b0e"
SESSION = {
    "owner": 0,
    "session_created": 1_700_000_000,
    "backend_pid": 2252,
    "device_name": "tun0",
    "config_name": "office.ovpn",
    "config_path": "/net/openvpn/v3/configuration/1",
    "session_name": "vpn.example.net",
    "connected_to": ["udp", "203.0.113.1", 1194],
    "status": [2, 7, ""],
}


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_session_as_openvpn3_lays_it_out() -> None:
    assert show.sessions_text({PATH: SESSION}) == (
        "-----------------------------------------------------------------------------\n"
        f"        Path: {PATH}\n"
        "     Created: 2023-11-14 22:13:20                       PID: 2252\n"
        "       Owner: root                                   Device: tun0\n"
        " Config name: office.ovpn\n"
        "Connected to: udp:203.0.113.1:1194\n"
        "      Status: Connection, Client connected\n"
        "-----------------------------------------------------------------------------"
    )


def test_session_of_which_little_may_be_read() -> None:
    text = show.session_text(PATH, {})
    assert "Created: (Not available)" in text and "Owner: (not available)" in text
    assert "PID: -" in text and "Status: (No status)" in text
    assert "Connected" not in text and "Config" not in text


def test_no_sessions() -> None:
    assert show.sessions_text({}) == "No sessions available"


def test_session_json_is_stable() -> None:
    assert show.session_json(PATH, SESSION) == {
        "path": PATH,
        "created": 1_700_000_000,
        "owner": "root",
        "owner_uid": 0,
        "pid": 2252,
        "device": "tun0",
        "config_name": "office.ovpn",
        "config_path": "/net/openvpn/v3/configuration/1",
        "session_name": "vpn.example.net",
        "connected_to": {"protocol": "udp", "address": "203.0.113.1", "port": 1194},
        "status": {"major": 2, "minor": 7, "text": "Connection, Client connected", "message": ""},
    }
    unknown = show.session_json(PATH, {"connected_to": ["", "", 0], "device_name": ""})
    assert unknown["connected_to"] is None and unknown["device"] is None and unknown["owner"] is None


def test_an_owner_without_account_is_a_number() -> None:
    assert show.session_json(PATH, {"owner": 4_000_000_000})["owner"] == "4000000000"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (Status(2, 7), "Connection, Client connected"),
        (Status(2, 13, "Reason: lunch"), "Connection, Client pausing connection: Reason: lunch"),
        (Status(3, 22, "https://sso.example"), "Web authentication required to connect: https://sso.example"),
        (Status(), "(No status)"),
        (Status(9, 99, "new"), "9, 99: new"),
    ],
)
def test_status_in_words(status: Status, text: str) -> None:
    assert str(status) == text


def test_every_code_has_words() -> None:
    for major in StatusMajor:
        assert Status(major, 1).words()[0] != str(int(major))
    for minor in StatusMinor:
        assert Status(1, minor).words()[1] != str(int(minor))


def test_names_and_messages_of_others_cannot_steer_the_terminal() -> None:
    evil = "\x1b]0;owned\x07\r\n\u202e"
    profile = {"name": evil, "owner": 0}
    shown = [
        show.session_text(PATH, {**SESSION, "config_name": evil, "device_name": evil, "status": [2, 10, evil]}),
        show.profiles_text({"/p": profile}, verbose=False),
        show.profiles_text({"/p": profile}, verbose=True),
        show.statistics_text({evil: 1}),
        str(CommandError(evil, CommandExit.REFUSED, evil)),
    ]
    for text in shown:
        assert text.replace("\n", "").isprintable(), text
        assert "\ufffd]0;owned" in text


def test_profiles_table() -> None:
    profiles = {
        "/p1": {"name": "office", "last_used_timestamp": 1_700_000_000, "valid": True},
        "/p2": {"name": "broken", "valid": False},
    }
    lines = show.profiles_text(profiles, verbose=False).splitlines()
    assert lines[2] == f"{'office':<58}2023-11-14 22:13:20"
    assert lines[3] == f"{'!! broken':<58}-"
    assert lines[1] == lines[4] == "-" * 78


def test_profile_json_has_the_members_that_openvpn3_prints() -> None:
    result = show.profile_json("/p", {"name": "office", "owner": 0, "acl": [0], "used_count": 3, "valid": True})
    assert {"name", "imported", "imported_tstamp", "lastused", "lastused_tstamp", "use_count"} <= result.keys()
    assert {"valid", "tags", "dco", "transfer_owner_session"} <= result.keys()
    assert result["acl"] == {
        "owner": "root",
        "locked_down": False,
        "public_access": False,
        "granted_access": ["root"],
    }
    assert (result["use_count"], result["lastused"]) == (3, "")


def test_statistics() -> None:
    text = show.statistics_text({"TUN_BYTES_IN": 1, "BYTES_IN": 1234567})
    assert text.splitlines() == [
        "Connection statistics:",
        "     BYTES_IN..................       1234567",
        "     TUN_BYTES_IN..............             1",
    ]
    assert show.statistics_text({}) == "No statistics available"


def test_every_exit_status_is_explained() -> None:
    assert MEANING.keys() == set(CommandExit)
    assert all(f"{status:>3}  {MEANING[status]}" in help_epilog() for status in CommandExit)


@pytest.mark.parametrize(
    ("command", "shown"),
    [("sessions-list", show.session_json("/s", SESSION)), ("configs-list", show.profile_json("/p", {}))],
)
def test_every_member_of_the_json_stands_in_the_help(command: str, shown: dict[str, Any]) -> None:
    text = CliRunner().invoke(cli, [command, "--help"]).output
    words = set(re.findall(r"\w+", text))
    for name, value in shown.items():
        assert name.removesuffix("_tstamp") in words
        if isinstance(value, dict):
            assert value.keys() <= words
