"""When a device counts as connected to others that listen to rtnetlink(7).

A tun device has its carrier when an engine opens it, and is switched on after that: the kernel notes a change of a
device that is off up to a second later (linkwatch).  Until then its operational state (RFC 2863) is "down" although
packets flow, and systemd-resolved asks none of its name servers.  Linux 6.8 and later catch up when they are asked.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress

from ...policy.limits import OPERATIONAL_DEADLINE
from ..errors import SystemFailure

# linux/rtnetlink.h, linux/if_link.h, linux/if.h
_GROUP_LINK = 0x1
_NEW_LINK, _DEL_LINK, _GET_LINK, _ERROR = 16, 17, 18, 2
_REQUEST = 0x1
_OPERSTATE = 16  # IFLA_OPERSTATE
_UNKNOWN, _UP = 0, 6
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")
_DATAGRAM = 65536  # bytes: more than the kernel puts into one


async def operational(device: str) -> None:
    """Wait until a device that is on and has its carrier counts as operational, or OPERATIONAL_DEADLINE is over.

    Raises SystemFailure if there is no such device.
    """
    try:
        index = socket.if_nametoindex(device)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
            link.setblocking(False)
            link.bind((0, _GROUP_LINK))
            link.send(
                _HEADER.pack(_HEADER.size + _LINK.size, _GET_LINK, _REQUEST, 0, 0) + _LINK.pack(0, 0, index, 0, 0)
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(OPERATIONAL_DEADLINE):
                    while not _is_operational(await asyncio.get_running_loop().sock_recv(link, _DATAGRAM), index):
                        pass
    except OSError as error:
        raise SystemFailure(f"device {device}: {error.strerror}") from error


def _is_operational(data: bytes, index: int) -> bool:
    """Whether messages of the kernel say that a device is.  Raises OSError if it is gone."""
    answer = False
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            break
        body = data[_HEADER.size : length]
        if kind == _ERROR and len(body) >= 4 and (number := -struct.unpack_from("=i", body)[0]):
            raise OSError(number, os.strerror(number))
        if kind == _NEW_LINK and len(body) >= _LINK.size and _LINK.unpack_from(body)[2] == index:
            answer = _operstate(body[_LINK.size :]) in (_UNKNOWN, _UP)
        data = data[length + -length % 4 :]
    return answer


def _operstate(data: bytes) -> int:
    """The operational state among the attributes of a link; -1 if it is not told."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        if kind == _OPERSTATE and length > _ATTRIBUTE.size:
            return data[_ATTRIBUTE.size]
        data = data[length + -length % 4 :]
    return -1
