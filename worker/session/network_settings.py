"""Network settings from the engine's device environment (openvpn(8), Environmental Variables)."""

import ipaddress
from collections.abc import Iterator, Mapping
from itertools import count, islice

import msgspec

from ...policy.dns import DnsSettings
from ...policy.limits import MAX_ADDRESSES, MAX_ROUTES
from ...policy.network import Address, NetworkSettings, PolicyViolation, Route, check, route_problem

_DEFAULT_MTU = 1500


def from_environment(
    environment: Mapping[str, str], server: str, *, dns: DnsSettings | None = None, redirected: bool = False
) -> tuple[NetworkSettings, list[str]]:
    """The settings to ask for, and a warning for each thing asked for by the server that is left out.

    `server` is the address the engine talks to, `dns` what names are to be looked up with.  `redirected` tells that
    all traffic should go through the tunnel, which the environment does not say.  Values that do not parse are left
    out with a warning too.
    """
    warnings: list[str] = []
    routes = tuple(islice(_routes(environment, server, warnings), MAX_ROUTES + 1))
    if len(routes) > MAX_ROUTES:
        warnings.append(f"more than {MAX_ROUTES} routes: the others are left out")
    settings = NetworkSettings(
        mtu=_integer(environment.get("tun_mtu"), _DEFAULT_MTU),
        addresses=tuple(_addresses(environment, warnings))[:MAX_ADDRESSES],
        routes=routes[:MAX_ROUTES],
        server=server,
        dns=dns,
    )
    try:
        check(settings)
    except PolicyViolation as error:
        warnings.append(f"the server's settings for the tunnel will be refused: {error}")
    if redirected:
        warnings.append("sending all traffic through the tunnel (redirect-gateway) is not supported yet: left out")
    return settings, warnings


def moved(settings: NetworkSettings, server: str) -> NetworkSettings:
    """The same settings where the engine talks to another server: without the routes that cover this one."""
    routes = tuple(route for route in settings.routes if route_problem(route, server) is None)
    return msgspec.structs.replace(settings, server=server, routes=routes)


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


def _routes(environment: Mapping[str, str], server: str, warnings: list[str]) -> Iterator[Route]:
    through_host = environment.get("route_net_gateway")
    for number in count(1):
        network = environment.get(f"route_network_{number}")
        network6 = environment.get(f"route_ipv6_network_{number}")
        if network is None and network6 is None:
            return
        if network is not None:
            destination = f"{network}/{environment.get(f'route_netmask_{number}', '255.255.255.255')}"
            if through_host and environment.get(f"route_gateway_{number}") == through_host:
                warnings.append(f"route {destination} outside the tunnel is not supported: left out")
            else:
                metric = environment.get(f"route_metric_{number}")
                yield from _route(destination, metric, server, warnings)
        if network6 is not None:
            yield from _route(network6, environment.get(f"route_ipv6_metric_{number}"), server, warnings)


def _route(destination: str, metric: str | None, server: str, warnings: list[str]) -> Iterator[Route]:
    try:
        network = ipaddress.ip_network(destination, strict=False)
    except ValueError:
        warnings.append(f"route {destination} is invalid: left out")
        return
    route = Route(str(network), _integer(metric, 0))
    reason = route_problem(route, server)
    if reason is None:
        yield route
    else:
        warnings.append(f"route {network} left out: {reason}")


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else default
