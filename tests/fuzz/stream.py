"""What the bus delivers, as bytes, and the way in: through the judgement of messages to dbus-fast's own reader.

libdbus tells which messages are well-formed, and puts the sender into them: it is what dbus-daemon does that with.
"""

import ctypes
import random
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dbus_fast import Message, MessageType
from dbus_fast.aio.message_reader import build_message_reader

from ...supervisor.bus.inbound import Inbound, InboundSocket
from ...supervisor.bus.inbound import _fields as header_fields

_TYPES = tuple(kind.value for kind in MessageType)  # others our policy files keep off
_PIECES = (1, 2, 15, 16, 17, 64, 1000, 30_000)  # bytes
_FIELDS_AT = 12  # in a message: the length of its header's fields

_libdbus = ctypes.CDLL("libdbus-1.so.3")
_libdbus.dbus_message_demarshal.restype = ctypes.c_void_p
for _name in ("unref", "get_type", "get_serial", "get_no_reply"):
    getattr(_libdbus, f"dbus_message_{_name}").argtypes = (ctypes.c_void_p,)
_libdbus.dbus_message_get_serial.restype = ctypes.c_uint32
_libdbus.dbus_message_set_sender.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
_libdbus.dbus_message_marshal.argtypes = (
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_int),
)
_libdbus.dbus_free.argtypes = (ctypes.c_void_p,)


_KNOWN_FIELDS = set(range(1, 10))  # their codes


class Delivered(NamedTuple):
    """One message as the bus delivers it."""

    sender: str
    serial: int
    kind: MessageType
    expects_reply: bool
    data: bytes

    @property
    def fields(self) -> int:
        """Bytes of the header's fields."""
        return int.from_bytes(self.data[_FIELDS_AT : _FIELDS_AT + 4], "little" if self.data[:1] == b"l" else "big")

    @property
    def unknown(self) -> bool:
        """Whether the header has a field that D-Bus does not have."""
        order = "<I" if self.data[:1] == b"l" else ">I"
        found = header_fields(self.data[: _FIELDS_AT + 4 + self.fields], order)
        return self.sender not in found.values() or not found.keys() <= _KNOWN_FIELDS


def delivered(data: bytes, sender: str) -> tuple[Delivered | None, int]:
    """What the bus makes of the message that `data`, sent by `sender`, begins with, and how many bytes it takes.

    None if that is nothing which the bus would deliver.
    """
    size = _libdbus.dbus_message_demarshal_bytes_needed(data, len(data))
    if not 0 < size <= len(data) or data[1] not in _TYPES:
        return None, 0
    found = _libdbus.dbus_message_demarshal(data, size, None)
    if not found:
        return None, 0
    copy, length = ctypes.c_void_p(), ctypes.c_int()
    try:
        assert _libdbus.dbus_message_set_sender(found, sender.encode())
        assert _libdbus.dbus_message_marshal(found, ctypes.byref(copy), ctypes.byref(length))
        made = Delivered(
            sender,
            _libdbus.dbus_message_get_serial(found),
            MessageType(_libdbus.dbus_message_get_type(found)),
            not _libdbus.dbus_message_get_no_reply(found),
            ctypes.string_at(copy, length.value),
        )
    finally:
        _libdbus.dbus_free(copy)
        _libdbus.dbus_message_unref(found)
    return made, size


def messages_in(data: bytes, sender: str, most: int) -> list[Delivered]:
    """The messages that the bus would deliver of what `sender` sent; no more than `most`."""
    found = list[Delivered]()
    while len(found) < most:
        message, size = delivered(data, sender)
        if message is None:
            break
        found.append(message)
        data = data[size:]
    return found


def from_sender(message: Message, sender: str) -> Delivered:
    """A well-formed message of somebody else."""
    made, _ = delivered(bytes(message._marshall(False)), sender)
    assert made is not None
    return made


class Stream:
    """A socket on which messages arrive, as cut by `chance`, if there is any; `take` is given those that are read."""

    def __init__(self, inbound: Inbound, take: Callable[[Message], None], chance: random.Random | None) -> None:
        self._far, near = socket.socketpair()
        self._far.setblocking(False)
        near.setblocking(False)
        self._socket = InboundSocket(near, inbound)
        self._take = take
        self._chance = chance
        self._sent: deque[Delivered] = deque()  # those that may come yet
        self._faults: list[BaseException | None] = []
        self._read = build_message_reader(self._socket, self._came, self._faults.append, False)  # type: ignore[arg-type]

    def arrive(self, messages: list[Delivered]) -> Iterator[None]:
        """Let them arrive, piece by piece; what comes of it may be awaited between the pieces."""
        self._sent.extend(messages)
        data = memoryview(b"".join(message.data for message in messages))
        while data:
            data = data[self._far.send(data[: self._chance.choice(_PIECES) if self._chance else len(data)]) :]
            while select.select([self._socket.link], [], [], 0)[0]:
                self._read()
                self._check()
            yield

    def _came(self, message: Message) -> None:
        # The reader would only log what is raised here.
        try:
            while True:  # those that are left out were skipped
                assert self._sent, f"a message that nobody sent: {message}"
                sent = self._sent.popleft()
                if (sent.sender, sent.serial, sent.kind) == (message.sender, message.serial, message.message_type):
                    break
            self._take(message)
        except Exception as fault:
            self._faults.append(fault)

    def _check(self) -> None:
        for fault in self._faults:
            raise fault or AssertionError("the reader has ended")

    def close(self) -> None:
        """The bus goes; nothing that it sent may be left."""
        try:
            left = (self._socket._passing, self._socket._skipping, self._socket._head)
            assert left == (0, 0, b""), left
            self._far.close()
            self._read()
            (end,) = self._faults
            assert isinstance(end, EOFError), repr(end)
        finally:
            self._far.close()
            self._socket.close()
