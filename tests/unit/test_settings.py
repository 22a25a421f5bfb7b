"""The engine's device environment as network settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.limits import MAX_ROUTES
from ...policy.network import Address, PolicyViolation, Route, check
from ...worker.session.network_settings import from_environment

SERVER = "198.51.100.1"
SUBNET = {"ifconfig_local": "198.18.0.2", "ifconfig_netmask": "255.255.255.0", "tun_mtu": "1400", "dev": "tun0"}
GATEWAYS = {"route_vpn_gateway": "198.18.0.1", "route_net_gateway": "192.0.2.1"}


def route(number: int, network: str, netmask: str, gateway: str = "198.18.0.1", metric: str = "") -> dict[str, str]:
    found = {f"route_network_{number}": network, f"route_netmask_{number}": netmask, f"route_gateway_{number}": gateway}
    return found | ({f"route_metric_{number}": metric} if metric else {})


@pytest.mark.parametrize(
    ("environment", "addresses"),
    [
        (SUBNET, [Address("198.18.0.2", 24)]),
        ({"ifconfig_local": "198.18.0.6", "ifconfig_remote": "198.18.0.5"}, [Address("198.18.0.6", 32, "198.18.0.5")]),
        ({"ifconfig_local": "198.18.0.6"}, [Address("198.18.0.6", 32)]),
        (
            {"ifconfig_ipv6_local": "2001:db8:2::2", "ifconfig_ipv6_netbits": "64", "ifconfig_ipv6_remote": "::"},
            [Address("2001:db8:2::2", 64)],
        ),
        ({"ifconfig_ipv6_local": "2001:db8:2::2"}, [Address("2001:db8:2::2", 128)]),
        (
            SUBNET | {"ifconfig_ipv6_local": "2001:db8:2::2", "ifconfig_ipv6_netbits": "64"},
            [Address("198.18.0.2", 24), Address("2001:db8:2::2", 64)],
        ),
        ({}, []),
    ],
    ids=["subnet", "net30", "p2p", "ipv6", "ipv6 host", "both", "none"],
)
def test_addresses(environment: dict[str, str], addresses: list[Address]) -> None:
    settings, warnings = from_environment(environment, SERVER)
    assert (list(settings.addresses), warnings) == (addresses, [])
    assert settings.mtu == (1400 if "tun_mtu" in environment else 1500)
    assert settings.server == SERVER
    check(settings)


def test_routes() -> None:
    environment = (
        SUBNET
        | GATEWAYS
        | route(1, "203.0.113.0", "255.255.255.0", metric="7")
        | route(2, "192.0.2.128", "255.255.255.255")
        | route(3, "203.0.113.77", "255.255.255.128")  # a host's address with a network's mask
        | {"route_ipv6_network_1": "2001:db8:3::/48", "route_ipv6_metric_1": "9", "route_ipv6_gateway_1": "::1"}
    )
    settings, warnings = from_environment(environment, SERVER)
    assert settings.routes == (
        Route("203.0.113.0/24", 7),
        Route("2001:db8:3::/48", 9),
        Route("192.0.2.128/32"),
        Route("203.0.113.0/25"),
    )
    assert warnings == []
    check(settings)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (route(1, "0.0.0.0", "0.0.0.0"), "route 0.0.0.0/0 left out: redirecting"),
        (route(1, "127.0.0.0", "255.0.0.0"), "route 127.0.0.0/8 left out: overlaps loopback"),
        (route(1, "198.51.100.0", "255.255.255.0"), "covers the server's own address"),
        (route(1, "203.0.113.0", "255.0.255.0"), "is invalid"),
        (route(1, "x", "y"), "route x/y is invalid"),
        (GATEWAYS | route(1, "203.0.113.0", "255.255.255.0", "192.0.2.1"), "outside the tunnel"),
        ({"route_ipv6_network_1": "::/0"}, "route ::/0 left out"),
        ({"ifconfig_netmask": "255.0.255.0"}, "address 198.18.0.2 with netmask 255.0.255.0 is invalid"),
        ({"ifconfig_local": "127.0.0.1"}, "will be refused: address 127.0.0.1/24"),
        ({"ifconfig_local": "x"}, "will be refused: address x/24"),
        ({"tun_mtu": "0"}, "will be refused: MTU 0"),
    ],
)
def test_what_is_left_out_is_told(environment: dict[str, str], said: str) -> None:
    settings, warnings = from_environment(SUBNET | environment, SERVER)
    assert len(warnings) == 1 and said in warnings[0]
    assert settings.routes == ()


def test_redirect_gateway_is_told() -> None:
    assert "redirect-gateway" in from_environment(SUBNET, SERVER, redirected=True)[1][0]


def test_two_thousand_routes() -> None:
    environment = dict(SUBNET)
    for number in range(1, 2001):
        environment |= route(number, f"10.{number // 250}.{number % 250}.0", "255.255.255.0")
    settings, warnings = from_environment(environment, SERVER)
    assert len(settings.routes) == MAX_ROUTES
    assert settings.routes[-1] == Route("10.4.24.0/24")
    assert warnings == ["more than 1024 routes: the others are left out"]
    check(settings)


def test_routes_of_two_families_count_together() -> None:
    environment = dict(SUBNET)
    for number in range(1, 801):
        environment |= route(number, f"10.{number // 250}.{number % 250}.0", "255.255.255.0")
        environment[f"route_ipv6_network_{number}"] = f"2001:db8:{number:x}::/48"
    settings, warnings = from_environment(environment, SERVER)
    assert len(settings.routes) == MAX_ROUTES
    assert warnings == ["more than 1024 routes: the others are left out"]
    check(settings)


KEYS = st.sampled_from(
    [
        *("tun_mtu", "ifconfig_local", "ifconfig_netmask", "ifconfig_remote", "ifconfig_ipv6_local"),
        *("ifconfig_ipv6_netbits", "route_net_gateway"),
        *(f"route_{what}_{number}" for what in ("network", "netmask", "gateway", "metric") for number in (1, 2)),
        *(f"route_ipv6_{what}_{number}" for what in ("network", "gateway", "metric") for number in (1, 2)),
    ]
)
VALUES = (
    st.ip_addresses().map(str)
    | st.ip_addresses().flatmap(lambda address: st.integers(0, 130).map(lambda bits: f"{address}/{bits}"))
    | st.integers(-1, 2**33).map(str)
    | st.sampled_from(["255.255.255.0", "255.255.255.255", "0.0.0.0", "", SERVER, "fe80::1%x", "²", "1_0"])
    | st.text(max_size=6)
)


@given(st.dictionaries(KEYS, VALUES, max_size=14), st.sampled_from([SERVER, "2001:db8::1", "", "x"]))
def test_what_is_asked_for_is_acceptable_or_there_is_a_warning(environment: dict[str, str], server: str) -> None:
    settings, warnings = from_environment(environment, server)
    try:
        check(settings)
    except PolicyViolation:
        assert warnings
