"""Notifications from the kernel that network devices have been removed (rtnetlink(7))."""

import socket
from collections.abc import Callable, Iterator

from ...kernel.netlink import rtnetlink, wire
from .notifications import Notifications


class LinkEvents(Notifications):
    """Calls `removed` with the indices of links that were removed; with none if notifications were lost.

    For the network namespace of this process; a link that is moved to another one counts as removed.
    """

    def __init__(self, removed: Callable[[frozenset[int]], None]) -> None:
        super().__init__(rtnetlink.RTMGRP_LINK, "the removal of devices")
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


def removed_links(data: bytes) -> Iterator[int]:
    """The indices in the messages RTM_DELLINK of a datagram.  Raises wire.Malformed, after those before."""
    for message in wire.messages(data):
        if message.kind == rtnetlink.RTM_DELLINK:
            (family, _, index, _, _), _ = wire.parse(message.body, rtnetlink.IFINFOMSG)
            if family == socket.AF_UNSPEC:  # of another: it leaves a bridge, and stays
                yield int(index)
