"""The kernel's answer to what was sent, taken in as it comes: its messages, and its last word."""

import errno
import os
import struct

from ...policy.limits import MAX_KERNEL_WORDS
from . import wire
from .wire import Malformed, Message

_NLMSGERR_ATTR_MSG = 1  # linux/netlink.h
_ERROR = struct.Struct("=i")  # what a last word begins with: 0, or an errno below 0


class Answer:
    """What has come of it."""

    def __init__(self, first: int, last: int) -> None:
        """To messages with these sequence numbers, of which the last is to be answered whatever comes of it.

        What is about others is left out.
        """
        self._first = first
        self._last = last
        self.messages: list[Message] = []
        self.refusal: OSError | None = None
        self.interrupted = False  # what is listed has changed meanwhile, so something may be missing or there twice

    def take(self, data: bytes) -> bool:
        """Take a datagram in; whether it had the last word.  Raises Malformed, or OSError if messages were lost."""
        for message in wire.messages(data):
            if not self._first <= message.sequence <= self._last or message.kind == wire.NLMSG_NOOP:
                continue
            if message.flags & wire.NLM_F_DUMP_INTR:
                self.interrupted = True
            if message.kind == wire.NLMSG_OVERRUN:
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
            if message.kind not in (wire.NLMSG_ERROR, wire.NLMSG_DONE):
                self.messages.append(message)
                continue
            self.refusal = refusal(message)
            if self.refusal is not None or message.sequence == self._last:
                return True
        return False


def refusal(message: Message) -> OSError | None:
    """What a last word says, with the kernel's own explanation; None: all is well.  Raises Malformed."""
    body = message.body
    if not body and message.kind == wire.NLMSG_DONE:
        return None
    if len(body) < _ERROR.size:
        raise Malformed(f"a last word of {len(body)} bytes")
    number = abs(_ERROR.unpack_from(body)[0])
    if number == 0:
        return None
    words = _words(message)
    return OSError(number, f"{os.strerror(number)} ({words})" if words else os.strerror(number))


def _words(message: Message) -> str:
    """The explanation (NETLINK_EXT_ACK); "" where there is none."""
    if not message.flags & wire.NLM_F_ACK_TLVS:
        return ""
    start = _ERROR.size
    if (
        message.kind == wire.NLMSG_ERROR
    ):  # what was sent stands before it: its header, and the rest if that is not left out
        if len(message.body) < start + wire.HEADER.size:
            return ""
        length = wire.HEADER.unpack_from(message.body, start)[0]
        start += wire.HEADER.size if message.flags & wire.NLM_F_CAPPED else max(wire.HEADER.size, length + -length % 4)
    try:
        text = wire.Attributes(wire.attributes(message.body, start)).text(_NLMSGERR_ATTR_MSG)
    except Malformed:
        return ""  # the refusal counts all the same
    return "".join(filter(str.isprintable, text[:MAX_KERNEL_WORDS])).rstrip(".")
