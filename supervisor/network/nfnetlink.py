"""The kernel's netfilter by netlink: messages are made, sent, listed and taken apart here.

Formats and numbers from linux/netfilter/nfnetlink.h; numbers in attributes are in network order.  What is sent together
takes effect as a whole or not at all.
"""

import errno
import socket
import struct
from collections.abc import Iterator

from ...kernel.netlink import wire
from ...kernel.netlink.netlink_socket import NETLINK_NETFILTER, NetlinkSocket
from ...kernel.netlink.wire import Attributes
from ..errors import SystemFailure

SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END = 0x10, 0x11
_NFPROTO_INET = 1
_NFGENMSG = struct.Struct("!BBH")  # family, version, resource: of a batch its subsystem


class NotThere(SystemFailure):
    """What was asked for is not there."""


def number(kind: int, value: int) -> bytes:
    return wire.attribute(kind, struct.pack("!I", value))


def value(content: bytes) -> bytes:
    return wire.attribute(1, content)


def message(kind: int, flags: int, attributes: bytes) -> bytes:
    """A message of a batch."""
    return wire.pack(kind, wire.NLM_F_REQUEST | flags, _NFGENMSG.pack(_NFPROTO_INET, 0, 0) + attributes)


def send(messages: list[bytes]) -> None:
    """Send one batch and wait for the answer.  Raises SystemFailure."""
    edge = _NFGENMSG.pack(socket.AF_UNSPEC, 0, SUBSYSTEM)
    begin, end = (wire.pack(kind, wire.NLM_F_REQUEST, edge) for kind in (_NFNL_MSG_BATCH_BEGIN, _NFNL_MSG_BATCH_END))
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as link:
            link.batch([begin, *messages, end], len(messages))
    except OSError as error:
        raise SystemFailure(f"nf_tables: {error.strerror or error}") from error


def listed(kind: int, attributes: bytes) -> list[Attributes]:
    """All objects of a kind.  Raises SystemFailure, NotThere if what they would be in is not there."""
    question = _NFGENMSG.pack(_NFPROTO_INET, 0, 0) + attributes
    try:
        with NetlinkSocket(NETLINK_NETFILTER) as link:
            return [wire.parse(one.body, _NFGENMSG)[1] for one in link.dump(kind, question)]
    except OSError as error:
        failure = NotThere if error.errno == errno.ENOENT else SystemFailure
        raise failure(f"nf_tables: {error.strerror or error}") from error


def messages_in(data: bytes) -> Iterator[tuple[int, Attributes]]:
    """The messages of a datagram of nf_tables: kind and attributes.  Raises wire.Malformed."""
    for one in wire.messages(data):
        yield one.kind, wire.parse(one.body, _NFGENMSG)[1]
