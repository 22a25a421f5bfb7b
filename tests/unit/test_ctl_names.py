"""How sessions are named: by profile, path or device; whole, or by a beginning; what several have is refused."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from ...ctl.exits import CommandExit
from ...ctl.sessions import SessionName, matching, names_a_session, session_name, several_sessions
from ...policy.dbus_numbers import StatusMajor, StatusMinor

BY_PROFILE, BY_DEVICE = ("config_name",), ("device_name",)


def session(name: str, device: str = "", owner: int = 1000, minor: int = StatusMinor.CONN_CONNECTED) -> dict[str, Any]:
    status = [StatusMajor.CONNECTION, minor, ""]
    return {"config_name": name, "device_name": device, "owner": owner, "status": status}


SESSIONS = {
    "/office": session("office", "tun0"),
    "/berlin": session("office-berlin", "tun1"),
    "/tun1": session("tun1", "tun2", owner=0),
    "/failed": session("office", minor=StatusMinor.CONN_FAILED),
    "/gone": session("home", owner=4294967294, minor=StatusMinor.CONN_AUTH_FAILED),
}


@pytest.mark.parametrize(
    ("name", "properties", "found"),
    [
        ("office", None, ["/office"]),  # not the one that has failed
        ("home", None, ["/gone"]),  # there is no other
        ("tun0", None, ["/office"]),
        ("tun1", None, ["/berlin", "/tun1"]),
        ("tun1", BY_DEVICE, ["/berlin"]),
        ("tun1", BY_PROFILE, ["/tun1"]),
        ("tun0", BY_PROFILE, []),
        ("off", None, []),
        ("OFFICE", None, []),
        ("%", None, []),
    ],
)
def test_whole_names(name: str, properties: tuple[str, ...] | None, found: list[str]) -> None:
    assert [*matching(SessionName(name, *([properties] if properties else [])), SESSIONS)] == found


@pytest.mark.parametrize(
    ("beginning", "found"), [("office-", ["/berlin"]), ("off", ["/office", "/berlin"]), ("h", ["/gone"]), ("x", [])]
)
def test_beginnings(beginning: str, found: list[str]) -> None:
    assert [*matching(SessionName(beginning), SESSIONS, beginning=True)] == found


def test_what_several_have_is_listed() -> None:
    error = several_sessions("tun1", {path: SESSIONS[path] for path in ("/tun1", "/gone")})
    assert error.status == CommandExit.REFUSED
    assert str(error).splitlines() == [
        "Error: 2 sessions are named tun1:",
        "  /tun1  root  tun2  Connection, Client connected",
        "  /gone  4294967294  -  Connection, Client authentication failed",
        "  Name one by its path or device.",
    ]


def test_names_of_others_stay_in_their_line() -> None:
    bad = {"/one": session("x", "tun0\n/two  root  tun1  Connection, Client connected")}
    assert len(str(several_sessions("x\n", bad)).splitlines()) == 3


def test_an_argument_is_a_path_or_a_name() -> None:
    assert session_name("/net/a").properties == () and session_name("tun0").properties == (*BY_PROFILE, *BY_DEVICE)
    for wrong in ("", "/net/a-b", "/net/"):
        with pytest.raises(click.BadParameter):
            session_name(wrong)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["office"], SessionName("office")),
        (["/net/a"], SessionName("/net/a", ())),
        (["--config", "office"], SessionName("office", BY_PROFILE)),
        (["--interface", "tun0"], SessionName("tun0", BY_DEVICE)),
        (["--session-path", "/net/a"], SessionName("/net/a", ())),
        ([], None),
        (["office", "--config", "office"], None),
        (["--path", "/net/a", "--interface", "tun0"], None),
        (["--path", "office"], None),
    ],
)
def test_commands_name_one_session(arguments: list[str], named: SessionName | None) -> None:
    seen = []

    @click.command()
    @names_a_session
    @click.option("--other", is_flag=True)
    def command(named: SessionName, other: bool) -> None:
        """Say what."""
        seen.append((named, other))

    done = CliRunner().invoke(command, [*arguments, "--other"])
    assert seen == ([(named, True)] if named else []), done.output
    assert done.exit_code == (CommandExit.OK if named else CommandExit.USAGE)
    assert command.help == "Say what."
