"""The engine's device environment as network settings; routes are in test_routes.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.network import Address, PolicyViolation, check
from ...worker.session.network_settings import from_environment
from ...worker.session.routes import Routes

SERVER = "198.51.100.1"
SUBNET = {"ifconfig_local": "198.18.0.2", "ifconfig_netmask": "255.255.255.0", "tun_mtu": "1400", "dev": "tun0"}


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


@pytest.mark.parametrize(
    ("environment", "said"),
    [
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


KEYS = st.sampled_from(
    [
        *("tun_mtu", "ifconfig_local", "ifconfig_netmask", "ifconfig_remote", "ifconfig_ipv6_local"),
        *("ifconfig_ipv6_netbits", "route_vpn_gateway"),
    ]
)
VALUES = (
    st.ip_addresses().map(str)
    | st.ip_addresses().flatmap(lambda address: st.integers(0, 130).map(lambda bits: f"{address}/{bits}"))
    | st.integers(-1, 2**33).map(str)
    | st.sampled_from(["255.255.255.0", "255.255.255.255", "0.0.0.0", "", SERVER, "fe80::1%x", "²", "1_0"])
    | st.text(max_size=6)
)


WORDS = st.sampled_from(
    ["route", "route-ipv6", "route-metric", "route-gateway", "vpn_gateway", "net_gateway", "remote_host", "vpn.example"]
)


@given(
    st.dictionaries(KEYS, VALUES, max_size=14),
    st.lists(st.lists(WORDS | VALUES, min_size=1, max_size=6).map(tuple), max_size=6),
    st.sampled_from([SERVER, "2001:db8::1", "", "x"]),
)
def test_what_is_asked_for_is_acceptable_or_there_is_a_warning(
    environment: dict[str, str], options: list[tuple[str, ...]], server: str
) -> None:
    settings, warnings = from_environment(
        environment,
        server,
        routes=Routes(options, options),
        options=options,
        found={"vpn.example": ("203.0.113.7", "2001:db8:7::7")},
    )
    try:
        check(settings)
    except PolicyViolation:
        assert warnings
