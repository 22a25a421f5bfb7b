"""Routes of profile and server on real tunnels: their forms, names in them, and the way past the tunnel."""

from collections.abc import Iterator

import pytest

from ...lab.lab import Lab
from ...lab.network import BEHIND_ADDRESS, BEHIND_ADDRESS6, CABLE, SERVER_ADDRESS, SERVER_ADDRESS6, ip
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.processes import DEADLINE
from ...support.isolated import route_events
from ...support.service_life import started
from ...support.sessions import FAILED, begin, kill, kill_with_sessions

MARKER = b"a line that must not be read on the cable"
FAR_AWAY = "192.0.2.77"  # a host that answers on both ways, through the tunnel and past it
FAR_AWAY6 = "2001:db8:77::77"
FAR_NETWORK = "route 192.0.2.0 255.255.255.0"
PAST, PAST6 = f"route {FAR_AWAY} default net_gateway", f"route-ipv6 {FAR_AWAY6}/128 net_gateway"


@pytest.fixture
def internet(lab: Lab) -> Iterator[None]:
    """The server's machine is the gateway of the client's, and has hosts that are reached past the tunnel as well."""
    for side, batch in (
        (lab.server_side, f"address add {FAR_AWAY}/32 dev lo\naddress add {FAR_AWAY6}/128 dev lo nodad\n"),
        (lab.client_side, f"route add default via {SERVER_ADDRESS}\n-6 route add default via {SERVER_ADDRESS6}\n"),
    ):
        for line in batch.splitlines():
            ip("-n", side.name, *line.split())
    yield


def in_clear(lab: Lab, address: str) -> bool:
    """Whether what is sent to an address and back can be read on the cable."""
    with lab.client_side.capture(CABLE) as capture:
        assert lab.echo(address, MARKER) == MARKER
        return capture.saw(MARKER)


def main_table(lab: Lab) -> set[str]:
    """All routes of the client's machine, as ip(8) shows them."""
    shown = [ip("-n", lab.client_side.name, family, "route", "show") for family in ("-4", "-6")]
    return {" ".join(line.split()) for text in shown for line in text.splitlines()}


@pytest.mark.parametrize(
    ("topology", "gateway"), [("subnet", "198.18.0.1"), ("net30", "198.18.0.5"), ("p2p", "198.18.0.1")]
)
def test_topologies(lab: Lab, internet: None, topology: str, gateway: str) -> None:
    lab.server(topology=topology, pushes=[*USUAL_PUSHES, f"{FAR_NETWORK} {gateway}"])
    lab.supervisor()
    session = begin(lab, more=[f"route {TUNNEL_ADDRESS}", PAST])
    before = main_table(lab)
    session.connect()
    for host in (TUNNEL_ADDRESS, BEHIND_ADDRESS, BEHIND_ADDRESS6):
        assert not in_clear(lab, host), host
    assert in_clear(lab, FAR_AWAY)
    assert "192.0.2.0/24" in lab.client_side.routes("tun0")
    session.call("Disconnect")
    assert main_table(lab) == before


def test_names_are_resolved_and_one_that_cannot_be_takes_nothing_else_away(lab: Lab, internet: None) -> None:
    dns = lab.dns({"behind.example": [BEHIND_ADDRESS], "far.example": [FAR_AWAY, FAR_AWAY6]})
    lab.server(pushes=["route far.example 255.255.255.255 net_gateway", "route missing.example", FAR_NETWORK])
    service = lab.supervisor()
    session = begin(lab, more=["allow-pull-fqdn", "route behind.example", "route also-missing.example"])
    session.connect()
    assert {BEHIND_ADDRESS, "192.0.2.0/24"} <= lab.client_side.routes("tun0")
    assert not in_clear(lab, BEHIND_ADDRESS)
    assert in_clear(lab, FAR_AWAY)
    for name in ("missing.example", "also-missing.example"):
        service.process.wait_line(f"WARNING: .*route {name}/32 left out: its name cannot be resolved")
        dns.wait_line(f"asked {name}")


def test_the_address_of_a_server_over_ipv6_is_no_ipv4_route(lab: Lab, internet: None) -> None:
    lab.server(protocol="udp6")
    service = lab.supervisor()
    more = ["route remote_host 255.255.255.255 net_gateway", FAR_NETWORK, f"route-ipv6 {FAR_AWAY6}/128 net_gateway"]
    session = begin(lab, remotes=[f"{SERVER_ADDRESS6} 1194"], more=more, protocol="udp6")
    session.connect()
    service.process.wait_line("WARNING: .*route remote_host/32 left out: the server has no IPv4 address")
    assert {"192.0.2.0/24", "203.0.113.0/24"} <= lab.client_side.routes("tun0")
    assert not in_clear(lab, FAR_AWAY) and in_clear(lab, FAR_AWAY6)


def test_the_servers_own_address_may_go_past_the_tunnel(lab: Lab, internet: None) -> None:
    ip("-n", lab.server_side.name, "address", "add", "198.51.102.1/32", "dev", "lo")
    lab.server(pushes=["route remote_host 255.255.255.255 net_gateway"], more=["multihome"])
    lab.supervisor()
    session = begin(lab, remotes=["198.51.102.1 1194"])
    session.connect()
    assert "198.51.102.1" in lab.client_side.routes(CABLE)


@pytest.mark.parametrize("by_whom", ["profile", "server"])
def test_a_gateway_that_is_the_tunnels_and_by_chance_the_machines_too(lab: Lab, internet: None, by_whom: str) -> None:
    options = [f"route-gateway {SERVER_ADDRESS}", f"route {FAR_AWAY} 255.255.255.255 {SERVER_ADDRESS}", FAR_NETWORK]
    lab.server(pushes=options if by_whom == "server" else ())
    lab.supervisor()
    session = begin(lab, more=options if by_whom == "profile" else [])
    session.connect()
    assert {FAR_AWAY, "192.0.2.0/24"} <= lab.client_side.routes("tun0")
    assert not in_clear(lab, FAR_AWAY)


def test_any_other_gateway_is_past_the_tunnel(lab: Lab, internet: None) -> None:
    lab.server(pushes=[FAR_NETWORK, f"route {FAR_AWAY} 255.255.255.255 198.51.100.200 7"])
    lab.supervisor()
    session = begin(lab)
    session.connect()
    # By the machine's own gateway, whichever it names: a server has no say in who sees others' traffic.
    assert f"{FAR_AWAY} via {SERVER_ADDRESS} dev {CABLE} proto 118 metric 7" in main_table(lab)
    assert in_clear(lab, FAR_AWAY)


def test_what_the_profile_does_not_take_of_its_server(lab: Lab, internet: None) -> None:
    lab.server(pushes=[*USUAL_PUSHES, FAR_NETWORK, "route 10.9.0.0 255.255.0.0"])
    lab.supervisor()
    filtered = begin(lab, "filtered", more=["pull-filter ignore 'route 10.'", "pull-filter accept route"])
    without = begin(
        lab, "without", connection=filtered.user, more=["route-nopull", "route 192.88.99.0 255.255.255.0 default 5"]
    )
    filtered.connect()
    routes = lab.client_side.routes("tun0")
    assert "192.0.2.0/24" in routes and "10.9.0.0/16" not in routes
    filtered.call("Disconnect")
    without.connect()
    device = without.get("device_name")
    assert "192.88.99.0/24" in lab.client_side.routes(device)
    assert not {"192.0.2.0/24", "10.9.0.0/16", "203.0.113.0/24"} & lab.client_side.routes(device)


@pytest.mark.parametrize("flags", ["def1", "", "def1 ipv6"])
def test_past_a_tunnel_that_has_the_default_route(lab: Lab, internet: None, flags: str) -> None:
    lab.server(pushes=[f"redirect-gateway {flags}".strip(), PAST, PAST6])
    lab.supervisor()
    before = main_table(lab)
    session = begin(lab)
    session.connect()
    assert not in_clear(lab, BEHIND_ADDRESS)
    assert in_clear(lab, FAR_AWAY) and in_clear(lab, FAR_AWAY6)
    session.call("Disconnect")
    assert main_table(lab) == before


@pytest.mark.parametrize("victim", ["worker", "engine"])
def test_nothing_is_left_of_routes_past_the_tunnel_when_one_is_killed(lab: Lab, internet: None, victim: str) -> None:
    lab.server(pushes=[FAR_NETWORK, PAST])
    before = main_table(lab)
    lab.supervisor()
    session = begin(lab, more=[PAST6])
    session.connect()
    assert {FAR_AWAY, FAR_AWAY6} <= lab.client_side.routes(CABLE)
    with lab.client_side.entered():
        events = route_events()
    with events:
        kill(session.engine if victim == "engine" else session.worker)
        session.wait(FAILED)
        events.settimeout(DEADLINE)
        while main_table(lab) != before:
            events.recv(65536)


def test_a_service_that_is_killed_with_its_sessions_leaves_them_to_the_next_one(lab: Lab, internet: None) -> None:
    lab.server(pushes=[FAR_NETWORK, PAST])
    before = main_table(lab)
    with started(lab) as service:
        service.wait_line("runs as user")
        session = begin(lab, more=[PAST6])
        session.connect()
        kill_with_sessions(service)
    assert {FAR_AWAY, FAR_AWAY6} <= lab.client_side.routes(CABLE)
    with started(lab) as service:
        service.wait_line("Removed device tun0 of an earlier instance")
        service.wait_line("runs as user")
        assert main_table(lab) == before
