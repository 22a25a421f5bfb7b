"""Who has connected from outside gets answers, while a session has the machine's default route."""

import json
import os
import signal
import socket
from contextlib import ExitStack

import pytest

from ..lab.network import CABLE, CLIENT_ADDRESS, CLIENT_ADDRESS6
from ..support.sessions import kill_with_sessions
from .outside import CONTAINER, CONTAINER6, PORT, PUBLISHED, Peer, container, service
from .world import CABLE2, FAR, FAR6, World

BOTH = "redirect-gateway def1 ipv6"
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
HERE = (CLIENT_ADDRESS, CLIENT_ADDRESS6)


def filter_reverse_paths(world: World, value: int) -> None:
    files = [f"/proc/sys/net/ipv4/conf/{name}/rp_filter" for name in ("all", "default", CABLE, CABLE2)]
    world.lab.client_side.run(["sh", "-c", f"for file in {' '.join(files)}; do echo {value} > $file; done"])


def peers(world: World, addresses: tuple[str, ...], port: int = PORT) -> list[Peer]:
    return [Peer(world, kind, address, port) for address in addresses for kind in (STREAM, DATAGRAM)]


def all_hear(asking: list[Peer]) -> list[bool]:
    return [peer.ask() for peer in asking]


@pytest.mark.parametrize("filtered", [0, 1, 2], ids="rp_filter {}".format)
def test_a_service_of_another_user_than_root(world: World, filtered: int) -> None:
    """New connections, and those that there were before."""
    filter_reverse_paths(world, filtered)
    world.server(BOTH)
    world.start()
    with ExitStack() as stack:
        answering = service(world.lab.client_side, "alice", *HERE)
        stack.callback(answering.stop)
        before = peers(world, HERE)
        assert all_hear(before) == [True] * 4
        session = world.session()
        session.connect()
        # Also if the service speaks first, and what follows the connection has not seen any of it yet.
        os.kill(answering.pid, signal.SIGUSR1)
        assert [peer.hears() for peer in before if peer.stream] == [True] * 2
        assert all_hear(before) == [True] * 4
        new = peers(world, HERE)
        assert all_hear(new) == [True] * 4
        # What programs here begin goes through the tunnel as ever.
        assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
        session.call("Disconnect")
        assert all_hear([*before, *new]) == [True] * 8
        for peer in (*before, *new):
            peer.close()


@pytest.mark.parametrize("filtered", [0, 1, 2], ids="rp_filter {}".format)
def test_ports_of_a_container(world: World, filtered: int) -> None:
    filter_reverse_paths(world, filtered)
    with container(world) as inside, ExitStack() as stack:
        world.server(BOTH)
        world.start()
        made = service(inside, "alice", CONTAINER, CONTAINER6)
        stack.callback(made.stop)
        before = [*peers(world, HERE, PUBLISHED), *peers(world, (CONTAINER, CONTAINER6))]
        assert all_hear(before) == [True] * 8
        session = world.session()
        session.connect()
        assert all_hear(before) == [True] * 8
        new = [*peers(world, HERE, PUBLISHED), *peers(world, (CONTAINER, CONTAINER6))]
        assert all_hear(new) == [True] * 8
        # What the container begins goes into the tunnel.
        with world.watched() as seen:
            talk = f"echo from-the-container > /dev/udp/{FAR}/9; echo from-the-container > /dev/udp/{FAR6}/9"
            inside.run(["bash", "-c", talk])
            assert world.way(FAR) == "tunnel"
            assert seen(b"from-the-container") == ""
        session.call("Disconnect")
        for peer in (*before, *new):
            assert peer.ask()
            peer.close()


def addresses_inside(world: World) -> tuple[str, ...]:
    """Those that the session has from its server."""
    [status] = json.loads(world.lab.ovpnctl("alice", "status", "--json").stdout)["sessions"]
    found = tuple(row.split("/")[0] for row in status["addresses"] if not row.startswith("fe80"))
    assert len(found) == 2
    return found


def test_who_comes_by_the_tunnel_is_answered_through_it(world: World) -> None:
    """Also by somebody far behind it, whom the machine's own default route leads to as well."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    with world.watched() as seen, ExitStack() as stack:
        inside = addresses_inside(world)
        answering = service(world.lab.client_side, "alice", *inside)
        stack.callback(answering.stop)
        for peer in peers(world, inside):
            assert peer.ask()
            peer.close()
        assert seen(b"asked") == ""
    session.call("Disconnect")


def test_who_is_connected_stays_so_when_the_service_is_killed(world: World) -> None:
    """Its next instance takes the session over, and neither way is mistaken for the other."""
    world.server(BOTH)
    world.start()
    with ExitStack() as stack:
        early = service(world.lab.client_side, "alice", *HERE)
        stack.callback(early.stop)
        before = peers(world, HERE)
        session = world.session()
        session.connect()
        inside = addresses_inside(world)
        late = service(world.lab.client_side, "alice", *inside)
        stack.callback(late.stop)
        from_outside, by_tunnel = [*before, *peers(world, HERE)], peers(world, inside)
        assert all_hear([*from_outside, *by_tunnel]) == [True] * 12
        os.kill(world.service.pid, signal.SIGKILL)
        world.start()
        world.service.process.wait_line("Took over 1 session")
        with world.watched() as seen:
            assert all_hear(by_tunnel) == [True] * 4
            os.kill(late.pid, signal.SIGUSR1)
            assert [peer.hears() for peer in by_tunnel if peer.stream] == [True] * 2
            assert seen(b"asked") == ""
        os.kill(early.pid, signal.SIGUSR1)
        assert [peer.hears() for peer in from_outside if peer.stream] == [True] * 4
        assert all_hear(from_outside) == [True] * 8
        for peer in (*from_outside, *by_tunnel):
            peer.close()
    session.call("Disconnect")


def ruleset(world: World) -> str:
    return world.lab.client_side.run(["nft", "list", "ruleset"]).stdout


def test_nothing_is_left_of_a_service_that_is_killed_with_its_sessions(world: World) -> None:
    filter_reverse_paths(world, 1)
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    assert "own answers" in ruleset(world)
    assert looks_at_marks(world) == "1"
    kill_with_sessions(world.service.process)
    world.start()
    world.service.process.wait_line("Removed the default route of an earlier instance")
    assert "own answers" not in ruleset(world)
    assert looks_at_marks(world) == "0"
    session = world.session()
    session.connect()
    assert looks_at_marks(world) == "1"
    session.call("Disconnect")
    world.check_unchanged()
    assert "own answers" not in ruleset(world)
    assert looks_at_marks(world) == "0"


def looks_at_marks(world: World) -> str:
    return world.lab.client_side.run(["cat", f"/proc/sys/net/ipv4/conf/{CABLE}/src_valid_mark"]).stdout.strip()


def test_rules_that_another_program_removes_are_put_back(world: World) -> None:
    """The guards of the session's addresses among them; also by a service that has taken the session over."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    before = ruleset(world)
    for anew in (False, False, True):
        if anew:
            os.kill(world.service.pid, signal.SIGKILL)
            world.start()
            world.service.process.wait_line("runs as user")
        lines = len(world.service.process.lines)
        assert not world.lab.client_side.run(["nft", "flush", "ruleset"]).returncode
        world.service.process.wait_line("'nft' removed the firewall of sessions; it is there again", since=lines)
        assert sorted(ruleset(world).splitlines()) == sorted(before.splitlines())
    session.call("Disconnect")


def test_a_program_sends_past_the_tunnel_to_nobody_who_has_not_sent_to_it(world: World) -> None:
    """From the port at which somebody far away has asked, to another port of theirs."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    with world.watched() as seen, ExitStack() as stack:
        answering = service(world.lab.client_side, "alice", *HERE)
        stack.callback(answering.stop)
        asking = peers(world, HERE)
        assert all_hear(asking) == [True] * 4
        answering.stop()
        for here, far in zip(HERE, (FAR, FAR6), strict=True):
            family = "AF_INET6" if ":" in here else "AF_INET"
            send = (
                f"import socket; s = socket.socket(socket.{family}, socket.SOCK_DGRAM); s.bind(('{here}', {PORT}))",
                f"s.sendto(b'unasked-marker', ('{far}', 9))",
            )
            done = world.lab.client_side.run(["python3", "-c", "\n".join(send)], "alice")
            assert not done.returncode, done.stderr
        assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")  # what was sent before has left
        assert seen(b"unasked-marker") == ""
        for peer in asking:
            peer.close()
    session.call("Disconnect")
