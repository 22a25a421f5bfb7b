"""Why sessions failed, told to whose they were when session and service are gone; and disks that do not keep it."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ....ctl.exits import CommandExit
from ....policy.causes import Cause
from ....policy.limits import MAX_FAILURES_PER_USER
from ...lab import kernel
from ...lab.connection import SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.surroundings import ALICE, SERVICE
from ...support.sessions import CONNECTED, CONNECTING, FAILED, begin, kill

FAILURES = "net.openvpn.v3.sessions.failures"
REFUSED = "remap-usr1 SIGHUP"


def why(lab: Lab, user: str, *arguments: str) -> list[dict[str, Any]]:
    done = lab.ovpnctl(user, "why", *arguments, "--json")
    assert done.returncode == 0, done
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def fail(lab: Lab, user: str = "alice", name: str = "work") -> None:
    """Have NewTunnel refuse a profile of a user's."""
    client = lab.connection(user)
    profile = client.import_profile(name, lab.profile(more=[REFUSED]))
    with pytest.raises(BusError):
        client.new_tunnel(profile)
    client.close()


def test_a_failure_is_told_to_its_user_and_root_when_session_and_service_are_gone(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    assert lab.ovpnctl("alice", "why").stdout == "No failures are known\n"
    session = begin(lab)
    session.connect()
    kill(session.worker)
    _, _, text = session.wait(FAILED)
    fail(lab, name="other")
    told = why(lab, "alice")
    assert [(one["profile"], one["reached"]) for one in told] == [("other", "profile"), ("work", "connected")]
    refused, died = told
    assert REFUSED.split()[0] in refused["status"]["message"] and refused["exit_status"] == CommandExit.REFUSED
    assert (died["session"], died["status"]["message"]) == (session.path, text)
    assert (refused["cause"], died["cause"]) == (Cause.PROFILE, Cause.SERVICE_FAILED)
    assert died["exit_status"] == CommandExit.CONNECTION_FAILED

    service.stop()
    kept = lab.service_directory / "state" / "failures"
    for place, mode in ((kept, 0o700), (kept / f"{ALICE.uid}.json", 0o600)):
        assert stat.S_IMODE(place.stat().st_mode) == mode and place.stat().st_uid == SERVICE.uid
    lab.supervisor()
    assert why(lab, "alice") == why(lab, "root") == told
    assert why(lab, "alice", "work") == why(lab, "alice", session.path) == [died]
    assert why(lab, "bob") == []
    shown = lab.ovpnctl("alice", "why", "work").stdout
    assert "work\n" in shown and f"Cause: {text}\n" in shown
    assert lab.ovpnctl("alice", "why", "absent").stdout == "No failure of absent is known\n"


def test_a_session_that_still_tries_and_one_that_its_user_gave_up(lab: Lab) -> None:
    lab.supervisor()
    session = begin(lab, remotes=[f"{SERVER_ADDRESS} 1194 tcp"])
    session.call("Connect")
    session.user.wait_signal(
        lambda one: one.member == "StatusChange" and one.arguments[1] == CONNECTING and one.arguments[2] != ""
    )
    [trying] = why(lab, "alice")
    assert (trying["time"], trying["session"], trying["reached"]) == (None, session.path, "connecting")
    assert "refused" in trying["text"] and trying["cause"] == Cause.CONNECTION_REFUSED and trying["hint"]
    assert "Still trying  work\n" in lab.ovpnctl("alice", "why").stdout
    session.call("Disconnect")
    [given_up] = why(lab, "alice")
    assert trying["text"] in given_up["text"] and given_up["cause"] == trying["cause"]
    assert (given_up["time"] is None, given_up["reached"], given_up["hint"]) == (False, "connecting", trying["hint"])


def test_nobody_else_sees_them_or_pushes_them_out(lab: Lab) -> None:
    lab.supervisor()
    fail(lab)
    for number in range(MAX_FAILURES_PER_USER + 1):
        fail(lab, "bob", f"number {number}")
    assert [one["profile"] for one in why(lab, "alice")] == ["work"]
    assert [one["profile"] for one in why(lab, "bob")] == [f"number {n}" for n in range(MAX_FAILURES_PER_USER, 0, -1)]
    assert len(why(lab, "root")) == MAX_FAILURES_PER_USER + 1
    bob = lab.connection("bob")
    path = f"/net/openvpn/v3/failures/{ALICE.uid}"
    errors = []
    for of in (path, path + "0"):  # as if there were none
        with pytest.raises(BusError) as raised:
            bob.get(of, "failures", FAILURES)
        errors.append(str(raised.value).replace(of, "PATH"))
        with pytest.raises(BusError):
            bob.get_all(of, FAILURES)
    assert errors[0] == errors[1]
    xml = bob.call("/net/openvpn/v3/failures", "org.freedesktop.DBus.Introspectable", "Introspect")
    assert str(ALICE.uid) not in xml
    # Who looks for sessions by introspection finds no other objects there.
    assert (
        "<node"
        not in bob.call(SESSIONS_PATH, "org.freedesktop.DBus.Introspectable", "Introspect").partition("<node")[2]
    )


@pytest.mark.parametrize("content", [b"", b"[", b"[{}]", b'[{"time": 1}]', b"\xff" * 100_000])
def test_damaged_files_are_named_and_forgotten(lab: Lab, content: bytes) -> None:
    service = lab.supervisor()
    fail(lab)
    fail(lab, "bob")
    service.stop()
    file = lab.service_directory / "state" / "failures" / f"{ALICE.uid}.json"
    file.write_bytes(content)
    (file.parent / "7.json").symlink_to("/etc/passwd")
    (file.parent / "8.json").mkdir()
    lab.supervisor().process.wait_line(f"{file} are damaged")
    assert why(lab, "alice") == [] and len(why(lab, "bob")) == 1
    fail(lab)
    assert len(why(lab, "alice")) == 1


def test_a_full_disk_costs_no_session(lab: Lab) -> None:
    place = lab.directory / "small"
    place.mkdir()
    options = f"size=64k,mode=700,uid={SERVICE.uid},gid={SERVICE.uid}"
    kernel.mount("tmpfs", place, "tmpfs", options=options)
    try:
        lab.server()
        service = lab.supervisor(f"--state-dir={place}")
        _fill(place)
        fail(lab)
        fail(lab, "bob")
        assert len(why(lab, "alice")) == 1
        session = begin(lab)
        session.connect()
        session.call("Disconnect")
        assert service.stop() == 0
        assert service.log.count("cannot be kept") == 1 and CONNECTED in session.minors
    finally:
        kernel.unmount(place)


def _fill(place: Path) -> None:
    with (place / "full").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                pass
        except OSError:
            pass
