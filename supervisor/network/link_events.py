"""Notifications from the kernel that network devices have been removed (rtnetlink(7))."""

import socket
import struct
from collections.abc import Callable

from .notifications import Notifications

# linux/netlink.h, linux/rtnetlink.h
_RTMGRP_LINK = 1
_RTM_DELLINK = 17
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changes


class LinkEvents(Notifications):
    """Calls `removed` with the indices of links that were removed; with none if notifications were lost.

    For the network namespace of this process; a link that is moved to another one counts as removed.
    """

    def __init__(self, removed: Callable[[frozenset[int]], None]) -> None:
        super().__init__(_RTMGRP_LINK, "the removal of devices")
        self._removed = removed
        self._gone = set[int]()  # that have been read of, and not told yet
        self._missed = False  # events, since all was read

    def _readable(self) -> None:
        super()._readable()
        if self._gone:
            gone, self._gone = frozenset(self._gone), set()
            self._removed(gone)

    def _read(self, data: bytes) -> None:
        self._gone.update(removed_links(data))

    def _lost(self) -> None:
        self._missed = True

    def _read_all(self) -> None:
        if self._missed:
            self._missed = False
            self._removed(frozenset())


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
