"""The kernel's netfilter by netlink: messages are made, sent, listed and taken apart here.

Written by hand, since pyroute2's releases differ in how they speak to nf_tables; formats and numbers from
linux/netfilter/nfnetlink.h.  What is sent together takes effect as a whole or not at all.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from itertools import count

from ...policy.limits import KERNEL_DEADLINE
from ..errors import SystemFailure

_NETLINK_NETFILTER = 12
SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_NFPROTO_INET = 1
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
_NESTED = 0x8000

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_GENERIC = struct.Struct("!BBH")  # nfgenmsg


def attribute(kind: int, content: bytes) -> bytes:
    size = 4 + len(content)
    return struct.pack("=HH", size, kind) + content + b"\0" * (-size % 4)


def nest(kind: int, content: bytes) -> bytes:
    return attribute(kind | _NESTED, content)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))


def text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def value(content: bytes) -> bytes:
    return attribute(1, content)


def message(kind: int, flags: int, attributes: bytes) -> bytes:
    """A message without its sequence number, which `send` gives it."""
    body = _GENERIC.pack(_NFPROTO_INET, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0) + body


def send(messages: list[bytes]) -> None:
    """Send one batch and wait for the answer.  Raises SystemFailure."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as link:
            link.settimeout(KERNEL_DEADLINE)
            link.bind((0, 0))
            last = len(messages)
            edge = _GENERIC.pack(socket.AF_UNSPEC, 0, SUBSYSTEM)
            begin, end = (
                _HEADER.pack(_HEADER.size + len(edge), kind, _REQUEST, 0, 0) + edge
                for kind in (_BATCH_BEGIN, _BATCH_END)
            )
            numbered = [
                _numbered(message, number, _ACK if number == last else 0)
                for message, number in zip([begin, *messages, end], count())
            ]
            batch = b"".join(numbered)
            _make_room(link, 2 * len(batch))
            link.send(batch)
            _await(link, last)
    except OSError as error:
        raise SystemFailure(f"nf_tables: {error.strerror or error}") from error


def _make_room(link: socket.socket, size: int) -> None:
    try:
        link.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
    except PermissionError:  # in a container; then it is what others may have too (net.core.wmem_max)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def listed(kind: int, attributes: bytes) -> list[dict[int, bytes]]:
    """All objects of a kind.  Raises SystemFailure, with its cause."""
    found: list[dict[int, bytes]] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as link:
            link.settimeout(KERNEL_DEADLINE)
            link.bind((0, 0))
            link.send(message(kind, _DUMP, attributes))
            while True:
                data = link.recv(65536)
                if len(data) >= _HEADER.size + 4:
                    answer = _HEADER.unpack_from(data)[1]
                    if answer in (_ERROR, _DONE):
                        if number := -struct.unpack_from("=i", data, _HEADER.size)[0]:
                            raise OSError(number, os.strerror(number))
                        return found
                for one, content in messages_in(data):
                    if one == _DONE:
                        return found
                    found.append(content)
    except OSError as error:
        raise SystemFailure(f"nf_tables: {error.strerror or error}") from error


def _numbered(message: bytes, number: int, flags: int) -> bytes:
    size, kind, others, _, _ = _HEADER.unpack_from(message)
    return _HEADER.pack(size, kind, others | flags, number, 0) + message[_HEADER.size :]


def _await(link: socket.socket, last: int) -> None:
    """Read until the last message is answered.  Raises OSError for the first that is refused."""
    while True:
        data = link.recv(65536)
        while len(data) >= _HEADER.size:
            size, kind, _, number, _ = _HEADER.unpack_from(data)
            if kind == _ERROR:
                refused = -struct.unpack_from("=i", data, _HEADER.size)[0]
                if refused:
                    raise OSError(refused, os.strerror(refused))
                if number == last:
                    return
            if size < _HEADER.size:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            data = data[size + -size % 4 :]


def split(attributes: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a message, or of one of its attributes: kind and content."""
    while len(attributes) >= 4:
        size, kind = struct.unpack_from("=HH", attributes)
        if size < 4:
            return
        yield kind & ~_NESTED, attributes[4:size]
        attributes = attributes[size + -size % 4 :]


def messages_in(data: bytes) -> Iterator[tuple[int, dict[int, bytes]]]:
    """The messages of a datagram of nf_tables: kind and attributes."""
    while len(data) >= _HEADER.size:
        size, kind, *_ = _HEADER.unpack_from(data)
        if size < _HEADER.size:
            return
        yield kind, dict(split(data[_HEADER.size + _GENERIC.size : size]))
        data = data[size + -size % 4 :]
