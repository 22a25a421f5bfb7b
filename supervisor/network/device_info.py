"""What the kernel tells of a network device: MTU, queue length (netdevice(7)), and counters (rtnetlink(7)).

Only the counters need the lock that the removal of another device holds.
"""

import fcntl
import socket
import struct

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.netlink_socket import NetlinkSocket

# linux/sockios.h
_SIOCGIFMTU = 0x8921
_SIOCGIFTXQLEN = 0x8942
_IFREQ = struct.Struct("16si20x")


def mtu(device: str) -> int:
    """Its largest packet in bytes; 0 if there is no such device."""
    return _ask(_SIOCGIFMTU, device)


def txqueuelen(device: str) -> int:
    """How many packets may wait to be sent; 0 if there is no such device."""
    return _ask(_SIOCGIFTXQLEN, device)


def counters(device: str) -> dict[str, int]:
    """Bytes and packets that the engine read from (IN) and wrote to (OUT) a device; {} if there is no such device.

    The kernel counts from its own side: what the engine reads, the device has sent.  May wait while a device is
    removed.
    """
    try:
        question = rtnetlink.statistics(socket.if_nametoindex(device))
        with NetlinkSocket() as link:
            answer = link.ask(rtnetlink.RTM_GETSTATS, question)
        _, found = wire.parse(answer.body, rtnetlink.IF_STATS_MSG)
        # Newer kernels have more counters.
        content = found.get(rtnetlink.IFLA_STATS_LINK_64, b"")
        packets_received, packets_sent, received, sent = rtnetlink.RTNL_LINK_STATS64.unpack_from(content)
    except (OSError, ValueError, struct.error):
        return {}
    return {
        "TUN_BYTES_IN": sent,
        "TUN_BYTES_OUT": received,
        "TUN_PACKETS_IN": packets_sent,
        "TUN_PACKETS_OUT": packets_received,
    }


def _ask(request: int, device: str) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, request, _IFREQ.pack(device.encode(), 0))
        except OSError:
            return 0
    number: int = _IFREQ.unpack(answer)[1]
    return number
