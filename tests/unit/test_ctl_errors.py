"""Answers of the services in words for users; command lines and files that are refused before any call."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ...ctl.__main__ import cli
from ...ctl.acl import user_id
from ...ctl.bus import failure
from ...ctl.exits import CommandError, CommandExit
from ...ctl.profile_file import read_profile
from ...ctl.profiles import the_only
from ...ctl.services import CONFIGURATION, SESSIONS
from ...policy.configuration import table
from ...policy.limits import MAX_PROFILE

DAEMON = "org.freedesktop.DBus.Error."
GDBUS = "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2egdbuspp.Code36"


@pytest.mark.parametrize(
    ("name", "text", "expected", "status"),
    [
        (GDBUS, "GDBus.Error:net.openvpn.gdbuspp: Access denied", "Access denied", CommandExit.REFUSED),
        (GDBUS, "GDBus.Error:net.openvpn.gdbuspp.request:  Not paused", "Not paused", CommandExit.REFUSED),
        (GDBUS, "a GDBus.Error:x: in the middle", "a GDBus.Error:x: in the middle", CommandExit.REFUSED),
        ("org.example.Odd", "", "org.example.Odd", CommandExit.REFUSED),
        (DAEMON + "ServiceUnknown", "The name …", "the session manager is not running", CommandExit.UNREACHABLE),
        (
            DAEMON + "Spawn.ChildExited",
            "status 3",
            "could not start the session manager: status 3",
            CommandExit.UNREACHABLE,
        ),
        (DAEMON + "NoReply", "disconnected", "did not answer: disconnected", CommandExit.UNREACHABLE),
        (
            DAEMON + "UnknownMethod",
            "No such interface: Object does not exist at path “/s/1”",
            "there is no session /s/1",
            CommandExit.REFUSED,
        ),
        (DAEMON + "UnknownMethod", "No such method", "No such method", CommandExit.REFUSED),
    ],
)
def test_error_replies(name: str, text: str, expected: str, status: CommandExit) -> None:
    error = failure(SESSIONS, name, text, "/s/1")
    assert expected in error.message and error.status == status
    assert "GDBus.Error" not in error.message or "GDBus.Error" in expected


def test_hints_say_what_to_do() -> None:
    running = "A session with this configuration profile is already running"
    assert "sessions-list" in failure(SESSIONS, GDBUS, running, "/s/1").hint
    assert "configs-list" in failure(CONFIGURATION, DAEMON + "UnknownMethod", "Object does not exist", "/c/1").hint
    assert "installed" in failure(SESSIONS, DAEMON + "ServiceUnknown", "", "/s/1").hint
    failed = "Could not activate remote peer 'net.openvpn.v3.sessions': unit failed"
    for name, text in (("NameHasNoOwner", failed), ("Spawn.ChildExited", "status 23"), ("TimedOut", "")):
        assert "systemctl status openvpn3-sessionmgr" in failure(SESSIONS, DAEMON + name, text, "/s/1").hint


@pytest.mark.parametrize("name", ["NameHasNoOwner", "ServiceUnknown", "Spawn.ChildExited", "TimedOut"])
def test_a_wrong_configuration_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("redirec = []\n")
    monkeypatch.setattr(table, "DIRECTORY", str(tmp_path))
    hint = failure(SESSIONS, DAEMON + name, "", "/s/1").hint
    assert "redirec" in hint and "ovpnctl config-check" in hint and "installed" not in hint


def test_a_name_must_be_of_one_thing() -> None:
    none: dict[str, dict[str, Any]] = {}
    both: dict[str, dict[str, Any]] = {"/a": {"name": "x", "owner": 0}, "/b": {"name": "x"}}
    assert the_only({"/a": {}}, "x") == "/a"
    for found in (none, both):
        with pytest.raises(CommandError) as caught:
            the_only(found, "x")
        assert caught.value.status == CommandExit.REFUSED
    with pytest.raises(CommandError) as caught:
        the_only(both, "x", "--config-path")
    assert str(caught.value).splitlines() == [
        "Error: 2 configuration profiles are named x:",
        "  /a  root  x",
        "  /b  -  x",
        "  Name one by --config-path.",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#" * (MAX_PROFILE + 1), "larger than 4 MiB"),
        (None, "No such file"),
    ],
)
def test_files_that_are_no_profile(content: bytes | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "profile"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError) as caught:
        read_profile(str(file))
    assert words in caught.value.message and caught.value.status == CommandExit.REFUSED


def test_the_largest_profile_is_read(tmp_path: Path) -> None:
    (tmp_path / "profile").write_bytes(b"#" * MAX_PROFILE)
    assert len(read_profile(str(tmp_path / "profile")).text) == MAX_PROFILE


@pytest.mark.parametrize(
    "arguments",
    [
        "no-such-command",
        "config-import",
        "config-import --config -",
        "configs-list --json --count",
        "config-remove",
        "config-remove --config a --path /b",
        "session-start",
        "session-start --config a --config-path /b",
        "session-start --config a --timeout 0",
        "session-start --config a --timeout soon",
        "session-start --config a --timeout nan",
        "session-auth --timeout inf",
        "session-manage --config a",
        "session-manage --disconnect",
        "session-manage --config a --pause --disconnect",
        "session-manage --config a --resume --restart --timeout 5",
        "session-manage --config a --interface tun0 --pause",
        "session-stats",
    ],
)
def test_wrong_command_lines(arguments: str) -> None:
    result = CliRunner().invoke(cli, arguments.split())
    assert result.exit_code == CommandExit.USAGE, result.output


# How commands name one profile or session, and what they need besides.
_NAMED = {
    "config-acl": ["--show"],
    "config-dump": [],
    "config-manage": ["--show"],
    "config-remove": ["--force"],
    "log": [],
    "session-acl": ["--show"],
    "session-manage": ["--disconnect"],
    "session-start": [],
    "session-stats": [],
}


@pytest.mark.parametrize("command", _NAMED)
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--path", "bad path", "'bad path' is not a D-Bus path"),
        ("--path", "relative", "'relative' is not a D-Bus path"),
        ("--path", "/a/", "'/a/' is not a D-Bus path"),
        ("--path", "/a\n", "is not a D-Bus path"),
        ("--path", "", "It is empty."),
        ("--config", "", "It is empty."),
        ("--config", "a\udcff", "It is not UTF-8."),
    ],
)
def test_names_that_cannot_be(command: str, option: str, value: str, words: str) -> None:
    if (command, option) == ("session-start", "--path"):
        option = "--config-path"
    result = CliRunner().invoke(cli, [command, option, value, *_NAMED[command]])
    assert result.exit_code == CommandExit.USAGE and f"'{option}'" in result.output.splitlines()[-1]
    assert words in result.output


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["session-manage", "-D", "--interface", ""], "'-I' / '--interface'"),
        (["session-acl", "--config", "a", "--grant", "\udcff"], "'-G' / '--grant'"),
        (["session-start", "--config", "a", "--credentials-file", ""], "'--credentials-file'"),
        (["config-import", "--config", ""], "'-c' / '--config'"),
        (["config-import", "--config", "/dev/null", "--name", ""], "'-n' / '--name'"),
        (["config-import", "--config", "/dev/null", "--name", "\udcff"], "'-n' / '--name'"),
        (["config-import", "--config", "/dev/null", "--tag", ""], "'--tag'"),
        (["configs-list", "--filter-owner", "\udcff"], "'--filter-owner'"),
        (["configs-list", "--filter-tag", ""], "'--filter-tag'"),
        (["config-manage", "--config", "a", "--rename", ""], "'-r' / '--rename'"),
        (["config-manage", "--config", "a", "--server-override", "\udcff"], "'--server-override'"),
        (["config-acl", "--config", "a", "--revoke", ""], "'-R' / '--revoke'"),
    ],
)
def test_texts_that_cannot_travel_on_the_bus(arguments: list[str], option: str) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == CommandExit.USAGE and f"Invalid value for {option}: It is " in result.output


def test_a_file_whose_name_is_not_utf8_needs_a_name() -> None:
    result = CliRunner().invoke(cli, ["config-import", "--config", "/nowhere/\udcff.ovpn"])
    assert result.exit_code == CommandExit.USAGE and "give the profile a --name" in result.output


def test_numbers_of_users() -> None:
    assert user_id("4001") == 4001
    for user in ("4294967295", "9" * 5000, "nobody at all"):
        with pytest.raises(CommandError, match="there is no user"):
            user_id(user)


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_help_of_each_command(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0 and "Usage:" in result.output
