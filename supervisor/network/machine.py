"""What the machine has apart from the sessions: addresses and routes by rtnetlink(7).

Without pyroute2, which would take a third of a millisecond for each address of each session, not microseconds.
"""

import errno
import os
import socket
import struct
from collections.abc import Container, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from ...policy.limits import KERNEL_DEADLINE
from ..errors import SystemFailure
from .prefixes import Host, Prefix
from .surroundings import Machine

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
_SOL_NETLINK, _GET_STRICT_CHK = 270, 12
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_NEW_ADDRESS, _GET_ADDRESS, _NEW_ROUTE, _GET_ROUTE = 20, 22, 24, 26
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF = 1, 4
_RTA_INDIRECT = {5, 9, 18, 30}  # gateway, several ways, a gateway of another family, a next hop by number
_MAIN, _UNICAST = 254, 1
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of destination and source, tos, table, …, type, flags
_ATTRIBUTE = struct.Struct("=HH")
_INDEX = struct.Struct("=I")
_DATAGRAM = 65536  # bytes: more than the kernel puts into one
_NOTHING_THERE = {errno.ENODEV, errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}  # no such device, table or family


def look(sessions: Container[int], name_servers: frozenset[Host]) -> Machine:
    """The machine as it is, without the devices with the indices `sessions`.  Raises SystemFailure."""
    addresses = set[Host]()
    networks, links = list[tuple[Prefix, str]](), list[tuple[Prefix, str]]()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
            link.settimeout(KERNEL_DEADLINE)
            try:
                # The kernel then leaves out the routes of other devices: sessions have 200,000 in the worst case.
                link.setsockopt(_SOL_NETLINK, _GET_STRICT_CHK, 1)
            except OSError:
                pass  # Linux before 4.20 tells of all
            link.bind((0, 0))
            names: dict[int, str] = {}
            for index, local, network in _addresses(link):
                if index in sessions or local.is_link_local:
                    continue
                name = names.setdefault(index, _name(index))
                addresses.add(Host.of(local))
                networks.append((network, name))
            for index, name in names.items():
                links += ((network, name) for network in _networks(link, index))
    except OSError as error:
        raise SystemFailure(f"cannot read this machine's addresses and routes: {error.strerror or error}") from error
    return Machine(frozenset(addresses), tuple(networks), tuple(links), name_servers)


def _addresses(link: socket.socket) -> Iterator[tuple[int, IPv4Address | IPv6Address, Prefix]]:
    """Of each address: its device's index, itself, and the network that is attached with it."""
    for body in _dump(link, _GET_ADDRESS, _NEW_ADDRESS, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, length, _, _, index = _ADDRESS.unpack_from(body)
        attributes = _attributes(body[_ADDRESS.size :])
        if family in (socket.AF_INET, socket.AF_INET6) and _IFA_ADDRESS in attributes:
            other = ip_address(attributes[_IFA_ADDRESS])  # the other end, or itself
            local = ip_address(attributes.get(_IFA_LOCAL, attributes[_IFA_ADDRESS]))
            yield index, local, Prefix.alone(Host.of(other)).shortened(length)


def _networks(link: socket.socket, device: int) -> Iterator[Prefix]:
    """The networks that routes of the main table reach through a device without a gateway."""
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + _INDEX.size, _RTA_OIF) + _INDEX.pack(device)
    for wanted in (socket.AF_INET, socket.AF_INET6):
        question = _ROUTE.pack(wanted, 0, 0, 0, _MAIN, 0, 0, 0, 0) + attribute
        for body in _dump(link, _GET_ROUTE, _NEW_ROUTE, question):
            family, length, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
            if (family, table, kind) != (wanted, _MAIN, _UNICAST):
                continue
            attributes = _attributes(body[_ROUTE.size :])
            destination = attributes.get(_RTA_DST)
            if (
                destination
                and attributes.get(_RTA_OIF) == _INDEX.pack(device)
                and not _RTA_INDIRECT & attributes.keys()
            ):
                yield Prefix.alone(Host.of(ip_address(destination))).shortened(length)


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
