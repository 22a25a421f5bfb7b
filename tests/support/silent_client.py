"""A connection to a bus that reads only when it is told to."""

import io
import itertools
import os
import socket
import struct
from collections.abc import Iterable

from dbus_fast import Message
from dbus_fast._private.unmarshaller import Unmarshaller

BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
_FIXED = 16  # bytes of a message that tell its length


class SilentClient:
    """User `uid` on the bus at `address`; `deadline` in seconds is for each system call."""

    def __init__(self, address: str, uid: int, deadline: float = 60.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(deadline)
        self._serials = itertools.count(1)
        self._read = b""
        # The bus takes a connection's user from the moment it connects.
        os.seteuid(uid)
        try:
            self._socket.connect(address.removeprefix("unix:path="))
        finally:
            os.seteuid(0)
        self._socket.sendall(b"\0AUTH EXTERNAL " + str(uid).encode().hex().encode() + b"\r\n")
        assert self._socket.recv(1024).startswith(b"OK ")
        self._socket.sendall(b"NEGOTIATE_UNIX_FD\r\n")
        assert self._socket.recv(1024).startswith(b"AGREE_UNIX_FD")
        self._socket.sendall(b"BEGIN\r\n")
        self.name: str = self.call(Message(BUS, BUS_PATH, BUS, "Hello")).body[0]

    def send(self, *calls: Message) -> None:
        """Send calls, and do not wait for replies."""
        for call in calls:
            call.serial = next(self._serials)
        self._socket.sendall(b"".join(call._marshall(False) for call in calls))

    def send_as(self, serial: int, *calls: Message) -> None:
        """The same for calls that all have this serial number."""
        for call in calls:
            call.serial = serial
        self._socket.sendall(b"".join(call._marshall(False) for call in calls))

    def send_with_descriptors(self, message: Message, descriptors: list[int]) -> None:
        """Send a message with these."""
        message.serial = next(self._serials)
        message.unix_fds = descriptors
        socket.send_fds(self._socket, [bytes(message._marshall(True))], descriptors)

    def send_with_field(self, message: Message, field: bytes) -> None:
        """Send a message that has one more field in its header."""
        message.serial = next(self._serials)
        data = bytes(message._marshall(False))
        (length,) = struct.unpack_from("<I", data, 12)
        end = _FIXED + length
        fields = field + b"\0" * (-len(field) % 8) + data[_FIXED:end]
        self._socket.sendall(
            data[:12] + struct.pack("<I", len(fields)) + fields + b"\0" * (-len(fields) % 8) + data[end + -end % 8 :]
        )

    def send_with(self, message: Message, array: bytes) -> None:
        """Send a message whose one argument is an array that is empty so far, with this content."""
        message.serial = next(self._serials)
        data = bytes(message._marshall(False))
        length = struct.pack("<I", len(array))
        self._socket.sendall(data[:4] + struct.pack("<I", len(array) + 4) + data[8:-4] + length + array)

    def call(self, call: Message) -> Message:
        """Send a call, and read until its reply is there."""
        self.send(call)
        while (message := self.read()).reply_serial != call.serial:
            pass
        return message

    def read(self) -> Message:
        """Read one message."""
        head = self._take(_FIXED)
        body, _, fields = struct.unpack_from("<III" if head[:1] == b"l" else ">III", head, 4)
        rest = self._take((fields + 7) // 8 * 8 + body)
        # Annotated as one to read and write, but it only reads.
        message = Unmarshaller(io.BytesIO(head + rest)).unmarshall()  # type: ignore[arg-type]
        assert message is not None
        return message

    def replies(self, calls: Iterable[Message]) -> list[Message]:
        """Read until all `calls` have their replies; these in the order in which they came."""
        missing = {call.serial for call in calls}
        found = []
        while missing:
            message = self.read()
            if message.reply_serial in missing:
                missing.discard(message.reply_serial)
                found.append(message)
        return found

    def match(self, rule: str) -> None:
        """Ask the bus for signals."""
        self.call(Message(BUS, BUS_PATH, BUS, "AddMatch", signature="s", body=[rule]))

    def _take(self, count: int) -> bytes:
        parts = [self._read]
        size = len(self._read)
        while size < count:
            data = self._socket.recv(max(count - size, 65536))
            if not data:
                raise EOFError("the bus closed the connection")
            parts.append(data)
            size += len(data)
        data = b"".join(parts)
        self._read = data[count:]
        return data[:count]

    def close(self) -> None:
        """Leave the bus."""
        self._socket.close()
