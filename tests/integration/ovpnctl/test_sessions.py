"""ovpnctl and whole sessions: a real service, a real server, traffic, and what goes wrong on the way."""

import json
import re
import signal
from typing import Any

import pytest

from ....ctl.exits import CommandExit
from ....policy.dbus_numbers import StatusMinor
from ...lab import service
from ...lab.auth_server import Deny
from ...lab.connection import SESSIONS_PATH, BusClient
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.pki import weak_identity
from ...lab.processes import Process
from ...support.sessions import begin


def ctl(lab: Lab, *arguments: str, user: str = "alice") -> str:
    """What a command that succeeds prints."""
    done = lab.ovpnctl(user, *arguments)
    assert done.returncode == 0, done
    return done.stdout


def sessions(lab: Lab, user: str = "alice") -> dict[str, Any]:
    listed: dict[str, Any] = json.loads(ctl(lab, "sessions-list", "--json", user=user))
    return listed


def waiting_start(lab: Lab) -> tuple[Process, BusClient, str]:
    """A session-start that waits for a server that is not there, a connection of its user, and its session."""
    alice = lab.connection("alice")
    file = lab.file("office.ovpn", lab.profile())
    process = lab.start_as_user("alice", [service.OVPNCTL, "session-start", "--config", str(file)])
    process.wait_line("Client connecting")
    [path] = alice.session(SESSIONS_PATH, "FetchAvailableSessions")
    return process, alice, path


def test_a_session_from_start_to_end(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    file = str(lab.file("office.ovpn", lab.profile()))
    ctl(lab, "config-import", "--config", file, "--name", "office")
    started = lab.ovpnctl("alice", "session-start", "--config", "office", "--timeout", "20")
    assert started.returncode == 0, started
    first, second = started.stdout.splitlines()
    path = first.removeprefix("Session path: ")
    assert second == f"Connected to {SERVER_ADDRESS}"
    assert "Connection, Client connecting" in started.stderr.splitlines()
    assert lab.echo(TUNNEL_ADDRESS, b"through") == b"through"

    [shown] = sessions(lab).values()
    device = shown["device"]
    assert (shown["path"], shown["owner"], shown["config_name"]) == (path, "alice", "office")
    assert shown["connected_to"] == {"protocol": "udp", "address": SERVER_ADDRESS, "port": 1194}
    assert shown["status"]["text"] == "Connection, Client connected" and shown["pid"] > 0
    text = ctl(lab, "sessions-list")
    assert f"        Path: {path}\n" in text and f"Device: {device}\n" in text
    assert f"Connected to: udp:{SERVER_ADDRESS}:1194\n      Status: Connection, Client connected\n" in text
    assert sessions(lab, "bob") == {} and ctl(lab, "sessions-list", user="bob") == "No sessions available\n"

    again = lab.ovpnctl("alice", "session-start", "--config", "office")
    assert again.returncode == CommandExit.REFUSED and "already running" in again.stderr
    assert lab.ovpnctl("bob", "session-manage", "--path", path, "--disconnect").returncode == CommandExit.REFUSED

    manage = ("session-manage", "--interface", device, "--timeout", "20")
    assert ctl(lab, *manage, "--pause") == "Session paused\n"
    assert sessions(lab)[path]["status"]["minor"] == StatusMinor.CONN_PAUSED
    assert ctl(lab, *manage, "--resume") == "Session connected\n"
    assert lab.echo(TUNNEL_ADDRESS, b"resumed") == b"resumed"
    done = json.loads(ctl(lab, *manage, "--restart", "--json"))
    assert (done["path"], done["status"]["minor"]) == (path, StatusMinor.CONN_CONNECTED)
    assert lab.echo(TUNNEL_ADDRESS, b"restarted") == b"restarted"

    statistics = json.loads(ctl(lab, "session-stats", "--config", "office", "--json"))
    assert statistics["TUN_BYTES_IN"] > 0
    assert "TUN_BYTES_IN..." in ctl(lab, "session-stats", "--path", path)
    done = json.loads(ctl(lab, "session-manage", "--config", "office", "--disconnect", "--json"))
    assert done["action"] == "disconnect" and done["statistics"]["TUN_BYTES_IN"] > 0
    assert sessions(lab) == {}
    gone = lab.ovpnctl("alice", "session-manage", "--path", path, "--disconnect")
    assert gone.returncode == CommandExit.REFUSED and f"there is no session {path}" in gone.stderr


def test_json_of_a_start_is_all_there_is_on_standard_output(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    file = str(lab.file("office.ovpn", lab.profile()))
    shown = json.loads(ctl(lab, "session-start", "--config", file, "--json"))
    assert {**sessions(lab)[shown["path"]], "notices": []} == shown
    assert json.loads(ctl(lab, "configs-list", "--json")) == {}, "the single-use profile is still there"


def test_in_the_background(lab: Lab) -> None:
    lab.supervisor()
    alice = lab.connection("alice")
    profile = alice.import_profile("office", lab.profile())
    text = ctl(lab, "session-start", "--config-path", profile, "--background")
    assert text.endswith("Connecting in the background\n")
    [path] = sessions(lab)
    lab.server()
    assert alice.get(path, "status")[1] in (StatusMinor.CONN_CONNECTING, StatusMinor.CONN_CONNECTED)
    assert ctl(lab, "session-manage", "--path", path, "--disconnect").startswith("Session disconnected.\n")


def test_a_server_that_does_not_answer(lab: Lab) -> None:
    lab.supervisor()
    file = str(lab.file("office.ovpn", lab.profile()))
    done = lab.ovpnctl("alice", "session-start", "--config", file, "--timeout", "0.5")
    assert done.returncode == CommandExit.TIMED_OUT and done.stdout == ""
    assert "Error: not connected within 0.5 s" in done.stderr
    assert sessions(lab) == {}


def test_the_last_error_and_what_to_do_when_the_time_is_over(lab: Lab) -> None:
    lab.supervisor()
    file = str(lab.file("office.ovpn", lab.profile(protocol="tcp")))
    done = lab.ovpnctl("alice", "session-start", "--config", file, "--timeout", "15")
    assert done.returncode == CommandExit.TIMED_OUT
    assert "Error: not connected within 15 s: Connection refused by 198.51.100.1\n  Nothing listens at" in done.stderr


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("credentials", CommandExit.AUTHENTICATION_FAILED, "Authentication failed: Account locked"),
        ("server", CommandExit.NOT_TRUSTED, "has expired"),
        ("certificate", CommandExit.CERTIFICATE_UNUSABLE, "key too small"),
    ],
)
def test_the_exit_status_tells_the_kind_of_failure(lab: Lab, fault: str, status: CommandExit, words: str) -> None:
    if fault == "credentials":
        lab.auth_server(lambda login: Deny("Account locked"))
    else:
        lab.server(identity=lab.pki.expired_server if fault == "server" else None)
    lab.supervisor()
    identity = weak_identity(lab.directory, bits=512) if fault == "certificate" else None
    profile = lab.profile(identity=identity, more=["<auth-user-pass>\nalice\nx\n</auth-user-pass>"])
    done = lab.ovpnctl("alice", "session-start", "--config", str(lab.file("office.ovpn", profile)))
    assert done.returncode == status
    [error, hint] = done.stderr.splitlines()[-2:]
    assert error.startswith("Error: ") and words in error and hint.startswith("  ")
    [kept] = json.loads(ctl(lab, "why", "--json"))
    assert kept["exit_status"] == status


def test_what_is_said_about_old_ciphers_helps(lab: Lab) -> None:
    lab.server(more=["data-ciphers AES-256-CBC"])
    lab.supervisor()
    ctl(lab, "config-import", "--config", str(lab.file("office.ovpn", lab.profile())), "--name", "office")
    done = lab.ovpnctl("alice", "session-start", "--config", "office")
    assert done.returncode == CommandExit.NOTHING_IN_COMMON and "no shared cipher" in done.stderr
    [command] = re.findall("`ovpnctl (.*)`", done.stderr)
    assert "--enable-legacy-algorithms true" in command
    ctl(lab, *command.replace("NAME", "office").split())
    ctl(lab, "session-start", "--config", "office")


def test_a_profile_that_is_refused(lab: Lab) -> None:
    lab.supervisor()
    file = str(lab.file("office.ovpn", lab.profile(more=["crl-verify [inline]"])))
    done = lab.ovpnctl("alice", "session-start", "--config", file)
    assert done.returncode == CommandExit.REFUSED and "crl-verify" in done.stderr and done.stdout == ""
    assert sessions(lab) == {} and json.loads(ctl(lab, "configs-list", "--json")) == {}


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (signal.SIGINT, CommandExit.INTERRUPTED, "Error: interrupted"),
        (signal.SIGTERM, CommandExit.TERMINATED, "Error: terminated"),
        (signal.SIGHUP, CommandExit.HUNG_UP, "Error: the terminal was closed"),
    ],
)
def test_interrupted(lab: Lab, number: signal.Signals, status: CommandExit, words: str) -> None:
    lab.supervisor()
    process, alice, _ = waiting_start(lab)
    process.signal(number)
    assert process.wait() == status and words in process.text
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []


@pytest.mark.parametrize("standard_error", ["2>/dev/full", "2>&-", "2> >(true)"])
def test_nothing_is_left_where_nobody_can_be_told(lab: Lab, standard_error: str) -> None:
    lab.supervisor()
    command = [service.OVPNCTL, "session-start", "--timeout", "0.5", "--config"]
    shell = ["bash", "-c", f'exec "$@" {standard_error}', "bash"]
    done = lab.as_user("alice", [*shell, *command, str(lab.file("office.ovpn", lab.profile()))])
    assert (done.returncode, done.stdout, done.stderr) == (CommandExit.TIMED_OUT, "", "")
    assert sessions(lab) == {}


def test_results_that_cannot_be_written(lab: Lab) -> None:
    lab.supervisor()
    for command in ("sessions-list", "configs-list --json"):
        done = lab.as_user("alice", ["bash", "-c", f"{service.OVPNCTL} {command} >/dev/full"])
        assert done.returncode == CommandExit.OTHER
        assert done.stderr == "Error: standard output cannot be written: No space left on device\n"


def test_paused_before_it_was_connected(lab: Lab) -> None:
    """The first call of a command is the one that is waited for, and nobody else would connect the session."""
    lab.server()
    lab.supervisor()
    session = begin(lab)
    manage = ("session-manage", "--path", session.path)
    assert ctl(lab, *manage, "--pause", "--timeout", "20") == "Session paused\n"
    assert ctl(lab, *manage, "--resume", "--timeout", "20") == "Session connected\n"
    assert lab.echo(TUNNEL_ADDRESS, b"resumed") == b"resumed"
    session.call("Disconnect")

    session = begin(lab, "other", connection=session.user)
    session.call("Pause", "s", "")
    before = session.seen
    assert ctl(lab, "session-manage", "--path", session.path, "--resume") == "Initiated session resume\n"
    session.wait(StatusMinor.CONN_CONNECTED, since=before)


def test_somebody_else_ends_the_session(lab: Lab) -> None:
    lab.supervisor()
    process, alice, path = waiting_start(lab)
    alice.session(path, "Disconnect")
    assert process.wait() == CommandExit.CONNECTION_FAILED and "Error: Client disconnected" in process.text


def test_the_service_dies(lab: Lab) -> None:
    supervisor = lab.supervisor()
    process, _, _ = waiting_start(lab)
    supervisor.process.signal(signal.SIGKILL)
    assert process.wait() == CommandExit.UNREACHABLE and "session manager has left the bus" in process.text
    lab.supervisor()  # takes away the device that the killed one could not


def test_the_bus_dies(lab: Lab) -> None:
    supervisor = lab.supervisor()
    process, _, _ = waiting_start(lab)
    lab.bus.process.signal(signal.SIGKILL)
    assert process.wait() == CommandExit.UNREACHABLE and "connection to the bus was lost" in process.text
    assert supervisor.stop() == 0  # the session would go on until the bus is back
