"""Requests that overtake each other, processes that stand still, and starts that are given up half-way."""

import signal

import psutil
import pytest

from ...lab.connection import SESSIONS, SESSIONS_PATH, BusClient, BusError
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.service import Service
from ...support.sessions import CONNECTED, FAILED, PAUSED, begin, kill, processes_of_sessions, wait_gone


def test_pause_resume_and_restart_in_any_order_without_waiting(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    calls = []
    for member in ["Connect", *(["Pause", "Resume", "Restart", "Pause", "Resume", "Pause", "Restart"] * 6)]:
        arguments = ("s", "again") if member == "Pause" else ()
        calls.append(session.user.start_call(session.path, SESSIONS, member, *arguments))
    for call in calls:
        session.user.finish_call(call)
    session.wait(CONNECTED, deadline=60)  # the server may keep a session so often restarted waiting for 30 s
    assert session.get("status") == [2, CONNECTED, ""]
    assert lab.echo(TUNNEL_ADDRESS, b"still there") == b"still there"
    assert "killed" not in service.log


def test_a_second_pause_is_over_only_when_traffic_has_stopped_again(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    calls = [
        session.user.start_call(session.path, SESSIONS, *call)
        for call in (("Pause", "s", "a"), ("Resume",), ("Pause", "s", "b"))
    ]
    for call in calls:
        session.user.finish_call(call)
    before = session.seen
    if session.get("status") != [2, PAUSED, ""]:
        session.wait(PAUSED, before)
    assert session.minors.count(PAUSED) == 1


def test_two_sessions_of_a_profile_that_are_asked_for_at_once(lab: Lab) -> None:
    """One of them is started, and the other call refused."""
    lab.supervisor()
    one, other = lab.connection("alice"), lab.connection("alice")
    for persistent in (True, False) * 4:
        profile = one.import_profile("work", lab.profile(), persistent=persistent)
        calls = [(user, user.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)) for user in (one, other)]
        made = []
        for user, call in calls:
            try:
                made += user.finish_call(call)
            except BusError as error:
                assert "already running" in str(error)
        [session] = made
        one.session(session, "Disconnect")


def test_an_engine_that_stands_still_fails_the_pause(lab: Lab) -> None:
    lab.server()
    lab.supervisor("--stopped-grace=0")
    session = begin(lab)
    session.connect()
    worker, engine = session.worker, session.engine
    kill(engine, signal.SIGSTOP)
    session.call("Pause", "s", "x")
    _, _, text = session.wait(FAILED)
    assert text == "The engine does not pause"
    wait_gone([worker, engine], 15)


def test_a_worker_that_stands_still_fails_by_the_supervisors_own_deadline(lab: Lab) -> None:
    lab.supervisor("--connect-timeout=1", "--stopped-grace=0")
    session = begin(lab)
    worker, engine = session.worker, session.engine
    kill(worker, signal.SIGSTOP)
    session.call("Connect")
    _, _, text = session.wait(FAILED)
    assert "CONNECTING" in text
    wait_gone([worker, engine], 15)


def _serving_spawner(service: Service, user: BusClient, profile: str) -> psutil.Process:
    """The process that starts workers, once it is known to be ready: it has started one, which is gone again."""
    user.session(user.new_tunnel(profile), "Disconnect")
    wait_gone(processes_of_sessions())
    everyone = psutil.Process(service.pid).children(recursive=True)
    [found] = [one for one in everyone if " ".join(one.cmdline()).rstrip().endswith("spawner, serving")]
    return found


def test_a_spawner_that_stands_still_costs_one_attempt_and_no_stray_worker(lab: Lab) -> None:
    service = lab.supervisor("--stopped-grace=0")
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    serving = _serving_spawner(service, alice, profile)
    kill(serving, signal.SIGSTOP)
    with pytest.raises(BusError, match="The spawner did not start a worker within 3 s"):
        alice.new_tunnel(profile)
    # The next attempt must not get the worker of the first one, which is still to come and is to be ended.
    waiting = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
    kill(serving, signal.SIGCONT)
    [path] = alice.finish_call(waiting)
    alice.session(path, "Ready")
    worker = psutil.Process(alice.get(path, "backend_pid"))
    [engine] = worker.children()
    assert {one.pid for one in processes_of_sessions()} == {worker.pid, engine.pid}


def test_a_service_that_is_ended_while_a_session_starts_leaves_nothing(lab: Lab) -> None:
    service = lab.supervisor("--stopped-grace=0")
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    serving = _serving_spawner(service, alice, profile)
    kill(serving, signal.SIGSTOP)
    before = len(service.process.lines)
    waiting = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
    service.process.wait_line("Starting a session", since=before)
    service.process.signal(signal.SIGTERM)
    service.process.wait_line("Asked to end")
    kill(serving, signal.SIGCONT)
    with pytest.raises(BusError, match="ended while it was being started"):
        alice.finish_call(waiting)
    assert service.process.wait() == 0
    assert "Traceback" not in service.log
    wait_gone(processes_of_sessions())


def test_a_burst_of_requests_is_refused_and_its_session_lives(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor("--stopped-grace=0")
    session = begin(lab)
    session.connect()
    before = session.seen
    session.worker.suspend()
    with pytest.raises(BusError, match="earlier requests left to do"):
        for _ in range(5000):
            session.call("Restart")
    session.worker.resume()
    session.wait(CONNECTED, before)
    assert "is killed" not in service.log
    session.call("Disconnect")
