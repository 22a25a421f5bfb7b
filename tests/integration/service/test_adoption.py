"""A service that is killed, and the next one: sessions go on as if nothing had happened."""

import os
import signal
import socket
import sys

import pytest

from ...lab.connection import SESSIONS, SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.network import CABLE
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.service import SERVICE_PROGRAM, Service, service_command
from ...lab.surroundings import BOB
from ...support.adoption import kill, lasting, replaced, taken_over, told
from ...support.authentication import refusal
from ...support.flow import flowing
from ...support.sessions import (
    CONNECTED,
    FAILED,
    PAUSED,
    begin,
    wait_gone,
)


def test_traffic_goes_on_and_nothing_is_announced(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    before, counters = lasting(session), session.get("statistics")
    device = session.get("device_name")
    with flowing(lab, TUNNEL_ADDRESS) as flow:
        since = session.seen
        kill(service)
        flow.wait_for(200)
        assert lab.client_side.devices() == {CABLE, device}
        service = taken_over(lab)
        flow.wait_for(200)
        assert lasting(session) == before and told(session, since) == []
        counts = flow.stop()
    assert counts.missing == 0, counts
    now = session.get("statistics")
    assert all(now[name] >= counters[name] for name in counters) and now["BYTES_IN"] > counters["BYTES_IN"]
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED, since)
    session.call("Resume")
    session.wait(CONNECTED, since)
    worker = session.worker
    session.call("Disconnect")
    wait_gone([worker])
    assert service.stop() == 0 and "Traceback" not in service.log
    assert "settings have changed" not in service.log
    assert lab.client_side.devices() == {CABLE}
    assert lab.client_side.routes() == {"198.51.100.0/24", "2001:db8:1::/64"}
    assert [one.name for one in (lab.service_directory / "runtime" / "sessions").iterdir()] == ["records"]


def test_again_and_again(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    worker, before, since = session.worker, lasting(session), session.seen
    with flowing(lab, TUNNEL_ADDRESS) as flow:
        for _ in range(3):
            service = replaced(lab, service)
            assert session.worker == worker and lasting(session) == before
        flow.wait_for(100)
        assert flow.stop().missing == 0
    assert told(session, since) == []
    assert lab.echo(TUNNEL_ADDRESS, b"still") == b"still"


def test_killed_while_it_takes_over(lab: Lab) -> None:
    """At several moments: nothing tells when it has come how far."""
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    worker = session.worker
    kill(service)
    for line in ("", "Name servers are set", "Took over", "runs as user"):
        service = lab.supervisor(wait=False)
        if line:
            service.process.wait_line(line)
        kill(service)
    taken_over(lab)
    assert session.worker == worker and session.get("status")[1] == CONNECTED
    assert lab.echo(TUNNEL_ADDRESS, b"still") == b"still"


def test_owner_access_and_audience_are_what_they_were(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    session.call("AccessGrant", "u", BOB.uid)
    session.user.set(session.path, "log_verbosity", "u", 5)
    session.user.set(session.path, "restrict_log_access", "b", False)
    bob, gone = lab.connection("bob"), lab.connection("bob")
    for one in (bob, gone):
        one.session(session.path, "LogForward", "b", True)
    before = lasting(session)
    assert before["acl"] == [BOB.uid] and len(before["log_forwards"]) == 2
    gone.close()
    kill(service)
    service = taken_over(lab)
    now = lasting(session)
    forwards = now.pop("log_forwards")
    assert [bob.get(path, "target") for path in forwards] == [bob.unique_name]
    assert set(forwards) <= set(before.pop("log_forwards"))
    assert now == before
    since = len(bob.signals())
    session.call("Pause", "s", "")
    bob.wait_signal(lambda one: one.path == session.path and one.member == "Log", since=since)
    session.wait(PAUSED)
    # What was revoked stays so, and a profile that runs is not started twice.
    session.call("AccessRevoke", "u", BOB.uid)
    service = replaced(lab, service)
    with pytest.raises(BusError):
        bob.session(session.path, "Resume")
    with pytest.raises(BusError, match="already running"):
        session.user.new_tunnel(session.profile)
    lab.watcher.session(SESSIONS_PATH, "TransferOwnership", "ou", session.path, BOB.uid)
    replaced(lab, service)
    assert bob.get(session.path, "owner") == BOB.uid
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_two_sessions_and_a_new_one_share_nothing(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    first, second = begin(lab, "one"), begin(lab, "two")
    first.connect()
    devices = [first.get("device_name")]
    kill(service)
    taken_over(lab, sessions=2)
    second.connect()
    third = begin(lab, "three", "bob")
    uids = {one.worker.uids().real for one in (first, second, third)}
    assert len(uids) == 3
    devices.append(second.get("device_name"))
    assert len(lab.client_side.devices() - {CABLE}) == 3 and len(set(devices)) == 2


def test_asked_to_hand_over(lab: Lab) -> None:
    """By SIGUSR2; a call that comes meanwhile is answered by the next one."""
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    before, since = lasting(session), session.seen
    with flowing(lab, TUNNEL_ADDRESS) as flow:
        service.process.signal(signal.SIGUSR2)
        assert service.process.wait() == 0
        service = taken_over(lab)
        assert lasting(session) == before and told(session, since) == []
        assert flow.stop().missing == 0
    assert service.stop() == 0  # by SIGTERM, which ends them
    session.user.wait_signal(lambda one: one.member == "SessionManagerEvent" and one.arguments[1] == 2, since=since)
    assert lab.client_side.devices() == {CABLE}


def test_handed_over_to_one_that_the_bus_starts(lab: Lab) -> None:
    """As when a package is upgraded where there is no systemd."""
    lab.start_bus(activation=["--idle-exit=0.02"])
    lab.server()
    session = begin(lab)
    session.connect()
    before, since = lasting(session), session.seen
    state, pid, can = (lab.service_directory / "runtime" / "lock").read_text().split()
    assert (state, can) == ("serving", "hands-over")
    os.kill(int(pid), signal.SIGUSR2)
    lab.watcher.wait_no_owner(SESSIONS)
    assert lasting(session) == before
    os.kill(int((lab.service_directory / "runtime" / "lock").read_text().split()[1]), signal.SIGKILL)
    lab.watcher.wait_no_owner(SESSIONS)
    assert lasting(session) == before and told(session, since) == []
    session.call("Disconnect")
    lab.watcher.wait_no_owner(SESSIONS)  # it is idle


def test_a_worker_that_has_died_too(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    dead, alive = begin(lab, "dead"), begin(lab, "alive", "bob")
    for one in (dead, alive):
        one.connect()
    worker, since, unaware = dead.worker, dead.seen, alive.seen
    kill(service)
    worker.kill()
    wait_gone([worker])
    taken_over(lab, sessions=2)
    _, _, text = dead.wait(FAILED, since)
    assert text == "The session's worker ended while there was no service"
    assert text in lab.ovpnctl("alice", "why", "dead").stdout
    assert alive.get("status")[1] == CONNECTED and told(alive, unaware) == []
    assert lab.client_side.devices() == {CABLE, alive.get("device_name")}
    assert lab.echo(TUNNEL_ADDRESS, b"still") == b"still"


def test_another_process_in_its_place(lab: Lab) -> None:
    """Even where only the service itself could have put it."""
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    since, processes = session.seen, [session.worker, session.engine]
    kill(service)
    [place] = (lab.service_directory / "runtime" / "sessions").glob("*.sock")
    place.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as forged:
        forged.bind(str(place))
        place.chmod(0o666)
        forged.listen()
        lab.supervisor()
        _, _, text = session.wait(FAILED, since)
    assert "could not be taken over by another instance of the service: another process waits in its place" in text
    wait_gone(processes)


def test_strangers_are_not_spoken_to(lab: Lab) -> None:
    """Root can connect, but is not the service; it does not keep the worker from the next one either."""
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    before = lasting(session)
    [place] = (lab.service_directory / "runtime" / "sessions").glob("*.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as early:
        early.connect(str(place))  # while it has a supervisor
        kill(service)
        assert early.recv(1) == b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as late:
        late.connect(str(place))
        assert late.recv(1) == b""
    taken_over(lab)
    assert lasting(session) == before


def test_a_worker_of_another_version(lab: Lab) -> None:
    """Nobody speaks to it: traffic goes on, until it is disconnected."""
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    device, worker = session.get("device_name"), session.worker
    with flowing(lab, TUNNEL_ADDRESS) as flow:
        kill(service)
        another = (
            "import sys; from openvpn3_sessionmgr.ipc import messages; messages.MAJOR += 1; "
            "from openvpn3_sessionmgr.supervisor.program import run; run()"
        )
        argv = service_command(lab.service_directory)
        at = argv.index(SERVICE_PROGRAM)
        argv[at : at + 1] = [sys.executable, "-c", another]
        service = Service(lab.client_side, lab.bus, argv, lab.watcher)
        try:
            service.wait_ready()
            assert session.get("status")[1:] == [
                CONNECTED, "From another version of the service: it can only be disconnected",
            ]  # fmt: skip
            assert "can only be disconnected" in refusal(session, "Pause", "s", "")
            session.user.set(session.path, "log_verbosity", "u", 4)
            assert flow.stop().missing == 0 and session.get("device_name") == device
            session.call("Disconnect")
            wait_gone([worker])
            assert service.stop() == 0
        finally:
            service.process.stop()
    assert lab.client_side.devices() == {CABLE}


@pytest.mark.parametrize("damage", ["", "{", '{"version": 1}', '{"version": 99}'])
def test_damaged_or_unknown_what_was_kept_of_it(lab: Lab, damage: str) -> None:
    lab.server()
    service = lab.supervisor()
    session, other = begin(lab), begin(lab, "other", "bob")
    for one in (session, other):
        one.connect()
    processes = [session.worker, session.engine]
    kill(service)
    kept = lab.service_directory / "runtime" / "sessions" / f"{session.path.rpartition('/')[2]}.session"
    text = kept.read_text()
    kept.write_text(text.replace('"version":1', '"version":99') if "99" in damage else damage)
    service = taken_over(lab)
    wait_gone(processes)
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    assert other.get("status")[1] == CONNECTED
    assert "kept of a session is damaged" in service.log or "99" in lab.ovpnctl("alice", "why").stdout
    assert len(lab.client_side.devices() - {CABLE}) == 1
