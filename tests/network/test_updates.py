"""A server of OpenVPN 2.7 changes what it has pushed while the connection lasts."""

from typing import Any

import pytest

from ..lab.network import CABLE
from ..lab.processes import LabError
from ..support.sessions import CONNECTED, RECONNECTING, UserSession
from .locked import flood
from .world import FAR, FAR6, World


class Updating:
    """A connected session of a server that can do that."""

    def __init__(
        self, world: World, *profile: str, pushes: tuple[str, ...] = (), options: tuple[str, ...] = ()
    ) -> None:
        """`options` are the service's."""
        self.world = world
        program = world.lab.openvpn27
        # An idle server sends an update with the next sign of life.
        self.server: Any = world.server(*pushes, program=program, more=["keepalive 1 30"])
        world.start(f"--openvpn={program}", *options)
        self.session: UserSession = world.session(*profile)
        self.session.connect()

    def push(self, *options: str, until: str = "The network settings have changed") -> None:
        """Have the server push an update, and wait for what comes of it."""
        seen = len(self.world.service.process.lines)
        self.server.command(f'push-update-broad "{",".join(options)}"', "SUCCESS: push-update")
        self.world.service.process.wait_line(until, since=seen)

    def end(self) -> None:
        assert self.session.minors.count(CONNECTED) == 1
        assert RECONNECTING not in self.session.minors
        self.session.call("Disconnect")


def test_routes(world: World) -> None:
    it = Updating(world, pushes=("route 203.0.113.0 255.255.255.0",))
    assert "203.0.113.0/24" in world.lab.client_side.routes("tun0")
    it.push("route 192.0.2.128 255.255.255.128", "route-ipv6 2001:db8:77::/64")
    assert world.way(FAR) == world.way(FAR6) == "tunnel"
    assert "203.0.113.0/24" not in world.lab.client_side.routes("tun0")
    it.push("-route")
    assert (world.way(FAR), world.way(FAR6)) == (CABLE, "tunnel")
    it.end()


def test_the_default_route(world: World) -> None:
    it = Updating(world)
    assert world.way(FAR) == CABLE
    it.push("redirect-gateway def1 ipv6")
    assert world.way(FAR) == world.way(FAR6) == "tunnel"
    it.push("redirect-gateway def1", "block-ipv6")
    assert (world.way(FAR), world.way(FAR6)) == ("tunnel", "")
    it.push("-redirect-gateway")
    assert world.way(FAR) == world.way(FAR6) == CABLE
    it.end()


@pytest.mark.parametrize("rest", ["open", "closed"])
def test_while_the_engine_has_no_device(world: World, rest: str) -> None:
    it = Updating(world, pushes=("redirect-gateway def1",), options=(f"--while-not-connected={rest}",))
    with flood(world, FAR) as sent:
        it.push("redirect-gateway def1", "route 203.0.113.0 255.255.255.0")
        assert any(sent.marker in frame for frame in sent.frames()) is (rest == "open")
    it.end()


def test_addresses(world: World) -> None:
    it = Updating(world, "persist-tun", pushes=("redirect-gateway def1",))
    it.push("ifconfig 198.18.0.77 255.255.255.0", "ifconfig-ipv6 2001:db8:2::77/64 2001:db8:2::1")
    assert world.lab.client_side.addresses("tun0") == {"198.18.0.77/32", "2001:db8:2::77/128"}
    assert world.way(FAR) == "tunnel"
    it.end()


DNS_UPDATES = [
    (("dhcp-option DNS 198.18.0.9", "dhcp-option DOMAIN a.example"), "198.18.0.9", "a.example"),
    (("dns server 1 address 198.18.0.10", "dns search-domains b.example", "-dhcp-option"), "198.18.0.10", "b.example"),
    (("-dns",), "", ""),
]


def test_name_servers(world: World) -> None:
    resolved = world.lab.resolved()
    it = Updating(world, pushes=("dhcp-option DNS 198.18.0.8",))

    def link(what: str) -> str:
        return resolved.ctl(what, "tun0").partition("): ")[2].strip()

    assert link("dns") == "198.18.0.8"
    for options, server, domain in DNS_UPDATES:
        it.push(*options)
        assert (link("dns"), link("domain").removesuffix("~.").strip()) == (server, domain)
    it.end()


def test_what_an_engine_does_not_update_takes_a_new_connection(world: World) -> None:
    """And with that the session has what the server pushes to everybody."""
    it = Updating(world, "persist-tun")
    it.push("redirect-gateway def1")
    before = it.session.seen
    it.push("ping 5", until="Reconnecting")
    it.session.wait(CONNECTED, before)
    assert world.way(FAR) == CABLE
    it.session.call("Disconnect")


def test_an_engine_of_2_6_gets_none(world: World) -> None:
    server = world.server(program=world.lab.openvpn27)
    world.start("--openvpn=/usr/sbin/openvpn")
    session = world.session()
    session.connect()
    with pytest.raises(LabError, match="no client updated"):
        server.command('push-update-broad "redirect-gateway def1"', "SUCCESS: push-update")
    session.call("Disconnect")
