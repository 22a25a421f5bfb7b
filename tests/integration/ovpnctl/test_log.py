"""ovpnctl log and session-acl, with real sessions of two users."""

import json
import re
import signal

from ....ctl.exits import CommandExit
from ....policy.dbus_numbers import StatusMinor
from ...lab import service
from ...lab.lab import Lab
from ...lab.processes import Process
from ...support.sessions import PAUSED, UserSession


def follow(lab: Lab, *arguments: str, user: str = "alice") -> Process:
    return lab.start_as_user(user, [service.OVPNCTL, "log", *arguments])


def test_the_log_of_a_session_until_it_ends(lab: Lab, session: UserSession) -> None:
    log = follow(lab, "--config", "work", "--log-level", "4")
    log.wait_line(f"^Attached to session {session.path}$")
    assert session.get("log_verbosity") == 4
    session.connect()
    log.wait_line(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d Client INFO: Connected: 198\.51\.100\.1:1194 ")
    session.call("Disconnect")
    assert log.wait() == CommandExit.OK
    statuses = re.findall(r"^\S+ \S+ \[STATUS\] (.*)$", log.text, re.MULTILINE)
    assert statuses == [
        f"Connection, Configuration OK: config_path={session.profile}",
        "Connection, Client connecting",
        "Connection, Client connecting",
        "Connection, Client connected",
        "Connection, Client disconnecting",
        "Connection, Client disconnected",
        "Connection, Client process exited",
    ]
    assert " Client VERB1: " in log.text
    assert log.text.endswith("The session has ended")


def test_json_is_an_object_a_line(lab: Lab, session: UserSession) -> None:
    log = follow(lab, "--path", session.path, "--json")
    log.wait_line("^Attached")
    session.connect()
    log.wait_line('"text": "Connected: ')
    session.call("Disconnect")
    assert log.wait() == CommandExit.OK
    said = [json.loads(line) for line in log.text.splitlines() if line.startswith("{")]
    assert {one["type"] for one in said} == {"log", "status"}
    assert [one["minor"] for one in said if one["type"] == "status"] == [
        StatusMinor.CFG_OK,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTED,
        StatusMinor.CONN_DISCONNECTING,
        StatusMinor.CONN_DISCONNECTED,
        StatusMinor.CONN_DONE,
    ]
    begun = next(one for one in said if one["type"] == "status")
    assert (begun["text"], begun["message"]) == ("Connection, Configuration OK", f"config_path={session.profile}")
    assert {"group": "Client", "category": "INFO"}.items() <= next(one for one in said if "group" in one).items()


def test_control_c_ends_it(lab: Lab, session: UserSession) -> None:
    log = follow(lab, "--path", session.path)
    log.wait_line("^Attached")
    log.signal(signal.SIGINT)
    assert log.wait() == CommandExit.OK
    assert session.get("status") != []


def test_no_such_session(lab: Lab, session: UserSession) -> None:
    for arguments in (["--config", "other"], ["--path", session.path + "x"], ["--interface", "tun7"]):
        assert lab.ovpnctl("alice", "log", *arguments).returncode == CommandExit.REFUSED
    done = lab.ovpnctl("bob", "log", "--path", session.path)
    assert done.returncode == CommandExit.REFUSED
    assert "Access denied" in done.stderr
    assert lab.ovpnctl("alice", "log").returncode == CommandExit.USAGE
    assert lab.ovpnctl("alice", "log", "--config", "work", "--log-level", "7").returncode == CommandExit.USAGE


def test_sharing_a_session(lab: Lab, session: UserSession) -> None:
    name = ("--config", "work")
    done = lab.ovpnctl("alice", "session-acl", *name, "--grant", "bob", "--show")
    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [
        "Granted access to bob (uid 4002)",
        "            Configuration: work",
        "                    Owner: (4001)  alice",
        "            Public access: no",
        " Users granted log access: no",
        "     Users granted access: 1 user",
        "                          - (4002)  bob",
    ]
    log = follow(lab, *name, user="bob")
    log.wait_line("^Attached")
    session.connect()
    log.wait_line("Client connected")
    done = lab.ovpnctl("alice", "session-acl", *name, "--allow-log-access", "true")
    assert done.stdout == "Session log is now readable to those it is shared with\n"
    assert "Client INFO" not in log.text
    assert lab.ovpnctl("bob", "session-manage", *name, "--pause").returncode == 0
    session.wait(PAUSED)
    log.wait_line("Client INFO: Pausing connection")

    done = lab.ovpnctl("alice", "session-acl", *name, "--revoke", "4002", "--public-access", "true", "--json")
    assert json.loads(done.stdout) == {
        "path": session.path,
        "config_name": "work",
        "owner": "alice",
        "owner_uid": 4001,
        "public_access": True,
        "log_access": True,
        "granted_access": [],
    }
    assert json.loads(lab.ovpnctl("bob", "session-acl", *name, "--json").stdout)["public_access"] is True
    assert lab.ovpnctl("bob", "session-manage", *name, "--disconnect").returncode == CommandExit.REFUSED
    assert lab.ovpnctl("alice", "session-acl", *name, "--public-access", "false").returncode == 0
    refused = lab.ovpnctl("bob", "session-acl", "--path", session.path, "--show")
    assert refused.returncode == CommandExit.REFUSED
    assert "Access denied" in refused.stderr
    again = lab.ovpnctl("alice", "session-acl", *name, "--revoke", "bob")
    assert again.returncode == CommandExit.REFUSED
    assert "UID not granted access" in again.stderr
    assert lab.ovpnctl("alice", "session-acl", *name).returncode == CommandExit.USAGE
