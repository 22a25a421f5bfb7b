"""Ending when idle: what keeps the service, and that no caller ever notices."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from ....policy.exit_status import ExitStatus
from ...lab.connection import (
    CONFIGURATION,
    CONFIGURATION_PATH,
    SESSIONS,
    SESSIONS_PATH,
    BusClient,
)
from ...lab.lab import Lab
from ...lab.processes import DEADLINE, LabError
from ...lab.surroundings import SERVICE
from ...support.service_life import field, frozen, owner_pid, processes

IDLE = 1.0  # seconds; a busy machine has to get a session going in that time

_LONGER = 1.6 * IDLE  # and less than SPAWN_DEADLINE


def options(seconds: float) -> str:
    return f"--idle-exit={seconds / 60:f}"


@pytest.mark.parametrize("name", ["by its name", "by its connection"])
def test_a_front_end_that_polls_keeps_it(lab: Lab, name: str) -> None:
    """Also one that keeps a proxy to the connection that it saw first, as openvpn3-indicator does."""
    service = lab.supervisor(idle_exit=IDLE / 60)
    alice = lab.connection("alice")
    to = SESSIONS if name == "by its name" else str(alice.owner_of(SESSIONS))
    enough = threading.Event()

    def poll() -> None:
        while not enough.is_set():
            alice.call(SESSIONS_PATH, SESSIONS, "FetchAvailableSessions", to=to)

    with ThreadPoolExecutor(1) as thread:
        polling = thread.submit(poll)
        try:
            with pytest.raises(LabError):
                lab.watcher.wait_no_owner(SESSIONS, _LONGER)
        finally:
            enough.set()
        polling.result()
    assert service.process.wait() == ExitStatus.OK  # when nobody calls any more


def test_zero_keeps_it(lab: Lab) -> None:
    lab.supervisor(idle_exit=0)
    with pytest.raises(LabError):
        lab.watcher.wait_no_owner(SESSIONS, IDLE)


def test_a_session_keeps_it_until_it_ends(lab: Lab) -> None:
    alice, profile = lab.connection("alice"), lab.profile()
    service = lab.supervisor(idle_exit=IDLE / 60)
    path = alice.new_tunnel(alice.import_profile("work", profile))
    with pytest.raises(LabError):
        lab.watcher.wait_no_owner(SESSIONS, _LONGER)
    assert service.process.running()
    alice.session(path, "Disconnect")
    assert service.process.wait() == ExitStatus.OK


def test_a_session_being_made_keeps_it(lab: Lab) -> None:
    alice, text = lab.connection("alice"), lab.profile()
    lab.supervisor("--stopped-grace=0", idle_exit=IDLE / 60)
    profile = alice.import_profile("work", text)
    alice.session(alice.new_tunnel(profile), "Disconnect")
    [serving] = processes("openvpn3-service-sessionmgr: spawner, serving")
    with frozen(serving):
        call = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
        with pytest.raises(LabError):
            lab.watcher.wait_no_owner(SESSIONS, _LONGER)
    [path] = alice.finish_call(call)
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]


@pytest.fixture
def profiles(lab: Lab) -> Path:
    """Start a bus that starts a service which soon ends; the parent directory of its profiles."""
    lab.start_bus(activation=[options(IDLE), f"--runtime-dir={lab.directory}/run", f"--state-dir={lab.directory}/lib"])
    return lab.directory


def test_profiles_survive(lab: Lab, profiles: Path) -> None:
    alice = lab.connection("alice")
    text = lab.profile()
    kept = {
        "in memory": alice.import_profile("in memory", text),
        "persistent": alice.import_profile("persistent", text, persistent=True),
    }
    pid = owner_pid(alice)
    lab.watcher.wait_no_owner(SESSIONS)
    for place in ("run", "lib"):
        [file] = (profiles / place / "profiles").iterdir()
        assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, SERVICE.uid)
    assert set(alice.call(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs")) == set(kept.values())
    assert owner_pid(alice) != pid
    for name, path in kept.items():
        assert alice.get(path, "name") == name
        assert alice.call(path, CONFIGURATION, "Fetch").strip() == text.strip()
        assert alice.session(alice.new_tunnel(path), "Disconnect") is None


def test_a_session_asked_for_before_it_has_left_makes_it_stay(lab: Lab, profiles: Path) -> None:
    """The bus is frozen while the service decides to leave, and has a call for it by then."""
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    pid = owner_pid(alice)
    with frozen(lab.bus.process.pid):
        call = _ask(alice, profile)
        _wait_until(lambda: _lock(profiles) == f"leaving {pid}")
    [path] = alice.finish_call(call)
    assert owner_pid(alice) == owner_pid(alice, CONFIGURATION) == pid
    assert _lock(profiles) == f"serving {pid}"
    _stays_until_disconnect(lab, alice, path)


def test_a_session_asked_for_when_it_has_left_is_the_next_one_s(lab: Lab, profiles: Path) -> None:
    """The service is frozen when it has given up its names, so the next one has to wait until it is gone."""
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    pid = owner_pid(alice)
    with ExitStack() as old:
        with frozen(lab.bus.process.pid):
            _wait_until(lambda: _lock(profiles) == f"leaving {pid}" and field(pid, "State").startswith("S"))
            old.enter_context(frozen(pid))
        lab.watcher.wait_no_owner(SESSIONS)
        call = _ask(alice, profile)
        lab.watcher.wait_owner(CONFIGURATION)
        assert owner_pid(alice) != pid
        assert _lock(profiles) == f"leaving {pid}"
    [path] = alice.finish_call(call)
    _stays_until_disconnect(lab, alice, path)


def _ask(alice: BusClient, profile: str) -> int:
    return alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)


def _lock(directory: Path) -> str:
    """What the lock says of its holder, and which that is."""
    return " ".join((directory / "run" / "lock").read_text().split()[:2])


def _stays_until_disconnect(lab: Lab, alice: BusClient, path: str) -> None:
    with pytest.raises(LabError):
        lab.watcher.wait_no_owner(SESSIONS, _LONGER)
    alice.session(path, "Disconnect")
    for name in (SESSIONS, CONFIGURATION):
        lab.watcher.wait_no_owner(name)


def test_no_call_is_lost_across_idle_exits(lab: Lab) -> None:
    """Eight callers who call when the service is about to leave, again and again."""
    exits, callers, idle = 20, 8, 0.1
    lab.start_bus(activation=[options(idle)])
    profile = lab.profile()
    everybody = [lab.connection(("alice", "bob")[number % 2]) for number in range(callers)]
    enough = threading.Event()
    done = Counter[str]()
    rest: list[float] = []
    together = threading.Barrier(callers, lambda: rest.append(random.uniform(0.9, 1.3) * idle))

    def loop(connection: BusClient) -> None:
        calls: list[tuple[str, Callable[[], object]]] = [
            ("version", lambda: connection.get(SESSIONS_PATH, "version")),
            ("sessions", lambda: connection.session(SESSIONS_PATH, "FetchAvailableSessions")),
            ("import and remove", lambda: _import_and_remove(connection, profile)),
        ]
        while not enough.is_set():
            for name, call in calls:
                call()  # an error ends the test
                done[name] += 1
            with contextlib.suppress(threading.BrokenBarrierError):
                together.wait()
            enough.wait(rest[-1])

    def gone(since: int) -> int:
        signals = lab.watcher.signals(since)
        changes = [one.arguments for one in signals if one.member == "NameOwnerChanged"]
        return sum(name == SESSIONS and not new for name, _, new in changes)

    with ThreadPoolExecutor(callers) as threads:
        loops = [threads.submit(loop, connection) for connection in everybody]
        try:
            while (seen := gone(0)) < exits:
                lab.watcher.wait_signal(lambda _, seen=seen: gone(0) > seen, DEADLINE)  # type: ignore[misc]  # bound
                assert not [one for one in loops if one.done()]
        finally:
            enough.set()
            together.abort()
        for one in loops:
            one.result()
    assert gone(0) >= exits
    assert min(done.values()) > exits  # each kind, in each life of the service
    assert "Traceback" not in lab.bus.process.text


def _import_and_remove(connection: BusClient, profile: str) -> None:
    path = connection.import_profile("one of many", profile)
    connection.call(path, CONFIGURATION, "Remove")


def _wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until
