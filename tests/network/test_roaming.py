"""A machine's way to the server changes during a connection; pings through the tunnel tell what it does."""

from collections.abc import Iterator

import pytest

from ..lab.network import CABLE, CLIENT_ADDRESS, ip
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.processes import LabError
from ..support.sessions import CONNECTED, CONNECTING, RECONNECTING, UserSession, until
from .world import CABLE2, CLIENT2, FAR, GATEWAY2, World

REDIRECT = "redirect-gateway def1 ipv6"
NO_WAY = "No way to the server: waiting for a network"


@pytest.fixture
def link(world: World) -> Iterator[None]:
    """The first cable is as before in the end."""
    yield
    client = world.lab.client_side.name
    ip("-n", client, "link", "set", CABLE, "up")
    for command in (f"address replace {CLIENT_ADDRESS}/24 dev {CABLE}",):
        ip("-n", client, *command.split())
    world.default_by(CABLE)


def from_address(server: object) -> str:
    """The address that the server hears its only client from."""
    [address] = server.clients()  # type: ignore[attr-defined]
    return str(address).rpartition(":")[0].removeprefix("[").removesuffix("]")


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
    until(lambda: from_address(server) == CLIENT2)
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
    until(lambda: from_address(server) == CLIENT2)
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
    """Connect waits for one, and the attempt that begins then is the first."""
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
    assert "trying again" not in world.service.log
    session.call("Disconnect")
