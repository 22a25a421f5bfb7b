"""Sessions looked into: by their owner, by strangers, by root, and when there is little to see."""

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from ....ctl.exits import CommandExit
from ....policy.sandbox.layers import ALL, Layer
from ...lab.connection import BusError
from ...lab.lab import Lab
from ...lab.surroundings import ACCOUNTS
from ...support.sessions import FAILED, UserSession, begin, kill
from ..sandbox.test_layers import NOT_HERE, here

INSPECTION = "net.openvpn.v3.sessions.inspect"


def connected(lab: Lab, *options: str) -> UserSession:
    lab.server()
    lab.supervisor(*options)
    session = begin(lab)
    session.connect()
    return session


def inspected(lab: Lab, user: str, session: str) -> dict[str, Any]:
    """What --json prints."""
    done = lab.ovpnctl(user, "inspect", session, "--json")
    assert done.returncode == 0, done
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def refusal(lab: Lab, user: str, session: str) -> str:
    done = lab.ovpnctl(user, "inspect", session)
    assert (done.returncode, done.stdout) == (CommandExit.REFUSED, ""), done
    return done.stderr


def test_its_owner_sees_layers_and_processes(lab: Lab) -> None:
    session = connected(lab)
    shown = inspected(lab, "alice", "work")
    assert (shown["path"], shown["owner"], shown["config_name"]) == (session.path, "alice", "work")
    assert shown["layers"] == [layer for layer in Layer if layer in here()]
    assert shown["missing_layers"].keys() == NOT_HERE
    assert shown["missing_layers"]["cgroup"].startswith("it needs cgroup v2 ")
    for process, role, real in zip(
        shown["processes"], ("worker", "engine"), (session.worker, session.engine), strict=True
    ):
        assert (process["role"], process["pid"], process["gone"]) == (role, real.pid, False)
        assert process["uid"] == shown["session_uid"] == real.uids().real
        assert process["threads"] == real.num_threads() == 1
        assert process["state"] in ("sleeping", "running")
        assert process["started"] == pytest.approx(real.create_time(), abs=2)
        assert process["memory"] > process["shared"] > 1 << 20
        assert 0 <= process["cpu_user"] <= real.cpu_times().user
        assert process["details"] is None
    for name in (session.path, shown["device"]):
        assert inspected(lab, "alice", name)["path"] == session.path
    text = lab.ovpnctl("alice", "inspect", "work").stdout
    assert f"Session: {session.path}\n" in text and "Root sees more" in text
    pids = [line.split() for line in text.splitlines() if line.startswith("PID")]
    assert pids == [["PID", str(session.worker.pid), str(session.engine.pid)]]


def test_strangers_see_nothing_until_it_is_public(lab: Lab) -> None:
    session = connected(lab)
    bob = lab.connection("bob")
    assert "Access denied" in refusal(lab, "bob", session.path)
    assert "there is no session of a profile or device work" in refusal(lab, "bob", "work")
    assert bob.get_all(session.path, INSPECTION) == {}
    for name in ("session_uid", "layers", "missing_layers", "processes"):
        with pytest.raises(BusError, match="Access denied"):
            bob.get(session.path, name, INSPECTION)
    session.user.set(session.path, "public_access", "b", True)
    assert len(inspected(lab, "bob", "work")["processes"]) == 2
    session.user.set(session.path, "public_access", "b", False)
    session.call("AccessGrant", "u", ACCOUNTS["bob"].uid)
    assert len(inspected(lab, "bob", "work")["processes"]) == 2


def test_root_sees_what_they_hold(lab: Lab) -> None:
    session = connected(lab)
    shown = inspected(lab, "root", "work")
    for process, real in zip(shown["processes"], (session.worker, session.engine), strict=True):
        found = process["details"]
        assert found["descriptors"] == len(list(Path(f"/proc/{real.pid}/fd").iterdir()))
        assert 0 < found["uss"] <= found["pss"] and found["written_bytes"] > 0
        assert (found["no_new_privs"], found["seccomp"], found["seccomp_filters"]) == (True, 2, 3)
        assert {int(mask, 16) for mask in found["capabilities"].values()} == {0}
        assert found["namespaces"] == ["cgroup", "ipc", "mnt", "pid", "uts"]
    text = lab.ovpnctl("root", "inspect", session.path).stdout
    assert "\nOwn namespaces       cgroup, ipc, mnt, pid, uts  cgroup, ipc, mnt, pid, uts" in text
    assert "Root sees more" not in text


def test_without_layers(lab: Lab) -> None:
    session = connected(lab, "--sandbox=none")
    shown = inspected(lab, "root", session.path)
    assert shown["layers"] == []
    assert shown["missing_layers"] == dict.fromkeys(ALL, "--sandbox leaves it out")
    for process in shown["processes"]:
        found = process["details"]
        assert (found["no_new_privs"], found["seccomp"]) == (False, 0)
        assert "pid" not in found["namespaces"] and "ipc" not in found["namespaces"]


def test_a_session_whose_server_is_on_this_machine(lab: Lab) -> None:
    lab.supervisor()
    session = begin(lab, remotes=["localhost 1194 udp"])
    missing = session.user.get(session.path, "missing_layers", INSPECTION)
    assert missing["firewall"] == "the profile's server or proxy is on this machine"


def test_a_session_that_has_failed(lab: Lab) -> None:
    session = connected(lab)
    worker: psutil.Process = session.worker
    kill(worker, signal.SIGKILL)
    session.wait(FAILED)
    shown = inspected(lab, "root", session.path)
    assert (shown["layers"], shown["missing_layers"], shown["processes"]) == ([], {}, [])
    assert "It has no processes." in lab.ovpnctl("alice", "inspect", session.path).stdout


def test_two_sessions_of_one_name(lab: Lab) -> None:
    lab.supervisor()
    paths = {begin(lab).path, begin(lab, user="bob").path}
    said = refusal(lab, "root", "work")
    assert "2 sessions are named work:" in said
    assert all(path in said for path in paths)
