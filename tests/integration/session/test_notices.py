"""What is left out of a session or changed reaches who starts it and who uses it, and nobody else."""

import json
from typing import Any

from ....policy.dbus_numbers import LogCategory
from ...lab.connection import SESSIONS_PATH
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import USUAL_PUSHES
from ...lab.surroundings import ACCOUNTS
from ...support.sessions import CONNECTED, UserSession

INSPECTION = "net.openvpn.v3.sessions.inspect"
IGNORED = "script-security (line "
LEFT_OUT = f"route {SERVER_ADDRESS}/32 left out: "


def prepared(lab: Lab) -> str:
    """A service and a server that pushes a route which cannot be; a file of alice's with an option that is ignored."""
    lab.server(pushes=[*USUAL_PUSHES, f"route {SERVER_ADDRESS} 255.255.255.255"])
    lab.supervisor()
    return str(lab.file("work.ovpn", lab.profile(more=["script-security 2"])))


def start(lab: Lab, *arguments: str) -> Any:
    done = lab.ovpnctl("alice", "session-start", "--timeout", "20", *arguments)
    assert done.returncode == 0, done
    return done


def only_session(lab: Lab) -> UserSession:
    alice = lab.connection("alice")
    [path] = alice.session(SESSIONS_PATH, "FetchAvailableSessions")
    return UserSession(alice, "", path)


def test_who_starts_a_session_is_told_what_was_left_out(lab: Lab) -> None:
    file = prepared(lab)
    shown = [line for line in start(lab, "--config", file).stderr.splitlines() if line.startswith("Warning: ")]
    assert len(shown) == 2
    assert shown[0].startswith(f"Warning: {IGNORED}") and shown[1].startswith(f"Warning: {LEFT_OUT}")
    session = only_session(lab)
    text = lab.ovpnctl("alice", "inspect", session.path).stdout
    assert all(line.removeprefix("Warning: ") in text for line in shown)
    session.call("Disconnect")

    done = start(lab, "--config", file, "--quiet", "--json")
    assert done.stderr == ""
    notices = json.loads(done.stdout)["notices"]
    assert notices == [line.removeprefix("Warning: ") for line in shown]
    inspected = lab.ovpnctl("alice", "inspect", json.loads(done.stdout)["path"], "--json")
    assert json.loads(inspected.stdout)["notices"] == notices


def test_who_may_use_the_session_and_root_see_them(lab: Lab) -> None:
    start(lab, "--config", prepared(lab))
    session = only_session(lab)
    bob, root = lab.connection("bob"), lab.connection("root")
    assert bob.get_all(session.path, INSPECTION) == {}
    assert len(root.get(session.path, "notices", INSPECTION)) == 2
    session.call("AccessGrant", "u", ACCOUNTS["bob"].uid)
    assert bob.get(session.path, "notices", INSPECTION) == session.user.get(session.path, "notices", INSPECTION)


def test_a_log_forward_begins_with_them(lab: Lab) -> None:
    start(lab, "--config", prepared(lab))
    session = only_session(lab)
    session.call("LogForward", "b", True)
    for words in (IGNORED, LEFT_OUT):
        line = session.user.wait_signal(lambda one, words=words: one.member == "Log" and words in one.arguments[2])  # type: ignore[misc]
        assert line.arguments[1] == LogCategory.WARN


def test_a_new_connection_says_them_anew(lab: Lab) -> None:
    start(lab, "--config", prepared(lab))
    session = only_session(lab)
    notices = session.user.get(session.path, "notices", INSPECTION)
    before = session.seen
    session.call("Restart")
    session.wait(CONNECTED, since=before)
    assert session.user.get(session.path, "notices", INSPECTION) == notices
