"""An attacker's connection to the bus: nothing is checked, and it reads as much as it likes."""

import io
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from enum import Enum

from dbus_fast import Message, MessageType
from dbus_fast._private.unmarshaller import Unmarshaller

from ..support.silent_client import BUS, BUS_PATH

_FIXED = 16  # bytes of a message that tell its length
_PIECE = 1 << 20
_SLOW = 2048  # bytes that a slow reader takes at a time
_SENDING = 20.0  # seconds that the bus may take nothing


class Reads(Enum):
    """How a connection reads."""

    ALL = "all"
    SLOWLY = "slowly"
    NOTHING = "nothing"


class Gone(Exception):
    """The bus has closed the connection, or takes nothing from it."""


class Connection:
    """A connection of this process's user to the bus at `address`."""

    def __init__(self, address: str, reads: Reads = Reads.ALL, deadline: float = 60.0) -> None:
        self.reads = reads
        self.broken = False  # whether half a message was sent, so that nothing can follow
        self.heard: list[Message] | None = None  # signals, if they are to be kept
        self._data = bytearray()
        self._serials = itertools.count(1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(deadline)
            self._socket.connect(address.removeprefix("unix:path="))
            self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
            if not self._socket.recv(1024).startswith(b"OK "):
                raise Gone("not let in")
            self._socket.sendall(b"BEGIN\r\n")
            self._socket.settimeout(_SENDING)
            hello = self.call(BUS, BUS_PATH, BUS, "Hello", patience=deadline)
        except (OSError, Gone) as error:
            self._socket.close()
            raise Gone(str(error)) from None
        if hello is None or hello.message_type is not MessageType.METHOD_RETURN:
            self._socket.close()
            raise Gone("no answer to Hello")
        self.name: str = hello.body[0]

    def fileno(self) -> int:
        return self._socket.fileno()

    # Sending

    def numbered(self, message: Message) -> bytes:
        """The bytes of a message, with the next serial."""
        message.serial = next(self._serials)
        return bytes(message._marshall(False))

    def send(self, *messages: Message) -> None:
        """Send messages.  Raises Gone."""
        self.send_bytes(b"".join(self.numbered(message) for message in messages))

    def send_bytes(self, data: bytes, *, half: bool = False) -> None:
        """Send bytes; after `half` of a message this connection sends no more.  Raises Gone."""
        if self.broken:
            raise Gone("in the middle of a message")
        self.broken = half
        try:
            self._socket.sendall(data)
        except OSError as error:
            self.broken = True
            raise Gone(str(error)) from None

    def send_descriptors(self, data: bytes, descriptors: list[int]) -> None:
        """Send bytes with descriptors.  Raises Gone."""
        try:
            sent = socket.send_fds(self._socket, [data], descriptors)
        except OSError as error:
            raise Gone(str(error)) from None
        self.send_bytes(data[sent:])

    # Reading

    def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *arguments: object,
        patience: float = 2.0,
    ) -> Message | None:
        """Call, and read until the reply is there; None after `patience` seconds.  Raises Gone."""
        message = Message(destination, path, interface, member, signature=signature, body=list(arguments))
        self.send(message)
        return self.reply(message, patience)

    def reply(self, call: Message, patience: float) -> Message | None:
        """Read until the reply to a call is there; None after `patience` seconds.  Raises Gone."""
        until = time.monotonic() + patience
        while True:
            for message in self._messages():
                if message.reply_serial == call.serial:
                    return message
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return None
            self._receive(_PIECE)

    def replies(self, calls: Sequence[Message], patience: float) -> list[Message]:
        """The replies to several calls, those that come within `patience` seconds.  Raises Gone."""
        missing = {call.serial for call in calls}
        found = []
        until = time.monotonic() + patience
        while True:
            for message in self._messages():
                if message.reply_serial in missing:
                    missing.discard(message.reply_serial)
                    found.append(message)
            left = until - time.monotonic()
            if not missing or left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return found
            self._receive(_PIECE)

    def read_some(self) -> None:
        """Read as this connection does, from what there is.  Raises Gone."""
        if self.reads is Reads.NOTHING or not select.select([self._socket], [], [], 0)[0]:
            return
        self._receive(_SLOW if self.reads is Reads.SLOWLY else _PIECE)
        if self.heard is None:
            for _ in self._frames():
                pass
        else:
            for _ in self._messages():
                pass

    def _receive(self, most: int) -> None:
        try:
            data = self._socket.recv(most)
        except OSError as error:
            raise Gone(str(error)) from None
        if not data:
            raise Gone("closed by the bus")
        self._data += data

    def _frames(self) -> Iterator[bytes]:
        """Take whole messages from what was read."""
        while len(self._data) >= _FIXED:
            order = "<III" if self._data[:1] == b"l" else ">III"
            body, _, fields = struct.unpack_from(order, self._data, 4)
            size = _FIXED + (fields + 7) // 8 * 8 + body
            if len(self._data) < size:
                return
            frame = bytes(self._data[:size])
            del self._data[:size]
            yield frame

    def _messages(self) -> Iterator[Message]:
        for frame in self._frames():
            # Annotated as one to read and write, but it only reads.
            message = Unmarshaller(io.BytesIO(frame)).unmarshall()  # type: ignore[arg-type]
            assert message is not None
            if self.heard is not None and message.message_type is MessageType.SIGNAL:
                self.heard.append(message)
            yield message

    def close(self) -> None:
        """Leave the bus."""
        self._socket.close()
