"""ovpnctl against real services on a real bus, as its users run it."""

import json
from pathlib import Path

import pytest

from ....ctl.exits import CommandExit
from ...lab import service
from ...lab.lab import Lab
from ...support.configuration_service import PROFILE, Configuration

CONFIGURATION_PATH = "/net/openvpn/v3/configuration"


def test_profiles_from_import_to_removal(lab: Lab, configuration: Configuration) -> None:
    file = lab.file("office.ovpn", PROFILE)
    done = lab.ovpnctl("alice", "config-import", "--config", str(file), "--persistent")
    assert done.returncode == 0, done.stderr
    path = done.stdout.split()[-1]
    assert path.startswith(CONFIGURATION_PATH) and done.stderr == ""

    listed = json.loads(lab.ovpnctl("alice", "configs-list", "--json").stdout)
    assert listed.keys() == {path}
    shown = listed[path]
    assert (shown["name"], shown["valid"], shown["persistent"]) == ("office.ovpn", True, True)
    assert shown["acl"]["owner"] == "alice" and shown["use_count"] == 0
    assert "office.ovpn" in lab.ovpnctl("alice", "configs-list").stdout
    assert path in lab.ovpnctl("alice", "configs-list", "--verbose").stdout
    assert lab.ovpnctl("alice", "configs-list", "--count").stdout == "Configurations found: 1\n"
    assert lab.ovpnctl("alice", "configs-list", "--count", "--filter-config", "x").stdout.endswith(" 0\n")
    assert json.loads(lab.ovpnctl("bob", "configs-list", "--json").stdout) == {}

    done = lab.ovpnctl("bob", "config-remove", "--path", path, "--force")
    assert done.returncode == CommandExit.REFUSED
    assert (
        done.stderr.startswith("Error: Access to the configuration profile is denied.\n") and "GDBus" not in done.stderr
    )
    done = lab.ovpnctl("alice", "config-remove", "--config", "office.ovpn")
    assert done.returncode == CommandExit.OTHER and done.stderr.endswith(": \nError: config-remove was cancelled\n")
    done = lab.as_user("alice", [service.OVPNCTL, "config-remove", "--config", "office.ovpn"], stdin="y\n")
    assert done.returncode == 0 and done.stdout.strip() == ""
    done = lab.ovpnctl("alice", "config-remove", "--config", "office.ovpn", "--force")
    assert done.returncode == CommandExit.REFUSED and "no configuration profile named office.ovpn" in done.stderr
    done = lab.ovpnctl("alice", "config-remove", "--path", path, "--force")
    assert done.returncode == CommandExit.REFUSED and f"no configuration profile {path}" in done.stderr


def test_import_from_standard_input_and_of_files(lab: Lab, configuration: Configuration) -> None:
    command = [service.OVPNCTL, "config-import", "--config", "-", "--name", "from stdin", "--json"]
    done = lab.as_user("alice", command, stdin=PROFILE)
    imported = json.loads(done.stdout)
    assert imported["name"] == "from stdin"
    alice = lab.connection("alice")
    assert alice.call(imported["path"], "net.openvpn.v3.configuration", "Fetch") == PROFILE

    file = lab.file("office.ovpn", "client\nca ca.crt\ndev tun\nremote a\n")
    (file.parent / "ca.crt").write_text("CERTIFICATE\n")
    done = lab.ovpnctl("alice", "config-import", "--config", str(file), "--json")
    text = alice.call(json.loads(done.stdout)["path"], "net.openvpn.v3.configuration", "Fetch")
    assert text == "client\n# embedded below: ca ca.crt\ndev tun\nremote a\n<ca>\nCERTIFICATE\n</ca>\n"


NO_PROFILES = {
    "of a bridge": ("client\ndev tap\nremote a\n<ca>\nCA\n</ca>\n", "line 2: dev: asks for a device 'tap'"),
    "with a static key": ("dev tun\nremote a\nsecret static.key\n", "line 3: secret: static keys"),
    "of a server": ("dev tun\nserver 192.0.2.0 255.255.255.0\ndh dh.pem\n", "line 2: server: this is a server's"),
    "of WireGuard": ("[Interface]\nPrivateKey = x\n\n[Peer]\nEndpoint = a:1\n", "WireGuard"),
    "a web page": ("<!DOCTYPE html>\n<html>\n<body>Log in</body>\n</html>\n", "web page"),
    "other settings": ("root:x:0:0:root:/root:/bin/bash\nalice:x:1:1::/:/bin/sh\n", "is this a profile?"),
    "nothing": ("", "empty"),
}


@pytest.mark.parametrize("kind", NO_PROFILES)
def test_what_no_session_can_be_started_with_is_not_imported(kind: str, lab: Lab, configuration: Configuration) -> None:
    """All reasons are told at once; `check` tells the same without the service."""
    text, reason = NO_PROFILES[kind]
    file = str(lab.file("office.ovpn", text))
    done = lab.ovpnctl("alice", "config-import", "--config", file)
    assert done.returncode == CommandExit.REFUSED and done.stdout == ""
    assert (
        done.stderr.startswith("office.ovpn cannot be used:\n") and reason in done.stderr and "--force" in done.stderr
    )
    refused = lab.ovpnctl("alice", "config-import", "--config", file, "--json")
    checked = lab.ovpnctl("alice", "check", file, "--json")
    assert refused.returncode == checked.returncode == CommandExit.REFUSED
    assert json.loads(refused.stdout) == {"path": None, "name": "office.ovpn", **json.loads(checked.stdout)}
    assert json.loads(lab.ovpnctl("alice", "configs-list", "--json").stdout) == {}


def test_what_is_left_out_is_told_at_the_import(lab: Lab, configuration: Configuration) -> None:
    file = lab.file("office.ovpn", PROFILE + "\nup script\nauth-user-pass login\nplugin x\n")
    done = lab.ovpnctl("alice", "config-import", "--config", str(file))
    assert done.returncode == CommandExit.REFUSED and "line 10: plugin" in done.stderr
    done = lab.ovpnctl("alice", "config-import", "--config", str(file), "--force")
    assert done.returncode == 0 and "line 10: plugin" in done.stderr and "Configuration imported." in done.stdout
    file = lab.file("office.ovpn", PROFILE + "\nup script\nauth-user-pass login\n")
    done = lab.ovpnctl("alice", "config-import", "--config", str(file), "--json")
    imported = json.loads(done.stdout)
    assert done.returncode == 0 and imported["usable"]
    assert [(one["option"], one["lines"]) for one in imported["ignored"]] == [("up", [8])]
    assert [(one["option"], one["line"]) for one in imported["warnings"]] == [("auth-user-pass", 9)]
    done = lab.ovpnctl("alice", "config-import", "--config", str(file))
    assert done.stderr.splitlines()[0] == "Left out, or changed:" and "login cannot be read" in done.stderr


def test_check_needs_no_bus(lab: Lab) -> None:
    lab.bus.stop()
    file = str(lab.file("office.ovpn", PROFILE))
    done = lab.ovpnctl("alice", "check", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file} can be used.\n", "")


def test_two_profiles_of_one_name(lab: Lab, configuration: Configuration) -> None:
    file = str(lab.file("office.ovpn", PROFILE))
    paths = [json.loads(lab.ovpnctl("alice", "config-import", "-c", file, "--json").stdout)["path"] for _ in range(2)]
    done = lab.ovpnctl("alice", "config-remove", "--config", "office.ovpn", "--force")
    assert done.returncode == CommandExit.REFUSED
    assert all(path in done.stderr for path in paths)
    assert lab.ovpnctl("alice", "config-remove", "--path", paths[0], "--force").returncode == 0
    assert lab.ovpnctl("alice", "config-remove", "--config", "office.ovpn", "--force").returncode == 0


def test_more_profiles_than_a_bus_permits_calls_at_once(lab: Lab, configuration: Configuration) -> None:
    alice = lab.connection("alice")
    for number in range(400):
        alice.import_profile(f"p{number}", PROFILE)
    listed = json.loads(lab.ovpnctl("alice", "configs-list", "--json").stdout)
    assert [profile["name"] for profile in listed.values()] == [f"p{number}" for number in range(400)]


def test_refusals_of_the_service_are_told(lab: Lab, configuration: Configuration) -> None:
    file = str(lab.file("broken.ovpn", "<ca>\nno end\n"))
    done = lab.ovpnctl("alice", "config-import", "--config", file, "--force")
    assert done.returncode == CommandExit.REFUSED and done.stdout == ""
    assert done.stderr == "Error: The profile cannot be read: line 1: '</ca>' is missing\n"
    done = lab.ovpnctl("alice", "session-start", "--config", "office")
    assert done.returncode == CommandExit.REFUSED and "no configuration profile named office" in done.stderr
    assert "no configuration profile named" in lab.ovpnctl("alice", "session-start", "--config", "x" * 300).stderr


@pytest.mark.parametrize(
    ("file", "reason"),
    [("/nowhere/work.ovpn", "No such file or directory"), ("/root/x/work.ovpn", "Permission denied")],
)
def test_a_file_that_cannot_be_used(file: str, reason: str, lab: Lab, configuration: Configuration) -> None:
    done = lab.ovpnctl("alice", "session-start", "--config", file)
    assert (done.returncode, done.stderr) == (CommandExit.REFUSED, f"Error: {file} cannot be read: {reason}\n")


def test_a_file_of_somebody_else(lab: Lab, configuration: Configuration) -> None:
    file = str(lab.file("office.ovpn", PROFILE, "bob"))
    done = lab.ovpnctl("alice", "config-import", "--config", file)
    assert done.returncode == CommandExit.REFUSED
    assert done.stderr == f"Error: {file} cannot be read: Permission denied\n"


@pytest.mark.parametrize("command", ["sessions-list", "session-stats --config x", "session-manage -D -c x"])
def test_no_session_manager(command: str, lab: Lab) -> None:
    done = lab.ovpnctl("alice", *command.split())
    assert done.returncode == CommandExit.UNREACHABLE and done.stdout == ""
    assert "the session manager is not running, and the bus cannot start it" in done.stderr


def test_no_bus(lab: Lab, tmp_path: Path) -> None:
    lab.bus.stop()
    done = lab.ovpnctl("alice", "sessions-list")
    assert done.returncode == CommandExit.UNREACHABLE and "the system bus cannot be reached" in done.stderr


def test_a_file_that_cannot_become_a_session_leaves_no_profile(lab: Lab, configuration: Configuration) -> None:
    file = str(lab.file("office.ovpn", PROFILE))
    done = lab.ovpnctl("alice", "session-start", "--config", file)
    assert done.returncode == CommandExit.UNREACHABLE and "session manager is not running" in done.stderr
    assert json.loads(lab.ovpnctl("alice", "configs-list", "--json").stdout) == {}
