"""Who gets which addresses and routes, and who waits."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.limits import MAX_NETWORK_WARNINGS, MAX_ROUTES_PAST
from ...policy.network import Address, NetworkSettings, Route
from ...policy.redirect import EVERYTHING, Redirect
from ...supervisor.network.claims import Claims, Conflict
from ...supervisor.network.device_routes import DeviceRoute
from ...supervisor.network.name_servers import parse_name_servers
from ...supervisor.network.prefixes import Host, Prefix, PrefixMap, Way
from ...supervisor.network.surroundings import Machine

ALICE, BOB = 4001, 4002
NOTHING = Machine()


def host(text: str) -> Host:
    return Host.of(ip_address(text))


def prefix(text: str) -> Prefix:
    return Prefix.of(ip_network(text))


class Sessions:
    """Sessions of which each asks for one thing after the other; named after their devices."""

    def __init__(self, machine: Machine = NOTHING, *, public_networks: bool = True) -> None:
        self.claims = Claims(public_networks=public_networks)
        self._machine = machine

    def ask(
        self,
        device: str,
        owner: int,
        *routes: str | Route,
        address: str | None = None,
        peer: str | None = None,
        server: str = "192.0.2.1",
        redirected: str = "",
    ) -> list[str]:
        """Ask for these; the warnings."""
        local, _, bits = (address or "").partition("/")
        settings = NetworkSettings(
            mtu=1500,
            addresses=(Address(local, int(bits or 32), peer),) if local else (),
            routes=tuple(Route(one) if isinstance(one, str) else one for one in routes),
            server=server,
            redirect=Redirect(networks=(redirected,)) if redirected else None,
        )
        decision = self.claims.request(device, f"session-{device}", owner, settings, self._machine)
        assert decision.addresses == ((host(local),) if local else ())
        return decision.warnings

    def has(self, device: str) -> list[str]:
        """The destinations of its routes."""
        return [route.destination for route in self.claims.routes(device)]

    def settle(self) -> list[tuple[str, str]]:
        return [(one[0], one[1].destination) for one in self.claims.settle() if one is not None]


def waits(route: str, network: str) -> str:
    return f"route {route} is pending: it lies in {network}, which another user's session has"


def test_what_nobody_has_is_given() -> None:
    sessions = Sessions()
    assert sessions.ask("a", ALICE, "203.0.113.0/24", Route("203.0.113.0/24", 7), address="198.18.0.2/24") == []
    assert sessions.claims.routes("a") == [
        DeviceRoute("198.18.0.0/24", 0, host("198.18.0.2")),
        DeviceRoute("203.0.113.0/24"),
        DeviceRoute("203.0.113.0/24", 7),
    ]
    # The network of the address, asked for once more, is the same; of IPv6 its metric is the kernel's.
    assert sessions.ask("a", ALICE, "2001:db8::/64", address="2001:db8::2/64") == []
    assert sessions.claims.routes("a") == [DeviceRoute("2001:db8::/64", 256, host("2001:db8::2"))]
    assert not sessions.claims.pending


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"address": "198.18.0.2/24"}, "address 198.18.0.2: another session has it"),
        ({"address": "198.18.7.2", "peer": "198.18.0.2"}, "peer 198.18.0.2: another session has it"),
        ({"address": "198.18.0.5"}, "address 198.18.0.5: another session has it"),
        ({"address": "203.0.113.1"}, "address 203.0.113.1: it is the address of another session's VPN server"),
        ({"address": "198.18.7.2", "peer": "203.0.113.1"}, "peer 203.0.113.1: it is the address of another"),
    ],
)
@pytest.mark.parametrize("owner", [ALICE, BOB])
def test_an_address_that_another_session_has(owner: int, asked: dict[str, str], rule: str) -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, address="198.18.0.2", peer="198.18.0.5", server="203.0.113.1")
    sessions.ask("b", owner, "20.0.0.0/8")
    with pytest.raises(Conflict) as raised:
        sessions.ask("b", owner, "21.0.0.0/8", **asked)
    assert str(raised.value).startswith(rule)
    assert "session-a" not in str(raised.value) and f"session session-a of user {ALICE}" in raised.value.note
    assert sessions.has("b") == ["20.0.0.0/8"], "nothing has changed"
    sessions.claims.release("a")
    assert sessions.ask("b", owner, **asked) == []


def test_two_users_of_one_vpn() -> None:
    sessions = Sessions()
    assert sessions.ask("a", ALICE, "10.0.0.0/8", address="198.18.0.2/24", server="203.0.113.1") == []
    assert sessions.ask("b", BOB, "10.0.0.0/8", address="198.18.0.3/24", server="203.0.113.1") == [
        waits("198.18.0.0/24", "198.18.0.0/24"),
        waits("10.0.0.0/8", "10.0.0.0/8"),
    ]
    # Point to point, both have the same other end.
    assert sessions.ask("c", ALICE, address="198.18.9.2", peer="198.18.9.1") == []
    assert sessions.ask("d", BOB, address="198.18.9.3", peer="198.18.9.1") == [waits("198.18.9.1/32", "198.18.9.1/32")]
    assert sessions.settle() == []
    sessions.claims.release("a")
    assert sessions.settle() == [("b", "198.18.0.0/24"), ("b", "10.0.0.0/8")]
    assert not sessions.settle() and sessions.claims.pending
    sessions.claims.release("c")
    assert sessions.settle() == [("d", "198.18.9.1/32")]


def test_between_users_a_more_exact_route_waits_and_a_less_exact_one_does_not() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "10.1.0.0/16")
    assert sessions.ask("b", BOB, "10.1.2.0/24", "10.0.0.0/8", "10.1.0.0/16") == [
        waits("10.1.2.0/24", "10.1.0.0/16"),
        waits("10.1.0.0/16", "10.1.0.0/16"),
    ]
    assert sessions.has("b") == ["10.0.0.0/8"]
    # What she has she keeps, and has at once when she asks again; what is new waits for him.
    assert sessions.ask("a", ALICE, "10.1.0.0/16", "10.2.0.0/16") == [waits("10.2.0.0/16", "10.0.0.0/8")]


def test_sessions_of_one_user_share_by_exactness() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "10.0.0.0/8")
    assert sessions.ask("b", ALICE, "10.1.0.0/16", Route("10.0.0.0/8", 7)) == [
        "route 10.0.0.0/8 is pending: another session of the same user has it"
    ]
    assert sessions.has("b") == ["10.1.0.0/16"]
    sessions.ask("a", ALICE)
    assert sessions.settle() == [("b", "10.0.0.0/8")]


def test_the_servers_of_others() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, server="203.0.113.1")
    reason = "it covers 203.0.113.1, the VPN server of another session"
    assert sessions.ask("b", BOB, "203.0.113.1/32", "203.0.113.0/24", "203.0.113.2/32") == [
        f"route 203.0.113.1/32 is pending: {reason}",
        f"route 203.0.113.0/24 is pending: {reason}",
    ]
    assert sessions.has("b") == ["203.0.113.2/32"]
    # She talks to another server by now.
    sessions.ask("a", ALICE, server="192.0.2.9")
    assert sessions.settle() == [("b", "203.0.113.1/32"), ("b", "203.0.113.0/24")]
    # Whose server lies in a network that somebody has already reaches it by that, also when he asks again.
    for owner in (ALICE, BOB):
        assert sessions.ask("c", owner, server="203.0.113.7") == [
            "the VPN server 203.0.113.7 is reached through another session's tunnel, by its route 203.0.113.0/24"
        ]
    assert sessions.ask("b", BOB, "203.0.113.1/32", "203.0.113.0/24") == []


def test_a_session_at_rest_keeps_its_server() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "10.0.0.0/8", address="198.18.0.2", server="203.0.113.1")
    sessions.ask("b", BOB, "203.0.113.1/32", "10.1.0.0/16")
    sessions.claims.rest("a")
    assert sessions.settle() == [("b", "10.1.0.0/16")]
    assert sessions.ask("c", BOB, address="198.18.0.2") == []
    with pytest.raises(Conflict):
        sessions.ask("d", BOB, address="203.0.113.1")
    sessions.claims.release("a")
    assert sessions.settle() == [("b", "203.0.113.1/32")]


def test_a_server_on_a_network_of_the_machine() -> None:
    sessions = Sessions(Machine(networks=((prefix("203.0.113.0/24"), "lan"),)))
    sessions.ask("a", ALICE, server="203.0.113.1")
    assert sessions.ask("b", BOB, "203.0.0.0/16") == [], "the machine's own network is more exact"
    assert sessions.ask("b", BOB, "203.0.113.1/32") == [
        "route 203.0.113.1/32 is left out: it lies in 203.0.113.0/24, a network of this machine (lan)"
    ]


def test_the_machine() -> None:
    machine = Machine(
        addresses=frozenset({host("192.0.2.130")}),
        networks=((prefix("192.0.2.128/25"), "lan"), (prefix("0.0.0.0/0"), "ppp0")),
        links=((prefix("10.0.0.0/16"), "wg0"), (prefix("128.0.0.0/1"), "wg0")),
        name_servers=frozenset({host("203.0.113.53"), host("192.0.2.131")}),
    )
    sessions = Sessions(machine)
    for address, reason in (
        ("192.0.2.130", "this machine has it"),
        ("192.0.2.131", "it is the address of a name server of this machine"),
        ("203.0.113.53", "it is the address of a name server of this machine"),
        ("192.0.2.200", "it lies in 192.0.2.128/25, a network of this machine (lan)"),
    ):
        with pytest.raises(Conflict) as raised:
            sessions.ask("a", ALICE, address=address, server="198.51.100.1")
        assert str(raised.value) == f"address {address}: {reason}"
    assert sessions.ask("a", ALICE, address="10.0.0.5", server="198.51.100.1") == [], "reached, not attached"
    asked = ("192.0.2.128/25", "192.0.2.129/32", "10.0.0.0/16", "10.0.1.0/24", "203.0.113.0/24", "203.0.113.53/32")
    warnings = sessions.ask("a", ALICE, *asked, "192.0.2.0/24", "10.0.0.0/8", server="198.51.100.1")
    assert [warning.split()[1] for warning in warnings] == list(asked)
    assert all(" is left out: it " in warning for warning in warnings)
    assert sessions.has("a") == ["192.0.2.0/24", "10.0.0.0/8"]
    assert not sessions.claims.pending
    assert sessions.ask("r", 0, "203.0.113.0/24", server="198.51.100.1") == [], "its administrator may"


LAN = Way(2, host("192.0.2.1"))
ROUTER = Way(2, host("192.0.2.9"))
WITH_GATEWAY = Machine(
    networks=((prefix("192.0.2.0/24"), "lan"),),
    ways=(
        (prefix("0.0.0.0/0"), LAN),
        (prefix("0.0.0.0/0"), Way(3, host("192.0.2.1"))),  # with a higher metric
        (prefix("10.0.0.0/8"), ROUTER),
        (prefix("192.0.2.0/24"), Way(2)),
    ),
)


def past(*destinations: str) -> tuple[Route, ...]:
    return tuple(Route(one, past=True) for one in destinations)


def test_past_the_tunnel_it_goes_as_the_machine_sends() -> None:
    sessions = Sessions(WITH_GATEWAY)
    asked = past("203.0.113.0/24", "10.1.0.0/16", "8.0.0.0/8", "192.0.2.0/25", "2001:db8::/48")
    assert sessions.ask("a", ALICE, *asked, server="203.0.113.1") == [
        "route 2001:db8::/48 past the tunnel is left out: this machine has no route by which it would send there"
    ]
    assert sessions.claims.routes("a") == [
        DeviceRoute("203.0.113.0/24", way=LAN),
        DeviceRoute("10.1.0.0/16", way=ROUTER),
        DeviceRoute("8.0.0.0/8", way=LAN),
    ]


def test_past_the_tunnel_nothing_is_taken_from_others_and_nothing_kept_from_them() -> None:
    sessions = Sessions(WITH_GATEWAY)
    sessions.ask("a", ALICE, "203.0.113.0/24")
    assert sessions.ask("b", BOB, *past("203.0.113.9/32", "203.0.0.0/16")) == [
        waits("203.0.113.9/32", "203.0.113.0/24")
    ]
    assert sessions.has("b") == ["203.0.0.0/16"]
    # Her other session may, and her server is no obstacle.
    assert sessions.ask("c", ALICE, *past("203.0.113.8/32", "192.88.99.0/24"), server="192.88.99.1") == []
    assert sessions.ask("b", BOB, *past("203.0.0.0/16", "192.88.99.1/32")) == []
    assert sessions.ask("d", BOB, "203.0.77.0/24", server="203.0.0.7") == []
    sessions.claims.release("a")
    assert sessions.settle() == []
    # What was past the tunnel counts for nothing when it is to go through it.
    assert sessions.ask("b", BOB, "192.88.99.0/24") == [
        "route 192.88.99.0/24 is pending: it covers 192.88.99.1, the VPN server of another session"
    ]


def test_public_networks_past_the_tunnel() -> None:
    sessions = Sessions(WITH_GATEWAY)
    sessions.ask("a", ALICE, *past("20.0.0.0/8", "10.0.0.0/9"), "30.0.0.0/8")
    [warning] = sessions.ask("b", ALICE, *past("21.0.0.0/8", "22.0.0.0/24", "172.16.0.0/12"), "31.0.0.0/8")
    assert warning.startswith("route 22.0.0.0/24 past the tunnel is left out: with it, those of this user's sessions ")
    assert sessions.has("b") == ["21.0.0.0/8", "172.16.0.0/12", "31.0.0.0/8"]
    assert sessions.ask("c", BOB, *past("22.0.0.0/24")) == []
    sessions.claims.release("a")
    assert sessions.ask("b", ALICE, *past("21.0.0.0/8", "22.0.0.0/24")) == []


def test_routes_past_the_tunnel_are_counted_for_each_user() -> None:
    sessions = Sessions(WITH_GATEWAY)
    many = [f"10.1.{number}.0/24" for number in range(MAX_ROUTES_PAST)]
    assert sessions.ask("a", ALICE, *past(*many[:-1])) == []
    [warning] = sessions.ask("b", ALICE, *past("10.2.1.0/24", "10.2.2.0/24"), "10.2.3.0/24")
    assert warning.endswith(f"left out: {MAX_ROUTES_PAST} such routes are the most of one user's sessions")
    assert sessions.has("b") == ["10.2.1.0/24", "10.2.3.0/24"]
    assert sessions.ask("c", BOB, *past("10.3.1.0/24", "10.3.2.0/24")) == []
    assert sessions.ask("a", ALICE, *past(*many[1:])) == []


def test_past_the_tunnel_and_another_users_default_route() -> None:
    sessions = Sessions(WITH_GATEWAY)
    assert sessions.ask("a", ALICE, *past("203.0.113.9/32"), "10.0.0.0/8") == []
    # What was there before is told to whom it may concern,
    assert sessions.ask("b", BOB, *past("203.0.113.8/32"), redirected=EVERYTHING[4]) == [
        "another user's session has routes past the tunnel (1)"
    ]
    # and what comes later waits; that of her who has it does not, nor what goes into tunnels, nor IPv6.
    assert sessions.ask("c", ALICE, *past("203.0.113.7/32", "2001:db8::/48"), "20.0.0.0/24") == [
        "route 203.0.113.7/32 is pending: another user's session has the default route",
        "route 2001:db8::/48 past the tunnel is left out: this machine has no route by which it would send there",
    ]
    assert sessions.ask("d", BOB, *past("203.0.113.6/32")) == []
    sessions.claims.rest("b")
    assert sessions.settle() == [("c", "203.0.113.7/32")]


def test_past_the_tunnel_it_follows_the_machine() -> None:
    sessions = Sessions(WITH_GATEWAY)
    sessions.ask("a", ALICE, "203.0.113.0/24")
    sessions.ask("b", BOB, *past("203.0.113.9/32", "203.0.0.0/16"), "20.0.0.0/24")
    other = Way(7, host("192.0.2.250"))
    sessions.claims.follow(Machine(ways=((prefix("0.0.0.0/0"), other),)))
    assert sessions.claims.routes("b") == [DeviceRoute("203.0.0.0/16", way=other), DeviceRoute("20.0.0.0/24")]
    sessions.claims.release("a")
    assert list(sessions.claims.settle()) == [("b", DeviceRoute("203.0.113.9/32", way=other))]
    sessions.claims.follow(NOTHING)
    assert DeviceRoute("203.0.0.0/16", way=other) in sessions.claims.routes("b")
    assert sessions.claims.going_past == ["b"]


def test_what_is_given_stays_although_the_machine_comes_to_have_it() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, address="198.18.0.2/24")
    sessions._machine = Machine(networks=((prefix("198.18.0.0/24"), "lan"),))
    assert len(sessions.ask("a", ALICE, address="198.18.0.2/24")) == 1, "the route to the network is left out"


def test_public_networks_of_all_sessions_of_a_user() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "20.0.0.0/8")
    sessions.ask("b", ALICE, "21.0.0.0/8", "10.0.0.0/8")
    with pytest.raises(Conflict, match=r"the routes of this user's sessions lead to .* more than"):
        sessions.ask("c", ALICE, "22.0.0.0/24")
    assert sessions.ask("c", ALICE, "172.16.0.0/12") == []
    assert sessions.ask("d", BOB, "24.0.0.0/8", "25.0.0.0/8") == []
    sessions.claims.release("b")
    assert sessions.ask("c", ALICE, "22.0.0.0/24") == []


def test_an_administrator_who_wants_private_networks_only() -> None:
    sessions = Sessions(public_networks=False)
    why = "this service makes tunnels to private networks only (--public-networks refuse)"
    assert sessions.ask("a", ALICE, "10.0.0.0/8", "203.0.113.0/24", "172.0.0.0/8", address="198.18.0.2/24") == [
        f"route 203.0.113.0/24 is left out: {why}",
        f"route 172.0.0.0/8 is left out: {why}",
    ]
    with pytest.raises(Conflict, match=r"address 203\.0\.113\.5 is left out: this service makes"):
        sessions.ask("b", ALICE, address="203.0.113.5/24")


def test_who_waited_longer_comes_first() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "10.0.0.0/8")
    sessions.ask("b", BOB, "10.0.0.0/8")
    sessions.ask("c", 4003, "10.0.0.0/8", "10.9.0.0/16")
    sessions.ask("b", BOB, "10.0.0.0/8")
    sessions.claims.release("a")
    assert sessions.settle() == [("b", "10.0.0.0/8")]
    sessions.claims.release("b")
    assert sessions.settle() == [("c", "10.0.0.0/8"), ("c", "10.9.0.0/16")]


def test_what_is_no_longer_wanted_is_not_given() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "10.0.0.0/8")
    sessions.ask("b", BOB, "10.0.0.0/8")
    sessions.ask("b", BOB)
    assert not sessions.claims.pending
    sessions.ask("b", BOB, "10.0.0.0/8")
    steps = sessions.claims.settle()
    sessions.claims.release("a")
    sessions.claims.release("b")
    assert list(steps) == []


def test_a_route_that_the_kernel_has_already_waits() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "10.0.0.0/8")
    sessions.claims.postpone("a", DeviceRoute("10.0.0.0/8"))
    assert sessions.has("a") == []
    assert sessions.settle() == [("a", "10.0.0.0/8")]


def test_there_are_never_many_warnings() -> None:
    sessions = Sessions()
    sessions.ask("a", ALICE, "10.0.0.0/8")
    warnings = sessions.ask("b", BOB, *(f"10.0.{n}.0/24" for n in range(200)))
    assert len(warnings) == MAX_NETWORK_WARNINGS
    assert warnings[-1] == f"{200 - MAX_NETWORK_WARNINGS + 1} more like these"


NETWORKS = st.tuples(st.integers(0, 15), st.integers(28, 32)).map(
    lambda one: str(ip_network(f"10.0.0.{one[0]}/{one[1]}", strict=False))
)
REQUESTS = st.tuples(st.integers(0, 3), st.none() | st.lists(NETWORKS, max_size=4))


@given(st.lists(REQUESTS, max_size=12))
def test_nobody_loses_anything_and_nothing_is_forgotten(requests: list[tuple[int, list[str] | None]]) -> None:
    """Whatever sessions of two users ask for: see the loop."""
    sessions = Sessions()
    wanted: dict[int, list[str]] = {}
    for number, networks in requests:
        before = {other: sessions.has(str(other)) for other in wanted if other != number}
        if networks is None:
            sessions.claims.release(str(number))
            wanted.pop(number, None)
        else:
            sessions.ask(str(number), number % 2, *networks)
            wanted[number] = networks
        given = sessions.settle()
        for other, had in before.items():
            assert set(had) <= set(sessions.has(str(other)))
        assert not sessions.settle(), "there is always nothing left to give"
        assert all(network in wanted[int(device)] for device, network in given)
        for one in wanted:
            for other in wanted:
                if one != other:
                    assert not set(sessions.has(str(one))) & set(sessions.has(str(other)))
    for number in list(wanted):
        sessions.claims.release(str(number))
        del wanted[number]
        sessions.settle()
        if len(wanted) == 1:
            [(last, networks)] = wanted.items()
            assert set(sessions.has(str(last))) == set(networks)


@given(st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), max_size=10), st.ip_addresses())
def test_networks_that_cover_another(some: list[tuple[object, int]], one: object) -> None:
    address = ip_address(str(one))
    networks = [
        ip_network(f"{host}/{min(bits, ip_address(str(host)).max_prefixlen)}", strict=False) for host, bits in some
    ]
    found = PrefixMap((Prefix.of(network), str(network)) for network in networks)
    wanted = sorted(str(network) for network in networks if address in network)
    assert sorted(holder for _, holder in found.covering(Prefix.alone(Host.of(address)))) == wanted
    for network in networks:
        found.remove(Prefix.of(network), str(network))
    assert list(found.covering(Prefix.alone(Host.of(address)))) == []


def test_name_servers_in_use() -> None:
    text = """
# nameserver 192.0.2.1
nameserver 127.0.0.53
nameserver ::1
nameserver fe80::1%lan
nameserver  203.0.113.53  trust-ad
nameserver\t2001:db8::53
nameserver nonsense
nameserver
search example.org
"""
    assert list(parse_name_servers(text)) == [host("203.0.113.53"), host("2001:db8::53")]
