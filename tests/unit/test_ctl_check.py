"""`ovpnctl check` says what a session would make of a profile, without the service."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ...ctl.__main__ import cli
from ...ctl.exits import CommandError, CommandExit

GOOD = "client\ndev tun\nremote vpn.example 1194\n<ca>\nCA\n</ca>\n"


def test_a_profile_that_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "office.ovpn"
    file.write_text(GOOD + "up x\nup y\nauth-user-pass\n")
    done = CliRunner().invoke(cli, ["check", str(file)])
    assert done.exit_code == CommandExit.OK
    assert done.output.splitlines() == [
        f"{file} can be used.",
        "Left out, or changed:",
        "  lines 7, 8: up: programs are not run; addresses, routes and name servers are set by the session manager",
        "Asked for at the start:",
        "  user name and password",
    ]
    done = CliRunner().invoke(cli, ["check", str(file), "--json"])
    found = json.loads(done.output)
    assert done.exit_code == CommandExit.OK and found["usable"] and found["ignored"][0].pop("reason")
    assert found == {
        "usable": True,
        "refused": [],
        "ignored": [{"option": "up", "lines": [7, 8]}],
        "warnings": [],
        "asks": ["user name and password"],
    }


def test_a_profile_that_cannot_be_used() -> None:
    done = CliRunner().invoke(cli, ["check", "-"], input="client\ndev tap\nremote a b\nauth-user-pass\n\x1b[2J\n")
    assert done.exit_code == CommandExit.REFUSED and "Asked for" not in done.output
    done = CliRunner().invoke(cli, ["check", "-", "--json"], input="client\ndev tap\nremote a b\n")
    found = json.loads(done.output)
    assert done.exit_code == CommandExit.REFUSED and not found["usable"]
    assert [(one["option"], one["line"]) for one in found["refused"]] == [(None, None), ("dev", 2), ("remote", 3)]


def test_the_kind_of_a_profile_comes_before_its_files(tmp_path: Path) -> None:
    file = tmp_path / "server.conf"
    file.write_text("dev tun\nca none\nserver 198.18.0.0 255.255.255.0\n")
    found = json.loads(CliRunner().invoke(cli, ["check", str(file), "--json"]).output)
    assert [(one["option"], one["line"]) for one in found["refused"]] == [("server", 3), (None, None), ("ca", 2)]


@pytest.mark.parametrize(("text", "can"), [("client\ndev tap\n", True), ("<html>\n", False), ("client '\n", False)])
def test_force_is_offered_where_it_helps(text: str, can: bool, tmp_path: Path) -> None:
    file = tmp_path / "office.ovpn"
    file.write_text(text)
    done = CliRunner().invoke(cli, ["config-import", "--config", str(file)])
    assert done.exit_code == CommandExit.REFUSED and "It is not imported" in done.output
    assert ("--force" in done.output) == can


def test_files_and_credentials(tmp_path: Path) -> None:
    file = tmp_path / "office.ovpn"
    file.write_text(GOOD + "dev tap\nauth-user-pass none\nkey none\nkey none\nplugin x\n")
    found = json.loads(CliRunner().invoke(cli, ["check", str(file), "--json"]).output)
    assert [(one["option"], one["line"]) for one in found["refused"]] == [("dev", 7), ("key", 10), ("plugin", 11)]
    assert [(one["option"], one["line"]) for one in found["warnings"]] == [("auth-user-pass", 8)]
    file.write_text(GOOD + "auth-user-pass none\n")
    assert "Warnings:" in CliRunner().invoke(cli, ["check", str(file)]).output
    asked = CliRunner().invoke(cli, ["check", str(file), "--ask-credentials"])
    assert asked.exit_code == CommandExit.OK and "Warnings:" not in asked.output and "user name" in asked.output
    done = CliRunner().invoke(cli, ["check", str(tmp_path / "none")])
    assert isinstance(done.exception, CommandError) and done.exception.status == CommandExit.REFUSED
