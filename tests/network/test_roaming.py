"""The machine's way to the server changes; what comes back through the tunnel tells what that does."""

from collections.abc import Iterator

import pytest

from ..lab.network import CABLE, CLIENT_ADDRESS, ip
from ..lab.openvpn import PORT, TUNNEL_ADDRESS, Server
from ..lab.processes import LabError
from ..support.sessions import CONNECTED, CONNECTING, RECONNECTING, UserSession, until
from .world import CABLE2, CLIENT2, FAR, GATEWAY2, SERVERS, World

REDIRECT = "redirect-gateway def1 ipv6"
NO_WAY = "No way to the server: waiting for a network"


@pytest.fixture
def link(world: World) -> Iterator[None]:
    """The first cable is as before in the end."""
    yield
    world.cable_up()


def heard_from(server: Server) -> set[str]:
    """The addresses that the server has clients at, one that it has lost perhaps among them."""
    return {address.rpartition(":")[0] for address in server.clients()}


def reaches(world: World, address: str = TUNNEL_ADDRESS) -> bool:
    """Whether something comes back through the tunnel."""
    try:
        return world.lab.echo(address, b"x", protocol="udp", deadline=60) == b"x"
    except LabError:
        return False


def restarts(session: UserSession) -> int:
    return session.minors.count(RECONNECTING)


@pytest.mark.parametrize("push", [(), (REDIRECT,)], ids=["plain", "redirect"])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_the_default_route_moves(world: World, protocol: str, push: tuple[str, ...]) -> None:
    server = world.server(*push, protocol=protocol)
    world.start()
    session = world.session(protocol=protocol)
    session.connect()
    before = session.seen
    world.default_by(CABLE2)
    if protocol == "tcp":
        session.wait(CONNECTED, before)
    until(lambda: reaches(world))
    until(lambda: CLIENT2 in heard_from(server))
    assert restarts(session) == (protocol == "tcp")
    assert session.get("statistics").get("N_RECONNECT", 0) == (protocol == "tcp")
    if push:
        assert world.way(FAR) == "tunnel"
    session.call("Disconnect")
    world.default_by(CABLE)


@pytest.mark.usefixtures("link")
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize(
    "change", [f"link set {CABLE} down", f"address del {CLIENT_ADDRESS}/24 dev {CABLE}"], ids=["link", "address"]
)
def test_the_old_way_ends(world: World, protocol: str, change: str) -> None:
    """Its routes go without a word of the kernel's; another default route takes over."""
    client = world.lab.client_side.name
    ip("-n", client, "route", "add", "default", "via", GATEWAY2, "metric", "500")
    server = world.server(REDIRECT, protocol=protocol)
    world.start()
    session = world.session(protocol=protocol)
    session.connect()
    before = session.seen
    ip("-n", client, *change.split())
    if protocol == "tcp":
        session.wait(CONNECTED, before)
    until(lambda: reaches(world))
    until(lambda: CLIENT2 in heard_from(server))
    assert restarts(session) == (protocol == "tcp")
    session.call("Disconnect")
    ip("-n", client, "route", "del", "default", "via", GATEWAY2, "metric", "500")


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("back", [CABLE, CABLE2], ids=["the same", "another"])
def test_no_way_for_a_while(world: World, protocol: str, back: str) -> None:
    """The session says so, and goes on when there is one."""
    world.server(REDIRECT, protocol=protocol)
    world.start()
    session = world.session(protocol=protocol)
    session.connect()
    before = session.seen
    world.no_default()
    text = ""
    while text != NO_WAY:
        text = session.wait(RECONNECTING, before, deadline=60)[2]
        before += 1
    before = session.seen
    world.default_by(back)
    until(lambda: reaches(world))
    session.wait(CONNECTED, before, deadline=60)
    assert world.way(FAR) == "tunnel"
    session.call("Disconnect")
    world.default_by(CABLE)


def test_no_way_at_first(world: World) -> None:
    """Connect waits for one."""
    world.server()
    world.start()
    world.no_default()
    session = world.session()
    before = session.seen
    session.call("Connect")
    text = ""
    while text != NO_WAY:
        text = session.wait(CONNECTING, before, deadline=60)[2]
        before += 1
    before = session.seen
    world.default_by(CABLE)
    session.wait(CONNECTED, before)
    session.call("Disconnect")


@pytest.mark.parametrize("first", ["logind", "service"])
def test_the_machine_sleeps(world: World, first: str) -> None:
    """What TCP sent before gets no answer; over UDP the server follows."""
    logind = world.lab.logind()
    for number, protocol in enumerate(("tcp", "udp")):
        world.server(number=number, protocol=protocol)
    if first == "logind":
        logind.start(world.lab.bus, world.lab.watcher)
    world.start()
    if first == "service":
        logind.start(world.lab.bus, world.lab.watcher)
    tcp, udp = (world.session(number=number, protocol=protocol) for number, protocol in enumerate(("tcp", "udp")))
    for session in (tcp, udp):
        session.connect()
    before = tcp.seen
    logind.sleep(world.lab.watcher)
    tcp.wait(CONNECTED, before)
    assert restarts(tcp) == 1
    until(lambda: reaches(world))
    assert restarts(udp) == 0
    logind.stop()
    for session in (tcp, udp):
        session.call("Disconnect")


def test_nobody_else_tells_that_it_slept(world: World) -> None:
    logind = world.lab.logind()
    logind.start(world.lab.bus, world.lab.watcher)
    world.server(protocol="tcp")
    world.start()
    session = world.session(protocol="tcp")
    session.connect()
    name = world.lab.watcher.owner_of("net.openvpn.v3.sessions")
    send = ["dbus-send", f"--address={world.lab.bus.address}", "--type=signal", f"--dest={name}",
            "/org/freedesktop/login1", "org.freedesktop.login1.Manager.PrepareForSleep", "boolean:false"]  # fmt: skip
    done = world.lab.as_user("bob", send)
    assert not done.returncode, done.stderr
    session.get("status")  # it has been read by now
    assert "The machine has slept" not in world.service.log
    logind.sleep(world.lab.watcher)
    world.service.process.wait_line("The machine has slept")
    logind.stop()
    session.call("Disconnect")


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_server_that_has_another_address_in_the_other_network(world: World, protocol: str) -> None:
    """The last one is tried once, and then what the name is there: not what else it was before."""
    name, elsewhere = "vpn.example", "192.0.2.99"
    dns = world.lab.dns({name: [SERVERS[0], elsewhere]})
    world.server(protocol=protocol, more=["keepalive 1 3"])
    world.server(protocol=protocol, number=1)
    world.start()
    session = world.session("connect-timeout 2", "connect-retry 1 1", remotes=[f"{name} {PORT}"], protocol=protocol)
    session.connect()
    ip("-n", world.lab.server_side.name, "address", "del", f"{SERVERS[0]}/32", "dev", "lo")
    dns.stop()
    world.lab.dns({name: [SERVERS[1]]})
    tried = len(world.service.log)
    before = session.seen
    world.default_by(CABLE2)
    session.wait(CONNECTED, before, deadline=60)
    assert session.get("connected_to")[1] == SERVERS[1]
    assert f"[AF_INET]{elsewhere}" not in world.service.log[tried:]
    session.call("Disconnect")
    world.default_by(CABLE)
