"""What the machine has apart from the sessions: addresses and routes by rtnetlink(7), name servers from files.

Without pyroute2, which would take a third of a millisecond for each address of each session, not microseconds.
"""

import errno
import os
import socket
import struct
from collections.abc import Container, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import msgspec

from ...policy.limits import KERNEL_DEADLINE
from ..errors import SystemFailure
from .prefixes import Host, Prefix, Way
from .surroundings import Machine

_RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_MAX_RESOLVER_FILE = 64 * 1024  # bytes that are looked at

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
_SOL_NETLINK, _GET_STRICT_CHK = 270, 12
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_NEW_ADDRESS, _GET_ADDRESS, _NEW_ROUTE, _GET_ROUTE = 20, 22, 24, 26
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 1, 4, 5, 6
_RTA_SEVERAL_WAYS, _RTA_VIA = 9, 18  # the latter is a gateway of another family
_MAIN, _UNICAST = 254, 1
_DEAD, _ONLINK, _LINKDOWN = 0x1, 0x4, 0x10  # RTNH_F_…
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of destination and source, tos, table, …, type, flags
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_DATAGRAM = 65536  # bytes: more than the kernel puts into one
_NOTHING_THERE = {errno.ENODEV, errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}  # no such device, table or family

PAST = 118  # protocol of routes past the tunnels; rt_protos of iproute2 has no name for it


class _Route(msgspec.Struct):
    """A route of the main table, by one way."""

    destination: Prefix
    way: Way
    metric: int
    protocol: int
    usable: bool  # its link is up


def look(sessions: Container[int], *, ways: bool = False) -> Machine:
    """The machine as it is, without the devices with the indices `sessions`; with `ways`, how it sends to others.

    Raises SystemFailure.
    """
    addresses = set[Host]()
    networks = list[tuple[Prefix, str]]()
    routes = list[_Route]()
    with _kernel() as link:
        names: dict[int, str] = {}
        for index, local, network in _addresses(link):
            if index in sessions or local.is_link_local:
                continue
            name = names.setdefault(index, _name(index))
            addresses.add(Host.of(local))
            networks.append((network, name))
        for index in names:
            routes += (one for one in _routes(link, index) if one.protocol != PAST and (ways or not one.way.gateway))
    links = [
        (one.destination, names[one.way.device]) for one in routes if one.destination.length and not one.way.gateway
    ]
    routes = sorted((one for one in routes if ways and one.usable), key=lambda one: one.metric)
    return Machine(
        frozenset(addresses),
        tuple(networks),
        tuple(links),
        frozenset(_name_servers()),
        tuple((one.destination, one.way) for one in routes),
    )


def routes_past() -> list[tuple[Prefix, int, Way]]:
    """The routes past the tunnels that there are: destination, metric, way.  Raises SystemFailure."""
    with _kernel() as link:
        return [(one.destination, one.metric, one.way) for one in _routes(link, protocol=PAST) if one.protocol == PAST]


@contextmanager
def _kernel() -> Iterator[socket.socket]:
    """A socket to ask the kernel with, within a block that raises SystemFailure."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
            link.settimeout(KERNEL_DEADLINE)
            try:
                # The kernel then leaves out the routes of other devices: sessions have 200,000 in the worst case.
                link.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
            except OSError:
                pass  # Linux before 4.20 tells of all
            link.bind((0, 0))
            yield link
    except OSError as error:
        raise SystemFailure(f"cannot read this machine's addresses and routes: {error.strerror or error}") from error


def _addresses(link: socket.socket) -> Iterator[tuple[int, IPv4Address | IPv6Address, Prefix]]:
    """Of each address: its device's index, itself, and the network that is attached with it."""
    for body in _dump(link, _GET_ADDRESS, _NEW_ADDRESS, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, length, _, _, index = _ADDRESS.unpack_from(body)
        attributes = _attributes(body[_ADDRESS.size :])
        if family in (socket.AF_INET, socket.AF_INET6) and _IFA_ADDRESS in attributes:
            other = ip_address(attributes[_IFA_ADDRESS])  # the other end, or itself
            local = ip_address(attributes.get(_IFA_LOCAL, attributes[_IFA_ADDRESS]))
            yield index, local, Prefix.alone(Host.of(other)).shortened(length)


def _routes(link: socket.socket, device: int = 0, protocol: int = 0) -> Iterator[_Route]:
    """The unicast routes of the main table by one device, or of one protocol; without those by several ways."""
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + _NUMBER.size, _RTA_OIF) + _NUMBER.pack(device) if device else b""
    for wanted in (socket.AF_INET, socket.AF_INET6):
        question = _ROUTE.pack(wanted, 0, 0, 0, _MAIN, protocol, 0, 0, 0) + attribute
        for body in _dump(link, _GET_ROUTE, _NEW_ROUTE, question):
            family, length, _, _, table, made_by, _, kind, flags = _ROUTE.unpack_from(body)
            if (family, table, kind) != (wanted, _MAIN, _UNICAST):
                continue
            attributes = _attributes(body[_ROUTE.size :])
            if _RTA_OIF not in attributes or not attributes.keys().isdisjoint((_RTA_SEVERAL_WAYS, _RTA_VIA)):
                continue
            (index,) = _NUMBER.unpack(attributes[_RTA_OIF])
            if device and index != device:
                continue
            nowhere = bytes(4 if family == socket.AF_INET else 16)
            gateway = attributes.get(_RTA_GATEWAY)
            (metric,) = _NUMBER.unpack(attributes.get(_RTA_PRIORITY, bytes(4)))
            yield _Route(
                Prefix.alone(Host.of(ip_address(attributes.get(_RTA_DST, nowhere)))).shortened(length),
                Way(index, Host.of(ip_address(gateway)) if gateway else None, bool(flags & _ONLINK)),
                metric,
                made_by,
                not flags & (_DEAD | _LINKDOWN),
            )


def _dump(link: socket.socket, kind: int, answers: int, question: bytes) -> Iterator[bytes]:
    """The messages that answer a question, without their headers.  Raises OSError."""
    link.send(_HEADER.pack(_HEADER.size + len(question), kind, _REQUEST | _DUMP, 0, 0) + question)
    while True:
        data = memoryview(link.recv(_DATAGRAM))
        while len(data) >= _HEADER.size:
            length, said, *_ = _HEADER.unpack_from(data)
            if length < _HEADER.size:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            body = bytes(data[_HEADER.size : length])
            if said in (_DONE, _ERROR):
                number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if number and number not in _NOTHING_THERE:
                    raise OSError(number, os.strerror(number))
                return
            if said == answers:
                yield body
            data = data[length + -length % 4 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[length + -length % 4 :]
    return found


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"device {index}"  # gone meanwhile


def _name_servers() -> Iterator[Host]:
    """Those in use, but for ones on this machine."""
    for path in _RESOLVER_FILES:
        try:
            with path.open(encoding="ascii", errors="replace") as file:
                text = file.read(_MAX_RESOLVER_FILE)
        except OSError:
            continue
        yield from parse_name_servers(text)


def parse_name_servers(text: str) -> Iterator[Host]:
    """The name servers in a file as resolv.conf(5) describes it, but for ones at loopback and link-local addresses."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                server = ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            if not (server.is_loopback or server.is_link_local or server.is_unspecified):
                yield Host.of(server)
