"""A netlink(7) socket for questions and requests, each answered before the next."""

import errno
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from ...policy.limits import KERNEL_DEADLINE, MAX_DUMPS
from . import wire
from .answer import Answer
from .wire import Malformed, Message

# linux/netlink.h
NETLINK_NETFILTER = 12
DATAGRAM = 65536  # bytes: more than the kernel puts into one
_SOL_NETLINK = 270
_NETLINK_NO_ENOBUFS, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 5, 10, 11, 12
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
_KERNEL = 0  # the port that the kernel sends from
_LARGEST_SEQUENCE = 2**32 - 1


class NetlinkSocket:
    """Opened when it is first used, in the network namespace of that moment; for one thread at a time.

    Every method but `close` raises OSError: what the kernel refuses, in its own words where it has some; ETIMEDOUT if
    it does not answer within KERNEL_DEADLINE.  After anything but a refusal the next use opens a fresh socket.
    """

    def __init__(self, family: int = socket.NETLINK_ROUTE) -> None:
        self._family = family
        self._socket: socket.socket | None = None
        self._sequence = 0

    def __enter__(self) -> "NetlinkSocket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open it, unless it is open."""
        if self._socket is None:
            opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, self._family)
            try:
                # Errors say why, without what was sent; and what is not wanted of a list is left out: sessions have
                # 200,000 routes in the worst case.  Linux before 4.20 has not all of these.
                for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
                    with suppress(OSError):
                        opened.setsockopt(_SOL_NETLINK, option, 1)
                opened.settimeout(KERNEL_DEADLINE)
                opened.bind((0, 0))
            except BaseException:
                opened.close()
                raise
            self._socket = opened

    def close(self) -> None:
        """Close it, unless it is closed."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Have the kernel do something."""
        self._answer(kind, wire.NLM_F_ACK | flags, body)

    def ask(self, kind: int, body: bytes) -> Message:
        """What the kernel answers to a question about one thing."""
        found = self._answer(kind, wire.NLM_F_ACK, body).messages
        if len(found) != 1:
            raise Malformed(f"{len(found)} answers to one question")
        return found[0]

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """All that there is of something, which is asked for again if it has changed meanwhile."""
        for _ in range(MAX_DUMPS):
            answer = self._answer(kind, wire.NLM_F_DUMP, body)
            if not answer.interrupted:
                return answer.messages
        raise OSError(errno.EAGAIN, "what the kernel lists changes all the time")

    def batch(self, messages: Sequence[bytes], last: int) -> None:
        """Send packed messages at once; the one with the index `last` is answered when all up to it are done.

        Raises OSError for the first that is refused.
        """
        try:
            # Where more are refused than there is room for, the first is told, not that some are lost.
            self._opened().setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
            _make_room(self._opened(), 2 * sum(map(len, messages)))
            first = self._numbers(len(messages))
            numbered = (
                _numbered(message, first + index, wire.NLM_F_ACK if index == last else 0)
                for index, message in enumerate(messages)
            )
            self._exchange(b"".join(numbered), first, first + last)
        finally:
            self.close()  # what else was refused may wait there

    def _answer(self, kind: int, flags: int, body: bytes) -> Answer:
        number = self._numbers(1)
        return self._exchange(wire.pack(kind, wire.NLM_F_REQUEST | flags, body, number), number, number)

    def _numbers(self, count: int) -> int:
        """The first of so many sequence numbers in a row that were not used lately."""
        if self._sequence + count > _LARGEST_SEQUENCE:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first

    def _exchange(self, data: bytes, first: int, last: int) -> Answer:
        """Send what has these sequence numbers, and read the answer; raises what is refused."""
        answer = Answer(first, last)
        try:
            self._opened().send(data)  # the kernel does what it is asked for meanwhile
            deadline = time.monotonic() + KERNEL_DEADLINE
            while not answer.take(self._receive(deadline)):
                pass
        except TimeoutError:
            self.close()
            raise OSError(errno.ETIMEDOUT, "the kernel did not answer") from None
        except BaseException:
            self.close()
            raise
        if answer.refusal is not None:
            raise answer.refusal
        return answer

    def _opened(self) -> socket.socket:
        self.open()
        assert self._socket is not None
        return self._socket

    def _receive(self, deadline: float) -> bytes:
        """The next datagram of the kernel's."""
        opened = self._opened()
        while True:
            data, _, flags, (port, _) = opened.recvmsg(DATAGRAM)
            if port == _KERNEL:
                if flags & socket.MSG_TRUNC:
                    raise Malformed("it was cut off")
                return data
            if time.monotonic() > deadline:
                raise TimeoutError


def _numbered(message: bytes, sequence: int, flags: int) -> bytes:
    """A packed message with its sequence number, and with these flags, too."""
    length, kind, others, _, port = wire.HEADER.unpack_from(message)
    return wire.HEADER.pack(length, kind, others | flags, sequence, port) + message[wire.HEADER.size :]


def _make_room(opened: socket.socket, size: int) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, size)
    except PermissionError:  # in a container; then it is what others may have too (net.core.wmem_max)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
