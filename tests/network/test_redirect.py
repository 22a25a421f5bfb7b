"""The machine's default route through a tunnel; what went where is seen on the cables."""

import os
import re
import signal

import psutil
import pytest

from ...policy.redirect import FIRST_PRIORITY, FIRST_TABLE
from ..lab.network import CABLE, CLIENT_ADDRESS, SERVER_ADDRESS, ip
from ..lab.openvpn import PORT
from ..support.sessions import CONNECTED, FAILED, RECONNECTING, kill, kill_with_sessions
from .world import CABLE2, FAR, FAR6, NEIGHBOUR, SERVER6, SERVERS, World

BOTH = "redirect-gateway def1 ipv6"


@pytest.mark.parametrize(
    ("option", "ways"),
    [
        ("redirect-gateway def1", {FAR: "tunnel", FAR6: CABLE, NEIGHBOUR: CABLE}),
        ("redirect-gateway", {FAR: "tunnel", FAR6: CABLE}),
        ("redirect-gateway local", {FAR: "tunnel", FAR6: CABLE}),
        ("redirect-gateway autolocal bypass-dhcp bypass-dns", {FAR: "tunnel", FAR6: CABLE}),
        (BOTH, {FAR: "tunnel", FAR6: "tunnel", NEIGHBOUR: CABLE}),
        ("redirect-gateway ipv6 !ipv4", {FAR: CABLE, FAR6: "tunnel"}),
        ("redirect-gateway block-local", {FAR: "tunnel", NEIGHBOUR: "tunnel", SERVER_ADDRESS: CABLE}),
        ("redirect-private def1", {FAR: CABLE, FAR6: CABLE}),
        ("redirect-private block-local", {FAR: CABLE, NEIGHBOUR: "tunnel"}),
        ("route 0.0.0.0 0.0.0.0", {FAR: "tunnel", FAR6: CABLE}),
        ("route 0.0.0.0 128.0.0.0\nroute 128.0.0.0 128.0.0.0", {FAR: "tunnel"}),
        ("route 128.0.0.0 128.0.0.0\nroute-ipv6 2000::/3", {FAR: "tunnel", FAR6: "tunnel"}),
    ],
)
def test_flags_and_routes(world: World, option: str, ways: dict[str, str]) -> None:
    world.server(*option.splitlines())
    world.start()
    session = world.session()
    session.connect()
    assert {address: world.way(address) for address in ways} == ways
    session.call("Disconnect")
    assert world.way(FAR) == world.way(FAR6) == CABLE


def test_ipv6_that_is_blocked_is_unreachable(world: World) -> None:
    world.server("redirect-gateway def1", "block-ipv6")
    world.start()
    session = world.session()
    session.connect()
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "")
    session.call("Disconnect")
    assert world.way(FAR6) == CABLE


def test_the_profile_asks(world: World) -> None:
    """And the server's wish is left out by it."""
    world.server("redirect-gateway ipv6")
    world.start()
    session = world.session('pull-filter ignore "redirect-gateway"', "redirect-gateway def1")
    session.connect()
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", CABLE)
    session.call("Disconnect")


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_strict_filters_of_the_reverse_path(world: World, protocol: str) -> None:
    """rp_filter is 1, as on hardened machines, and a connection from far away to this machine goes on."""
    strict = [f"/proc/sys/net/ipv4/conf/{name}/rp_filter" for name in ("all", "default", CABLE, CABLE2)]
    world.lab.client_side.run(["sh", "-c", f"for file in {' '.join(strict)}; do echo 1 > $file; done"])
    world.server(BOTH, protocol=protocol)
    world.start()
    inbound = world.inbound()
    inbound.check()
    session = world.session(protocol=protocol)
    session.connect()
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    inbound.check()
    new = world.inbound()
    new.check()
    session.call("Disconnect")
    for connection in (inbound, new):
        connection.check()
        connection.close()


def test_a_program_that_binds_to_the_machines_address(world: World) -> None:
    """It gets no answer, but nothing of a user's leaves in the clear."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    send = "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); s.bind((sys.argv[1], 0)); " \
        "s.sendto(b'bound-marker', (sys.argv[2], 9))"  # fmt: skip
    with world.watched() as seen:
        done = world.lab.client_side.run(["python3", "-c", send, CLIENT_ADDRESS, FAR], "alice")
        assert not done.returncode, done.stderr
        assert world.way(FAR) == "tunnel"  # what was sent before it has left
        assert seen(b"bound-marker") == ""
    session.call("Disconnect")


def test_the_server_is_on_the_own_network(world: World) -> None:
    world.lab.server(pushes=[f"{BOTH} block-local"])
    world.start()
    session = world.session(remotes=[f"{SERVER_ADDRESS} {PORT}"])
    session.connect()
    assert (world.way(FAR), world.way(FAR6), world.way(NEIGHBOUR)) == ("tunnel", "tunnel", "tunnel")
    session.call("Disconnect")


def test_the_server_is_reached_by_ipv6(world: World) -> None:
    world.lab.server(protocol="udp6", pushes=[BOTH], more=[f"local {SERVER6}"])
    world.start()
    session = world.session(remotes=[f"{SERVER6} {PORT}"], protocol="udp6")
    session.connect()
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    session.call("Disconnect")


def test_there_is_no_default_route(world: World) -> None:
    world.no_default(SERVERS[0])
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    session.call("Disconnect")
    assert (world.way(FAR), world.way(FAR6)) == ("", "")
    ip("-n", world.lab.client_side.name, "route", "del", SERVERS[0])
    world.default_by(CABLE)


@pytest.mark.parametrize("first", [0, 1], ids=["the first ends first", "the second ends first"])
def test_two_sessions_of_one_user(world: World, first: int) -> None:
    servers = [world.server(BOTH, number=number) for number in (0, 1)]
    world.start()
    sessions = [world.session(number=number) for number in (0, 1)]
    for session in sessions:
        session.connect()
    # Neither of the engines goes through the other's tunnel.
    for server in servers:
        assert [address.split(":")[0] for address in server.clients()] == [CLIENT_ADDRESS]
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    sessions[first].call("Disconnect")
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    assert sessions[1 - first].get("status")[1] == CONNECTED
    sessions[1 - first].call("Disconnect")
    assert world.way(FAR) == CABLE


def test_two_users(world: World) -> None:
    """The first keeps it for everybody; the second is told, or waits if that is the profile's choice."""
    for number in (0, 1):
        world.server(BOTH, number=number)
    world.start()
    hers = world.session()
    hers.connect()
    his = world.session(number=1, user="bob")
    his.call("Connect")
    text = his.wait(FAILED)[2]
    assert text == "The network settings cannot be applied: the default route: another user's session has it"
    assert world.way(FAR, user="bob") == "tunnel"
    world.service.process.wait_line("WARNING: .*the default route belongs to session .* of user 4001")

    bob = his.user
    profile = bob.import_profile("patient", world.lab.profile(remotes=[f"{SERVERS[1]} {PORT}"]))
    bob.set_setting(profile, "redirect-optional", True)
    his.profile, his.path = profile, bob.new_tunnel(profile)
    his.connect()
    world.service.process.wait_line("the default route does not lead through the tunnel: another user's session has it")
    hers.call("Disconnect")
    world.service.process.wait_line("all traffic goes through the tunnel now")
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    his.call("Disconnect")


@pytest.mark.parametrize(("who", "allowed"), [("root", ["root"]), ("refuse", [])])
def test_who_may(world: World, who: str, allowed: list[str]) -> None:
    world.server(BOTH)
    world.start("--redirect", who)
    for user in ("alice", "root"):
        session = world.session(user=user)
        if user in allowed:
            session.connect()
            assert world.way(FAR) == "tunnel"
            session.call("Disconnect")
        else:
            session.call("Connect")
            assert f"(--redirect {who})" in session.wait(FAILED)[2]
            assert world.way(FAR) == CABLE


def test_numbers_of_others(world: World) -> None:
    client = world.lab.client_side.name
    ip("-n", client, "rule", "add", "pref", "5310", "lookup", "7")
    world.server(BOTH)
    world.start()
    session = world.session()
    session.call("Connect")
    assert "a routing rule of another program has priority 5310" in session.wait(FAILED)[2]
    world.service.stop()
    world.start("--redirect-rules", "6000", "--redirect-tables", "7000")
    session = world.session()
    session.connect()
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    session.call("Disconnect")
    ip("-n", client, "rule", "del", "pref", "5310", "lookup", "7")


def test_another_server_of_the_profile(world: World) -> None:
    """The first one dies, and the tunnel keeps its device meanwhile: the way to the second one is not through it."""
    first = world.server(BOTH, more=["keepalive 1 2"])
    world.server(BOTH, number=1)
    world.start()
    session = world.session(*("persist-tun", "connect-timeout 3"), remotes=[f"{address} {PORT}" for address in SERVERS])
    session.connect()
    assert world.way(FAR) == "tunnel"
    before = session.seen
    kill(psutil.Process(first.process.pid))
    session.wait(CONNECTED, before, deadline=60)
    assert session.get("connected_to")[1] == SERVERS[1]
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    session.call("Disconnect")


def test_the_default_route_moves(world: World) -> None:
    server = world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    assert world.way(FAR) == "tunnel"
    world.default_by(CABLE2)
    with world.watched() as seen:
        assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
        assert seen(b"marker") == ""
    assert [address.split(":")[0] for address in server.clients()] == ["198.19.1.2"]
    session.call("Disconnect")
    assert world.way(FAR) == CABLE2
    world.default_by(CABLE)


def test_rules_that_another_program_removes(world: World) -> None:
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    rules = ip("-n", world.lab.client_side.name, "rule")
    for _ in range(2):
        before = len(world.service.process.lines)
        priorities = re.findall(r"^(53\d\d):", rules, re.MULTILINE)
        ip(
            "-n",
            world.lab.client_side.name,
            "-batch",
            "-",
            batch="".join(f"rule del pref {one}\n" for one in priorities),
        )
        text = "another program removed rules or routes of the tunnel's default route; they are there again"
        world.service.process.wait_line(text, since=before)
        while ip("-n", world.lab.client_side.name, "rule") != rules:
            pass
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    session.call("Disconnect")


@pytest.mark.parametrize("who", ["engine", "worker"])
def test_a_process_that_is_killed(world: World, who: str) -> None:
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    assert world.way(FAR) == "tunnel"
    kill(session.engine if who == "engine" else session.worker)
    session.wait(FAILED)
    world.wait_way(FAR, CABLE)
    world.wait_way(FAR6, CABLE)
    world.service.stop()
    world.check_unchanged()


def test_the_service_is_killed_and_everything_stays_in_the_tunnel(world: World) -> None:
    """Rules and tables are not touched: the next one finds all as it would have made it."""
    world.server(f"{BOTH} block-local", "block-ipv6")
    world.start()
    session = world.session()
    session.connect()
    ways = (world.way(FAR), world.way(FAR6))
    assert ways == ("tunnel", "")
    with world.changes() as changes:
        os.kill(world.service.pid, signal.SIGKILL)
        assert (world.way(FAR), world.way(FAR6)) == ways
        world.start()
        world.service.process.wait_line("Took over 1 session")
        assert (world.way(FAR), world.way(FAR6)) == ways
        assert not changes()
    session.call("Disconnect")
    world.wait_way(FAR, CABLE)
    world.service.stop()
    world.check_unchanged()


@pytest.mark.parametrize("blocked", [True, False], ids=["IPv6 blocked", "both"])
def test_the_service_is_killed_with_its_sessions(world: World, blocked: bool) -> None:
    """Its next start removes what is left; until then all but what was blocked goes as without a tunnel."""
    world.server(f"{BOTH} block-local", *(["block-ipv6"] if blocked else []))
    world.start()
    session = world.session()
    session.connect()
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "" if blocked else "tunnel")
    kill_with_sessions(world.service.process)
    world.wait_way(FAR, CABLE)
    world.wait_way(FAR6, "" if blocked else CABLE)
    world.start()
    world.service.process.wait_line("Removed the default route of an earlier instance")
    world.check_unchanged()
    assert (world.way(FAR), world.way(FAR6)) == (CABLE, CABLE)


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ended"])
def test_what_others_have_put_there_is_left_alone_and_named(world: World, killed: bool) -> None:
    """A rule among ours, and a route in a table of ours, set after ours."""
    others = [
        ("rule", "priority", str(FIRST_PRIORITY + 3), "from", "192.0.2.7", "table", "main"),
        ("route", "table", str(FIRST_TABLE), "192.0.2.0/24", "dev", CABLE),
    ]
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    for what, *which in others:
        ip("-n", world.lab.client_side.name, what, "add", *which)
    if killed:
        kill_with_sessions(world.service.process)
        world.wait_way(FAR, CABLE)
        world.start()
    else:
        session.call("Disconnect")
    world.service.process.wait_line(f"Left alone: a routing rule of another program has priority {FIRST_PRIORITY + 3}")
    world.service.process.wait_line(f"Left alone: table {FIRST_TABLE} has a route of another program to 192.0.2.0/24")
    for what, *which in others:
        ip("-n", world.lab.client_side.name, what, "del", *which)
    world.check_unchanged()


def test_it_is_announced_when_it_is_in_place(world: World) -> None:
    """Also after each reconnection; up to then the machine's own way is open, as nothing holds the device."""
    world.server(BOTH)
    world.start()
    session = world.session()
    for member in ("Connect", "Restart"):
        before = session.seen
        session.call(member)
        session.wait(CONNECTED, before)
        assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "tunnel")
    assert RECONNECTING in session.minors
    session.call("Pause", "s", "lunch")
    world.wait_way(FAR, CABLE)
    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)
    assert world.way(FAR) == "tunnel"
    session.call("Disconnect")
