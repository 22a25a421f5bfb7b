"""Judging messages before they are read: what nobody here could want is thrown away as it comes.

The bus library unmarshals a whole body before its signature is looked at, and a large one of many small values costs
a thousand times its size.  So between the socket and the library stands a socket whose `recv` gives whole messages
only that are small, or of a kind that may be large; all others are skipped, however large, in bounded memory.  The
header is as in the D-Bus specification, "Message Format".
"""

import errno
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType

from ...policy.limits import MAX_HEADER, MAX_LARGE_REPLY_BODY, MAX_PLAIN_SIGNAL, MAX_SMALL_BODY
from .descriptors import ROOM, Descriptors

BUS = "org.freedesktop.DBus"
_FIXED = 16  # bytes: byte order, type, flags, version, body's length, serial, length of the fields
_LITTLE = ord("l")
_LITTLE_HEAD = struct.Struct("<III")
_BIG_HEAD = struct.Struct(">III")
_READ = 64 * 1024  # bytes taken at a time, where the library asks for a few messages: whose turn it is, all must tell
_CHUNK = 256 * 1024  # bytes skipped, or read of a large message, at a time, so that other things get their turn
_PLAIN = frozenset("ybnqiuxtdsog")  # types whose values cost no more than their size
_SENDER_FIELD = b"\7\1s\0"  # the code of the field, and its signature
# The fields that the specification knows, each with its type.  Others, which dbus-daemon takes out and dbus-broker
# passes on, the bus library takes for a fault of the connection.
_KNOWN_FIELDS = re.compile(
    rb"(?:[\x01-\x04\x06\x07]\x01[so]\x00.{4}[^\x00]+\x00{1,8}"  # strings, which have no NUL, and their padding
    rb"|[\x05\x09]\x01u\x00.{4}|\x08\x01g\x00.[^\x00]*\x00{1,8})*",
    re.DOTALL,
)
_CALL, _SIGNAL = MessageType.METHOD_CALL.value, MessageType.SIGNAL.value
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SENDER, _SIGNATURE, _DESCRIPTORS = range(1, 10)


class Inbound:
    """What may be large: calls that were allowed to be, replies to calls of ours, signals of plain values.

    `awaited` tells whether a reply to a serial number of ours is awaited.
    """

    def __init__(self, awaited: Callable[[int], bool]) -> None:
        self._awaited = awaited
        self.descriptors = Descriptors()
        # Told of each call that is skipped, without its arguments, and how many bytes they may have; 0: as many as it
        # has, but not now.
        self.skipped: Callable[[Message, int], None] = lambda call, largest: None
        self.refused: Callable[[Message], None] = lambda call: None  # told of each call of those who are `full`
        self.full: set[bytes] = set()  # connections of whom so many calls wait that no more are read
        self.heard = {BUS.encode()}  # connections whose signals are read
        # Asked, with sender, serial and bytes, of each call that may be large, whether it is to be read now.
        self.admits: Callable[[str, int, int], bool] = lambda sender, serial, size: True
        self._bounds: dict[tuple[str, str, str], int] = {}

    def forget(self) -> None:
        """The bus is gone, and with it all connections."""
        self.full.clear()
        self.heard.clear()
        self.heard.add(BUS.encode())

    def allow(self, interface: str, member: str, signature: str, largest: int) -> None:
        """Let the arguments of calls of a method have up to `largest` bytes."""
        self._bounds[interface, member, signature] = self._bounds["", member, signature] = largest

    def dropped(self, data: bytes, start: int, end: int) -> bool:
        """Whether the message with the header data[start:end] is thrown away, however small; a call may be refused."""
        if not _KNOWN_FIELDS.fullmatch(data, start + _FIXED, end):
            return True
        kind, flags = data[start + 1], data[start + 2]
        if kind == _CALL:
            if not self.full or _sender(data, start, end) not in self.full:
                return False
            if not flags & MessageFlag.NO_REPLY_EXPECTED.value:
                order = "<I" if data[start] == _LITTLE else ">I"
                fields = _fields(data[start:end], order)
                if fields.keys() >= {_PATH, _MEMBER, _SENDER}:
                    self.refused(_call(fields, flags, struct.unpack_from(order, data, start + 8)[0]))
            return True
        return kind == _SIGNAL and _sender(data, start, end) not in self.heard

    def describe(self, header: bytes, dropped: bool) -> None:
        """Of a message with this header, some descriptors may be that have arrived."""
        fields = _fields(header, "<I" if header[0] == _LITTLE else ">I")
        if _DESCRIPTORS not in fields:
            return
        if not dropped and header[1] == MessageType.METHOD_RETURN.value:
            self.descriptors.keep_reply(int(fields.get(_REPLY_SERIAL, 0)))
        elif dropped or header[1] != _CALL:
            self.descriptors.drop()
        else:
            (serial,) = struct.unpack_from("<I" if header[0] == _LITTLE else ">I", header, 8)
            self.descriptors.keep(str(fields.get(_SENDER, "")), serial)

    def wanted(self, header: bytes, body: int) -> bool:
        """Whether a message with this header and a large body is to be read; if it is a call that is not, says so."""
        if not _KNOWN_FIELDS.fullmatch(header, _FIXED):
            return False
        kind, flags = header[1], header[2]
        order = "<I" if header[0] == _LITTLE else ">I"
        fields = _fields(header, order)
        if _SENDER not in fields:
            return False  # of nobody, so no bus has passed it on
        sender = str(fields[_SENDER])
        signature = str(fields.get(_SIGNATURE, ""))
        if kind == MessageType.METHOD_CALL.value:
            interface, member = str(fields.get(_INTERFACE, "")), str(fields.get(_MEMBER, ""))
            bound = self._bounds.get((interface, member, signature), MAX_SMALL_BODY)
            (serial,) = struct.unpack_from(order, header, 8)
            if body <= bound and self.admits(sender, serial, body):
                return True
            if fields.keys() >= {_PATH, _MEMBER}:
                self.skipped(_call(fields, flags, serial), bound if body > bound else 0)
            return False
        if kind == MessageType.SIGNAL.value:
            heard = sender.encode() in self.heard
            return heard and body <= MAX_PLAIN_SIGNAL and _PLAIN.issuperset(signature)
        answered = fields.get(_REPLY_SERIAL)
        return body <= MAX_LARGE_REPLY_BODY and isinstance(answered, int) and self._awaited(answered)


def _sender(data: bytes, start: int, end: int) -> bytes:
    """The sender in the header data[start:end], as the bus puts it there; empty if it is not found."""
    # The last one: the bus puts it behind what the sender itself has written.
    at = data.rfind(_SENDER_FIELD, start + _FIXED, end)
    while at >= 0 and (at - start) % 8:
        at = data.rfind(_SENDER_FIELD, start + _FIXED, at + 3)
    return data[at + 8 : data.find(b"\0", at + 8, end)] if at >= 0 else b""


def _fields(header: bytes, number: str) -> dict[int, str | int]:
    """The header fields of a message, by their codes; those that are no message's are left out."""
    found: dict[int, str | int] = {}
    position, end = _FIXED, _FIXED + struct.unpack_from(number, header, 12)[0]
    while position < end:
        code = header[position]
        kind = header[position + 2 : position + 3]
        position += 4  # the code, and a signature of one letter
        if kind in (b"s", b"o"):
            (length,) = struct.unpack_from(number, header, position)
            found[code] = header[position + 4 : position + 4 + length].decode(errors="replace")
            position += 5 + length
        elif kind == b"g":
            length = header[position]
            found[code] = header[position + 1 : position + 1 + length].decode(errors="replace")
            position += 2 + length
        elif kind == b"u":
            (found[code],) = struct.unpack_from(number, header, position)
            position += 4
        else:
            break  # of no field that there is
        position += -position % 8
    return found


def _call(fields: dict[int, str | int], flags: int, serial: int) -> Message:
    return Message(
        destination=str(fields.get(_DESTINATION, "")) or None,
        path=str(fields[_PATH]),
        interface=str(fields.get(_INTERFACE, "")) or None,
        member=str(fields[_MEMBER]),
        flags=MessageFlag(flags & 0x7),
        serial=serial,
        sender=str(fields[_SENDER]),
        validate=False,
    )


class InboundSocket:
    """Stands before the socket `link`: of its messages, `recv` gives those that `inbound` wants."""

    def __init__(self, link: socket.socket, inbound: Inbound) -> None:
        self.link = link
        self._receive_into = link.recv_into
        self._waste = bytearray(_CHUNK)  # where skipped bytes go
        self._inbound = inbound
        self._passing = 0  # bytes to come of a message that is given
        self._skipping = 0  # bytes to come of one that is not
        self._head = b""  # the beginning of one that cannot be judged yet

    def __getattr__(self, name: str) -> Any:
        """All else is the socket's own."""
        return getattr(self.link, name)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What there is of wanted messages; more than `size` bytes, of a large one.

        Raises BlockingIOError if that is nothing now.
        """
        if self._skipping:
            skipped = self._receive_into(self._waste, min(self._skipping, _CHUNK))
            if not skipped:
                return b""
            self._skipping -= skipped
            raise BlockingIOError(errno.EAGAIN, "skipped")
        data, ancillary, _, _ = self.link.recvmsg(
            max(size, _READ, min(self._passing, _CHUNK)), ROOM, flags | socket.MSG_CMSG_CLOEXEC
        )
        if ancillary:
            self._inbound.descriptors.arrived(ancillary)
        if len(data) <= self._passing or not data:
            self._passing -= len(data)
            return data
        wanted = self._sift(data)
        if not wanted:
            raise BlockingIOError(errno.EAGAIN, "nothing wanted")
        return wanted

    def _sift(self, data: bytes) -> bytes:
        if self._head:
            data = self._head + data
            self._head = b""
        position, self._passing = self._passing, 0
        end = len(data)
        start, parts = 0, []
        inbound, descriptors = self._inbound, self._inbound.descriptors
        while position + _FIXED <= end:
            if data[position] == _LITTLE:
                body, _, fields = _LITTLE_HEAD.unpack_from(data, position + 4)
            else:
                body, _, fields = _BIG_HEAD.unpack_from(data, position + 4)
            header = _FIXED + fields + (-fields & 7)
            if fields > MAX_HEADER:
                dropped = True
            elif position + header > end:
                break
            elif body > MAX_SMALL_BODY:
                dropped = not inbound.wanted(data[position : position + header], body)
            else:
                dropped = inbound.dropped(data, position, position + header)
            if descriptors:
                inbound.describe(data[position : position + header], dropped)
            if dropped:
                parts.append(data[start:position])
                start = position + header + body
            position += header + body
        while descriptors and position >= end:
            descriptors.drop()  # of no message that is known to have any
        if position == end and not parts:
            return data
        if start > end:
            self._skipping = start - end
        elif position > end:
            self._passing = position - end
            parts.append(data[start:])
        else:
            self._head = data[position:]
            parts.append(data[start:position])
        return parts[0] if len(parts) == 1 else b"".join(parts)
