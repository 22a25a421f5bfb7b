"""Which addresses and routes a worker may request for its session's device.

The supervisor refuses settings that break these rules (`check`); the worker leaves out pushed routes that do, and logs
that (`route_problem`).
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from . import dns as dns_policy
from . import redirect as redirection
from .limits import MAX_ADDRESSES, MAX_PUBLIC_IPV4, MAX_PUBLIC_IPV6, MAX_ROUTES, MAX_ROUTES_PAST
from .redirect import MIN_PREFIX, Redirect

MTU_RANGE = range(576, 65536)  # bytes; a tun device takes no more
MIN_MTU_IPV6 = 1280  # bytes; RFC 8200, section 5
MAX_METRIC = 2**31 - 1


def _range(network: str) -> tuple[int, int]:
    """First and last address, as numbers: a thousand routes are compared with these in no time."""
    parsed = ip_network(network)
    return int(parsed[0]), int(parsed[-1])


_UNIQUE_LOCAL = _range("fc00::/7")  # private networks are routed as a whole, whatever the prefix
# What tunnels are for, in any amount; everything else is public, in bounds.
_PRIVATE = {
    4: [_range(one) for one in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")],
    6: [_UNIQUE_LOCAL],
}
MAX_PUBLIC = {4: MAX_PUBLIC_IPV4, 6: MAX_PUBLIC_IPV6}
# Addresses that are never behind a tunnel: a route to them would cut the machine off from itself.
_NEVER = {
    4: {
        _range("0.0.0.0/8"): "this network",
        _range("127.0.0.0/8"): "loopback",
        _range("169.254.0.0/16"): "link-local",
        _range("224.0.0.0/4"): "multicast",
        _range("240.0.0.0/4"): "reserved",
    },
    6: {
        _range("::/96"): "loopback",
        _range("::ffff:0:0/96"): "IPv4-mapped",
        _range("fe80::/10"): "link-local",
        _range("ff00::/8"): "multicast",
    },
}


class PolicyViolation(ValueError):
    """The requested settings are not permitted; the text says which and why."""


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One address of the session's device."""

    local: str  # "198.18.0.2" or "2001:db8::2"
    prefix: int  # bits of the network part
    peer: str | None = None  # the other end, on a point-to-point (net30, p2p) link


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One route; without the names of its fields, as many as are allowed fit a frame."""

    destination: str  # "203.0.113.0/24"
    metric: int = 0  # 0: the kernel's default
    past: bool = False  # past the tunnel, as the machine would send without any; else through the session's device


class NetworkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a session's device; they replace those set before."""

    mtu: int  # bytes
    addresses: tuple[Address, ...]
    routes: tuple[Route, ...]
    server: str  # address the engine talks to; no route may cover it
    dns: dns_policy.DnsSettings | None = None  # None: the machine's own name servers
    redirect: Redirect | None = None  # as much of the machine's default route


def check(settings: NetworkSettings) -> None:
    """Raise PolicyViolation unless everything in `settings` is permitted."""
    try:
        server = server_address(settings.server)
    except ValueError as error:
        raise PolicyViolation(f"server {settings.server!r} is not an address") from error
    if settings.mtu not in MTU_RANGE:
        raise PolicyViolation(f"MTU {settings.mtu} is not between {MTU_RANGE[0]} and {MTU_RANGE[-1]}")
    if len(settings.addresses) > MAX_ADDRESSES:
        raise PolicyViolation(f"{len(settings.addresses)} addresses are more than {MAX_ADDRESSES}")
    if len(settings.routes) > MAX_ROUTES:
        raise PolicyViolation(f"{len(settings.routes)} routes are more than {MAX_ROUTES}")
    for address in settings.addresses:
        if reason := _address_problem(address, server, settings.mtu):
            raise PolicyViolation(f"address {address.local}/{address.prefix}: {reason}")
    for route in settings.routes:
        if reason := route_problem(route, settings.server):
            raise PolicyViolation(f"route {route.destination}: {reason}")
    if settings.dns is not None and (reason := dns_policy.problem(settings.dns)):
        raise PolicyViolation(f"DNS: {reason}")
    past = sum(route.past for route in settings.routes)
    if past > MAX_ROUTES_PAST:
        raise PolicyViolation(f"{past} routes past the tunnel are more than {MAX_ROUTES_PAST}")
    if settings.redirect is not None and (reason := redirection.problem(settings.redirect)):
        raise PolicyViolation(f"the default route: {reason}")
    for version, size in public_size(requested_networks(settings)).items():
        if size > MAX_PUBLIC[version]:
            raise PolicyViolation(f"the routes lead to {too_public(version, size)}")


def too_public(version: int, size: int) -> str:
    """What is wrong with routes to `size` public addresses of IPv4 or IPv6."""
    return f"{size:.3g} public addresses of IPv{version}, more than the {MAX_PUBLIC[version]:.3g} that are allowed"


def attached_network(address: Address) -> IPv4Network | IPv6Network:
    """The network that is reached through the device because of this address."""
    return ip_network((address.peer or address.local, address.prefix), strict=False)


def requested_networks(settings: NetworkSettings) -> list[IPv4Network | IPv6Network]:
    """All networks that are to be reached through the device."""
    return [attached_network(one) for one in settings.addresses] + [
        ip_network(one.destination) for one in settings.routes if not one.past
    ]


def is_private(version: int, first: int, last: int) -> bool:
    """Whether all addresses from `first` to `last` are private ones."""
    return any(start <= first and last <= end for start, end in _PRIVATE[version])


def public_size(networks: Iterable[IPv4Network | IPv6Network]) -> dict[int, int]:
    """How many public addresses of IPv4 and of IPv6 are in any of the networks."""
    sizes = {4: 0, 6: 0}
    done = {4: -1, 6: -1}  # the last address counted
    ranges = sorted((one.version, int(one.network_address), int(one.broadcast_address)) for one in networks)
    for version, first, last in ranges:
        first = max(first, done[version] + 1)
        if first <= last:
            private = sum(max(0, min(last, end) - max(first, start) + 1) for start, end in _PRIVATE[version])
            sizes[version] += last - first + 1 - private
            done[version] = last
    return sizes


def route_problem(route: Route, server: str) -> str | None:
    """Why `route` is not permitted while the engine talks to the address `server`; None if it is."""
    if not 0 <= route.metric <= MAX_METRIC:
        return f"metric {route.metric} is out of range"
    try:
        host = server_address(server)
    except ValueError:
        return f"the server {server!r} is not an address"
    return _network_problem(route.destination, None if route.past else host)


@lru_cache(maxsize=4)
def server_address(text: str) -> IPv4Address | IPv6Address:
    """The server's address; an IPv4 server seen through an IPv6 socket is an IPv4 server.  Raises ValueError."""
    address = ip_address(text)
    return (address.version == 6 and address.ipv4_mapped) or address


def _network_problem(text: str, server: IPv4Address | IPv6Address | None) -> str | None:
    """Why no route may lead to this network; without a `server`, past the tunnel."""
    length = text.partition("/")[2]
    if not (length.isascii() and length.isdigit()):
        return "is not NETWORK/BITS"
    try:
        network = ip_network(text)
    except ValueError as error:
        return str(error)
    version, first = network.version, int(network.network_address)
    last = first | int(network.hostmask)
    unique_local = version == 6 and _UNIQUE_LOCAL[0] <= first and last <= _UNIQUE_LOCAL[1]
    if network.prefixlen < MIN_PREFIX[version] and not unique_local:
        if server is None:
            return "so much cannot go past the tunnel"
        return f"it is wider than /{MIN_PREFIX[version]}: only a part of the default route may be"
    if reason := _overlap(version, first, last):
        return f"overlaps {reason} addresses"
    if server is not None and server.version == version and first <= int(server) <= last:
        return f"covers the server's own address {server}"
    return None


def _address_problem(address: Address, server: IPv4Address | IPv6Address, mtu: int) -> str | None:
    try:
        local = ip_address(address.local)
        peer = ip_address(address.peer) if address.peer is not None else local
    except ValueError as error:
        return str(error)
    if local.version != peer.version:
        return f"its peer {peer} is of another family"
    if not 0 <= address.prefix <= local.max_prefixlen:
        return "the prefix is out of range"
    if local.version == 6 and mtu < MIN_MTU_IPV6:
        return f"IPv6 needs an MTU of {MIN_MTU_IPV6}, not {mtu}"
    for host in (local, peer):
        if reason := _overlap(host.version, int(host), int(host)):
            return f"{host} is no unicast address ({reason})"
        if "%" in str(host):
            return f"{host} names a scope"
    # A route to the address's network is set, so that has to be acceptable as one.
    return _network_problem(str(attached_network(address)), server)


def _overlap(version: int, first: int, last: int) -> str | None:
    for (start, end), what in _NEVER[version].items():
        if first <= end and start <= last:
            return what
    return None
