"""One end of a SOCK_SEQPACKET socketpair: a packet is a message, so there is no framing (unix(7), cmsg(3))."""

import array
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from ..policy.limits import MAX_FRAME

MAX_DESCRIPTORS = 253  # the kernel's SCM_MAX_FD; with less room it would close the others within our system call

_CREDENTIALS = struct.Struct("=iII")  # ucred: process, user, group
_SO_PASSRIGHTS = 83  # Linux 6.16 (asm-generic/socket.h)

# Without MSG_CMSG_CLOEXEC a received descriptor would leak into every program started later;
# socket.recv_fds() ignores its flags argument, hence recvmsg here.
_RECEIVE_FLAGS = socket.MSG_CMSG_CLOEXEC
_ANCILLARY_SPACE = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)


class BadFrame(Exception):
    """Bytes that are not one valid message of the expected direction; the text names what is wrong."""


class ChannelClosed(Exception):
    """The other end is closed."""


_Data = TypeVar("_Data", bytes, memoryview)


class Packet(Generic[_Data]):
    """A packet that was read: its bytes, and descriptors that belong to the reader until `take`n or closed."""

    __slots__ = ("data", "descriptors")

    def __init__(self, data: _Data, descriptors: list[int]) -> None:
        self.data: _Data = data
        self.descriptors = descriptors

    def take(self) -> int:
        """Hand over the first descriptor; the caller closes it."""
        return self.descriptors.pop(0)

    def close(self) -> None:
        """Close the descriptors that were not taken, and overwrite the bytes if they are in the reader's buffer."""
        while self.descriptors:
            os.close(self.descriptors.pop())
        if isinstance(self.data, memoryview):
            self.data[:] = bytes(len(self.data))


class Channel:
    """A packet socket that passes descriptors; owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def peer(self) -> tuple[int, int]:
        """Process and user id of the other end, or of who has made the pair (SO_PEERCRED, unix(7)).  Raises OSError."""
        found = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = _CREDENTIALS.unpack(found)
        return process, user

    def refuse_descriptors(self) -> None:
        """Have the kernel refuse descriptors sent to this end, where it can (unix(7))."""
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
        except OSError:
            pass  # an older kernel: the receiver counts and closes them

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send one packet.

        Raises BlockingIOError if the socket is non-blocking and the other end does not read, ChannelClosed if it
        is gone.
        """
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self.socket.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            raise ChannelClosed from None

    def receive(self) -> Packet[bytes]:
        """Read one packet.

        A packet longer than MAX_FRAME or with more than MAX_DESCRIPTORS descriptors comes back longer than MAX_FRAME,
        so that decoding refuses it.  Raises BlockingIOError if there is none (non-blocking), ChannelClosed at the end.
        """
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(MAX_FRAME + 1, _ANCILLARY_SPACE, _RECEIVE_FLAGS)
        except ConnectionResetError:
            raise ChannelClosed from None
        descriptors = _descriptors_in(ancillary)
        if flags & socket.MSG_CTRUNC:
            data = b"\0" * (MAX_FRAME + 1)
        elif not data and not descriptors:
            raise ChannelClosed
        return Packet(data, descriptors)

    def receive_into(self, buffer: memoryview) -> Packet[memoryview]:
        """As `receive`, into `buffer` of MAX_FRAME + 1 bytes; closing the packet overwrites it there."""
        try:
            size, ancillary, flags, _ = self.socket.recvmsg_into([buffer], _ANCILLARY_SPACE, _RECEIVE_FLAGS)
        except ConnectionResetError:
            raise ChannelClosed from None
        descriptors = _descriptors_in(ancillary)
        if flags & socket.MSG_CTRUNC:
            size = len(buffer)
        elif not size and not descriptors:
            raise ChannelClosed
        return Packet(buffer[:size], descriptors)

    def close(self) -> None:
        self.socket.close()


def _descriptors_in(ancillary: Iterable[tuple[int, int, bytes]]) -> list[int]:
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received = array.array("i")
            received.frombytes(content[: len(content) - len(content) % received.itemsize])
            descriptors.extend(received)
    return descriptors


def channel_pair() -> tuple[Channel, Channel]:
    """Two connected ends, close-on-exec, blocking."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(left), Channel(right)
