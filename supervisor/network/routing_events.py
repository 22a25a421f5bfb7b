"""Notifications from the kernel that default routes, addresses, links or routing rules have changed (rtnetlink(7))."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable

from ..errors import SystemFailure

# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR, _IPV6_ROUTE, and the group of
# IPv6 rules, which has a number only
_GROUPS = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18
_RTM_NEWROUTE, _RTM_DELROUTE = 24, 25
_TYPE, _DESTINATION_LENGTH = 4, 17  # offsets, of nlmsg_type and of rtm_dst_len behind the header
_SO_ATTACH_FILTER = 26
_DATAGRAM = 65536  # bytes: more than the kernel puts into one
_AT_ONCE = 64  # datagrams before others get the loop

# bpf(4) calls these so.
_LOAD_HALF, _LOAD_BYTE, _JUMP_IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06


class RoutingEvents:
    """Calls `changed` after one or more changes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Begin to receive notifications, unless begun already.  Needs a running loop; raises SystemFailure."""
        if self._socket is not None:
            return
        try:
            listening = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
            )
            try:
                only_default_routes(listening)
                listening.bind((0, _GROUPS))
            except OSError:
                listening.close()
                raise
        except OSError as error:
            raise SystemFailure(f"cannot listen for changes of the default route: {error.strerror}") from error
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
        for _ in range(_AT_ONCE):
            try:
                self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                pass  # ENOBUFS: some are lost, which is a change
        self._changed()


def only_default_routes(listening: socket.socket) -> None:
    """Have the kernel keep all routes but default ones back: sessions make thousands."""
    # The type is in the machine's order, and the filter reads it in the network's.
    new, gone = socket.htons(_RTM_NEWROUTE), socket.htons(_RTM_DELROUTE)
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (_LOAD_HALF, 0, 0, _TYPE),
            (_JUMP_IF_EQUAL, 1, 0, new),
            (_JUMP_IF_EQUAL, 0, 2, gone),
            (_LOAD_BYTE, 0, 0, _DESTINATION_LENGTH),
            (_JUMP_IF_EQUAL, 0, 1, 0),
            (_RETURN, 0, 0, 0xFFFFFFFF),
            (_RETURN, 0, 0, 0),
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 7, ctypes.addressof(buffer)))
