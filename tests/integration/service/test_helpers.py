"""Helper processes that die or are stuck: what goes on, what comes back, and what is said."""

import contextlib
import os
import signal

import pytest

from ....policy.dbus_numbers import StatusMinor
from ....policy.exit_status import ExitStatus
from ...lab.connection import SESSIONS, SESSIONS_PATH, BusClient, BusError
from ...lab.lab import Lab
from ...lab.network import CABLE, SERVER_ADDRESS
from ...lab.openvpn import PORT, TUNNEL_ADDRESS
from ...lab.processes import pids, until_gone
from ...lab.service import FIRST_SESSION_UID, SESSION_UIDS, Service
from ...support.helper_processes import kill_helper
from ...support.service_life import (
    connected,
    field,
    frozen,
    kill_and_wait,
    line_after,
    parent,
    processes,
    started,
    wait_ready,
    wait_until,
    with_limits,
)
from ...support.spinning import make_spin

KEEPER = "openvpn3-service-sessionmgr: spawner"
SERVING = "openvpn3-service-sessionmgr: spawner, serving"
RESOLVER = "openvpn3-service-sessionmgr: resolver"
WORKER = "openvpn3-session: "
MARKER = b"through the tunnel"
PATIENCE = 60.0  # seconds


def keeper() -> int:
    """The process that forks the spawner again."""
    [found] = set(processes(KEEPER)) - set(processes(SERVING))
    return found


def resolvers() -> tuple[int, int]:
    """The resolver's keeper, and the one that serves."""
    found = processes(RESOLVER)
    [serving] = [pid for pid in found if parent(pid) in found]
    return parent(serving), serving


@pytest.fixture
def service(lab: Lab) -> Service:
    """A running service, its helpers running too."""
    lab.server()
    made = lab.supervisor()
    wait_until(lambda: len(processes(SERVING)) == 1 and len(processes(RESOLVER)) == 2)
    return made


def test_a_dead_spawner_is_replaced(lab: Lab, service: Service) -> None:
    alice, [live] = connected(lab)
    profile = alice.import_profile("second", lab.profile())
    for _ in range(3):
        [serving] = processes(SERVING)
        kill_and_wait(serving, signal.SIGKILL)
        path = alice.new_tunnel(profile)  # at once: what is asked for meanwhile waits in the socket
        assert processes(SERVING) != [serving]
        alice.session(path, "Disconnect")
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    alice.session(live, "Disconnect")


@pytest.mark.parametrize("name", ["spawner", "resolver"])
def test_a_dead_keeper_is_replaced(lab: Lab, service: Service, name: str) -> None:
    """By the one that served, again and again; and each of these has its own replaced, too."""
    lab.dns({"vpn.example": [SERVER_ADDRESS]})
    alice, [live] = connected(lab)
    profile = alice.import_profile("second", lab.profile(remotes=[f"vpn.example {PORT}"]))
    for _ in range(3):
        first, second = (keeper(), processes(SERVING)[0]) if name == "spawner" else resolvers()
        said = line_after(service.process, "keeper has ended", lambda pid=first: kill_and_wait(pid, signal.SIGKILL))  # type: ignore[misc]
        assert f"{name}: the keeper has ended, and is replaced" in said
        wait_until(lambda: len(processes(SERVING)) == 1 and len(processes(RESOLVER)) == 2)
        assert (keeper() if name == "spawner" else resolvers()[0]) == second
        kill_and_wait(processes(SERVING)[0] if name == "spawner" else resolvers()[1], signal.SIGKILL)
        path = alice.new_tunnel(profile)
        alice.session(path, "Connect")
        alice.wait_status(path, StatusMinor.CONN_CONNECTED)
        alice.session(path, "Disconnect")
        assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    alice.session(live, "Disconnect")
    assert service.stop() == ExitStatus.OK


def test_a_keeper_dies_while_a_worker_is_asked_for(lab: Lab, service: Service) -> None:
    alice = lab.connection("alice")
    profile = alice.import_profile("second", lab.profile())
    for _ in range(5):
        victim = keeper()
        call = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
        os.kill(victim, signal.SIGKILL)
        [path] = alice.finish_call(call)
        alice.session(path, "Disconnect")
        wait_until(lambda: len(processes(KEEPER)) == 2 and len(processes(SERVING)) == 1)


def test_a_keeper_dies_while_a_name_is_looked_up(lab: Lab, service: Service) -> None:
    """The question is asked again."""
    lab.dns({"vpn.example": [SERVER_ADDRESS]})
    alice = lab.connection("alice")
    path = alice.new_tunnel(alice.import_profile("work", lab.profile(remotes=[f"vpn.example {PORT}"])))
    first, second = resolvers()
    with frozen(second):
        alice.session(path, "Connect")
        kill_and_wait(first, signal.SIGKILL)
    alice.wait_status(path, StatusMinor.CONN_CONNECTED)


def test_without_both_live_sessions_go_on(lab: Lab, service: Service) -> None:
    alice, [live] = connected(lab)
    profile = alice.import_profile("second", lab.profile())
    said = line_after(service.process, "CRITICAL", lambda: kill_helper("spawner"))
    assert "The spawner and its keeper have ended" in said
    with pytest.raises(
        BusError, match="The spawner has ended; sessions can be started again when the service is restarted"
    ):
        alice.new_tunnel(profile)
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [live]
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    alice.session(live, "Disconnect")
    assert service.stop() == ExitStatus.OK


def test_a_stopped_spawner_is_replaced_and_starts_what_waits(lab: Lab, service: Service) -> None:
    alice, [live] = connected(lab)
    profile = alice.import_profile("second", lab.profile())
    [serving] = processes(SERVING)
    os.kill(serving, signal.SIGSTOP)
    path = alice.new_tunnel(profile)
    assert processes(SERVING) != [serving]
    service.process.wait_line(r"a helper is stopped \(SIGSTOP\), and is killed")
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    for session in (path, live):
        alice.session(session, "Disconnect")


def test_a_spawner_that_spins_is_replaced(lab: Lab) -> None:
    lab.server()
    with started(lab, through=with_limits(lab.directory, ANSWER_DEADLINE=4.0)) as service:
        wait_ready(lab)
        alice, _ = connected(lab)
        profile = alice.import_profile("second", lab.profile())
        [serving] = processes(SERVING)
        make_spin(serving)
        try:
            # On a busy machine it has had less of a processor by then than it may have, and the next one serves this.
            alice.session(alice.new_tunnel(profile), "Disconnect")
        except BusError as error:
            assert "did not start a worker within 3 s" in error.text
        service.wait_line("The spawner does not answer: it is killed, and replaced", PATIENCE)
        wait_until(lambda: processes(SERVING) not in ([], [serving]))
        alice.session(alice.new_tunnel(profile), "Disconnect")
        wait_until(lambda: len(processes(WORKER)) == 1)
        assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER


def test_a_spawner_that_spins_is_replaced_before_anybody_needs_it(lab: Lab) -> None:
    lab.server()
    with started(lab, "--look-interval=1") as service:
        wait_ready(lab)
        alice, _ = connected(lab)
        profile = alice.import_profile("second", lab.profile())
        [serving] = processes(SERVING)
        make_spin(serving)
        with contextlib.suppress(BusError):
            # With which it leaves its system call; the one that takes its place may serve this in time.
            alice.session(alice.new_tunnel(profile), "Disconnect")
        service.wait_line("The spawner does not answer: it is killed, and replaced", PATIENCE)
        wait_until(lambda: processes(SERVING) not in ([], [serving]))
        alice.session(alice.new_tunnel(profile), "Disconnect")


@pytest.mark.parametrize("name", ["spawner", "resolver"])
def test_a_stopped_keeper_is_made_to_go_on(lab: Lab, service: Service, name: str) -> None:
    """It is not replaced while it lives."""
    lab.dns({"vpn.example": [SERVER_ADDRESS]})
    stopped = keeper() if name == "spawner" else resolvers()[0]
    serving = processes(SERVING)[0] if name == "spawner" else resolvers()[1]
    said = line_after(service.process, "lets it go on", lambda: os.kill(stopped, signal.SIGSTOP))
    assert f"{name} (process {stopped}) is stopped (SIGSTOP)" in said
    wait_until(lambda: field(stopped, "State").startswith("S"))
    kill_and_wait(serving, signal.SIGKILL)
    alice = lab.connection("alice")
    path = alice.new_tunnel(alice.import_profile("work", lab.profile(remotes=[f"vpn.example {PORT}"])))
    alice.session(path, "Connect")
    alice.wait_status(path, StatusMinor.CONN_CONNECTED)


def test_a_stopped_resolver_is_replaced_and_asked_again(lab: Lab, service: Service) -> None:
    lab.dns({"vpn.example": [SERVER_ADDRESS]})
    alice = lab.connection("alice")
    path = alice.new_tunnel(alice.import_profile("work", lab.profile(remotes=[f"vpn.example {PORT}"])))
    _, serving = resolvers()
    os.kill(serving, signal.SIGSTOP)
    alice.session(path, "Connect")
    alice.wait_status(path, StatusMinor.CONN_CONNECTED)
    assert resolvers()[1] != serving


def test_a_spawner_that_hangs_is_an_error_in_time(lab: Lab) -> None:
    lab.supervisor("--stopped-grace=0")
    wait_until(lambda: len(processes(SERVING)) == 1)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    [serving] = processes(SERVING)
    with frozen(serving), pytest.raises(BusError, match=r"gave no verdict within 4 s|did not start a worker"):
        alice.new_tunnel(profile)
    # The worker that comes too late ends, and nothing is in the way of the next one.
    path = alice.new_tunnel(profile)
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]
    wait_until(lambda: len(processes(WORKER)) == 1 and len(lab.client_side.devices() - {CABLE}) == 1)


def test_a_user_id_is_given_out_again_when_its_worker_is_gone(lab: Lab) -> None:
    """Also that of a worker which nobody waits for any more, and which may still come."""
    service = lab.supervisor(f"--session-uids={SESSION_UIDS[0]}-{FIRST_SESSION_UID}", "--stopped-grace=0")
    wait_until(lambda: len(processes(SERVING)) == 1)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    [serving] = processes(SERVING)
    with frozen(serving):
        with pytest.raises(BusError, match="did not start a worker within"):
            alice.new_tunnel(profile)
        with pytest.raises(BusError, match="All user ids for sessions are in use"):
            alice.new_tunnel(profile)
    wait_until(lambda: _made(alice, profile))
    with pytest.raises(BusError, match=r"user ids for them: 1 \(--session-uids\)"):
        alice.new_tunnel(alice.import_profile("another", lab.profile()))
    assert service.stop() == ExitStatus.OK


def test_a_dead_resolver_is_replaced(lab: Lab, service: Service) -> None:
    lab.dns({"vpn.example": [SERVER_ADDRESS]})
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(remotes=[f"vpn.example {PORT}"]))
    for _ in range(2):
        _, serving = resolvers()
        kill_and_wait(serving, signal.SIGKILL)
        path = alice.new_tunnel(profile)
        alice.session(path, "Connect")
        alice.wait_status(path, StatusMinor.CONN_CONNECTED)
        alice.session(path, "Disconnect")
        assert resolvers()[1] != serving


def test_without_a_resolver_addresses_still_work(lab: Lab, service: Service) -> None:
    alice = lab.connection("alice")
    kill_helper("resolver")
    named = alice.new_tunnel(alice.import_profile("named", lab.profile(remotes=[f"vpn.example {PORT}"])))
    alice.session(named, "Connect")
    service.process.wait_line("the resolver has ended; names can be looked up again when the service is restarted")
    _, [path] = connected(lab, user="bob")
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    assert path


def test_stopped_helpers_end_with_a_service_that_is_killed(lab: Lab, service: Service) -> None:
    stopped = {keeper(), *processes(SERVING), *resolvers()}
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    service.process.signal(signal.SIGKILL)
    assert not until_gone(lambda: stopped & pids(), PATIENCE)


def test_signals_of_a_terminal_are_for_the_service_alone(lab: Lab, service: Service) -> None:
    helpers = {keeper(), *processes(SERVING), *processes(RESOLVER)}
    assert len(helpers) == 4
    for pid in helpers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    connected(lab)
    assert helpers == {keeper(), *processes(SERVING), *processes(RESOLVER)}


def _made(user: BusClient, profile: str) -> bool:
    try:
        user.new_tunnel(profile)
    except BusError:
        return False
    return True
