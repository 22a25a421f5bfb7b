"""Notifications from the kernel that routes, addresses, links or routing rules have changed (rtnetlink(7)).

What they are about is not read: who is told looks at what there is.  So nothing is lost when some of them are, and a
storm of them costs little (those that a device has been removed have a socket of their own, link_events.py).
"""

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable

from ....kernel.netlink import rtnetlink
from ....kernel.netlink.netlink_socket import DATAGRAM
from ....policy.limits import ROUTING_EVENTS_PAUSE
from ..dumps import PAST
from ..notifications import listen

_GROUPS = (
    rtnetlink.RTMGRP_LINK
    | rtnetlink.RTMGRP_IPV4_IFADDR
    | rtnetlink.RTMGRP_IPV4_ROUTE
    | rtnetlink.RTMGRP_IPV4_RULE
    | rtnetlink.RTMGRP_IPV6_IFADDR
    | rtnetlink.RTMGRP_IPV6_ROUTE
    | rtnetlink.RTMGRP_IPV6_RULE
)
# Offsets: of nlmsg_type, and behind the header of rtm_dst_len and rtm_protocol.
_TYPE, _DESTINATION_LENGTH, _PROTOCOL = 4, 17, 21
_SO_ATTACH_FILTER = 26
_BUFFER = 4096  # bytes that the kernel keeps for us; the rest of a storm it counts as lost

# bpf(4) calls these so.
_LOAD_HALF, _LOAD_BYTE, _JUMP_IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06


class RoutingEvents:
    """Calls `changed` after one or more changes, some time after the last call at the earliest."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._socket: socket.socket | None = None
        self._deaf: asyncio.TimerHandle | None = None  # until then nothing is read

    def start(self) -> None:
        """Begin to receive notifications, unless begun already.  Needs a running loop; raises SystemFailure."""
        if self._socket is not None:
            return
        listening = listen(_GROUPS, "changes of routes", _modest)
        self._socket = listening
        self._listen()

    def stop(self) -> None:
        """Receive no more notifications."""
        if self._socket is not None:
            if self._deaf is None:
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            else:
                self._deaf.cancel()
                self._deaf = None
            self._socket.close()
            self._socket = None

    def _listen(self) -> None:
        assert self._socket is not None
        self._deaf = None
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket.fileno())
        self._deaf = loop.call_later(ROUTING_EVENTS_PAUSE, self._listen)
        for _ in range(_BUFFER):
            try:
                self._socket.recv(DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                pass  # ENOBUFS: some are lost, which is a change
        self._changed()


def _modest(listening: socket.socket) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    no_routes_of_sessions(listening)


def no_routes_of_sessions(listening: socket.socket) -> None:
    """Have the kernel keep routes back that are no default ones and have its own protocol, as sessions' thousands have.

    Its own routes, to the networks of addresses, change with these.
    """
    # The type is in the machine's order, and the filter reads it in the network's.
    new, gone = socket.htons(rtnetlink.RTM_NEWROUTE), socket.htons(rtnetlink.RTM_DELROUTE)
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD_HALF, 0, 0, _TYPE),
            (_JUMP_IF_EQUAL, 1, 0, new),
            (_JUMP_IF_EQUAL, 0, 5, gone),
            (_LOAD_BYTE, 0, 0, _DESTINATION_LENGTH),
            (_JUMP_IF_EQUAL, 3, 0, 0),
            (_LOAD_BYTE, 0, 0, _PROTOCOL),
            (_JUMP_IF_EQUAL, 2, 0, rtnetlink.RTPROT_KERNEL),
            (_JUMP_IF_EQUAL, 1, 0, PAST),
            (_RETURN, 0, 0, 0xFFFFFFFF),
            (_RETURN, 0, 0, 0),
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    count = len(program) // 8
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", count, ctypes.addressof(buffer)))
