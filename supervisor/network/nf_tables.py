"""Messages to nf_tables: tables, chains, rules, sets; formats and numbers from linux/netfilter/nf_tables.h."""

import struct
from collections.abc import Sequence

from ...kernel.netlink import wire
from ...kernel.netlink.wire import NLM_F_APPEND, NLM_F_CREATE, Attributes
from ...kernel.netlink.wire import attribute as _attribute
from ...kernel.netlink.wire import nested as _nest
from ...kernel.netlink.wire import text as _text
from .nfnetlink import SUBSYSTEM, NotThere, listed
from .nfnetlink import message as _message
from .nfnetlink import number as _number
from .nfnetlink import value as _value

PRE_ROUTING, LOCAL_IN, FORWARD, LOCAL_OUT = 0, 1, 2, 3  # hooks
# Priorities: after the kernel has found a packet's connection, and then when its destination has been translated.
MANGLE, TRANSLATED = -150, -99
META_MARK, META_IIF, META_OIF, META_SKUID, META_NFPROTO, META_L4PROTO = 3, 4, 5, 10, 15, 16
CT_STATE, CT_DIRECTION, CT_STATUS, CT_MARK = 0, 1, 2, 3
# A state, directions, a bit of the status (linux/netfilter/nf_conntrack_common.h).
NEW, ORIGINAL, REPLY, DESTINATION_CHANGED = 1 << 3, 0, 1, 1 << 5
FIRST_REGISTER = 8  # of 16 of four bytes each

_ELEMENTS_AT_ONCE = 1000  # an attribute holds 64 KiB

NEW_TABLE, DELETE_TABLE, _NEW_CHAIN, _DELETE_CHAIN, _NEW_RULE, _GET_RULE, _DELETE_RULE, _NEW_SET, _DELETE_SET = (
    SUBSYSTEM << 8 | number for number in (0, 2, 3, 5, 6, 7, 8, 9, 11)
)
_NEW_ELEMENTS, _GET_ELEMENTS, _DELETE_ELEMENTS, NEW_GENERATION = (SUBSYSTEM << 8 | one for one in (12, 13, 14, 15))
_VERDICT = 0  # the register of verdicts
_JUMP = 2**32 - 3  # NFT_JUMP
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_INVERTED = 1
_OUTPUT_DEVICE, _BY_DESTINATION = 1, 1 << 1  # NFT_FIB_RESULT_OIF, NFTA_FIB_F_DADDR
_WITH_TIMEOUT = 0x10  # NFT_SET_TIMEOUT
_COMMENT = 0  # the kind of user data that nft(8) shows


def new_table(name: str) -> bytes:
    return _message(NEW_TABLE, NLM_F_CREATE, _text(1, name))


def delete_table(name: str) -> bytes:
    return _message(DELETE_TABLE, 0, _text(1, name))


def new_chain(table: str, name: str, hook: int | None = None, *, kind: str = "filter", priority: int = 0) -> bytes:
    """A chain; without a hook, one that others jump to.

    One of kind "route" has packets whose mark it changes routed again.
    """
    attributes = _text(1, table) + _text(3, name)
    if hook is not None:
        attributes += _nest(4, _number(1, hook) + _attribute(2, struct.pack("!i", priority))) + _text(7, kind)
    return _message(_NEW_CHAIN, NLM_F_CREATE, attributes)


def delete_chain(table: str, name: str) -> bytes:
    """With its rules."""
    return _message(_DELETE_CHAIN, 0, _text(1, table) + _text(3, name))


def new_rule(table: str, chain: str, *expressions: bytes, comment: str = "") -> bytes:
    """A rule at the end of a chain; a comment has 253 bytes at most."""
    attributes = _text(1, table) + _text(2, chain) + _nest(4, b"".join(_nest(1, one) for one in expressions))
    if comment:
        text = comment.encode() + b"\0"
        attributes += _attribute(7, bytes([_COMMENT, len(text)]) + text)
    return _message(_NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, attributes)


def delete_rules(table: str, chain: str) -> bytes:
    """Remove all rules of a chain."""
    return _message(_DELETE_RULE, 0, _text(1, table) + _text(2, chain))


def new_set(table: str, name: str, number: int, size: int, *, timeout: bool = False) -> bytes:
    """A set of elements of `size` bytes, with a number that no other has in this batch.

    With `timeout`, elements may have one.
    """
    flags = _WITH_TIMEOUT if timeout else 0
    attributes = _text(1, table) + _text(2, name) + _number(3, flags) + _number(4, 0) + _number(5, size)
    return _message(_NEW_SET, NLM_F_CREATE, attributes + _number(10, number))


def delete_set(table: str, name: str) -> bytes:
    return _message(_DELETE_SET, 0, _text(1, table) + _text(2, name))


def add_elements(table: str, name: str, elements: Sequence[bytes], *, seconds: float = 0) -> list[bytes]:
    """Put elements into a set, which the kernel takes out again after so many seconds (0: never)."""
    return _elements(_NEW_ELEMENTS, NLM_F_CREATE, table, name, elements, seconds)


def empty_set(table: str, name: str) -> bytes:
    """Take all elements out of a set."""
    return _message(_DELETE_ELEMENTS, 0, _text(1, table) + _text(2, name))


def delete_elements(table: str, name: str, elements: Sequence[bytes]) -> list[bytes]:
    """Take elements out of a set; the kernel needs some 10 ms for it, however many they are."""
    return _elements(_DELETE_ELEMENTS, 0, table, name, elements)


def _elements(
    kind: int, flags: int, table: str, name: str, elements: Sequence[bytes], seconds: float = 0
) -> list[bytes]:
    messages = []
    timeout = _attribute(4, struct.pack("!Q", int(seconds * 1000))) if seconds else b""
    for start in range(0, len(elements), _ELEMENTS_AT_ONCE):
        some = elements[start : start + _ELEMENTS_AT_ONCE]
        keys = _nest(3, b"".join(_nest(1, _nest(1, _value(one)) + timeout) for one in some))
        messages.append(_message(kind, flags, _text(1, table) + _text(2, name) + keys))
    return messages


# Expressions of rules


def load_meta(key: int, register: int = FIRST_REGISTER) -> bytes:
    """What the kernel knows of a packet, four bytes in its own order but for META_NFPROTO."""
    return _expression("meta", _number(1, register) + _number(2, key))


def load_network_header(offset: int, size: int) -> bytes:
    return _payload(_NETWORK_HEADER, offset, size, FIRST_REGISTER)


def load_transport_header(offset: int, size: int, register: int = FIRST_REGISTER) -> bytes:
    return _payload(_TRANSPORT_HEADER, offset, size, register)


def load_connection(key: int) -> bytes:
    """What connection tracking knows, which begins with this rule; where it knows nothing, the rule does not apply."""
    return _expression("ct", _number(1, FIRST_REGISTER) + _number(2, key))


def mask(bits: bytes) -> bytes:
    """Keep these bits of what was loaded."""
    return _bits(bits, bytes(len(bits)))


def _bits(kept: bytes, flipped: bytes) -> bytes:
    """Keep some bits of what was loaded, then flip some."""
    sizes = _number(1, FIRST_REGISTER) + _number(2, FIRST_REGISTER) + _number(3, len(kept))
    return _expression("bitwise", sizes + _nest(4, _value(kept)) + _nest(5, _value(flipped)))


def _payload(header: int, offset: int, size: int, register: int) -> bytes:
    return _expression("payload", b"".join(map(_number, (1, 2, 3, 4), (register, header, offset, size))))


def load_way_out() -> bytes:
    """The index of the device by which the kernel would send a packet on; 0: by none, or it is for this machine."""
    return _expression("fib", b"".join(map(_number, (1, 2, 3), (FIRST_REGISTER, _OUTPUT_DEVICE, _BY_DESTINATION))))


def equals(value: bytes) -> bytes:
    return _compare(0, value)


def _compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", _number(1, FIRST_REGISTER) + _number(2, operator) + _nest(3, _value(value)))


def differs(value: bytes) -> bytes:
    return _compare(1, value)


def has_bit(bit: int) -> list[bytes]:
    """The number of four bytes that was loaded has this bit."""
    return [mask(struct.pack("=I", bit)), differs(bytes(4))]


def lacks_bit(bit: int) -> list[bytes]:
    return [mask(struct.pack("=I", bit)), equals(bytes(4))]


def mark_packet(bit: int) -> list[bytes]:
    """Set a bit of the packet's mark."""
    set_it = _expression("meta", _number(2, META_MARK) + _number(3, FIRST_REGISTER))
    return [load_meta(META_MARK), _with_bit(bit), set_it]


def mark_connection(bit: int) -> list[bytes]:
    """Set a bit of the mark of the packet's connection."""
    set_it = _expression("ct", _number(2, CT_MARK) + _number(4, FIRST_REGISTER))
    return [load_connection(CT_MARK), _with_bit(bit), set_it]


def _with_bit(bit: int) -> bytes:
    return _bits(struct.pack("=I", ~bit & 0xFFFFFFFF), struct.pack("=I", bit))


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


def jump(chain: str) -> bytes:
    """Go through another chain, and come back at its end."""
    return _expression("immediate", _number(1, _VERDICT) + _nest(2, _nest(2, _number(1, _JUMP) + _text(2, chain))))


def _verdict(number: int) -> bytes:
    return _expression("immediate", _number(1, _VERDICT) + _nest(2, _nest(2, _number(1, number))))


# What there is


def is_there(table: str) -> bool:
    """Whether there is a table of this name with a rule in it.  Raises SystemFailure."""
    return any(rule.get(1) == table.encode() + b"\0" for rule in listed(_GET_RULE, _text(1, table)))


def comments(table: str, chain: str) -> list[str]:
    """The comments of a chain's rules; none if there is no such chain.  Raises SystemFailure."""
    found = []
    for rule in listed(_GET_RULE, _text(1, table) + _text(2, chain)):
        if rule.get(1) != table.encode() + b"\0" or rule.get(2) != chain.encode() + b"\0":
            continue
        data = rule.get(7, b"")
        if len(data) > 2 and data[0] == _COMMENT:
            found.append(data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace"))
    return found


def time_left(table: str, name: str) -> float:
    """The seconds after which the last element with a timeout leaves a set; 0 if there is none, or no such set.

    Raises SystemFailure.
    """
    longest = 0
    try:
        for found in listed(_GET_ELEMENTS, _text(1, table) + _text(2, name)):
            for _, element in wire.attributes(found.get(3, b"")):
                if left := Attributes(wire.attributes(element)).get(5):
                    longest = max(longest, int.from_bytes(left))
    except NotThere:
        return 0
    return longest / 1000


def _expression(name: str, content: bytes) -> bytes:
    return _text(1, name) + _nest(2, content)


DROP, ACCEPT = _verdict(0), _verdict(1)
REJECT = _expression("reject", _number(1, 2) + _attribute(2, b"\x01"))  # connect(2) then gives ECONNREFUSED
PROHIBIT = _expression("reject", _number(1, 2) + _attribute(2, b"\x03"))  # and here EHOSTUNREACH
