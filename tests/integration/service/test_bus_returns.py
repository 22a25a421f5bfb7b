"""A bus that ends and starts anew: sessions are kept, and what was known of connections is forgotten."""

import os
import shutil
import signal

import pytest

from ....policy.dbus_numbers import StatusMinor
from ....policy.exit_status import ExitStatus
from ....policy.limits import FAILED_READABLE
from ...lab.connection import (
    CONFIGURATION,
    CONFIGURATION_PATH,
    SESSIONS,
    SESSIONS_PATH,
    BusClient,
    BusError,
)
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.processes import DEADLINE
from ...lab.service import NAMES
from ...support.cut_bus import CutBus
from ...support.ending import assert_nothing_left, wait_without_clients
from ...support.service_life import connected, frozen, owner_pid, processes, started, wait_ready, wait_until
from ...support.skipping import cannot_run_here

MARKER = b"through the tunnel"
WORKER = "openvpn3-session: "
SERVING = "openvpn3-service-sessionmgr: spawner, serving"


@pytest.fixture(params=["dbus-daemon", "dbus-broker"])
def lab_of_each_bus(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    if shutil.which(request.param) is None:
        cannot_run_here(f"{request.param} is not installed")
    lab.bus_program = request.param
    return lab


def test_sessions_are_kept(lab_of_each_bus: Lab) -> None:
    lab = lab_of_each_bus
    lab.server()
    with started(lab) as service:
        wait_ready(lab)
        alice, [path] = connected(lab)
        alice.session(path, "LogForward", "b", True)
        profile = alice.get(path, "config_path")
        before = {name: alice.get(path, name) for name in ("status", "device_name", "backend_pid", "session_created")}
        for _ in range(2):
            lab.bus.process.signal(signal.SIGKILL)
            service.wait_line("Connection to the bus lost")
            assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
            since = len(service.lines)
            lab.restart_bus()
            wait_ready(lab)
            service.wait_line("The bus is joined again", since=since)
            alice = lab.connection("alice")
            assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]
            assert before == {name: alice.get(path, name) for name in before}
            assert alice.get(path, "log_forwards") == []  # their connections are gone
            assert not [one for one in lab.watcher.signals() if one.member == "SessionManagerEvent"]
            assert alice.call(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs") == [profile]
            alice.session(path, "LogForward", "b", True)
            alice.session(path, "Pause", "s", "once more")
            alice.wait_status(path, StatusMinor.CONN_PAUSED)
            since = len(alice.signals())
            alice.session(path, "Resume")
            alice.wait_status(path, StatusMinor.CONN_CONNECTED, since=since)
            before["status"] = alice.get(path, "status")
            assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
        bob, [another] = connected(lab, user="bob")
        bob.session(another, "Disconnect")
        alice.session(path, "Disconnect")
        assert service.stop() == ExitStatus.OK
        assert "Traceback" not in service.text


def test_who_gets_the_name_of_another_is_not_taken_for_that_one(lab_of_each_bus: Lab) -> None:
    lab = lab_of_each_bus
    lab.server()
    with started(lab) as service:
        wait_ready(lab)
        alice, [path] = connected(lab)
        alice.session(path, "LogForward", "b", True)
        lab.restart_bus()
        wait_ready(lab)
        bob = _with_name(lab, "bob", alice.unique_name)
        with pytest.raises(BusError, match="Access denied"):
            bob.session(path, "Disconnect")
        alice = lab.connection("alice")
        alice.session(path, "Pause", "s", "lunch")
        alice.wait_status(path, StatusMinor.CONN_PAUSED)
        bob.owner_of(SESSIONS)  # what was sent before has come
        assert not [one for one in bob.signals() if one.path == path]
        assert service.stop() == ExitStatus.OK


def _with_name(lab: Lab, user: str, name: str) -> BusClient:
    """A connection with this unique name: a new bus gives all from the beginning."""
    while True:
        made = lab.connection(user)
        assert _number(made.unique_name) <= _number(name)
        if made.unique_name == name:
            return made


def _number(unique_name: str) -> int:
    return int(unique_name.rpartition(".")[2])


def test_a_session_that_was_being_made_is_given_up(lab: Lab) -> None:
    with started(lab, "--stopped-grace=0") as service:
        wait_ready(lab)
        alice = lab.connection("alice")
        profile = alice.import_profile("work", lab.profile())
        alice.session(alice.new_tunnel(profile), "Disconnect")
        [serving] = processes(SERVING)
        with frozen(serving):
            alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
            wait_until(lambda: len(lab.client_side.devices()) == 2)
            lab.bus.process.signal(signal.SIGKILL)
            service.wait_line("Connection to the bus lost")
        lab.restart_bus()
        wait_ready(lab)
        alice = lab.connection("alice")
        assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
        wait_until(lambda: not processes(WORKER) and len(lab.client_side.devices()) == 1)
        alice.session(alice.new_tunnel(profile), "Disconnect")
        assert "Traceback" not in service.text


def test_without_a_session_it_leaves(lab: Lab) -> None:
    server = lab.server(protocol="tcp")
    with started(lab, "--bus-wait=1") as service:
        wait_ready(lab)
        connected(lab, 2, protocol="tcp")
        lab.bus.process.signal(signal.SIGKILL)
        service.wait_line("The bus cannot be joined")
        workers = processes(WORKER)
        assert len(workers) == 2
        for worker in workers:
            assert service.running()
            os.kill(worker, signal.SIGKILL)
        assert service.wait(DEADLINE + FAILED_READABLE) == ExitStatus.BUS_LOST
        assert "The bus is not back after 1 s without a session" in service.text
        assert "Traceback" not in service.text
        wait_without_clients(server)
        assert_nothing_left(lab)


def test_asked_to_end_without_a_bus(lab: Lab) -> None:
    server = lab.server(protocol="tcp")
    with started(lab, "--bus-wait=0") as service:
        wait_ready(lab)
        connected(lab, 2, protocol="tcp")
        lab.bus.process.signal(signal.SIGKILL)
        service.wait_line("Connection to the bus lost")
        assert service.stop() == ExitStatus.OK
        assert "Traceback" not in service.text
        wait_without_clients(server)
        assert_nothing_left(lab)


def test_handing_over_without_a_bus(lab: Lab) -> None:
    """As when both are started anew, one after the other."""
    lab.server()
    with started(lab, "--bus-wait=0") as service:
        wait_ready(lab)
        _, [path] = connected(lab)
        lab.bus.process.signal(signal.SIGKILL)
        service.wait_line("Connection to the bus lost")
        service.signal(signal.SIGUSR2)
        assert service.wait() == ExitStatus.OK
        assert "Traceback" not in service.text
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    lab.restart_bus()
    with started(lab) as service:
        wait_ready(lab)
        alice = lab.connection("alice")
        assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]
        assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
        assert service.stop() == ExitStatus.OK


def left_by_one_that_was_killed(lab: Lab) -> str:
    """The path of a connected session whose service has been killed."""
    lab.server()
    with started(lab, "--bus-wait=0") as service:
        wait_ready(lab)
        _, [path] = connected(lab)
        service.signal(signal.SIGKILL)
        service.wait()
    return path


def goes_on(lab: Lab, path: str) -> None:
    """A session is there, and so is its worker for the service."""
    alice = lab.connection("alice")
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]
    since = len(alice.signals())
    alice.session(path, "Pause", "s", "once more")
    alice.wait_status(path, StatusMinor.CONN_PAUSED, since=since)


def test_it_is_not_there_yet(lab: Lab) -> None:
    """There are sessions to be taken over, so it is waited for."""
    path = left_by_one_that_was_killed(lab)
    lab.bus.process.stop()
    with started(lab, "--bus-wait=0") as service:
        service.wait_line("The bus cannot be joined")
        assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
        lab.restart_bus()
        wait_ready(lab)
        goes_on(lab, path)
        assert service.stop() == ExitStatus.OK
        assert "Traceback" not in service.text


@pytest.mark.parametrize(
    "word", [b"Hello", b"RequestName", b"NameOwnerChanged", b"GetConnectionUnixUser", b"org.freedesktop.login1"]
)
def test_it_goes_while_the_next_instance_starts(lab: Lab, word: bytes) -> None:
    path = left_by_one_that_was_killed(lab)
    with CutBus(lab.directory / "cut", lab.bus.address, word) as bus:
        environment = {**lab.bus.environment(), "DBUS_SYSTEM_BUS_ADDRESS": bus.address}
        with started(lab, "--bus-wait=0", environment=environment) as service:
            wait_until(bus.cut.is_set)
            wait_ready(lab)
            assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
            goes_on(lab, path)
            assert service.stop() == ExitStatus.OK
            assert "Traceback" not in service.text


def test_it_is_not_there_and_nothing_is_to_be_taken_over(lab: Lab) -> None:
    lab.bus.process.stop()
    with started(lab) as service:
        assert service.wait() == ExitStatus.CANNOT_START
        assert "No connection to the system bus" in service.text


def test_another_instance_that_the_bus_starts_meanwhile_leaves_it_the_names(lab: Lab) -> None:
    lab.server()
    lab.start_bus(activation=["--idle-exit=0"])
    alice, [path] = connected(lab)
    pid = owner_pid(alice)
    with frozen(pid):
        lab.restart_bus()
        early = lab.connection("alice")
        with pytest.raises(BusError):
            early.session(SESSIONS_PATH, "FetchAvailableSessions")
    for name in NAMES:
        lab.watcher.wait_owner(name)
    wait_until(lambda: owner_pid(lab.watcher) == pid)
    alice = lab.connection("alice")
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    alice.session(path, "Disconnect")
    os.kill(pid, signal.SIGTERM)


def test_what_others_tell_is_heard_again(lab: Lab) -> None:
    """Logind above all, whose connection is another one by then."""
    logind = lab.logind()
    logind.start(lab.bus, lab.watcher)
    with started(lab) as service:
        wait_ready(lab)
        lab.connection("alice").session(SESSIONS_PATH, "FetchAvailableSessions")  # answered when it has started
        logind.stop()
        lab.restart_bus()
        logind.start(lab.bus, lab.watcher)
        wait_ready(lab)
        service.wait_line("The bus is joined again")
        logind.sleep(lab.watcher)
        service.wait_line("The machine has slept")
        logind.stop()
