"""The rules for what a session may set on its device."""

from ipaddress import ip_address, ip_network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.limits import MAX_ADDRESSES, MAX_ROUTES
from ...policy.network import (
    MAX_METRIC,
    Address,
    NetworkSettings,
    PolicyViolation,
    Route,
    check,
    public_size,
    route_problem,
)

SERVER = "192.0.2.1"
GOOD = NetworkSettings(
    mtu=1500,
    addresses=(
        Address("198.18.0.2", 24),
        Address("198.18.0.6", 32, "198.18.0.5"),
        Address("2001:db8::2", 64),
    ),
    routes=(Route("203.0.113.0/24"), Route("10.0.0.0/8", 50), Route("2001:db8:1::/48", MAX_METRIC)),
    server=SERVER,
)


def refused(reason: str, **changes: object) -> None:
    with pytest.raises(PolicyViolation, match=reason):
        check(msgspec.structs.replace(GOOD, **changes))


def test_ordinary_settings_pass() -> None:
    check(GOOD)
    check(NetworkSettings(mtu=576, addresses=(), routes=(), server="2001:db8:ffff::1"))


@pytest.mark.parametrize("mtu", [575, 65536, 0, -1])
def test_mtu_out_of_range(mtu: int) -> None:
    refused(f"MTU {mtu} is not between 576 and 65535", mtu=mtu)


def test_ipv6_needs_its_mtu() -> None:
    refused("IPv6 needs an MTU of 1280, not 1279", mtu=1279)
    check(msgspec.structs.replace(GOOD, mtu=1280))
    check(msgspec.structs.replace(GOOD, mtu=1279, addresses=GOOD.addresses[:2]))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (Address("nonsense", 24), "does not appear to be an IPv4 or IPv6 address"),
        (Address("198.18.0.02", 24), "does not appear"),
        (Address("198.18.0.2", 33), "prefix is out of range"),
        (Address("198.18.0.2", -1), "prefix is out of range"),
        (Address("2001:db8::2", 129), "prefix is out of range"),
        (Address("127.0.0.2", 24), "127.0.0.2 is no unicast address .loopback"),
        (Address("::1", 128), "no unicast address .loopback"),
        (Address("224.0.0.1", 24), "multicast"),
        (Address("ff02::1", 64), "multicast"),
        (Address("0.0.0.0", 24), "this network"),
        (Address("::", 64), "loopback"),
        (Address("169.254.1.1", 24), "link-local"),
        (Address("fe80::1", 64), "link-local"),
        (Address("2001:db8::1%eth0", 64), "names a scope"),
        (Address("255.255.255.255", 32), "reserved"),
        (Address("::ffff:198.18.0.2", 128), "IPv4-mapped"),
        (Address("198.18.0.2", 32, "2001:db8::1"), "of another family"),
        (Address("198.18.0.2", 32, "127.0.0.1"), "127.0.0.1 is no unicast address"),
        (Address("198.18.0.2", 32, "x"), "does not appear"),
        (Address("198.18.0.2", 0), "default route"),
        (Address("198.18.0.2", 7), "default route"),
        (Address("2001:db8::2", 3), "default route"),
        (Address("192.0.2.2", 24), "covers the server's own address 192.0.2.1"),
        (Address("198.18.0.2", 24, "192.0.2.9"), "covers the server"),
    ],
)
def test_addresses_that_are_refused(address: Address, reason: str) -> None:
    refused(reason, addresses=(address,))


@pytest.mark.parametrize(
    ("destination", "reason"),
    [
        ("0.0.0.0/0", "only a part of the default route may be"),
        ("0.0.0.0/1", "default route"),
        ("128.0.0.0/1", "default route"),
        ("::/0", "default route"),
        ("::/1", "default route"),
        ("8000::/1", "default route"),
        ("2000::/3", "default route"),
        ("10.0.0.0/7", "default route"),
        ("127.0.0.0/8", "overlaps loopback"),
        ("127.1.2.0/24", "overlaps loopback"),
        ("::1/128", "overlaps loopback"),
        ("224.0.0.0/8", "overlaps multicast"),
        ("ff00::/16", "overlaps multicast"),
        ("169.0.0.0/8", "overlaps link-local"),
        ("fe80::/64", "overlaps link-local"),
        ("255.255.255.255/32", "overlaps reserved"),
        ("203.0.113.1/24", "has host bits set"),
        ("203.0.113.0", "is not NETWORK/BITS"),
        ("203.0.113.0/255.255.255.0", "is not NETWORK/BITS"),
        ("203.0.113.0/٣", "is not NETWORK/BITS"),
        ("203.0.113.0/33", "does not appear"),
        ("x/24", "does not appear"),
        ("192.0.2.0/24", "covers the server's own address 192.0.2.1"),
        ("192.0.2.1/32", "covers the server"),
    ],
)
def test_routes_that_are_refused(destination: str, reason: str) -> None:
    refused(f"route {destination}: .*{reason}", routes=(Route(destination),))
    assert reason in (route_problem(Route(destination), SERVER) or "")


@pytest.mark.parametrize("destination", ["fc00::/7", "fd00::/8", "2001::/16", "10.0.0.0/8", "203.0.113.7/32"])
def test_routes_that_are_accepted(destination: str) -> None:
    assert route_problem(Route(destination), SERVER) is None


def test_an_ipv4_server_is_recognised_in_an_ipv6_address() -> None:
    assert "covers the server" in (route_problem(Route("192.0.2.0/24"), "::ffff:192.0.2.1") or "")


@pytest.mark.parametrize("metric", [-1, MAX_METRIC + 1])
def test_metrics_out_of_range(metric: int) -> None:
    refused(f"metric {metric} is out of range", routes=(Route("203.0.113.0/24", metric),))


@pytest.mark.parametrize("server", ["", "vpn.example.com", "192.0.2.1/32"])
def test_the_server_must_be_an_address(server: str) -> None:
    refused("is not an address", server=server)
    assert "is not an address" in (route_problem(Route("203.0.113.0/24"), server) or "")


def test_there_are_limits() -> None:
    refused("more than", addresses=tuple(Address(f"198.18.0.{n}", 24) for n in range(1, MAX_ADDRESSES + 2)))
    refused("more than", routes=tuple(Route(f"10.{n >> 8}.{n & 255}.0/24") for n in range(MAX_ROUTES + 1)))
    check(msgspec.structs.replace(GOOD, routes=tuple(Route(f"10.{n >> 8}.{n & 255}.0/24") for n in range(MAX_ROUTES))))


def routes(*destinations: str) -> dict[str, object]:
    return {"routes": tuple(map(Route, destinations))}


def test_private_networks_in_any_amount_and_public_ones_in_bounds() -> None:
    private = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7")
    check(msgspec.structs.replace(GOOD, addresses=(), **routes(*private, "20.0.0.0/8", "21.0.0.0/8", "2001::/16")))
    # What lies in another one is not counted twice, nor is what is private.
    check(
        msgspec.structs.replace(GOOD, addresses=(), **routes("20.0.0.0/8", "20.1.0.0/16", "20.0.0.0/9", "172.0.0.0/8"))
    )
    refused("public addresses of IPv4, more than", **routes("20.0.0.0/8", "21.0.0.0/8", "22.0.0.1/32"))
    refused("public addresses of IPv4, more than", **routes(*(f"{n}.0.0.0/8" for n in range(1, 127))))
    refused("public addresses of IPv6, more than", **routes("2400::/16", "2600::/16", "2a00::/128"))
    refused("public addresses", addresses=(Address("20.0.0.1", 8), Address("21.0.0.1", 8), Address("22.0.0.1", 8)))


@given(st.lists(st.tuples(st.ip_addresses(v=4), st.integers(24, 32)), max_size=8))
def test_public_addresses_are_counted_one_by_one(some: list[tuple[object, int]]) -> None:
    networks = [ip_network(f"{address}/{bits}", strict=False) for address, bits in some]
    private = [
        ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15")
    ]
    hosts = {host for network in networks for host in network if not any(host in one for one in private)}
    assert public_size(networks) == {4: len(hosts), 6: 0}


@given(st.ip_addresses(), st.integers(0, 128), st.ip_addresses())
def test_no_accepted_route_covers_the_server_or_loopback(host: object, length: int, server: object) -> None:
    bits = min(length, ip_address(str(host)).max_prefixlen)
    network = ip_network(f"{host}/{bits}", strict=False)
    if route_problem(Route(str(network)), str(server)) is None:
        assert ip_address(str(server)) not in network
        assert ip_address("127.0.0.1") not in network
        assert ip_address("::1") not in network
        assert not network.is_multicast


@given(st.text())
def test_any_text_is_judged_without_an_exception(text: str) -> None:
    if route_problem(Route(text), SERVER) is None:
        ip_network(text)
    if route_problem(Route("203.0.113.0/24"), text) is None:
        ip_address(text)
