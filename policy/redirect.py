"""What a session may have of the machine's default route: a rule and a table of its own (docs/NETWORK.md)."""

from collections.abc import Iterable
from ipaddress import IPv6Network, collapse_addresses, ip_network
from typing import Literal

import msgspec

from .limits import MAX_REDIRECTED_NETWORKS, MAX_REDIRECTING

# Wider networks than these go by the redirecting session's table, after all that the machine has more exact routes to.
MIN_PREFIX = {4: 8, 6: 16}

_UNIQUE_LOCAL = IPv6Network("fc00::/7")
EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}


# Routing rules and tables that are used, unless the administrator chooses others: after Tailscale's rules (5210 to
# 5270), before that for the main table (32766) and wg-quick's.
FIRST_PRIORITY, PRIORITIES = 5299, 23
FIRST_TABLE, TABLES = 5300, 2 * MAX_REDIRECTING + 2


# A bit in the marks of packets that answer who connected from outside: Tailscale has 0xff0000, Kubernetes 0xc000,
# container networks 0x2000, NetBird 0x1bd00; wg-quick compares with the whole of 0xca6c.
MARK = 0x10000000

# What becomes of redirected traffic while the session is not connected, by a profile and by the administrator.
ProfileWhileNotConnected = Literal["default", "open", "closed"]
WhileNotConnected = Literal["open", "closed", "always-open", "always-closed"]


class Redirect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes through a session's device unless the machine has a more exact route for it."""

    networks: tuple[str, ...] = ()  # wider than routes may be: "0.0.0.0/0", or "0.0.0.0/1" and "128.0.0.0/2"
    block_ipv6: bool = False  # IPv6 without a more exact route is unreachable, instead of `networks`
    block_local: bool = False  # also what lies in the networks of the device by which the machine's default route goes
    # the session does without, and waits for it, if it cannot have it; for the supervisor to say, not for a worker
    optional: bool = False
    while_not_connected: ProfileWhileNotConnected = "default"  # for the supervisor to say, too
    refused: str = ""  # why its owner may not have it, or ""; for the supervisor to say as well


def is_closed(profile: ProfileWhileNotConnected, administrator: WhileNotConnected) -> bool:
    """Whether redirected traffic goes nowhere while the session is not connected, rather than as without a tunnel."""
    always = administrator.startswith("always-")
    return (administrator.removeprefix("always-") if always or profile == "default" else profile) == "closed"


def versions(redirect: Redirect) -> frozenset[int]:
    """The versions of IP whose traffic it changes."""
    found = {6 if ":" in network else 4 for network in redirect.networks}
    if redirect.block_ipv6:
        found.add(6)
    if redirect.block_local and not redirect.networks:
        found.add(4)
    return frozenset(found)


def is_wide(text: str) -> bool:
    """Whether a network is part of a default route: fc00::/7, all private addresses of IPv6, is not."""
    network = ip_network(text)
    unique_local = network.version == 6 and network.subnet_of(_UNIQUE_LOCAL)
    return network.prefixlen < MIN_PREFIX[network.version] and not unique_local


def problem(redirect: Redirect) -> str:
    """Why it is not permitted; "" if it is."""
    if not versions(redirect):
        return "it redirects nothing"
    if len(redirect.networks) > MAX_REDIRECTED_NETWORKS:
        return f"{len(redirect.networks)} networks are more than {MAX_REDIRECTED_NETWORKS}"
    if len(set(redirect.networks)) < len(redirect.networks):
        return "a network is named twice"
    for text in redirect.networks:
        try:
            network = ip_network(text)
        except ValueError as error:
            return str(error)
        if str(network) != text:
            return f"{text} is not written as {network}"
        if network.prefixlen >= MIN_PREFIX[network.version]:
            return f"{text} is a route as any other"
    return ""


def merged(networks: Iterable[str]) -> tuple[str, ...]:
    """The same addresses in as few networks as possible."""
    parsed = [ip_network(text) for text in networks]
    found: list[str] = []
    for version in (4, 6):
        found += map(str, collapse_addresses(one for one in parsed if one.version == version))  # type: ignore[type-var]
    return tuple(found)
