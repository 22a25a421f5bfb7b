"""The override automatic-restart: a session whose worker or engine dies is started again."""

import os
import re
import signal
import time
from collections.abc import Callable, Sequence

import pytest

from ....policy.dbus_numbers import StatusMinor
from ...lab.auth_server import knows
from ...lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.network import CABLE
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.processes import DEADLINE, LabError
from ...support import service_life
from ...support.authentication import AUTH_FAILED, NEED_PASSWORD, REQUIRE_USER, connect, questions, refusal, story
from ...support.helper_processes import kill_helper
from ...support.sessions import (
    CONNECTED,
    CONNECTING,
    FAILED,
    PAUSED,
    RECONNECTING,
    UserSession,
    kill,
    processes_of_sessions,
    wait_gone,
)

SERVING = "openvpn3-service-sessionmgr: spawner, serving"
KILLED = "The session's worker was killed by SIGKILL"
LOGIN = {"username": "alice", "password": "open sesame"}
FIRST_PAUSE = 3.0  # seconds
AFTER_PAUSE = FIRST_PAUSE + 10


def begin(lab: Lab, value: str = "on-failure", more: Sequence[str] = ()) -> UserSession:
    """Alice's new session of a profile with this value of the override."""
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(more=more))
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", value])
    return UserSession(alice, profile, alice.new_tunnel(profile))


def lose(session: UserSession, attempt: int = 1) -> int:
    """Kill the session's worker and wait until a try is announced; how many signals had come before."""
    before = session.seen
    kill(session.worker)
    _, _, text = session.wait(RECONNECTING, before)
    assert text == f"{KILLED}: try {attempt} of 10 in {3 * 2 ** (attempt - 1)} s"
    return before


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until


def wait_counted(session: UserSession, name: str, least: int) -> dict[str, int]:
    """The statistics as soon as one of them is at least this much; the device is looked at every now and then only."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        statistics = session.get("statistics")
        assert isinstance(statistics, dict)
        if statistics.get(name, 0) >= least:
            return statistics
    raise LabError(f"{name} stays {statistics.get(name, 0)}")


@pytest.mark.parametrize(
    ("victim", "reason"), [("worker", KILLED), ("engine", "The engine was killed by SIGKILL")], ids=["worker", "engine"]
)
def test_a_session_that_lost_a_process_connects_again(lab: Lab, victim: str, reason: str) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.call("LogForward", "b", True)
    session.user.set(session.path, "log_verbosity", "u", 5)
    session.connect()
    worker, engine = session.worker, session.engine
    assert lab.echo(TUNNEL_ADDRESS, b"x" * 10000) == b"x" * 10000
    same = ("owner", "acl", "session_created", "config_path", "config_name", "log_forwards", "log_verbosity")
    kept = {name: session.get(name) for name in same}
    counted = wait_counted(session, "TUN_BYTES_OUT", 10000)

    before = session.seen
    kill(worker if victim == "worker" else engine)
    _, _, text = session.wait(RECONNECTING, before)
    assert text.startswith(reason) and text.endswith(": try 1 of 10 in 3 s")
    gone = {"backend_pid": 0, "device_name": "", "device_path": "/"}
    assert {name: session.get(name) for name in gone} == gone
    assert session.user.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == [session.path]
    with pytest.raises(BusError, match="already running"):
        session.user.new_tunnel(session.profile)
    wait_gone([worker, engine])
    waiting = wait_counted(session, "N_RECONNECT", 1)

    session.wait(CONNECTED, before, AFTER_PAUSE)
    assert [line.partition(" ")[0] for line in story(session, before)] == [
        "CONN_RECONNECTING",
        "CONN_CONNECTING",
        "CONN_CONNECTING",
        "CONN_CONNECTED",
    ]
    assert session.worker.pid != worker.pid and session.engine.pid != engine.pid
    assert {name: session.get(name) for name in same} == kept
    assert lab.echo(TUNNEL_ADDRESS, b"x" * 10000) == b"x" * 10000
    again = wait_counted(session, "TUN_BYTES_OUT", counted["TUN_BYTES_OUT"] + 10000)
    for name, value in counted.items():
        assert value <= waiting[name] <= again[name], name
    assert again["N_RECONNECT"] == 1
    assert len(processes_of_sessions()) == 2


@pytest.mark.parametrize("value", ["no", ""])
def test_without_the_override_it_fails(lab: Lab, value: str) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab, value)
    session.connect()
    kill(session.worker)
    assert session.wait(FAILED)[2] == KILLED
    assert RECONNECTING not in session.minors


def test_what_was_typed_is_asked_for_again(lab: Lab) -> None:
    server = lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    connect(session, **LOGIN)
    before = lose(session)
    assert questions(session) == []
    session.wait(REQUIRE_USER, before, AFTER_PAUSE)
    assert story(session, before)[1:] == [
        f"attention USER_PASSWORD {NEED_PASSWORD}",
        f"CFG_REQUIRE_USER {NEED_PASSWORD}",
    ]
    connect(session, **LOGIN)
    assert len(server.logins) == 2

    # A wrong password is no failure of a process.
    lose(session, 2)
    session.call("Restart")
    session.wait(REQUIRE_USER, before + 3)
    connect(session, AUTH_FAILED, username="alice", password="wrong")


def test_a_session_that_waits_for_its_user_can_be_paused_and_lost_again(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame"))
    lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    connect(session, **LOGIN)
    before = lose(session)
    session.call("Restart")
    session.wait(REQUIRE_USER, before)
    before = lose(session, 2)
    assert questions(session) == []
    session.call("Ready")
    session.call("Restart")
    session.wait(REQUIRE_USER, before)
    worker = session.worker
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED, before)
    before = session.seen
    session.call("Resume")
    session.wait(REQUIRE_USER, before)
    connect(session, **LOGIN)
    assert session.worker == worker


def test_disconnect_while_it_waits(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    before = lose(session)
    session.call("Disconnect")
    assert session.minors[-4:] == [
        StatusMinor.CONN_DISCONNECTING,
        StatusMinor.CONN_DISCONNECTED,
        StatusMinor.CONN_DONE,
        StatusMinor.PROC_STOPPED,
    ]
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    with pytest.raises(LabError):
        session.wait(CONNECTING, before, FIRST_PAUSE + 1)
    assert processes_of_sessions() == []


def test_restart_does_not_wait_and_each_try_counts(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    for attempt in (1, 2, 3):
        before = lose(session, attempt)
        session.call("Restart")
        session.wait(CONNECTED, before, 10)  # less than the third pause
    assert lab.echo(TUNNEL_ADDRESS, b"up") == b"up"
    assert len(processes_of_sessions()) == 2


def test_pause_while_it_waits_puts_off_the_next_try_until_resume(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    before = lose(session)
    session.call("Pause", "s", "lunch")
    assert story(session, before)[1:] == ["CONN_PAUSING Reason: lunch", "CONN_PAUSED"]
    assert refusal(session, "Pause", "s", "again").endswith("Connection is already paused")
    with pytest.raises(LabError):
        session.wait(CONNECTING, before, FIRST_PAUSE + 1)
    assert processes_of_sessions() == []
    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)
    assert [line.partition(" ")[0] for line in story(session, before)] == [
        "CONN_RESUMING",
        "CONN_RECONNECTING",
        "CONN_CONNECTING",
        "CONN_CONNECTING",
        "CONN_CONNECTED",
    ]
    assert "Internal error" not in service.log


def test_a_paused_session_stays_paused(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    before = session.seen
    worker = session.worker
    kill(worker)
    wait_gone([worker])
    for member in ("Resume", "Pause", "Resume"):
        session.call(member, *(("s", "again") if member == "Pause" else ()))
    session.wait(CONNECTED, before)
    assert FAILED not in session.minors
    assert len(processes_of_sessions()) == 2


def test_requests_in_any_order_while_another_worker_is_started(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    before = lose(session)
    calls = []
    for member in ["Restart", "Pause", "Resume", "Pause", "Restart", "Connect"] * 5:
        arguments = ("s", "again") if member == "Pause" else ()
        calls.append(session.user.start_call(session.path, SESSIONS, member, *arguments))
    for call in calls:
        session.user.finish_call(call)
    session.wait(CONNECTED, before)
    assert session.get("status") == [2, CONNECTED, ""]
    assert lab.echo(TUNNEL_ADDRESS, b"up") == b"up"
    assert {one.pid for one in processes_of_sessions()} == {session.worker.pid, session.engine.pid}
    assert "is killed" not in service.log and "Traceback" not in service.log


def test_a_service_without_other_work_does_not_leave_while_a_session_waits(lab: Lab) -> None:
    lab.server()
    lab.supervisor(idle_exit=FIRST_PAUSE * 2 / 3 / 60)
    session = begin(lab)
    session.connect()
    before = lose(session)
    session.wait(CONNECTED, before, AFTER_PAUSE)


def test_a_try_that_fails_is_followed_by_another(lab: Lab) -> None:
    lab.server()
    lab.supervisor("--stopped-grace=0")
    session = begin(lab)
    session.connect()
    [serving] = service_life.processes(SERVING)
    with service_life.frozen(serving):
        before = lose(session)
        session.call("Restart")
        session.user.wait_signal(
            lambda one: (
                one.path == session.path
                and "did not start a worker within 3 s: try 2 of 10 in 6 s" in str(one.arguments)
            ),
            since=before,
        )
    session.call("Restart")
    session.wait(CONNECTED, before)
    # The worker that came too late is gone.
    wait_gone([one for one in processes_of_sessions() if one.pid not in {session.worker.pid, session.engine.pid}])


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "timed-out"])
def test_a_new_worker_that_stands_still_is_ended(lab: Lab, paused: bool) -> None:
    lab.server()
    service = lab.supervisor("--stopped-grace=0")
    session = begin(lab)
    session.connect()
    before = lose(session)
    wait_until(lambda: lab.client_side.devices() == {CABLE})
    [serving] = service_life.processes(SERVING)
    with service_life.frozen(serving):
        session.call("Restart")
        wait_until(lambda: lab.client_side.devices() != {CABLE})  # the worker is asked for at the same time
        os.kill(service.pid, signal.SIGSTOP)
    wait_until(lambda: len(processes_of_sessions()) == 1)
    [worker] = processes_of_sessions()
    kill(worker, signal.SIGSTOP)
    since = session.seen
    os.kill(service.pid, signal.SIGCONT)
    if paused:
        session.call("Pause", "s", "lunch")
    else:
        _, _, text = session.wait(RECONNECTING, since)
        assert text == "The session's worker gave no verdict within 4 s: try 2 of 10 in 6 s"
    wait_gone([worker])
    session.call("Resume" if paused else "Restart")
    session.wait(CONNECTED, before)


def test_without_a_spawner_it_waits_for_another_instance(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    kill_helper("spawner")
    before = lose(session)
    session.call("Restart")
    text = r"No worker could be started: The spawner has ended; .*: try 2 of 10 in 6 s"
    session.user.wait_signal(lambda one: bool(re.search(text, str(one.arguments))), since=before)
    service.process.signal(signal.SIGUSR2)  # as the log says
    assert service.process.wait() == 0
    lab.supervisor()
    session.wait(CONNECTED, before)
    assert FAILED not in session.minors


# What is no failure of a process ends the session as always.


@pytest.mark.parametrize("victim", ["worker", "engine"])
def test_an_orderly_end_is_the_end(lab: Lab, victim: str) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    kill(session.worker if victim == "worker" else session.engine, signal.SIGTERM)
    session.wait(StatusMinor.PROC_STOPPED)
    assert session.minors == [
        StatusMinor.CFG_OK,
        StatusMinor.CFG_OK,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTED,
        StatusMinor.CONN_DISCONNECTING,
        StatusMinor.CONN_DISCONNECTED,
        StatusMinor.CONN_DONE,
        StatusMinor.PROC_STOPPED,
    ]


def test_a_connection_that_does_not_come_about_in_time_fails(lab: Lab) -> None:
    lab.supervisor("--connect-timeout=2")
    session = begin(lab)
    session.call("Connect")
    assert session.wait(FAILED)[2].startswith("No connection within 2 s")
    assert RECONNECTING not in session.minors


def test_before_connect_there_is_nothing_to_keep_up(lab: Lab) -> None:
    lab.supervisor()
    session = begin(lab)
    kill(session.worker)
    assert session.wait(FAILED)[2] == KILLED
