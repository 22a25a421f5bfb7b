"""Sessions named by profile, path and device: by their owners and root, whole and at a terminal, of several owners."""

import json
from typing import Any

import pytest

from ....ctl.exits import CommandExit
from ....policy.dbus_numbers import StatusMinor
from ...lab import service
from ...lab.auth_server import knows
from ...lab.lab import Lab
from ...lab.surroundings import ACCOUNTS
from ...support.sessions import CONNECTED, PAUSED, UserSession, begin
from ...support.terminal import Terminal


def ctl(lab: Lab, user: str, *arguments: str) -> str:
    """What a command that succeeds prints."""
    done = lab.ovpnctl(user, *arguments)
    assert done.returncode == 0, done
    return done.stdout


def refused(lab: Lab, user: str, *arguments: str) -> list[str]:
    """The lines of a refusal."""
    done = lab.ovpnctl(user, *arguments)
    assert (done.returncode, done.stdout) == (CommandExit.REFUSED, ""), done
    return done.stderr.splitlines()


def terminal(lab: Lab, user: str, *arguments: str) -> Terminal:
    """Run ovpnctl at a terminal."""
    command = lab.client_side.command([service.OVPNCTL, *arguments], user)
    return Terminal(command, {**lab.bus.environment(), "TERM": "xterm", "COLUMNS": "200"})


def connected(lab: Lab, name: str, user: str = "alice") -> UserSession:
    session = begin(lab, name, user)
    session.connect()
    return session


@pytest.mark.parametrize("user", ["alice", "root"])
def test_every_command_takes_every_name(lab: Lab, user: str) -> None:
    lab.server()
    lab.supervisor()
    session = connected(lab, "office")
    device = session.get("device_name")
    for name in ("office", session.path, device):
        assert json.loads(ctl(lab, user, "session-stats", name, "--json")).keys() >= {"BYTES_IN"}
        assert json.loads(ctl(lab, user, "session-acl", name, "--json"))["path"] == session.path
        assert json.loads(ctl(lab, user, "inspect", name, "--json"))["path"] == session.path
        assert json.loads(ctl(lab, user, "status", name, "--json"))["sessions"][0]["path"] == session.path
        assert "does not wait for authentication" in refused(lab, user, "session-auth", name)[0]
    assert "BYTES_IN" in ctl(lab, user, "session-stats", "-c", "office")
    assert "BYTES_IN" in ctl(lab, user, "session-stats", "-I", device)
    assert "there is no session of a device office" in refused(lab, user, "session-stats", "-I", "office")[0]
    assert "there is no session of a profile or device offic" in refused(lab, user, "session-stats", "offic")[0]
    ctl(lab, user, "session-manage", "-c", "office", "--pause")
    session.wait(PAUSED)
    before = session.seen
    ctl(lab, user, "session-manage", session.path, "--resume")
    session.wait(CONNECTED, since=before)
    assert "Session disconnected" in ctl(lab, user, "session-manage", session.get("device_name"), "--disconnect")


def test_what_several_owners_have_is_refused_with_the_list(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    alice, bob = connected(lab, "office"), begin(lab, "office", "bob")
    bob.call("AccessGrant", "u", ACCOUNTS["alice"].uid)
    for user in ("root", "alice"):
        for command in (["session-manage", "office", "--disconnect"], ["down", "office"], ["status", "office"]):
            said = refused(lab, user, *command)
            assert said[0] == "Error: 2 sessions are named office:"
            assert sorted(said[1:3]) == sorted(
                [
                    f"  {alice.path}  alice  {alice.get('device_name')}  Connection, Client connected",
                    f"  {bob.path}  bob  {bob.get('device_name') or '-'}  {said_of(lab, bob)}",
                ]
            )
            assert said[3:] == ["  Name one by its path or device."]
    # Who does not see the other one has one of this name, and root has both by their paths.
    assert json.loads(status(lab, "bob"))["sessions"][0]["path"] == bob.path
    ctl(lab, "root", "down", bob.path)
    assert json.loads(ctl(lab, "root", "status", "office", "--json"))["sessions"][0]["owner"] == "alice"
    ctl(lab, "root", "down", "office")
    assert ctl(lab, "root", "sessions-list") == "No sessions available\n"


def test_answers_go_to_ones_own_session_unless_it_is_named_by_its_path(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    bob = begin(lab, "office", "bob", more=["auth-user-pass"])
    bob.call("AccessGrant", "u", ACCOUNTS["alice"].uid)
    bob.wait(StatusMinor.CFG_REQUIRE_USER)
    assert refused(lab, "alice", "session-auth", "office")[0] == "Error: the session office belongs to another user"
    for user, name in (("alice", bob.path), ("bob", "office"), ("root", "office")):
        done = lab.ovpnctl(user, "session-auth", name)  # nothing is typed
        assert done.returncode == CommandExit.AUTHENTICATION_FAILED, done
        assert "the session asks: Auth User name" in done.stderr


def said_of(lab: Lab, session: UserSession) -> str:
    shown: dict[str, Any] = json.loads(ctl(lab, "root", "sessions-list", "--json"))[session.path]["status"]
    return ": ".join(filter(None, (shown["text"], shown["message"])))


def status(lab: Lab, user: str) -> str:
    """What status prints of a session that is not connected."""
    done = lab.ovpnctl(user, "status", "office", "--json")
    assert done.returncode == CommandExit.NOT_CONNECTED, done
    return done.stdout


def test_a_beginning_suffices_at_a_terminal_for_what_ends_nothing(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = connected(lab, "office-berlin")
    assert refused(lab, "alice", "session-stats", "office")
    for command in (["status"], ["session-stats"], ["inspect"], ["session-acl", "--show"]):
        with terminal(lab, "alice", *command, "office") as shown:
            assert shown.finish() == 0, shown.text
        assert "office is taken for office-berlin (tun0)" in shown.text
    for command in (
        ["down"],
        ["session-manage", "--disconnect"],
        ["session-manage", "--pause"],
        ["session-acl", "--public-access", "true"],
        ["log", "--log-level", "6"],
        ["up", "--replace"],
        ["config-remove", "--force", "-c"],
    ):
        with terminal(lab, "alice", *command, "office") as shown:
            assert shown.finish() == CommandExit.REFUSED, shown.text
        assert "there is no" in shown.text
    begin(lab, "office-paris", connection=session.user)
    with terminal(lab, "alice", "status", "office") as shown:
        assert shown.finish() == CommandExit.REFUSED
    assert "2 sessions are named office" in shown.text
    assert session.get("status")[1] == CONNECTED and not session.get("public_access")


def test_profiles_of_several_owners_are_refused_with_the_list(lab: Lab) -> None:
    lab.supervisor()
    paths = []
    for user in ("alice", "bob"):
        owner = lab.connection(user)
        paths.append(owner.import_profile("office", lab.profile()))
    owner.call(paths[1], "net.openvpn.v3.configuration", "AccessGrant", "u", ACCOUNTS["alice"].uid)
    for command in (["up", "office"], ["session-start", "office"], ["config-remove", "--force", "-c", "office"]):
        said = refused(lab, "alice", *command)
        assert said[0] == "Error: 2 configuration profiles are named office:"
        assert sorted(said[1:3]) == sorted([f"  {paths[0]}  alice  office", f"  {paths[1]}  bob  office"])
