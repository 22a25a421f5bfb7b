"""Notifications from the kernel that network devices have been removed (rtnetlink(7)).

Without pyroute2, which is not loaded before there is a session, and whose releases have different interfaces for event
loops.
"""

import asyncio
import socket
import struct
from collections.abc import Callable

from ..errors import SystemFailure

# linux/netlink.h, linux/rtnetlink.h
_RTMGRP_LINK = 1
_RTM_DELLINK = 17
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changes
_DATAGRAM = 65536  # bytes: more than the kernel puts into one
_AT_ONCE = 16  # datagrams before others get the loop


class LinkEvents:
    """Calls `removed` with the indices of links that were removed; with none if notifications were lost.

    For the network namespace of this process; a link that is moved to another one counts as removed.
    """

    def __init__(self, removed: Callable[[frozenset[int]], None]) -> None:
        self._removed = removed
        self._socket: socket.socket | None = None
        self._missed = False  # events, since all was read

    def start(self) -> None:
        """Begin to receive notifications, unless begun already.  Needs a running loop; raises SystemFailure."""
        if self._socket is not None:
            return
        listening = notifications(_RTMGRP_LINK, "the removal of devices")
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening.fileno(), self._readable)

    def stop(self) -> None:
        """Receive no more notifications."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        assert self._socket is not None
        gone = set[int]()
        for _ in range(_AT_ONCE):
            try:
                data, (port, _) = self._socket.recvfrom(_DATAGRAM)
            except BlockingIOError:
                if self._missed:
                    self._missed = False
                    self._removed(frozenset())
                break
            except OSError:
                # ENOBUFS: events are lost.  The kernel says so once until all that it kept is read, and may lose
                # more up to then (netlink_overrun in its net/netlink/af_netlink.c).
                self._missed = True
                continue
            if port == 0:  # from the kernel
                gone.update(removed_links(data))
        if gone:
            self._removed(frozenset(gone))


def notifications(
    groups: int,
    what: str,
    prepare: Callable[[socket.socket], None] = lambda _: None,
    family: int = socket.NETLINK_ROUTE,
) -> socket.socket:
    """A socket that receives these groups of the kernel's notifications; `prepare` is called before the first can come.

    `groups` is a mask of bits, of a family of netlink(7).  Raises SystemFailure, which says what cannot be heard of.
    """
    try:
        listening = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, family
        )
        try:
            prepare(listening)
            listening.bind((0, groups))
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SystemFailure(f"cannot listen for {what}: {error.strerror}") from error
    return listening


def removed_links(data: bytes) -> list[int]:
    """The indices in the messages RTM_DELLINK of a datagram; what follows on a malformed one does not count."""
    found = []
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if length < _HEADER.size or length > len(data):
            break
        if kind == _RTM_DELLINK and length >= _HEADER.size + _LINK.size:
            family, _, index, *_ = _LINK.unpack_from(data, _HEADER.size)
            if family == socket.AF_UNSPEC:  # of another: it leaves a bridge, and stays
                found.append(index)
        data = data[(length + 3) & ~3 :]
    return found
