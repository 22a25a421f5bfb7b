"""What is asked of the machine's default route: from the options, and what of it is permitted."""

import msgspec
import pytest

from ...policy.limits import MAX_REDIRECTED_NETWORKS
from ...policy.network import Address, NetworkSettings, PolicyViolation, Route, check
from ...policy.redirect import Redirect
from ...worker.session.network_settings import from_environment
from ...worker.session.routes import Routes

SERVER = "192.0.2.1"
ENVIRONMENT = {"ifconfig_local": "198.18.0.2", "ifconfig_netmask": "255.255.255.0", "tun_mtu": "1400"}
IPV4, IPV6 = ("0.0.0.0/0",), ("::/0",)


def asked(profile: str, pushed: str = "") -> tuple[NetworkSettings, list[str]]:
    """What these options, separated by commas, come to."""
    mine, theirs = ([tuple(line.split()) for line in text.split(",") if line.strip()] for text in (profile, pushed))
    return from_environment(ENVIRONMENT, SERVER, routes=Routes(mine, theirs), options=(*mine, *theirs))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ("redirect-gateway", Redirect(IPV4)),
        ("redirect-gateway def1", Redirect(IPV4)),
        ("redirect-gateway local def1 bypass-dhcp bypass-dns autolocal", Redirect(IPV4)),
        ("redirect-gateway def1 ipv6", Redirect(IPV4 + IPV6)),
        ("redirect-gateway ipv6 !ipv4", Redirect(IPV6)),
        ("redirect-gateway ipv6,redirect-gateway !ipv4", Redirect(IPV6)),
        ("redirect-gateway !ipv4,redirect-gateway def1", Redirect(IPV4)),
        ("redirect-gateway !ipv4", None),
        ("redirect-gateway block-local", Redirect(IPV4, block_local=True)),
        ("redirect-gateway def1,block-ipv6", Redirect(IPV4, block_ipv6=True)),
        ("block-ipv6", None),
        ("redirect-private", None),
        ("redirect-private def1 bypass-dns", None),
        ("redirect-private block-local", Redirect(block_local=True)),
        ("redirect-private ipv6", Redirect(IPV6)),
        ("redirect-private,redirect-gateway", Redirect(IPV4)),
        ("route 0.0.0.0 0.0.0.0", Redirect(IPV4)),
        ("route 0.0.0.0 128.0.0.0,route 128.0.0.0 128.0.0.0 vpn_gateway 5", Redirect(IPV4)),
        ("route-ipv6 ::/0", Redirect(IPV6)),
        ("route-ipv6 2000::/3", Redirect(("2000::/3",))),
        ("route-ipv6 2000::/3,redirect-gateway ipv6", Redirect(IPV4 + IPV6)),
        ("route 64.0.0.0 192.0.0.0,route-ipv6 2000::/4,route-ipv6 3000::/4", Redirect(("64.0.0.0/2", "2000::/3"))),
        ("", None),
    ],
)
def test_flags_and_routes(options: str, wanted: Redirect | None) -> None:
    for settings, warnings in (asked(options), asked("", options)):
        assert (settings.redirect, settings.routes, warnings) == (wanted, (), [])
        check(settings)


def test_profile_and_server_add_up() -> None:
    assert asked("redirect-gateway def1", "redirect-gateway ipv6")[0].redirect == Redirect(IPV4 + IPV6)
    assert asked("redirect-gateway ipv6", "redirect-gateway !ipv4")[0].redirect == Redirect(IPV6)


def test_routes_as_any_other_stay_routes() -> None:
    settings, warnings = asked("route-ipv6 fc00::/7,route 203.0.113.0 255.255.255.0,route 0.0.0.0 0.0.0.0")
    assert settings.routes == (Route("fc00::/7"), Route("203.0.113.0/24"))
    assert settings.redirect == Redirect(IPV4)
    assert warnings == []


def test_a_flag_that_is_not_known() -> None:
    settings, warnings = asked("redirect-gateway def2 ipv6")
    assert settings.redirect == Redirect(IPV4 + IPV6)
    assert warnings == ["the flag 'def2' of redirect-gateway is not known: it has no effect"]


@pytest.mark.parametrize(
    ("redirect", "reason"),
    [
        (Redirect(), "it redirects nothing"),
        (Redirect(optional=True), "it redirects nothing"),
        (Redirect(("0.0.0.0/8",)), "0.0.0.0/8 is a route as any other"),
        (Redirect(("2000::/16",)), "is a route as any other"),
        (Redirect(("x",)), "does not appear"),
        (Redirect(("0.0.0.0/0.0.0.0",)), "is not written as 0.0.0.0/0"),
        (Redirect(("0.0.0.0/0", "0.0.0.0/0")), "named twice"),
        (Redirect(("1.0.0.0/0",)), "host bits"),
        (Redirect(tuple(f"{number << 2:x}00::/6" for number in range(33))), f"more than {MAX_REDIRECTED_NETWORKS}"),
    ],
)
def test_what_no_worker_may_ask_for(redirect: Redirect, reason: str) -> None:
    settings = NetworkSettings(1500, (Address("198.18.0.2", 24),), (), SERVER)
    check(msgspec.structs.replace(settings, redirect=Redirect(IPV4 + IPV6, True, True, True)))
    with pytest.raises(PolicyViolation, match=f"the default route: .*{reason}"):
        check(msgspec.structs.replace(settings, redirect=redirect))
