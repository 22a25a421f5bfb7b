"""Devices, addresses and routes that the machine has, and the way to one address, by rtnetlink(7)."""

import errno
import socket
from collections.abc import Container, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

import msgspec

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.netlink_socket import NetlinkSocket
from ...kernel.netlink.wire import Malformed, Message
from ..errors import SystemFailure
from .prefixes import Host, Prefix, Way

PAST = 118  # protocol of routes past the tunnels; rt_protos of iproute2 has no name for it
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL}  # none, and types of routes that say so
_NOTHING_THERE = {errno.ENODEV, errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}  # no such device, table or family
_NOWHERE = (rtnetlink.RTN_UNREACHABLE, rtnetlink.RTN_BLACKHOLE, rtnetlink.RTN_PROHIBIT)


class FoundLink(msgspec.Struct, frozen=True):
    """One network device."""

    index: int
    name: str
    group: int
    open: bool  # has a carrier, which a tun device has while a process has it open; or the kernel does not say


class FoundRoute(msgspec.Struct, frozen=True):
    """One route of a table."""

    destination: Prefix
    kind: int  # rtnetlink.RTN_UNICAST and so on
    way: Way | None  # None where there is none, there are several, or the gateway is of another family
    metric: int
    protocol: int
    usable: bool  # its link is up


class WayTo(msgspec.Struct, frozen=True):
    """How the kernel sends to an address."""

    device: int
    gateway: bytes  # none where the address is in the device's own network
    source: bytes  # the address that it sends from


@contextmanager
def questions() -> Iterator[NetlinkSocket]:
    """A socket to ask by; whatever fails is a SystemFailure."""
    try:
        with NetlinkSocket() as link:
            yield link
    except OSError as error:
        raise SystemFailure(f"cannot read this machine's addresses and routes: {error.strerror or error}") from error


def links(link: NetlinkSocket) -> Iterator[FoundLink]:
    """All network devices."""
    question = rtnetlink.link(0, wire.u32(rtnetlink.IFLA_EXT_MASK, rtnetlink.RTEXT_FILTER_SKIP_STATS))
    for message in _dump(link, rtnetlink.RTM_GETLINK, question):
        (_, _, index, _, _), found = wire.parse(message.body, rtnetlink.IFINFOMSG)
        carrier = found.get(rtnetlink.IFLA_CARRIER) != b"\0"
        yield FoundLink(index, found.text(rtnetlink.IFLA_IFNAME), found.u32(rtnetlink.IFLA_GROUP), carrier)


def addresses(
    link: NetlinkSocket, device: int = 0, without: Container[int] = ()
) -> Iterator[tuple[int, IPv4Address | IPv6Address, Prefix]]:
    """Of each address: the device's index, itself, and the network attached with it.

    With `device`, of those of that one; without those of the devices `without`, by their indices.
    """
    for message in address_messages(link, device):
        if without and rtnetlink.IFADDRMSG.unpack_from(message.body)[4] in without:
            continue  # hundreds, of sessions: not parsed
        (family, length, _, _, index), found = wire.parse(message.body, rtnetlink.IFADDRMSG)
        other = found.address(rtnetlink.IFA_ADDRESS)  # the other end, or itself
        if family in (socket.AF_INET, socket.AF_INET6) and other is not None:
            local = found.address(rtnetlink.IFA_LOCAL) or other
            yield index, local, _prefix(other, length)


def address_messages(link: NetlinkSocket, device: int) -> Iterator[Message]:
    """What the kernel says of addresses; with `device`, of its.  Raises OSError."""
    for message in _dump(link, rtnetlink.RTM_GETADDR, rtnetlink.addresses(device)):
        if not device or wire.parse(message.body, rtnetlink.IFADDRMSG)[0][4] == device:
            yield message


def routes(
    link: NetlinkSocket, *, table: int = rtnetlink.RT_TABLE_MAIN, device: int = 0, protocol: int = 0
) -> Iterator[FoundRoute]:
    """The routes of a table, of both versions.

    With `device`, those by that device, alone or among others; with `protocol`, the kernel leaves others out if it can.
    """
    for wanted in (socket.AF_INET, socket.AF_INET6):
        question = rtnetlink.routes(wanted, table=table, device=device, protocol=protocol)
        for message in _dump(link, rtnetlink.RTM_GETROUTE, question):
            head, found = wire.parse(message.body, rtnetlink.RTMSG)
            family, length, _, _, named, made_by, _, kind, flags = head
            several = rtnetlink.RTA_MULTIPATH in found
            index = found.u32(rtnetlink.RTA_OIF)
            number = found.u32(rtnetlink.RTA_TABLE, named)
            if (family, number) != (wanted, table) or (device and index != device and not several):
                continue
            nowhere = IPv4Address(0) if family == socket.AF_INET else IPv6Address(0)
            gateway = found.address(rtnetlink.RTA_GATEWAY)
            plain = index and kind == rtnetlink.RTN_UNICAST and not several and rtnetlink.RTA_VIA not in found
            onlink = bool(flags & rtnetlink.RTNH_F_ONLINK)
            yield FoundRoute(
                _prefix(found.address(rtnetlink.RTA_DST) or nowhere, length),
                kind,
                Way(index, Host.of(gateway) if gateway else None, onlink) if plain else None,
                found.u32(rtnetlink.RTA_PRIORITY),
                made_by,
                not flags & (rtnetlink.RTNH_F_DEAD | rtnetlink.RTNH_F_LINKDOWN),
            )


def way_to(link: NetlinkSocket, address: IPv4Address | IPv6Address, uid: int) -> WayTo | None:
    """How the kernel sends what a user's process sends to an address; None if it does not.  Raises OSError."""
    try:
        answer = link.ask(rtnetlink.RTM_GETROUTE, rtnetlink.way_to(address.packed, uid))
    except OSError as error:
        if error.errno in _NO_WAY | _NOTHING_THERE:
            return None
        raise
    head, found = wire.parse(answer.body, rtnetlink.RTMSG)
    if head[7] in _NOWHERE:
        return None
    gateway = found.get(rtnetlink.RTA_GATEWAY, found.get(rtnetlink.RTA_VIA, b""))
    return WayTo(found.u32(rtnetlink.RTA_OIF), gateway, found.get(rtnetlink.RTA_PREFSRC, b""))


def rules(link: NetlinkSocket, family: int) -> Iterator[Message]:
    """The routing rules of an address family.  Raises OSError."""
    return _dump(link, rtnetlink.RTM_GETRULE, rtnetlink.rules(family))


def users_told_apart(link: NetlinkSocket) -> list[tuple[int, int]]:
    """The ranges of user ids that routing rules are about, first and last.  Raises OSError."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for message in rules(link, family):
            _, attributes = wire.parse(message.body, rtnetlink.FIB_RULE_HDR)
            if users := attributes.fields(rtnetlink.FRA_UID_RANGE, rtnetlink.FIB_RULE_UID_RANGE):
                found.append((users[0], users[1]))
    return found


def _prefix(address: IPv4Address | IPv6Address, length: int) -> Prefix:
    if length > address.max_prefixlen:
        raise Malformed(f"a prefix of {length} bits")
    return Prefix.alone(Host.of(address)).shortened(length)


def _dump(link: NetlinkSocket, kind: int, question: bytes) -> Iterator[Message]:
    """All that there is; nothing if there is no such device, table or family.  Raises OSError."""
    try:
        yield from link.dump(kind, question)
    except OSError as error:
        if error.errno not in _NOTHING_THERE:
            raise
