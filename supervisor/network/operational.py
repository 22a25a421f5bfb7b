"""When a device counts as connected to others that listen to rtnetlink(7).

A tun device has its carrier when an engine opens it, and is switched on after that: the kernel notes a change of a
device that is off up to a second later (linkwatch).  Until then its operational state (RFC 2863) is "down" although
packets flow, and systemd-resolved asks none of its name servers.  Linux 6.8 and later catch up when they are asked.
"""

import asyncio
import socket
from contextlib import suppress

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.answer import refusal
from ...kernel.netlink.netlink_socket import DATAGRAM
from ...policy.limits import OPERATIONAL_DEADLINE
from ..errors import SystemFailure


async def operational(device: str) -> None:
    """Wait until a device that is on and has its carrier counts as operational, or OPERATIONAL_DEADLINE is over.

    Raises SystemFailure if there is no such device.
    """
    try:
        index = socket.if_nametoindex(device)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as link:
            link.setblocking(False)
            link.bind((0, rtnetlink.RTMGRP_LINK))
            link.send(wire.pack(rtnetlink.RTM_GETLINK, wire.NLM_F_REQUEST, rtnetlink.link(index)))
            with suppress(TimeoutError):
                async with asyncio.timeout(OPERATIONAL_DEADLINE):
                    while not is_operational(await asyncio.get_running_loop().sock_recv(link, DATAGRAM), index):
                        pass
    except OSError as error:
        raise SystemFailure(f"device {device}: {error.strerror}") from error


def is_operational(data: bytes, index: int) -> bool:
    """Whether messages of the kernel say that a device is.  Raises OSError if it is gone."""
    answer = False
    for message in wire.messages(data):
        if message.kind == wire.NLMSG_ERROR and (error := refusal(message)) is not None:
            raise error
        if message.kind == rtnetlink.RTM_NEWLINK:
            (_, _, told, _, _), attributes = wire.parse(message.body, rtnetlink.IFINFOMSG)
            if told == index:
                state = attributes.get(rtnetlink.IFLA_OPERSTATE)
                answer = state in (bytes([rtnetlink.IF_OPER_UNKNOWN]), bytes([rtnetlink.IF_OPER_UP]))
    return answer
