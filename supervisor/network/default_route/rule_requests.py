"""Requests to the kernel for routing rules and their tables, by rtnetlink(7)."""

import socket
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

from ....kernel.netlink import rtnetlink, wire
from ....kernel.netlink.netlink_socket import NetlinkSocket
from .. import dumps, requests
from ..prefixes import Host
from ..requests import ANEW, INSTEAD, Refused
from .rules import Rule, TableRoute

_KINDS = {"": rtnetlink.RTN_UNICAST, "unreachable": rtnetlink.RTN_UNREACHABLE, "throw": rtnetlink.RTN_THROW}
_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def add_rule(rule: Rule) -> bool:
    """Add a routing rule, after others of its priority; False if there is one just like it.

    Raises Refused, or IPv6Off where that is the reason.
    """
    with NetlinkSocket() as link:
        what = f"cannot add routing rule {rule.priority}"
        return requests.add(link, what, rtnetlink.RTM_NEWRULE, rule.version, _rule(rule))


def remove_rule(rule: Rule) -> bool:
    """Remove a routing rule; False if it was not there.  Raises Refused."""
    with NetlinkSocket() as link:
        return requests.remove(link, f"cannot remove routing rule {rule.priority}", rtnetlink.RTM_DELRULE, _rule(rule))


def rules(version: int) -> list[Rule]:
    """All routing rules in their order; of others' it may say less than they are.  Raises Refused."""
    try:
        with NetlinkSocket() as link:
            return [found_rule(version, one.body) for one in dumps.rules(link, _FAMILIES[version])]
    except OSError as error:
        raise Refused("cannot read the routing rules", error) from error


def add_route(route: TableRoute, *, instead: bool = False) -> bool:
    """Add a route to a table; with `instead`, in place of that to the same destination, else False if there is one.

    Raises Refused, or IPv6Off where that is the reason.
    """
    what = f"cannot add route {route.destination} to table {route.table}"
    flags = INSTEAD if instead else ANEW
    with NetlinkSocket() as link:
        return requests.add(link, what, rtnetlink.RTM_NEWROUTE, route.version, _route(route), flags)


def remove_route(route: TableRoute) -> bool:
    """Remove a route from a table; False if it was not there.  Raises Refused."""
    what = f"cannot remove route {route.destination} from table {route.table}"
    with NetlinkSocket() as link:
        return requests.remove(link, what, rtnetlink.RTM_DELROUTE, _route(route))


def ignore_when_dead(index: int) -> None:
    """Have the kernel skip a device's IPv4 routes while no process holds the device; IPv6: ipv6_settings.py.

    Only if it does not yet: with each such request the kernel looks at the device anew, and skips its IPv6 routes for
    up to a second if it was switched on just before.  Raises Refused.
    """
    with suppress(OSError, ValueError):
        device = _SETTINGS / socket.if_indextoname(index)
        if int((device / "ignore_routes_with_linkdown").read_text()):
            return
    _configure(index, rtnetlink.IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN, 1)


def look_at_marks(index: int, value: int) -> None:
    """Have the kernel look at the marks of packets that a device takes when it asks for the way back, or not (0).

    No effect if there is no such device.  Raises Refused.
    """
    try:
        _configure(index, rtnetlink.IPV4_DEVCONF_SRC_VMARK, value)
    except Refused as refused:
        if not refused.gone:
            raise


def _configure(index: int, setting: int, value: int) -> None:
    conf = wire.nested(rtnetlink.IFLA_INET_CONF, wire.u32(setting, value))
    of_families = wire.nested(rtnetlink.IFLA_AF_SPEC, wire.nested(socket.AF_INET, conf))
    what = f"cannot prepare device {index} for the default route"
    with NetlinkSocket() as link:
        requests.request(link, what, rtnetlink.RTM_SETLINK, rtnetlink.link(index, of_families))


def _rule(rule: Rule) -> bytes:
    return rtnetlink.rule(
        _FAMILIES[rule.version],
        rule.priority,
        action=rtnetlink.FR_ACT_TO_TBL if rule.table else rtnetlink.FR_ACT_UNREACHABLE,
        table=rule.table,
        source=rule.source.packed if rule.source is not None else b"",
        uids=rule.uids,
        mark=rule.mark,
        more_exact=rule.more_exact,
    )


def found_rule(version: int, body: bytes) -> Rule:
    """A rule as the kernel lists it.  Raises wire.Malformed."""
    (_, _, length, _, table, _, _), found = wire.parse(body, rtnetlink.FIB_RULE_HDR)
    source, uids = found.address(rtnetlink.FRA_SRC), found.fields(rtnetlink.FRA_UID_RANGE, rtnetlink.FIB_RULE_UID_RANGE)
    mark = found.u32(rtnetlink.FRA_FWMARK)
    return Rule(
        version=version,
        priority=found.u32(rtnetlink.FRA_PRIORITY),
        table=found.u32(rtnetlink.FRA_TABLE, table),
        source=Host.of(source) if source and length == source.max_prefixlen else None,
        uids=(uids[0], uids[1]) if uids else None,
        mark=mark if mark == found.u32(rtnetlink.FRA_FWMASK) else 0,
        more_exact=rtnetlink.FRA_SUPPRESS_PREFIXLEN in found and found.u32(rtnetlink.FRA_SUPPRESS_PREFIXLEN) == 0,
    )


def _route(route: TableRoute) -> bytes:
    network = ip_network(route.destination)
    return rtnetlink.route(
        network.network_address.packed,
        network.prefixlen,
        device=route.device,
        table=route.table,
        kind=_KINDS[route.kind],
        protocol=rtnetlink.RTPROT_KERNEL,
        scope=rtnetlink.RT_SCOPE_LINK if route.device and route.version == 4 else rtnetlink.RT_SCOPE_UNIVERSE,
    )
