"""`ovpnctl up` and `down`: profiles and files, sessions that are new or there, what is waited for, refusals."""

import json
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

from ....ctl.exits import CommandExit
from ....policy.dbus_numbers import StatusMinor
from ...lab import service
from ...lab.auth_server import knows
from ...lab.connection import SESSIONS_PATH
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.surroundings import ACCOUNTS
from ...support.sessions import begin
from ...support.terminal import Terminal

CONFIGURATION = "net.openvpn.v3.configuration"


def ctl(lab: Lab, *arguments: str, user: str = "alice") -> str:
    """What a command that succeeds prints."""
    done = lab.ovpnctl(user, *arguments)
    assert done.returncode == 0, done
    return done.stdout


def up(lab: Lab, *arguments: str, user: str = "alice") -> dict[str, Any]:
    """What `up --json` prints."""
    shown: dict[str, Any] = json.loads(ctl(lab, "up", "--json", *arguments, user=user))
    return shown


def sessions(lab: Lab, user: str = "alice") -> dict[str, Any]:
    listed: dict[str, Any] = json.loads(ctl(lab, "sessions-list", "--json", user=user))
    return listed


def inside(lab: Lab, directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run ovpnctl in a directory, as alice."""
    command = f"cd {shlex.quote(str(directory))} && exec {shlex.join([service.OVPNCTL, *arguments])}"
    return lab.as_user("alice", ["sh", "-c", command])


def test_a_profile_up_and_down(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    alice = lab.connection("alice")
    profile = alice.import_profile("office", lab.profile())
    assert ctl(lab, "up", "office", "--timeout", "20") == f"office: Connected to {SERVER_ADDRESS} on tun0\n"
    assert lab.echo(TUNNEL_ADDRESS, b"through") == b"through"
    [path] = sessions(lab)
    again = up(lab, "office")
    assert (again["path"], again["started"], again["notices"]) == (path, False, [])
    assert up(lab, profile)["path"] == path
    ctl(lab, "session-manage", "office", "--pause", "--timeout", "20")
    assert up(lab, "office")["path"] == path
    assert sessions(lab)[path]["status"]["minor"] == StatusMinor.CONN_CONNECTED
    new = up(lab, "office", "--replace")
    assert new["started"] and new["path"] != path and [*sessions(lab)] == [new["path"]]
    assert lab.echo(TUNNEL_ADDRESS, b"replaced") == b"replaced"
    assert ctl(lab, "down", "office") == "office: disconnected\n"
    assert sessions(lab) == {}
    assert "there is no session" in lab.ovpnctl("alice", "down", "office").stderr
    assert ctl(lab, "session-start", "office").startswith("Session path: ")


def test_one_paused_before_it_was_connected_goes_on(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab, "office")
    session.call("Pause", "s", "")
    session.wait(StatusMinor.CONN_PAUSED)
    assert up(lab, "office")["path"] == session.path
    session.call("Disconnect")
    session = begin(lab, "home", connection=session.user)
    assert up(lab, "home")["path"] == session.path


def test_a_file_is_used_once(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    file = lab.file("office.ovpn", lab.profile())
    shown = up(lab, str(file))
    assert (shown["config_name"], shown["started"]) == ("office.ovpn", True)
    assert json.loads(ctl(lab, "configs-list", "--json")) == {}
    again = lab.ovpnctl("alice", "up", str(file))
    assert again.returncode == CommandExit.REFUSED and "--replace ends it first" in again.stderr
    assert shown["path"] in again.stderr and [*sessions(lab)] == [shown["path"]]
    # What is wrong with the file is found before the session that is there is ended.
    wrong = lab.file("office.ovpn", lab.profile(more=["crl-verify [inline]"]))
    done = lab.ovpnctl("alice", "up", "--replace", str(wrong))
    assert done.returncode == CommandExit.REFUSED and "crl-verify" in done.stderr
    assert [*sessions(lab)] == [shown["path"]]
    assert up(lab, "--replace", str(file))["path"] != shown["path"] and len(sessions(lab)) == 1


def test_what_is_a_file_and_what_a_profile(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    directory = lab.file("office.ovpn", lab.profile()).parent
    (directory / "office").symlink_to("office.ovpn")
    done = inside(lab, directory, "up", "office")
    assert done.returncode == CommandExit.REFUSED and "The file of this name is ./office" in done.stderr
    done = inside(lab, directory, "up", "missing.ovpn")
    assert done.returncode == CommandExit.REFUSED and "no configuration profile named missing.ovpn" in done.stderr

    # Of a name that both have, what somebody else shares is not taken for the file.
    bob = lab.connection("bob")
    shared = bob.import_profile("office.ovpn", lab.profile())
    bob.call(shared, CONFIGURATION, "AccessGrant", "u", ACCOUNTS["alice"].uid)
    done = inside(lab, directory, "up", "office.ovpn")
    assert done.returncode == CommandExit.REFUSED
    assert f"  {shared}  bob  office.ovpn" in done.stderr and "./office.ovpn is the file" in done.stderr
    assert sessions(lab) == {}
    bob.call(shared, CONFIGURATION, "Remove")

    done = inside(lab, directory, "up", "--json", "office.ovpn")
    assert done.returncode == 0 and "Using configuration profile from file: office.ovpn" in done.stderr
    ctl(lab, "down")
    own = lab.connection("alice").import_profile("office.ovpn", lab.profile())
    done = inside(lab, directory, "up", "--json", "office.ovpn")
    assert json.loads(done.stdout)["config_path"] == own and "./office.ovpn is the file" in done.stderr
    done = inside(lab, directory, "up", "--replace", "--json", "./office.ovpn")
    assert json.loads(done.stdout)["config_path"] != own


def test_nobody_elses_session_is_in_the_way_or_ended(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    for user in ("bob", "alice", "root"):
        lab.connection(user).import_profile("office", lab.profile())
    bob = up(lab, "office", user="bob")
    lab.connection("bob").session(bob["path"], "AccessGrant", "u", ACCOUNTS["alice"].uid)
    assert up(lab, "office", "--replace", user="alice")["owner"] == "alice"
    assert up(lab, "office", "--replace", user="root")["owner"] == "root"
    assert [*sessions(lab, "bob")] == [bob["path"]]
    for user in ("alice", "root"):
        ctl(lab, "down", "--all", user=user)
        assert ctl(lab, "down", "--all", user=user) == "No sessions available\n"
    assert [*sessions(lab, "root")] == [bob["path"]]
    ctl(lab, "down", "office", user="root")
    assert sessions(lab, "bob") == {}


def test_the_only_one_or_all(lab: Lab) -> None:
    lab.supervisor()
    none = lab.ovpnctl("alice", "down")
    assert none.returncode == CommandExit.REFUSED and "no session belongs to you" in none.stderr
    first = begin(lab, "one")
    begin(lab, "other", "bob").call("AccessGrant", "u", ACCOUNTS["alice"].uid)
    assert ctl(lab, "down") == "one: disconnected\n"
    paths = {begin(lab, name, connection=first.user).path for name in ("two", "three")}
    both = lab.ovpnctl("alice", "down")
    assert both.returncode == CommandExit.REFUSED and "2 sessions belong to you:" in both.stderr
    assert all(path in both.stderr for path in paths)
    assert lab.ovpnctl("alice", "down", "two", "--all").returncode == CommandExit.USAGE
    done = json.loads(ctl(lab, "down", "--all", "--json"))
    assert {one["path"] for one in done} == paths and {one["config_name"] for one in done} == {"two", "three"}
    assert [one["config_name"] for one in sessions(lab).values()] == ["other"]


def test_not_in_time(lab: Lab) -> None:
    lab.supervisor()
    file = str(lab.file("office.ovpn", lab.profile()))
    done = lab.ovpnctl("alice", "up", file, "--timeout", "0.5")
    assert (done.returncode, done.stdout) == (CommandExit.TIMED_OUT, "")
    assert "Error: not connected within 0.5 s" in done.stderr and sessions(lab) == {}
    session = begin(lab, "work")  # one that was there goes on
    done = lab.ovpnctl("alice", "up", "work", "--timeout", "0.5")
    assert done.returncode == CommandExit.TIMED_OUT and [*sessions(lab)] == [session.path]


def test_usable_is_more_than_connected(lab: Lab) -> None:
    """Bob's session has the network that a route of alice's is for, until it ends."""
    route = "route 198.19.7.0 255.255.255.0"
    lab.server(pushes=(*USUAL_PUSHES, route))
    lab.server(port=1195, subnet="198.18.1.0", subnet6="2001:db8:4::/64", pushes=[route])
    lab.supervisor()
    bob = begin(lab, "bobs", "bob")
    bob.connect()
    lab.connection("alice").import_profile("office", lab.profile(remotes=[f"{SERVER_ADDRESS} 1195"]))
    done = lab.ovpnctl("alice", "up", "office", "--wait", "usable", "--timeout", "5")
    assert done.returncode == CommandExit.TIMED_OUT and sessions(lab) == {}, done
    assert "Error: connected, but not usable within 5 s:\n  route 198.19.7.0/24: " in done.stderr
    assert "--wait connected does not wait for these" in done.stderr
    assert up(lab, "office")["started"]
    waiting = lab.start_as_user("alice", [service.OVPNCTL, "up", "office", "--wait", "usable"])
    waiting.wait_line("Connected, but for route 198.19.7.0/24")
    bob.call("Disconnect")
    assert waiting.wait() == 0, waiting.text
    [shown] = json.loads(ctl(lab, "status", "office", "--json"))["sessions"]
    assert shown["not_in_force"] == [] and "198.19.7.0/24" in [one["destination"] for one in shown["routes"]]


def test_the_wrong_password(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    file = str(lab.file("office.ovpn", lab.profile(more=["auth-user-pass"])))
    for stdin, status in (("alice\nwrong\n", CommandExit.AUTHENTICATION_FAILED), ("alice\nopen sesame\n", 0)):
        done = lab.as_user("alice", [service.OVPNCTL, "up", file], stdin=stdin)
        assert done.returncode == status, done
        assert "wrong" not in done.stderr and "open sesame" not in done.stderr
        assert len(sessions(lab)) == (status == 0)


def test_interrupted(lab: Lab) -> None:
    lab.supervisor()
    alice = lab.connection("alice")
    file = str(lab.file("office.ovpn", lab.profile()))
    process = lab.start_as_user("alice", [service.OVPNCTL, "up", file])
    process.wait_line("Client connecting")
    process.signal(signal.SIGINT)
    assert process.wait() == CommandExit.INTERRUPTED and "Error: interrupted" in process.text
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_a_beginning_at_a_terminal(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    alice = lab.connection("alice")
    alice.import_profile("office-berlin", lab.profile())
    piped = lab.ovpnctl("alice", "up", "office")
    assert piped.returncode == CommandExit.REFUSED and "no configuration profile named office" in piped.stderr
    command = lab.client_side.command([service.OVPNCTL, "up", "office"], "alice")
    with Terminal(command, {**lab.bus.environment(), "TERM": "xterm"}) as shown:
        shown.wait(f"office-berlin: Connected to {SERVER_ADDRESS}")
        assert shown.finish() == 0
    assert len(sessions(lab)) == 1


def test_two_sessions_of_one_name_are_not_joined_or_replaced(lab: Lab) -> None:
    lab.supervisor()
    alice = lab.connection("alice")
    paths = [begin(lab, "office", connection=alice).path for _ in range(2)]
    file = lab.file("office.ovpn", lab.profile())
    named = file.rename(file.with_name("office"))
    done = lab.ovpnctl("alice", "up", "--replace", str(named))
    assert done.returncode == CommandExit.REFUSED and all(path in done.stderr for path in paths)
    assert {*sessions(lab)} == {*paths}
