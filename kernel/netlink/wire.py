"""Messages of netlink(7), packed and parsed: headers, attributes, and attributes in attributes.

Formats and numbers from linux/netlink.h.  Numbers are in the machine's byte order, unless it says network order.
What is parsed may be anything: whatever is no such message raises Malformed.
"""

import errno
import os
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 1, 2, 3, 4
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x2, 0x4, 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200  # of answers
NLA_F_NESTED = 0x8000
_TYPE = 0x3FFF  # NLA_TYPE_MASK: an attribute's type without its flags

HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_U32, _S32 = struct.Struct("=I"), struct.Struct("=i")
_LONGEST_ATTRIBUTE = 0xFFFF  # bytes, with its header
_ADDRESS_LENGTHS = (4, 16)


class Malformed(OSError):
    """What came is no message of netlink(7), or is not whole."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EBADMSG, f"{os.strerror(errno.EBADMSG)} ({what})")


class Message(NamedTuple):
    """One message, apart from its length and its port."""

    kind: int  # nlmsg_type
    flags: int
    sequence: int
    body: bytes


class Attributes(dict[int, bytes]):
    """Attributes by type, each once: of several of one type the last, as the kernel has it.

    What asks for one of a size that it does not have raises Malformed.
    """

    def u32(self, kind: int, default: int = 0) -> int:
        """A number without a sign."""
        found = self.fields(kind, _U32)
        return default if found is None else int(found[0])

    def s32(self, kind: int, default: int = 0) -> int:
        """A number with a sign."""
        found = self.fields(kind, _S32)
        return default if found is None else int(found[0])

    def fields(self, kind: int, form: struct.Struct) -> tuple[Any, ...] | None:
        """The fields of a structure; None if there is none."""
        if (content := self.get(kind)) is None:
            return None
        if len(content) != form.size:
            raise Malformed(f"an attribute with {len(content)} bytes in place of {form.size}")
        return form.unpack(content)

    def text(self, kind: int) -> str:
        """A text that ends with a zero byte; "" if there is none."""
        return self.get(kind, b"").partition(b"\0")[0].decode(errors="replace")

    def address(self, kind: int) -> IPv4Address | IPv6Address | None:
        """An address; None if there is none."""
        if (content := self.get(kind)) is None:
            return None
        if len(content) not in _ADDRESS_LENGTHS:
            raise Malformed(f"an address of {len(content)} bytes")
        return ip_address(content)

    def nested(self, kind: int) -> "Attributes":
        """The attributes that are in one; none if it is not there."""
        return Attributes(attributes(self.get(kind, b"")))


def pack(kind: int, flags: int, body: bytes, sequence: int = 0) -> bytes:
    """A whole message."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body + bytes(-len(body) % 4)


def messages(data: bytes) -> Iterator[Message]:
    """The messages of a datagram; raises Malformed at the first that is none, or not whole."""
    start, end = 0, len(data)
    while start < end:
        if end - start < HEADER.size:
            raise Malformed(f"{end - start} bytes in place of a message")
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, start)
        if not HEADER.size <= length <= end - start:
            raise Malformed(f"a message of {length} bytes in {end - start}")
        yield Message(kind, flags, sequence, data[start + HEADER.size : start + length])
        start += (length + 3) & ~3


def parse(body: bytes, head: struct.Struct) -> tuple[tuple[Any, ...], Attributes]:
    """A message's body: the fields of its fixed part, and the attributes after it."""
    if len(body) < head.size:
        raise Malformed(f"{len(body)} bytes in place of {head.size}")
    return head.unpack_from(body), Attributes(attributes(body, head.size + -head.size % 4))


def attributes(data: bytes, start: int = 0) -> list[tuple[int, bytes]]:
    """The attributes in `data` from `start` on, in their order: type and content."""
    found = []
    last = len(data) - _ATTRIBUTE.size
    while start <= last:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if not _ATTRIBUTE.size <= length <= len(data) - start:
            raise Malformed(f"an attribute of {length} bytes in {len(data) - start}")
        found.append((kind & _TYPE, data[start + _ATTRIBUTE.size : start + length]))
        start += (length + 3) & ~3
    return found


def attribute(kind: int, content: bytes) -> bytes:
    """One attribute; raises ValueError for more than fits."""
    length = _ATTRIBUTE.size + len(content)
    if length > _LONGEST_ATTRIBUTE:
        raise ValueError(f"an attribute holds no {len(content)} bytes")
    return _ATTRIBUTE.pack(length, kind) + content + bytes(-length % 4)


def nested(kind: int, *content: bytes) -> bytes:
    """An attribute of attributes, which is said to be one."""
    return attribute(kind | NLA_F_NESTED, b"".join(content))


def u32(kind: int, value: int) -> bytes:
    """An attribute that is a number without a sign."""
    return attribute(kind, _U32.pack(value))


def s32(kind: int, value: int) -> bytes:
    """An attribute that is a number with a sign."""
    return attribute(kind, _S32.pack(value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a text, with a zero byte at its end."""
    return attribute(kind, value.encode() + b"\0")
