"""Messages to nf_tables: tables, chains, rules, sets.

Written by hand, since pyroute2's releases differ in how they speak to nf_tables; formats and numbers from
linux/netfilter/nfnetlink.h and nf_tables.h.  What is sent together takes effect as a whole or not at all.
"""

import errno
import os
import socket
import struct
from collections.abc import Sequence
from itertools import count

from ...policy.limits import KERNEL_DEADLINE
from ..errors import SystemFailure

PRE_ROUTING, LOCAL_IN, LOCAL_OUT = 0, 1, 3  # hooks
MANGLE = -150  # a priority: after the kernel has found a packet's connection, before addresses are translated
META_MARK, META_IIF, META_OIF, META_SKUID, META_NFPROTO = 3, 4, 5, 10, 15
CT_STATE, CT_DIRECTION, CT_MARK = 0, 1, 3
STATE_NEW = 1 << 3
REPLY = b"\x01"  # a direction
FIRST_REGISTER = 8  # of 16 of four bytes each

_ELEMENTS_AT_ONCE = 1000  # an attribute holds 64 KiB

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _DELETE_CHAIN, _NEW_RULE = (
    _SUBSYSTEM << 8 | number for number in (0, 2, 3, 5, 6)
)
_NEW_SET, _DELETE_SET, _NEW_ELEMENTS, _DELETE_ELEMENTS = (_SUBSYSTEM << 8 | number for number in (9, 11, 12, 14))
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_ERROR = 2  # NLMSG_ERROR
_NFPROTO_INET = 1
_NESTED = 0x8000
_VERDICT = 0  # the register of verdicts
_NETWORK_HEADER = 1
_INVERTED = 1

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_GENERIC = struct.Struct("!BBH")  # nfgenmsg


def new_table(name: str) -> bytes:
    return _message(_NEW_TABLE, _CREATE, _text(1, name))


def delete_table(name: str) -> bytes:
    return _message(_DELETE_TABLE, 0, _text(1, name))


def new_chain(table: str, name: str, hook: int, *, kind: str = "filter", priority: int = 0) -> bytes:
    """A chain at a hook; one of kind "route" has packets whose mark it changes routed again."""
    attached = _nest(4, _number(1, hook) + _attribute(2, struct.pack("!i", priority)))
    return _message(_NEW_CHAIN, _CREATE, _text(1, table) + _text(3, name) + attached + _text(7, kind))


def delete_chain(table: str, name: str) -> bytes:
    """With its rules."""
    return _message(_DELETE_CHAIN, 0, _text(1, table) + _text(3, name))


def new_rule(table: str, chain: str, *expressions: bytes) -> bytes:
    attributes = _text(1, table) + _text(2, chain) + _nest(4, b"".join(_nest(1, one) for one in expressions))
    return _message(_NEW_RULE, _CREATE | _APPEND, attributes)


def new_set(table: str, name: str, number: int, size: int) -> bytes:
    """A set of elements of `size` bytes, with a number that no other has in this batch."""
    attributes = _text(1, table) + _text(2, name) + _number(3, 0) + _number(4, 0) + _number(5, size)
    return _message(_NEW_SET, _CREATE, attributes + _number(10, number))


def delete_set(table: str, name: str) -> bytes:
    return _message(_DELETE_SET, 0, _text(1, table) + _text(2, name))


def add_elements(table: str, name: str, elements: Sequence[bytes]) -> list[bytes]:
    """Put elements into a set."""
    return _elements(_NEW_ELEMENTS, _CREATE, table, name, elements)


def delete_elements(table: str, name: str, elements: Sequence[bytes]) -> list[bytes]:
    """Take elements out of a set; the kernel needs some 10 ms for it, however many they are."""
    return _elements(_DELETE_ELEMENTS, 0, table, name, elements)


def _elements(kind: int, flags: int, table: str, name: str, elements: Sequence[bytes]) -> list[bytes]:
    messages = []
    for start in range(0, len(elements), _ELEMENTS_AT_ONCE):
        some = elements[start : start + _ELEMENTS_AT_ONCE]
        keys = _nest(3, b"".join(_nest(1, _nest(1, _value(one))) for one in some))
        messages.append(_message(kind, flags, _text(1, table) + _text(2, name) + keys))
    return messages


# Expressions of rules


def load_meta(key: int, register: int = FIRST_REGISTER) -> bytes:
    """What the kernel knows of a packet, four bytes in its own order but for META_NFPROTO."""
    return _expression("meta", _number(1, register) + _number(2, key))


def load_network_header(offset: int, size: int) -> bytes:
    return _expression("payload", b"".join(map(_number, (1, 2, 3, 4), (FIRST_REGISTER, _NETWORK_HEADER, offset, size))))


def load_connection(key: int) -> bytes:
    """What the kernel knows of a packet's connection; not there on a machine without nf_conntrack."""
    return _expression("ct", _number(1, FIRST_REGISTER) + _number(2, key))


def equals(value: bytes) -> bytes:
    return _compare(0, value)


def _compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", _number(1, FIRST_REGISTER) + _number(2, operator) + _nest(3, _value(value)))


def differs(value: bytes) -> bytes:
    return _compare(1, value)


def has_bit(bit: int) -> list[bytes]:
    """The number that was loaded has this bit."""
    return [_bits(bit, 0), differs(bytes(4))]


def lacks_bit(bit: int) -> list[bytes]:
    return [_bits(bit, 0), equals(bytes(4))]


def mark_packet(bit: int) -> list[bytes]:
    """Set a bit of the packet's mark."""
    set_it = _expression("meta", _number(2, META_MARK) + _number(3, FIRST_REGISTER))
    return [load_meta(META_MARK), _bits(~bit & 0xFFFFFFFF, bit), set_it]


def mark_connection(bit: int) -> list[bytes]:
    """Set a bit of the mark of the packet's connection."""
    set_it = _expression("ct", _number(2, CT_MARK) + _number(4, FIRST_REGISTER))
    return [load_connection(CT_MARK), _bits(~bit & 0xFFFFFFFF, bit), set_it]


def _bits(kept: int, flipped: int) -> bytes:
    """Keep these bits of the number that was loaded, then flip those."""
    masks = (_nest(kind, _value(struct.pack("=I", mask))) for kind, mask in ((4, kept), (5, flipped)))
    parts = ((1, FIRST_REGISTER), (2, FIRST_REGISTER), (3, 4))
    return _expression("bitwise", b"".join(_number(*part) for part in parts) + b"".join(masks))


def between(first: int, last: int) -> list[bytes]:
    """The number of four bytes that was loaded is in this range."""
    parts = ((1, FIRST_REGISTER), (2, FIRST_REGISTER), (3, 1), (4, 4), (5, 4))
    bounds = _nest(3, _value(struct.pack("!I", first))) + _nest(4, _value(struct.pack("!I", last)))
    return [
        _expression("byteorder", b"".join(_number(*part) for part in parts)),  # to network order
        _expression("range", _number(1, FIRST_REGISTER) + _number(2, 0) + bounds),
    ]


def in_set(name: str) -> bytes:
    """What was loaded, from the first register on, is in the set."""
    return _expression("lookup", _text(1, name) + _number(2, FIRST_REGISTER))


def not_in_set(name: str) -> bytes:
    return _expression("lookup", _text(1, name) + _number(2, FIRST_REGISTER) + _number(5, _INVERTED))


def _verdict(number: int) -> bytes:
    return _expression("immediate", _number(1, _VERDICT) + _nest(2, _nest(2, _number(1, number))))


# --- netlink ---


def _attribute(kind: int, content: bytes) -> bytes:
    size = 4 + len(content)
    return struct.pack("=HH", size, kind) + content + b"\0" * (-size % 4)


def _nest(kind: int, content: bytes) -> bytes:
    return _attribute(kind | _NESTED, content)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _value(content: bytes) -> bytes:
    return _attribute(1, content)


def _expression(name: str, content: bytes) -> bytes:
    return _text(1, name) + _nest(2, content)


DROP, ACCEPT = _verdict(0), _verdict(1)
REJECT = _expression("reject", _number(1, 2) + _attribute(2, b"\x01"))  # connect(2) then gives ECONNREFUSED


def _message(kind: int, flags: int, attributes: bytes) -> bytes:
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
            edge = _GENERIC.pack(socket.AF_UNSPEC, 0, _SUBSYSTEM)
            begin, end = (
                _HEADER.pack(_HEADER.size + len(edge), kind, _REQUEST, 0, 0) + edge
                for kind in (_BATCH_BEGIN, _BATCH_END)
            )
            numbered = [
                _numbered(message, number, _ACK if number == last else 0)
                for message, number in zip([begin, *messages, end], count())
            ]
            batch = b"".join(numbered)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(batch))
            link.send(batch)
            _await(link, last)
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
