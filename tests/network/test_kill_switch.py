"""The kill switch: what leaves the machine, seen from outside, while a session wants it, and after."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from ..lab.auth_server import Deny
from ..lab.connection import SESSIONS, SESSIONS_PATH, BusError
from ..lab.network import CABLE, ip
from ..lab.openvpn import PORT
from ..lab.service import SERVICE_PROGRAM, Service, service_command
from ..support.administration import chosen, reloaded
from ..support.authentication import AUTH_FAILED, answer
from ..support.lock import LOCK, TABLE, is_locked, owned_table, remove_tables, rules_of, unlock
from ..support.sessions import CONNECTED, FAILED, UserSession, kill, processes_of_sessions, until, wait_gone
from .locked import Container, Inbound, Outgoing, flood, is_for
from .world import CABLE2, FAR, FAR6, NEIGHBOUR, SERVER6, SERVERS, World

BOTH = "redirect-gateway def1 ipv6"
CLOSED = {FAR: "", FAR6: "", NEIGHBOUR: ""}
OPEN = {FAR: CABLE, FAR6: CABLE, NEIGHBOUR: CABLE}
TUNNEL = {FAR: "tunnel", FAR6: "tunnel", NEIGHBOUR: ""}


@pytest.fixture(autouse=True)
def unchanged(world: World) -> Iterator[None]:
    """In the end nf_tables are as they were before the service started."""
    before = rules_of(world.lab.client_side)
    yield
    world.service.stop()
    assert rules_of(world.lab.client_side) == before


def begin(world: World, *more: str, user: str = "root", number: int = 0, **options: Any) -> UserSession:
    """A session with the kill switch; root's, as most may not have it."""
    alone = world.lab.connection(user)
    remotes = options.pop("remotes", [f"{SERVERS[number]} {PORT}"])
    profile = alone.import_profile(f"locked {number}", world.lab.profile(remotes=remotes, more=more, **options))
    alone.set_setting(profile, "kill-switch", True)
    return UserSession(alone, profile, alone.new_tunnel(profile))


def again(session: UserSession) -> UserSession:
    """A new session of the same profile."""
    return UserSession(session.user, session.profile, session.user.new_tunnel(session.profile))


def ways(world: World) -> dict[str, str]:
    """What becomes of a user's packets to hosts far away and near."""
    return {address: world.way(address) for address in OPEN}


def wait_ways(world: World, wanted: dict[str, str]) -> None:
    """The same, when a service that has just begun has cleaned up, or taken over."""
    for address, way in wanted.items():
        world.wait_way(address, way)


def locked(world: World) -> bool:
    return is_locked(world.lab.client_side)


def holders(session: UserSession) -> list[tuple[int, bool]]:
    """Who wants the lock, and whether their session is there."""
    return [(uid, there) for uid, _, there, *_ in session.user.call(SESSIONS_PATH, LOCK, "GetLock")[0]]


def crash(world: World) -> None:
    """Service, workers and engines are killed."""
    processes = processes_of_sessions()
    os.kill(world.service.pid, signal.SIGKILL)
    world.service.process.wait()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            kill(process)
    wait_gone(processes)


def disconnect(world: World, session: UserSession) -> None:
    """And wait until the machine is open again."""
    session.call("Disconnect")
    until(lambda: not locked(world))
    assert ways(world) == OPEN


def test_nothing_leaves_but_by_the_tunnel(world: World) -> None:
    world.server(BOTH)
    world.start()
    session = begin(world)
    assert ways(world) == OPEN  # not before Connect
    session.connect()
    assert ways(world) == TUNNEL
    before = session.seen
    session.call("Restart")
    session.wait(CONNECTED, before)
    assert ways(world) == TUNNEL
    session.call("Pause", "s", "lunch")
    assert ways(world) == CLOSED
    disconnect(world, session)


def test_it_is_closed_before_the_engine_speaks(world: World) -> None:
    """Datagrams that are sent all the time do not cross the cable any more once one of the engine's has."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    with flood(world, FAR) as sent:
        sent.wait_seen()
        session.connect()
        frames = sent.frames()
    first = next(number for number, frame in enumerate(frames) if is_for(frame, SERVERS[0], PORT))
    seen = [number for number, frame in enumerate(frames) if sent.marker in frame]
    assert seen
    assert max(seen) < first
    disconnect(world, session)


def test_a_refused_login(world: World) -> None:
    world.lab.auth_server(lambda login: Deny("no"), more=[f"local {SERVERS[0]}"])
    world.start()
    session = begin(world, "auth-user-pass")
    answer(session, username="root", password="wrong")
    session.call("Connect")
    session.wait(AUTH_FAILED)
    assert ways(world) == CLOSED
    session.call("Disconnect")
    until(lambda: not locked(world))


def test_a_session_that_failed_and_one_after_it(world: World) -> None:
    """What failed keeps the machine locked; the user's next one takes it over."""
    server = world.server(BOTH)
    world.start("--connect-timeout", "3")
    server.stop()
    session = begin(world)
    session.call("Connect")
    session.wait(FAILED)
    session.user.wait_signal(lambda one: one.member == "SessionManagerEvent" and one.arguments[1] == 2, 20)  # removed
    assert ways(world) == CLOSED
    server.start()
    later = again(session)
    later.connect()
    assert ways(world) == TUNNEL
    disconnect(world, later)


@pytest.mark.parametrize("who", ["engine", "worker"])
def test_a_process_that_is_killed(world: World, who: str) -> None:
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    kill(session.engine if who == "engine" else session.worker)
    session.wait(FAILED)
    assert ways(world) == CLOSED
    disconnect(world, session)


def test_the_service_is_killed(world: World) -> None:
    """Its sessions go on, as does the lock; the next instance takes over both."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    os.kill(world.service.pid, signal.SIGKILL)
    world.service.process.wait()
    assert ways(world) == TUNNEL
    world.start()
    wait_ways(world, TUNNEL)
    assert holders(session) == [(0, True)]
    disconnect(world, session)


def test_the_service_is_killed_with_all_its_processes(world: World) -> None:
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    crash(world)
    assert ways(world) == CLOSED
    world.start()
    world.service.process.wait_line("still locked by the kill switch of an earlier session")
    assert ways(world) == CLOSED
    assert holders(session) == [(0, False)]
    later = begin(world)
    later.connect()
    assert holders(later) == [(0, True)]
    assert ways(world) == TUNNEL
    disconnect(world, later)


def test_the_service_leaves(world: World) -> None:
    """When it has nothing to do; the next one knows of the lock, and whoever stops it ends that."""
    server = world.server(BOTH)
    world.start("--idle-exit", "0.1", "--connect-timeout", "1")
    server.stop()
    session = begin(world)
    session.call("Connect")
    session.wait(FAILED)
    assert world.service.process.wait(60) == 0
    assert ways(world) == CLOSED
    world.start()
    world.service.process.wait_line("still locked")
    assert ways(world) == CLOSED
    assert world.service.stop() == 0
    assert ways(world) == OPEN


def test_systemd_stops_the_service(world: World) -> None:
    """Then it is the unit that ends the lock: systemd sends the same signal for a restart, and at the shutdown."""
    world.server(BOTH)
    lab = world.lab
    as_unit = ["sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh", *service_command(lab.service_directory)]
    world.service = Service(lab.client_side, lab.bus, as_unit, lab.watcher)
    world.service.wait_ready()
    session = begin(world)
    session.connect()
    assert world.service.stop() == 0
    assert ways(world) == CLOSED
    assert not lab.as_user("root", [SERVICE_PROGRAM, "--unlock"]).returncode
    assert ways(world) == OPEN


def test_who_unlocks(world: World) -> None:
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    bob = world.lab.connection("bob")
    [(uid, since, there, path, profile)], lifted = bob.call(SESSIONS_PATH, LOCK, "GetLock")
    assert (uid, there, path, profile, lifted) == (0, True, "/", "", 0)
    assert since > 0
    for seconds in (0, 60):
        with pytest.raises(BusError, match="locked by root"):
            unlock(bob, seconds)
    assert ways(world) == TUNNEL
    unlock(session.user)
    assert not locked(world)
    assert ways(world) == {FAR: "tunnel", FAR6: "tunnel", NEIGHBOUR: CABLE}  # the session goes on
    with pytest.raises(BusError, match="not locked"):
        unlock(session.user)
    session.call("Disconnect")


@pytest.mark.parametrize("program", ["ovpnctl", "service"])
def test_root_unlocks_without_the_service(world: World, program: str) -> None:
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    crash(world)
    argv = ["unlock"] if program == "ovpnctl" else []
    if program == "service":
        done = world.lab.as_user("root", [SERVICE_PROGRAM, "--unlock"])
    else:
        refused = world.lab.ovpnctl("bob", *argv)
        assert refused.returncode == 7, refused.stderr
        done = world.lab.ovpnctl("root", *argv)
    assert not done.returncode, done.stderr
    assert not locked(world)
    world.start()
    wait_ways(world, OPEN)


def test_a_pass(world: World) -> None:
    """The kernel ends it, also when nobody is there any more."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    done = world.lab.ovpnctl("root", "unlock", "--for", "20s")
    assert done.stdout == "Everything passes for 20 s\n", done.stderr
    assert ways(world) == {FAR: "tunnel", FAR6: "tunnel", NEIGHBOUR: CABLE}
    status = json.loads(world.lab.ovpnctl("root", "status", "--json").stdout)
    assert 0 < status["lock"]["lifted_for"] <= 20
    crash(world)
    world.start()
    world.wait_way(NEIGHBOUR, "")
    assert ways(world) == CLOSED
    assert session.user.call(SESSIONS_PATH, LOCK, "GetLock")[1] == 0


def test_two_sessions(world: World) -> None:
    """It lasts until the last one's end; a pass takes the word of both users, or root's."""
    for number in (0, 1):
        world.server(*([BOTH] if number == 0 else []), number=number)
    world.start("--kill-switch", "any")
    hers = begin(world, user="alice")
    his = begin(world, user="bob", number=1)
    hers.connect()
    unlock(hers.user, 600)
    assert world.way(NEIGHBOUR) == CABLE
    his.connect()  # which ends the pass that was hers to give
    assert world.way(NEIGHBOUR) == ""
    with pytest.raises(BusError, match="locked by bob too"):
        unlock(hers.user, 10)
    hers.call("Disconnect")
    world.service.process.wait_line("The kill switch is off: its session was disconnected")
    assert ways(world) == CLOSED
    disconnect(world, his)


def test_who_spoke_first_before(world: World) -> None:
    """Connections from outside go on; what a program here began does not, even if the other end speaks."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    inbound = Inbound(world.lab)
    outgoing = [Outgoing(world.lab, FAR, kind) for kind in ("tcp", "udp")]
    session.connect()
    inbound.check()
    with world.watched() as seen:
        for one in outgoing:
            one.hear_and_answer(b"answer of " + one.kind.encode())
            assert not seen(b"answer of " + one.kind.encode())
    new = Inbound(world.lab)
    new.check()
    session.call("Disconnect")
    until(lambda: not locked(world))
    inbound.close()
    new.close()
    for one in outgoing:
        one.close()


def test_what_the_machine_forwards(world: World) -> None:
    """A container's traffic, of both versions."""
    world.server(BOTH)
    world.start()
    with Container(world) as container:
        assert (container.way(FAR), container.way(FAR6)) == (CABLE, CABLE)
        session = begin(world)
        session.connect()
        before = session.get("statistics")["BYTES_OUT"]
        assert (container.way(FAR), container.way(FAR6), container.way(NEIGHBOUR)) == ("", "", "")
        until(lambda: session.get("statistics")["BYTES_OUT"] > before)
        kill(session.engine)
        session.wait(FAILED)
        assert (container.way(FAR), container.way(FAR6)) == ("", "")
        disconnect(world, session)
        assert (container.way(FAR), container.way(FAR6)) == (CABLE, CABLE)


def test_networks_of_the_administrator(world: World) -> None:
    world.server("route 203.0.113.0 255.255.255.0")
    world.start("--kill-switch-allow", f"{NEIGHBOUR}/32,2001:db8:77::/48")
    session = begin(world)
    session.connect()
    assert ways(world) == {FAR: "", FAR6: CABLE, NEIGHBOUR: CABLE}
    [notice] = [one for one in session.user.get(session.path, "notices", f"{SESSIONS}.inspect") if "kill switch" in one]
    assert notice.startswith("the kill switch blocks IPv4 and IPv6, but for the tunnel's networks")
    disconnect(world, session)


def test_these_networks_change_while_it_is_on(world: World) -> None:
    """What was spoken before stays; a file without them takes them away again."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    assert ways(world) == TUNNEL
    chosen(world.lab, f'kill-switch-allow = ["{NEIGHBOUR}/32"]')
    assert reloaded(world.service).endswith("; what has changed: kill-switch-allow")
    assert ways(world) == {**TUNNEL, NEIGHBOUR: CABLE}
    chosen(world.lab, "")
    reloaded(world.service)
    assert ways(world) == TUNNEL
    disconnect(world, session)


def test_another_server_and_another_way(world: World) -> None:
    first = world.server(BOTH, more=["keepalive 1 2"])
    world.server(BOTH, number=1)
    world.start()
    session = begin(world, "connect-timeout 3", remotes=[f"{address} {PORT}" for address in SERVERS])
    session.connect()
    before = session.seen
    kill(psutil.Process(first.process.pid))
    world.default_by(CABLE2)
    session.wait(CONNECTED, before, deadline=60)
    assert session.get("connected_to")[1] == SERVERS[1]
    assert ways(world) == TUNNEL
    world.default_by(CABLE)
    disconnect(world, session)


def test_others_remove_it(world: World) -> None:
    """With all rules of the machine, as a firewall that starts anew: it is put back.  Alone: root wants it away."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    remove_tables(world.lab.client_side)
    world.service.process.wait_line("removed the kill switch; it is there again")
    assert ways(world) == TUNNEL
    remove_tables(world.lab.client_side, TABLE)
    world.service.process.wait_line("switched the kill switch off")
    assert not locked(world)
    assert session.user.call(SESSIONS_PATH, LOCK, "GetLock") == [[], 0]
    session.call("Disconnect")


def test_it_cannot_be_switched_on(world: World) -> None:
    """The session fails, and has sent nothing; here the table's name is another program's."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    with owned_table(world.lab.client_side), world.lab.server_side.capture() as capture:
        session.call("Connect")
        assert "The kill switch cannot be switched on: nf_tables: " in session.wait(FAILED)[2]
        assert world.way(FAR) == CABLE
        assert not [frame for frame in capture.frames() if is_for(frame, SERVERS[0], PORT)]


def test_what_keeps_the_machine_on_its_network(world: World) -> None:
    """DHCP; a program of a user's gets no further by its ports."""
    world.server(BOTH)
    world.start()
    session = begin(world)
    session.connect()
    client = world.lab.client_side
    with world.watched() as seen:
        for user, port, goes in (("root", 68, True), ("alice", 6800, False)):
            send = (
                f"import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', {port})); "
                f"s.sendto(b'dhcp of {user}', ('{NEIGHBOUR}', 67))"
            )
            assert bool(client.run(["python3", "-c", send], user).returncode) is not goes
            assert seen(f"dhcp of {user}".encode()) == (CABLE if goes else "")
    disconnect(world, session)


def test_neighbours_are_found(world: World) -> None:
    world.lab.server(protocol="udp6", pushes=[BOTH], more=[f"local {SERVER6}"])
    world.start()
    session = begin(world, remotes=[f"{SERVER6} {PORT}"], protocol="udp6")
    session.connect()
    ip("-n", world.lab.client_side.name, "-6", "neigh", "flush", "dev", CABLE)
    assert ways(world) == TUNNEL
    disconnect(world, session)


def test_who_may(world: World) -> None:
    world.server(BOTH)
    world.start("--kill-switch", "root")
    with pytest.raises(BusError, match=r"the kill switch is only for root \(--kill-switch root\)"):
        begin(world, user="alice")
    assert not locked(world)


def test_what_it_says(world: World) -> None:
    world.server(BOTH)
    world.start("--kill-switch", "any")
    session = begin(world, user="alice")
    session.connect()
    for user, shows in (("alice", True), ("bob", False)):
        text = world.lab.ovpnctl(user, "status").stdout
        assert text.startswith("This machine is locked by a kill switch: nothing leaves it but by tunnels\n  alice")
        assert "`ovpnctl unlock` ends it, called by alice or root" in text
        assert ("locked 0" in text) is shows
        assert world.lab.ovpnctl(user, "why").stdout.startswith("This machine is locked by a kill switch")
    refused = world.lab.ovpnctl("bob", "unlock")
    assert refused.returncode == 3
    assert "locked by alice, who can unlock it, as can root" in refused.stderr
    assert world.lab.ovpnctl("alice", "unlock").stdout == "The machine is not locked any more\n"
    assert not world.lab.ovpnctl("bob", "status").stdout.startswith("This machine")
    session.call("Disconnect")
