"""Ending with sessions up: asked to, without the bus, or by force; nothing may be left."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ....policy.dbus_numbers import StatusMajor, StatusMinor
from ....policy.exit_status import ExitStatus
from ....policy.limits import BUS_CALL_DEADLINE
from ...lab.bus import Bus
from ...lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH, BusClient, BusError
from ...lab.lab import Lab
from ...lab.network import CABLE
from ...lab.processes import DEADLINE, Process, until_gone, wait_gone
from ...lab.service import FIRST_SESSION_UID
from ...support.ending import (
    HELPERS,
    WORKER,
    assert_nothing_left,
    family,
    runtime,
    wait_without_clients,
)
from ...support.service_life import connected, frozen, processes, started, wait_until

ENDED_AT_ONCE = 5.0  # seconds


def is_destroyed(path: str) -> Callable[..., bool]:
    return lambda one: one.member == "SessionManagerEvent" and one.arguments[:2] == [path, 2]


# --- asked to ---


@pytest.mark.parametrize(
    ("number", "protocol", "more", "heard"),
    [
        (signal.SIGTERM, "udp", ["explicit-exit-notify 1"], "exit message received by peer"),
        (signal.SIGINT, "tcp", [], "Connection reset"),
    ],
)
def test_all_sessions_are_disconnected(lab: Lab, number: int, protocol: str, more: list[str], heard: str) -> None:
    server = lab.server(protocol=protocol)
    with started(lab) as service:
        service.wait_line("runs as user")
        alice, paths = connected(lab, 3, protocol=protocol, more=more)
        assert len(server.clients()) == 3
        service.signal(number)
        assert service.wait() == ExitStatus.OK
        for path in paths:
            alice.wait_signal(is_destroyed(path), what="SessionManagerEvent")
            assert alice.statuses(path)[-1][:2] == (StatusMajor.SESSION, StatusMinor.PROC_STOPPED)
        wait_until(lambda: server.process.text.count(heard) == len(paths))
        assert "ERROR" not in service.text
        assert_nothing_left(lab)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_before_its_parts_are_there(lab: Lab, number: int) -> None:
    """It owns its names by then, and imports what it is made of."""
    with started(lab) as service:
        lab.watcher.wait_owner(SESSIONS)
        service.signal(number)
        assert service.wait() == ExitStatus.OK
        for name in (SESSIONS, CONFIGURATION):
            lab.watcher.wait_no_owner(name)
        assert "Internal error" not in service.text
        assert_nothing_left(lab)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_while_it_waits_for_another_instance(lab: Lab, number: int) -> None:
    with started(lab) as other:
        other.wait_line("runs as user")
        lock = lab.directory / "own/runtime/lock"
        lock.write_bytes(lock.read_bytes().replace(b"serving", b"leaving"))
        bus = Bus(lab.client_side, lab.directory / "other-bus")
        bus.start()
        try:
            with started(lab, environment=bus.environment()) as waiting:
                with closing(BusClient("root", bus.environment())) as watcher:
                    watcher.wait_owner(SESSIONS)
                waiting.signal(number)
                assert waiting.wait() == ExitStatus.OK
                assert waiting.text == ""
        finally:
            bus.stop()
        assert other.stop() == ExitStatus.OK
        assert_nothing_left(lab)


def test_a_second_signal_changes_nothing(lab: Lab) -> None:
    server = lab.server()
    with started(lab) as service:
        service.wait_line("runs as user")
        connected(lab, more=["explicit-exit-notify 1"])
        for _ in range(3):
            service.signal(signal.SIGTERM)
        service.signal(signal.SIGINT)
        assert service.wait() == ExitStatus.OK
        server.process.wait_line("exit message received by peer")
        assert_nothing_left(lab)


def test_a_session_that_connects_is_ended_too(lab: Lab) -> None:
    with started(lab) as service:
        service.wait_line("runs as user")
        alice = lab.connection("alice")
        path = alice.new_tunnel(alice.import_profile("work", lab.profile()))
        alice.session(path, "Connect")  # nobody answers there
        alice.wait_status(path, StatusMinor.CONN_CONNECTING)
        service.signal(signal.SIGTERM)
        assert service.wait(ENDED_AT_ONCE) == ExitStatus.OK
        assert_nothing_left(lab)


def test_a_session_that_is_being_made_is_refused(lab: Lab) -> None:
    """Its worker does not come until the end has begun."""
    with started(lab, "--stopped-grace=0") as service:
        alice, profile = _with_warm_spawner(lab, service)
        [serving] = processes(f"{HELPERS}spawner, serving")
        with frozen(serving):
            call = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
            wait_until(lambda: bool(lab.client_side.devices() - {CABLE}))
            service.signal(signal.SIGTERM)
            service.wait_line("Asked to end")
        with pytest.raises(BusError):
            alice.finish_call(call)
        assert service.wait() == ExitStatus.OK
        assert "Traceback" not in service.text
        assert_nothing_left(lab)


@pytest.mark.parametrize("delay", range(6))
def test_the_end_and_a_new_session_cross(lab: Lab, delay: int) -> None:
    """`delay` is in round trips on the bus; a session takes some ten of them."""
    with started(lab) as service:
        alice, profile = _with_warm_spawner(lab, service)
        bob = lab.connection("bob")
        call = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
        for _ in range(delay * 3):
            bob.owner_of(SESSIONS)
        service.signal(signal.SIGTERM)
        assert service.wait() == ExitStatus.OK
        try:
            alice.finish_call(call)
        except BusError as error:
            assert "log says why" not in error.text
        assert "Traceback" not in service.text
        assert_nothing_left(lab)


def _with_warm_spawner(lab: Lab, service: Process) -> tuple[BusClient, str]:
    service.wait_line("runs as user")
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.session(alice.new_tunnel(profile), "Disconnect")
    assert not until_gone(lambda: set(processes(WORKER)), DEADLINE)
    wait_until(lambda: lab.client_side.devices() == {CABLE})
    return alice, profile


@pytest.mark.parametrize("reached", ["runtime", "runtime/lock", "state/profiles"])
def test_asked_to_end_while_it_starts(lab: Lab, reached: str) -> None:
    with started(lab) as service:
        wait_until(lambda: (lab.directory / "own" / reached).exists())
        service.signal(signal.SIGTERM)
        assert service.wait() in (ExitStatus.OK, -signal.SIGTERM)
        assert_nothing_left(lab)


# --- without the bus ---


def test_the_bus_falls_silent(lab: Lab) -> None:
    with started(lab) as service:
        service.wait_line("runs as user")
        lab.bus.process.freeze()
        try:
            service.signal(signal.SIGTERM)
            assert service.wait(BUS_CALL_DEADLINE + ENDED_AT_ONCE) == ExitStatus.BUS_LOST
        finally:
            lab.bus.process.thaw()
        assert "The bus does not answer" in service.text
        assert "Traceback" not in service.text


# --- by force ---


def test_killed_with_its_workers_the_next_one_cleans_up(lab: Lab) -> None:
    server = lab.server(protocol="tcp")
    with started(lab) as service:
        service.wait_line("runs as user")
        connected(lab, 2, protocol="tcp")
        service.signal(signal.SIGKILL)
        service.wait()
    assert not until_gone(lambda: set(processes(HELPERS)), DEADLINE)
    for worker in processes(WORKER):
        os.kill(worker, signal.SIGKILL)
    assert not until_gone(family, DEADLINE)
    wait_without_clients(server)
    devices = lab.client_side.devices() - {CABLE}
    assert len(devices) == 2
    with started(lab) as service:
        for device in devices:
            service.wait_line(f"Removed device {device} of an earlier instance")
        service.wait_line("runs as user")
        assert lab.client_side.devices() == {CABLE}
        assert service.stop() == ExitStatus.OK
        assert_nothing_left(lab)


def test_workers_that_do_not_answer_are_ended_by_the_next_one_and_strangers_are_not(lab: Lab) -> None:
    lab.server()
    with started(lab, "--stopped-grace=0") as service:
        service.wait_line("runs as user")
        connected(lab)
        [worker] = processes(WORKER)
        os.kill(worker, signal.SIGSTOP)
        service.signal(signal.SIGKILL)
        service.wait()
    record = runtime(lab) / "sessions" / "records"
    strangers = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
    try:
        # One has the number, and the user, but not the start time of a worker noted; the other not the user.
        started_at = Path(f"/proc/{strangers[1].pid}/stat").read_text().rpartition(")")[2].split()[19]
        claims = [(strangers[0].pid, 1, 0), (strangers[1].pid, int(started_at), FIRST_SESSION_UID), (2**22, 1, 0)]
        for pid, ticks, uid in claims:
            text = f'{{"pid":{pid},"started":{ticks},"uid":{uid}}}'
            (record.parent / f"{pid}.worker").write_text(text)
        (record.parent / "torn.worker").write_text('{"pid":')
        with started(lab) as service:
            assert str(worker) in service.wait_line("Ended worker")
            service.wait_line("runs as user")
            assert wait_gone(worker, 0)
            assert not until_gone(_family_besides_helpers, DEADLINE)
            assert service.text.count("Ended worker") == 1
            assert all(stranger.poll() is None for stranger in strangers)
            assert service.stop() == ExitStatus.OK
            assert_nothing_left(lab)
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


def _family_besides_helpers() -> set[int]:
    return family() - set(processes(HELPERS))
