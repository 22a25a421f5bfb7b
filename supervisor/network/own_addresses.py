"""The addresses of the machine's own devices, which are listed anew only when one of them may have changed.

To be used in the network's thread.  The kernel lists those of all devices, hundreds of which may be sessions'; but it
tells of changes before whoever makes them goes on.
"""

import errno
import socket
from collections.abc import Iterator, Set
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.netlink_socket import DATAGRAM, NetlinkSocket
from ...kernel.netlink.wire import Malformed
from . import dumps
from .notifications import listen
from .prefixes import Prefix

_GROUPS = rtnetlink.RTMGRP_IPV4_IFADDR | rtnetlink.RTMGRP_IPV6_IFADDR
_ROOM = 65536  # bytes of notifications; beyond, all is listed anew

Found = tuple[int, IPv4Address | IPv6Address, Prefix]  # as dumps.addresses has it


class OwnAddresses:
    """What was found last, and the kernel's notifications since then."""

    def __init__(self) -> None:
        self._events: socket.socket | None = None
        self._found: list[Found] = []
        self._sessions = frozenset[int]()  # indices of their devices at that time

    def look(self, link: NetlinkSocket, sessions: Set[int]) -> list[Found]:
        """All by now, without those of the devices with the indices `sessions`.  Raises SystemFailure, OSError."""
        known, before = self._events is not None, self._sessions
        self._sessions = frozenset(sessions)
        changed = self._changed(before | self._sessions)
        # One that has been a session's may be removed, or not yet, or another device by now.
        if changed or not known or any(map(_exists, before - sessions)):
            try:
                self._found = list(dumps.addresses(link, without=sessions))
            except BaseException:
                self.close()
                raise
        return [one for one in self._found if one[0] not in sessions]

    def close(self) -> None:
        """Know nothing, and hear of nothing."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _changed(self, theirs: Set[int]) -> bool:
        """Whether an address may have come or gone that is none of a session's, by all that the kernel has told."""
        if self._events is None:
            self._events = listen(_GROUPS, "changes of addresses", _with_room)
        ours = {index for index, _, _ in self._found}
        changed = False
        while True:
            try:
                data, (port, _) = self._events.recvfrom(DATAGRAM)
                if port == 0:  # from the kernel
                    changed |= any(index in ours if gone else index not in theirs for index, gone in _told(data))
            except BlockingIOError:
                return changed
            except Malformed:  # what else it told is lost
                changed = True
            except OSError as error:
                changed = True
                if error.errno != errno.ENOBUFS:  # which means that some are lost
                    self.close()
                    return changed


def _with_room(events: socket.socket) -> None:
    events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)


def _told(data: bytes) -> Iterator[tuple[int, bool]]:
    """Devices of which an address has come, or has gone.  Raises Malformed."""
    for message in wire.messages(data):
        if message.kind in (rtnetlink.RTM_NEWADDR, rtnetlink.RTM_DELADDR):
            head, _ = wire.parse(message.body, rtnetlink.IFADDRMSG)
            yield head[4], message.kind == rtnetlink.RTM_DELADDR


def _exists(index: int) -> bool:
    with suppress(OSError):
        socket.if_indextoname(index)
        return True
    return False
