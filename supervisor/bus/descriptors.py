"""File descriptors that come with messages: kept for calls of known users until these are answered, and for replies
to calls of ours that ask for some; closed otherwise.

The kernel ends what one recvmsg(2) gives behind the data that descriptors came with (unix(7)), and both kinds of bus
send those of a message with its first byte: so they are of the message that begins last in what was read.
"""

import array
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from dbus_fast import Message

from ...policy.limits import MAX_DESCRIPTORS_PER_CALL, MAX_DESCRIPTORS_PER_USER
from ..closing import close_elsewhere
from .errors import LIMITS_EXCEEDED, CallRejected

_Key = tuple[str, int]  # sender and serial number of a call

ROOM = socket.CMSG_SPACE(MAX_DESCRIPTORS_PER_CALL * array.array("i").itemsize)  # for recvmsg; the kernel closes others


class Descriptors:
    """Those that have come, and nobody has taken yet."""

    def __init__(self) -> None:
        # The user of a connection; None where that is not known yet, and nothing of it is kept.
        self.user_of: Callable[[str], int | None] = lambda sender: None
        self._arrived = deque[list[int]]()  # of a recvmsg each; it is not known with which message
        self._replies: dict[int, list[int]] = {}  # to calls of ours that ask for some, by their serial numbers
        self._kept: dict[_Key, tuple[int, list[int]]] = {}  # with the user

    def __bool__(self) -> bool:
        """Whether some have arrived, of a message that is not known yet."""
        return bool(self._arrived)

    def arrived(self, ancillary: Iterable[tuple[int, int, bytes]]) -> None:
        """Take over what recvmsg gave beside the data."""
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
                self._arrived.append(list(numbers))

    def keep(self, sender: str, serial: int) -> None:
        """Those that arrived first are this call's."""
        arrived = self._arrived.popleft()
        uid = self.user_of(sender)
        already = sum(len(kept) for owner, kept in self._kept.values() if owner == uid)
        if uid is None or (sender, serial) in self._kept or already + len(arrived) > MAX_DESCRIPTORS_PER_USER:
            close_elsewhere(arrived)
        else:
            self._kept[sender, serial] = uid, arrived

    @contextlib.contextmanager
    def of_reply(self, serial: int) -> Iterator[list[int]]:
        """Those of the reply to a call of ours, which is about to be sent; what is left of them is closed."""
        self._replies[serial] = []
        try:
            yield self._replies[serial]
        finally:
            close_elsewhere(self._replies.pop(serial))

    def keep_reply(self, serial: int) -> None:
        """Those that arrived first are of the reply to this call of ours."""
        if serial in self._replies:
            self._replies[serial] += self._arrived.popleft()
        else:
            self.drop()

    def drop(self) -> None:
        """Those that arrived first are nobody's."""
        close_elsewhere(self._arrived.popleft())

    def take(self, call: Message) -> list[object]:
        """The arguments of a call, with descriptors in place of their numbers; whoever takes them closes them.

        Raises CallRejected if they have not been kept.
        """
        _, kept = self._kept.pop((call.sender or "", call.serial), (0, []))
        arguments: list[object] = []
        taken = list[int]()
        for kind, value in zip(call.signature, call.body, strict=True):
            if kind == "h":
                if not value < len(kept) or kept[value] in taken:
                    close_elsewhere(kept)
                    text = "The descriptor was not taken: call something else before, and few at a time"
                    raise CallRejected(LIMITS_EXCEEDED, text)
                taken.append(kept[value])
                value = kept[value]
            arguments.append(value)
        close_elsewhere(one for one in kept if one not in taken)
        return arguments

    def done(self, call: Message) -> None:
        """A call is over: what it did not take is closed."""
        if self._kept and (left := self._kept.pop((call.sender or "", call.serial), None)):
            close_elsewhere(left[1])
