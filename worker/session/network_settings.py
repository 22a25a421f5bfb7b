"""Network settings: addresses from the engine's device environment (openvpn(8)), routes from the options."""

import ipaddress
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from ...policy.dns import DnsSettings
from ...policy.limits import MAX_ADDRESSES
from ...policy.network import Address, NetworkSettings, PolicyViolation, Route, check, route_problem
from ...policy.redirect import is_wide
from . import redirection
from .routes import Options, Routes, Tunnel

_DEFAULT_MTU = 1500


def from_environment(
    environment: Mapping[str, str],
    server: str,
    *,
    routes: Routes | None = None,
    options: Options = (),
    found: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    dns: DnsSettings | None = None,
) -> tuple[NetworkSettings, list[str]]:
    """The settings to ask for, and a warning for each thing asked for by the server that is left out.

    `server` is the address the engine talks to; `options` are those of profile and server, `routes` what they say of
    routes, and `found` the addresses of the names in these; `dns` is what names are to be looked up with.  Values that
    do not parse are left out with a warning too.
    """
    warnings: list[str] = []
    addresses = tuple(_addresses(environment, warnings))[:MAX_ADDRESSES]
    wanted: tuple[Route, ...] = ()
    if routes is not None:
        wanted, left_out = routes.wanted(Tunnel.of(environment, addresses, options, server), found)
        warnings += left_out
    wide = (route.destination for route in wanted if _is_redirected(route))
    redirect, unknown = redirection.wanted(options, wide)
    warnings += unknown
    settings = NetworkSettings(
        mtu=_integer(environment.get("tun_mtu"), _DEFAULT_MTU),
        addresses=addresses,
        routes=tuple(route for route in wanted if not _is_redirected(route)),
        server=server,
        redirect=redirect,
        dns=dns,
    )
    try:
        check(settings)
    except PolicyViolation as error:
        warnings.append(f"the server's settings for the tunnel will be refused: {error}")
    return settings, warnings


def moved(settings: NetworkSettings, server: str) -> NetworkSettings:
    """The same settings where the engine talks to another server: without the routes that cover this one."""
    routes = tuple(route for route in settings.routes if route_problem(route, server) is None)
    return msgspec.structs.replace(settings, server=server, routes=routes)


def _is_redirected(route: Route) -> bool:
    return is_wide(route.destination) and not route.past


def _addresses(environment: Mapping[str, str], warnings: list[str]) -> Iterator[Address]:
    local, netmask = environment.get("ifconfig_local"), environment.get("ifconfig_netmask")
    remote = environment.get("ifconfig_remote")
    try:
        if local and netmask:
            yield Address(local, ipaddress.IPv4Network(f"0.0.0.0/{netmask}").prefixlen)
        elif local:
            yield Address(local, 32, remote or None)
    except ValueError:
        warnings.append(f"address {local} with netmask {netmask} is invalid: left out")
    local6 = environment.get("ifconfig_ipv6_local")
    if local6:
        yield Address(local6, _integer(environment.get("ifconfig_ipv6_netbits"), 128))


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else default
