"""Requests to the kernel for routing rules and their tables, by rtnetlink(7).

Without pyroute2, which takes 2 ms for a rule, so that a session that redirects would be connected noticeably later.
"""

import errno
import socket
import struct
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from .. import dumps
from ..netlink import GONE, IPV6_IS_OFF, IPv6Off, Refused
from ..prefixes import Host, Prefix
from .rules import Rule, TableRoute

# linux/rtnetlink.h, linux/fib_rules.h, linux/if_link.h, linux/ip.h
_SET_LINK, _NEW_ROUTE, _DELETE_ROUTE, _NEW_RULE, _DELETE_RULE = 19, 24, 25, 32, 33
_ANEW = 0x400 | 0x200  # NLM_F_CREATE, NLM_F_EXCL: if there is none like it
_INSTEAD = 0x400 | 0x100  # NLM_F_CREATE, NLM_F_REPLACE
_SOURCE, _PRIORITY, _MARK, _SUPPRESS_PREFIX, _TABLE, _MASK, _UIDS, _PROTOCOL = 2, 6, 10, 14, 15, 16, 20, 21  # FRA_…
_TO_TABLE, _UNREACHABLE = 1, 7  # FR_ACT_…
_DESTINATION, _DEVICE, _ROUTE_TABLE = 1, 4, 15  # RTA_…
_KINDS = {"": dumps.UNICAST, "unreachable": dumps.UNREACHABLE, "throw": dumps.THROW}
_KERNEL = 2  # RTPROT_KERNEL: systemd-networkd leaves such rules alone
_LINK = 253  # RT_SCOPE_LINK: there is no gateway
_AF_SPEC, _INET_CONF = 26, 1
_SRC_VALID_MARK, _IGNORE_ROUTES_WITH_LINKDOWN = 24, 29  # linux/ip.h
_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_UID_RANGE = struct.Struct("=II")
_HEADER_OF_RULE = struct.Struct("=BBBBBxxBI")  # family, lengths of destination and source, tos, table, action, flags
_HEADER_OF_ROUTE = struct.Struct("=BBBBBBBBI")  # family, lengths, tos, table, protocol, scope, type, flags
_HEADER_OF_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, changes


def add_rule(rule: Rule) -> bool:
    """Add a routing rule, after others of its priority; False if there is one just like it.

    Raises Refused, or IPv6Off where that is the reason.
    """
    return _add(f"cannot add routing rule {rule.priority}", _NEW_RULE, rule.version, _rule(rule))


def remove_rule(rule: Rule) -> bool:
    """Remove a routing rule; False if it was not there.  Raises Refused."""
    return _remove(f"cannot remove routing rule {rule.priority}", _DELETE_RULE, _rule(rule))


def rules(version: int) -> list[Rule]:
    """All routing rules in their order; of others' it may say less than they are.  Raises Refused."""
    try:
        with dumps.opened() as link:
            return [_found(version, body) for body in dumps.rules(link, _FAMILIES[version])]
    except OSError as error:
        raise Refused("cannot read the routing rules", error.errno or errno.ETIMEDOUT) from error


def add_route(route: TableRoute, *, instead: bool = False) -> bool:
    """Add a route to a table; with `instead`, in place of that to the same destination, else False if there is one.

    Raises Refused, or IPv6Off where that is the reason.
    """
    what = f"cannot add route {route.destination} to table {route.table}"
    return _add(what, _NEW_ROUTE, route.version, _route(route), _INSTEAD if instead else _ANEW)


def remove_route(route: TableRoute) -> bool:
    """Remove a route from a table; False if it was not there.  Raises Refused."""
    what = f"cannot remove route {route.destination} from table {route.table}"
    return _remove(what, _DELETE_ROUTE, _route(route))


def ignore_when_dead(index: int) -> None:
    """Have the kernel skip a device's IPv4 routes while no process holds the device; IPv6: ipv6_settings.py.

    Only if it does not yet: with each such request the kernel looks at the device anew, and skips its IPv6 routes for
    up to a second if it was switched on just before.  Raises Refused.
    """
    with suppress(OSError, ValueError):
        device = _SETTINGS / socket.if_indextoname(index)
        if int((device / "ignore_routes_with_linkdown").read_text()):
            return
    _configure(index, _IGNORE_ROUTES_WITH_LINKDOWN, 1)


def look_at_marks(index: int, value: int) -> None:
    """Have the kernel look at the marks of packets that a device takes when it asks for the way back, or not (0).

    No effect if there is no such device.  Raises Refused.
    """
    try:
        _configure(index, _SRC_VALID_MARK, value)
    except Refused as refused:
        if refused.errno not in GONE:
            raise


def _configure(index: int, setting: int, value: int) -> None:
    conf = _attribute(_INET_CONF, _number(setting, value))
    of_families = _attribute(_AF_SPEC, _attribute(socket.AF_INET, conf))
    header = _HEADER_OF_LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    _request(f"cannot prepare device {index} for the default route", _SET_LINK, 0, header + of_families)


def _add(what: str, kind: int, version: int, content: bytes, flags: int = _ANEW) -> bool:
    try:
        _request(what, kind, flags, content)
    except Refused as refused:
        if refused.errno == errno.EEXIST:
            return False
        if refused.errno in IPV6_IS_OFF and version == 6:
            raise IPv6Off(str(refused)) from refused
        raise
    return True


def _remove(what: str, kind: int, content: bytes) -> bool:
    try:
        _request(what, kind, 0, content)
    except Refused as refused:
        if refused.errno in GONE:
            return False
        raise
    return True


def _request(what: str, kind: int, flags: int, content: bytes) -> None:
    try:
        with dumps.opened() as link:
            dumps.request(link, kind, flags, content)
    except OSError as error:
        raise Refused(what, error.errno or errno.ETIMEDOUT) from error


def _rule(rule: Rule) -> bytes:
    length = Prefix.alone(rule.source).length if rule.source is not None else 0
    action = _TO_TABLE if rule.table else _UNREACHABLE
    parts = [
        _HEADER_OF_RULE.pack(_FAMILIES[rule.version], 0, length, 0, 0, action, 0),
        _number(_PRIORITY, rule.priority),
        _attribute(_PROTOCOL, bytes([_KERNEL])),
    ]
    if rule.table:
        parts.append(_number(_TABLE, rule.table))
    if rule.source is not None:
        parts.append(_attribute(_SOURCE, ip_address(str(rule.source)).packed))
    if rule.uids is not None:
        parts.append(_attribute(_UIDS, _UID_RANGE.pack(*rule.uids)))
    if rule.mark:
        parts += [_number(_MARK, rule.mark), _number(_MASK, rule.mark)]
    if rule.more_exact:
        parts.append(_number(_SUPPRESS_PREFIX, 0))
    return b"".join(parts)


def _found(version: int, body: bytes) -> Rule:
    _, _, length, _, table, _, _ = _HEADER_OF_RULE.unpack_from(body)
    attributes = dumps.attributes_of(body[_HEADER_OF_RULE.size :])
    source, uids = attributes.get(_SOURCE), attributes.get(_UIDS)
    host = Host.of(ip_address(source)) if source else None
    mark = attributes.get(_MARK, bytes(4))
    return Rule(
        version=version,
        priority=_NUMBER.unpack(attributes.get(_PRIORITY, bytes(4)))[0],
        table=_NUMBER.unpack(attributes.get(_TABLE, _NUMBER.pack(table)))[0],
        source=host if host and length == Prefix.alone(host).length else None,
        uids=_UID_RANGE.unpack(uids) if uids else None,
        mark=_NUMBER.unpack(mark)[0] if mark == attributes.get(_MASK) else 0,
        more_exact=attributes.get(_SUPPRESS_PREFIX) == bytes(4),
    )


def _route(route: TableRoute) -> bytes:
    network = ip_network(route.destination)
    scope = _LINK if route.device and route.version == 4 else 0
    parts = [
        _HEADER_OF_ROUTE.pack(
            _FAMILIES[route.version], network.prefixlen, 0, 0, 0, _KERNEL, scope, _KINDS[route.kind], 0
        ),
        _number(_ROUTE_TABLE, route.table),
    ]
    if network.prefixlen:
        parts.append(_attribute(_DESTINATION, network.network_address.packed))
    if route.device:
        parts.append(_number(_DEVICE, route.device))
    return b"".join(parts)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, _NUMBER.pack(value))


def _attribute(kind: int, content: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(-length % 4)
