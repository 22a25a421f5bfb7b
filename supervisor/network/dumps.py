"""All addresses of the machine, all routes of a table, and the way to one address, by rtnetlink(7).

Without pyroute2, which would take a third of a millisecond for each address of each session, not microseconds.
"""

import errno
import os
import socket
import struct
from collections.abc import Container, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from ...policy.limits import KERNEL_DEADLINE
from ..errors import SystemFailure
from .prefixes import Host, Prefix, Way

MAIN_TABLE = 254
PAST = 118  # protocol of routes past the tunnels; rt_protos of iproute2 has no name for it
UNICAST, UNREACHABLE, THROW = 1, 7, 9  # RTN_*: types of routes
_BLACKHOLE, _PROHIBIT = 6, 8

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
_SOL_NETLINK, _GET_STRICT_CHK = 270, 12
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_NEW_ADDRESS, _GET_ADDRESS, _NEW_ROUTE, _GET_ROUTE = 20, 22, 24, 26
_NEW_RULE, _GET_RULE = 32, 34
_NEW_LINK, _GET_LINK = 16, 18
_IFLA_IFNAME, _IFLA_GROUP, _IFLA_EXT_MASK, _IFLA_CARRIER = 3, 27, 29, 33
_SKIP_STATISTICS = 0x8  # RTEXT_FILTER_SKIP_STATS
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE = 1, 4, 5, 6, 15
_RTA_SOURCE, _RTA_UID = 7, 25
_RTA_SEVERAL_WAYS, _RTA_VIA = 9, 18  # the latter is a gateway of another family
_FRA_UID_RANGE = 20
_LARGEST_BYTE = 255  # a table with a larger number is asked for by an attribute
_DEAD, _ONLINK, _LINKDOWN = 0x1, 0x4, 0x10  # RTNH_F_…
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changes
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of destination and source, tos, table, …, type, flags
_RULE = struct.Struct(
    "=BBBBBxxBI"
)  # fib_rule_hdr: family, lengths of destination and source, tos, table, action, flags
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_USERS = struct.Struct("=II")
_DATAGRAM = 65536  # bytes: more than the kernel puts into one
_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL}  # none, and types of routes that say so
_NOTHING_THERE = {errno.ENODEV, errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}  # no such device, table or family


class FoundLink(msgspec.Struct, frozen=True):
    """One network device."""

    index: int
    name: str
    group: int
    open: bool  # has a carrier, which a tun device has while a process has it open; or the kernel does not say


class FoundRoute(msgspec.Struct, frozen=True):
    """One route of a table."""

    destination: Prefix
    kind: int  # UNICAST and so on
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
def questions() -> Iterator[socket.socket]:
    """A socket to ask by; whatever fails is a SystemFailure."""
    try:
        with opened() as link:
            yield link
    except OSError as error:
        raise SystemFailure(f"cannot read this machine's addresses and routes: {error.strerror or error}") from error


@contextmanager
def opened() -> Iterator[socket.socket]:
    """A socket for questions and requests.  Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
        link.settimeout(KERNEL_DEADLINE)
        try:
            # The kernel then leaves out the routes of other devices: sessions have 200,000 in the worst case.
            link.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
        except OSError:
            pass  # Linux before 4.20 tells of all
        link.bind((0, 0))
        yield link


def links(link: socket.socket) -> Iterator[FoundLink]:
    """All network devices."""
    question = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _number(_IFLA_EXT_MASK, _SKIP_STATISTICS)
    for body in _dump(link, _GET_LINK, _NEW_LINK, question):
        _, _, index, _, _ = _LINK.unpack_from(body)
        attributes = attributes_of(body[_LINK.size :])
        name = attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
        (group,) = _NUMBER.unpack(attributes.get(_IFLA_GROUP, bytes(4)))
        yield FoundLink(index, name, group, attributes.get(_IFLA_CARRIER) != b"\0")


def addresses(
    link: socket.socket, device: int = 0, without: Container[int] = ()
) -> Iterator[tuple[int, IPv4Address | IPv6Address, Prefix]]:
    """Of each address: the device's index, itself, and the network attached with it.

    With `device`, of those of that one; without those of the devices `without`, by their indices.
    """
    for body in _dump(link, _GET_ADDRESS, _NEW_ADDRESS, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, device)):
        family, length, _, _, index = _ADDRESS.unpack_from(body)
        if device not in (0, index) or index in without:
            continue
        attributes = attributes_of(body[_ADDRESS.size :])
        if family in (socket.AF_INET, socket.AF_INET6) and _IFA_ADDRESS in attributes:
            other = ip_address(attributes[_IFA_ADDRESS])  # the other end, or itself
            local = ip_address(attributes.get(_IFA_LOCAL, attributes[_IFA_ADDRESS]))
            yield index, local, Prefix.alone(Host.of(other)).shortened(length)


def routes(link: socket.socket, *, table: int = MAIN_TABLE, device: int = 0, protocol: int = 0) -> Iterator[FoundRoute]:
    """The routes of a table, of both versions.

    With `device`, those by that device, alone or among others; with `protocol`, the kernel leaves others out if it can.
    """
    asked = _number(_RTA_OIF, device) if device else b""
    if table > _LARGEST_BYTE:
        asked += _number(_RTA_TABLE, table)
    for wanted in (socket.AF_INET, socket.AF_INET6):
        in_byte = table if table <= _LARGEST_BYTE else 0
        question = _ROUTE.pack(wanted, 0, 0, 0, in_byte, protocol, 0, 0, 0) + asked
        for body in _dump(link, _GET_ROUTE, _NEW_ROUTE, question):
            family, length, _, _, named, made_by, _, kind, flags = _ROUTE.unpack_from(body)
            attributes = attributes_of(body[_ROUTE.size :])
            several = _RTA_SEVERAL_WAYS in attributes
            (index,) = _NUMBER.unpack(attributes.get(_RTA_OIF, bytes(4)))
            (number,) = _NUMBER.unpack(attributes.get(_RTA_TABLE, _NUMBER.pack(named)))
            if (family, number) != (wanted, table) or (device and index != device and not several):
                continue
            nowhere = bytes(4 if family == socket.AF_INET else 16)
            gateway = attributes.get(_RTA_GATEWAY)
            plain = index and kind == UNICAST and not several and _RTA_VIA not in attributes
            (metric,) = _NUMBER.unpack(attributes.get(_RTA_PRIORITY, bytes(4)))
            yield FoundRoute(
                Prefix.alone(Host.of(ip_address(attributes.get(_RTA_DST, nowhere)))).shortened(length),
                kind,
                Way(index, Host.of(ip_address(gateway)) if gateway else None, bool(flags & _ONLINK)) if plain else None,
                metric,
                made_by,
                not flags & (_DEAD | _LINKDOWN),
            )


def way_to(link: socket.socket, address: IPv4Address | IPv6Address, uid: int) -> WayTo | None:
    """How the kernel sends what a user's process sends to an address; None if it does not.  Raises OSError."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    question = _ROUTE.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    question += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address.packed), _RTA_DST) + address.packed
    try:
        answers = list(_answers(link, _GET_ROUTE, _REQUEST | _ACKNOWLEDGE, question + _number(_RTA_UID, uid)))
    except OSError as error:
        if error.errno in _NO_WAY | _NOTHING_THERE:
            return None
        raise
    for said, body in answers:
        if said == _NEW_ROUTE and _ROUTE.unpack_from(body)[7] not in (UNREACHABLE, _BLACKHOLE, _PROHIBIT):
            found = attributes_of(body[_ROUTE.size :])
            gateway = found.get(_RTA_GATEWAY, found.get(_RTA_VIA, b""))
            (device,) = _NUMBER.unpack(found.get(_RTA_OIF, bytes(4)))
            return WayTo(device, gateway, found.get(_RTA_SOURCE, b""))
    return None


def rules(link: socket.socket, family: int) -> Iterator[bytes]:
    """The routing rules of an address family, as messages without their headers.  Raises OSError."""
    return _dump(link, _GET_RULE, _NEW_RULE, _RULE.pack(family, 0, 0, 0, 0, 0, 0))


def users_told_apart(link: socket.socket) -> list[tuple[int, int]]:
    """The ranges of user ids that routing rules are about, first and last.  Raises OSError."""
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in rules(link, family):
            if (users := attributes_of(body[_RULE.size :]).get(_FRA_UID_RANGE)) is not None:
                found.append(_USERS.unpack(users))
    return found


def ask(link: socket.socket, kind: int, content: bytes) -> bytes:
    """The kernel's answer to a question that has one, without its header.  Raises OSError."""
    [(_, answer)] = _answers(link, kind, _REQUEST | _ACKNOWLEDGE, content)
    return answer


def request(link: socket.socket, kind: int, flags: int, content: bytes) -> None:
    """Have the kernel do something.  Raises OSError."""
    for _ in _answers(link, kind, _REQUEST | _ACKNOWLEDGE | flags, content):
        pass


def _number(kind: int, value: int) -> bytes:
    """An attribute that is a number."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + _NUMBER.size, kind) + _NUMBER.pack(value)


def _dump(link: socket.socket, kind: int, answers: int, question: bytes) -> Iterator[bytes]:
    """The messages of kind `answers` that answer a question, without their headers.  Raises OSError."""
    try:
        yield from (body for said, body in _answers(link, kind, _REQUEST | _DUMP, question) if said == answers)
    except OSError as error:
        if error.errno not in _NOTHING_THERE:
            raise


def _answers(link: socket.socket, kind: int, flags: int, content: bytes) -> Iterator[tuple[int, bytes]]:
    """What the kernel answers, up to its last word: the kind of each message, and it without its header."""
    link.send(_HEADER.pack(_HEADER.size + len(content), kind, flags, 0, 0) + content)
    while True:
        data = memoryview(link.recv(_DATAGRAM))
        while len(data) >= _HEADER.size:
            length, said, *_ = _HEADER.unpack_from(data)
            if length < _HEADER.size:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            body = bytes(data[_HEADER.size : length])
            if said in (_DONE, _ERROR):
                number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if number:
                    raise OSError(number, os.strerror(number))
                return
            yield said, body
            data = data[length + -length % 4 :]


def attributes_of(data: bytes) -> dict[int, bytes]:
    """What follows the fixed part of a message, by type."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[length + -length % 4 :]
    return found
