"""The routes that the profile and the server ask for: where each leads, and whether into the tunnel or past it.

They are read from the options, not from the environment of the engine's device: an engine that cannot make one of them
tells of none.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from itertools import accumulate, islice

import msgspec

from ...policy.limits import MAX_ROUTE_NAMES, MAX_ROUTES, MAX_ROUTES_PAST
from ...policy.network import Address, Route, attached_network, route_problem, server_address
from ...policy.redirect import is_wide
from ..profile.routes import (
    NET_GATEWAY,
    REMOTE_HOST,
    ROUTE_OPTIONS,
    VPN_GATEWAY,
    RouteOption,
    address,
    read_metric,
    read_route,
)

Options = Iterable[tuple[str, ...]]


class Tunnel(msgspec.Struct, frozen=True):
    """What a route is judged by."""

    server: str  # address that the engine talks to
    gateways: tuple[IPv4Address | IPv6Address, ...]  # the other end's addresses, the default one first
    networks: tuple[IPv4Network | IPv6Network, ...]  # attached to the device

    @classmethod
    def of(
        cls, environment: Mapping[str, str], addresses: Iterable[Address], options: Options, server: str
    ) -> "Tunnel":
        """The tunnel that the environment of the engine's device and the options of profile and server describe."""
        gateways = [environment.get(key, "") for key in _GATEWAY_VARIABLES]
        gateways += reversed([words[1] for words in options if words[0] in _GATEWAY_OPTIONS and len(words) == 2])
        networks = []
        for one in addresses:
            try:
                networks.append(attached_network(one))
            except ValueError:
                pass  # to be refused with the address
        return cls(server, tuple(known for one in gateways if (known := address(one))), tuple(networks))

    def gateway(self, version: int) -> str:
        """Its gateway of this version of IP; "" if it has none."""
        return next((str(one) for one in self.gateways if one.version == version), "")

    def reaches(self, gateway: IPv4Address | IPv6Address) -> bool:
        """Whether a gateway is the tunnel's other end, or somebody on the tunnel's network."""
        return gateway in self.gateways or gateway.is_link_local or any(gateway in one for one in self.networks)


_GATEWAY_OPTIONS = ("route-gateway", "route-ipv6-gateway")
_GATEWAY_VARIABLES = ("route_vpn_gateway", "ifconfig_remote", "ifconfig_ipv6_remote")


class Routes:
    """The routes of one connection; addresses of the names in them are asked for between."""

    def __init__(self, profile: Options, pushed: Options) -> None:
        """The options of the profile, and those that the server pushed."""
        self.problems: list[str] = []  # of those that are left out
        self._names: dict[str, None] = {}
        self._options: list[RouteOption] = []
        self._metric = 0  # of those without one
        profile = tuple(profile)
        self._read(profile, named=True)
        self._read(pushed, named=("allow-pull-fqdn",) in profile)

    def _read(self, options: Options, *, named: bool) -> None:
        for words in options:
            if words[0] not in (*ROUTE_OPTIONS, "route-metric"):
                continue
            try:
                if words[0] == "route-metric":
                    self._metric = read_metric(words[1] if len(words) > 1 else "")
                    continue
                option = read_route(words)
            except ValueError as error:
                self._leave_out(" ".join(words[:2]), str(error))
                continue
            if option.names and not named:
                self._leave_out(f"route {option}", "it is pushed by name, which takes allow-pull-fqdn in the profile")
            elif len(self._names.keys() | option.names) > MAX_ROUTE_NAMES:
                self._leave_out(f"route {option}", f"more than {MAX_ROUTE_NAMES} names")
            else:
                self._names |= dict.fromkeys(option.names)
                self._options.append(option)

    @property
    def names(self) -> tuple[str, ...]:
        """The host names in them."""
        return tuple(self._names)

    def wanted(self, tunnel: Tunnel, found: Mapping[str, tuple[str, ...]]) -> tuple[tuple[Route, ...], list[str]]:
        """The routes to ask for, also such as are part of a default route, and why others are left out.

        `found` has what the names' look-ups gave.
        """
        warnings = self.problems[:]
        routes = list(islice(self._all(tunnel, found, warnings), MAX_ROUTES + 1))
        if len(routes) > MAX_ROUTES:
            warnings.append(f"more than {MAX_ROUTES} routes: the others are left out")
            del routes[MAX_ROUTES:]
        so_far = list(accumulate(route.past for route in routes))
        if so_far and so_far[-1] > MAX_ROUTES_PAST:
            warnings.append(f"more than {MAX_ROUTES_PAST} routes past the tunnel: the others are left out")
        kept = (route for route, past in zip(routes, so_far, strict=True) if not route.past or past <= MAX_ROUTES_PAST)
        return tuple(kept), warnings

    def _all(self, tunnel: Tunnel, found: Mapping[str, tuple[str, ...]], warnings: list[str]) -> Iterator[Route]:
        for option in self._options:
            try:
                past = _goes_past(option, tunnel, found)
                networks = [ip_network((one, option.length), strict=False) for one in _hosts(option, tunnel, found)]
            except ValueError as error:
                warnings.append(f"route {option} left out: {error}")
                continue
            for network in networks:
                route = Route(str(network), self._metric if option.metric is None else option.metric, past)
                if is_wide(route.destination) and not past:
                    yield route  # a part of a default route
                elif reason := route_problem(route, tunnel.server):
                    warnings.append(f"route {network}{' past the tunnel' * past} left out: {reason}")
                else:
                    yield route

    def _leave_out(self, what: str, reason: str) -> None:
        self.problems.append(f"{what} left out: {reason}")


def _hosts(option: RouteOption, tunnel: Tunnel, found: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The addresses that an option's network stands for.  Raises ValueError if there are none."""
    if option.network == NET_GATEWAY:
        raise ValueError("this machine reaches its gateway without a route")
    if option.network == VPN_GATEWAY:
        meant, hosts = "the tunnel's gateway", [tunnel.gateway(option.version)]
    elif option.network == REMOTE_HOST:
        meant, hosts = "the server", [str(server_address(tunnel.server))]
    elif option.names[:1] == (option.network,):
        meant, hosts = "it", list(found.get(option.network, ()))
        if not hosts:
            raise ValueError("its name cannot be resolved")
    else:
        return [option.network]
    hosts = [one for one in hosts if (known := address(one)) and known.version == option.version]
    if not hosts:
        raise ValueError(f"{meant} has no IPv{option.version} address")
    return hosts


def _goes_past(option: RouteOption, tunnel: Tunnel, found: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether an option's gateway sends its packets past the tunnel, which any does that is not the tunnel's.

    Past it they go as this machine sends them by itself, whichever gateway that is.  Raises ValueError.
    """
    if option.gateway in ("", VPN_GATEWAY):
        return False
    if option.gateway == NET_GATEWAY:
        return True
    if option.gateway == REMOTE_HOST:
        gateways = [tunnel.server]
    elif option.gateway in option.names:
        gateways = list(found.get(option.gateway, ()))
        if not gateways:
            raise ValueError(f"its gateway {option.gateway} cannot be resolved")
    else:
        gateways = [option.gateway]
    return not any(tunnel.reaches(known) for one in gateways if (known := address(one)))
