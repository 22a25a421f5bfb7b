"""What the kernel tells of a network device: MTU, queue length (netdevice(7)), and counters (rtnetlink(7)).

Only the counters need the lock that the removal of another device holds.
"""

import fcntl
import socket
import struct

from . import dumps

# linux/sockios.h
_SIOCGIFMTU = 0x8921
_SIOCGIFTXQLEN = 0x8942
_IFREQ = struct.Struct("16si20x")

# linux/if_link.h, linux/rtnetlink.h
_GET_STATISTICS = 94  # RTM_GETSTATS
_LINK_64 = 1  # IFLA_STATS_LINK_64
_STATISTICS = struct.Struct("=BBHII")  # if_stats_msg: family, two paddings, index of the device, what is wanted
_COUNTERS = struct.Struct("=4Q")  # the first of rtnl_link_stats64: packets received and sent, bytes received and sent


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
        wanted = _STATISTICS.pack(socket.AF_UNSPEC, 0, 0, socket.if_nametoindex(device), 1 << (_LINK_64 - 1))
        with dumps.opened() as link:
            found = dumps.attributes_of(dumps.ask(link, _GET_STATISTICS, wanted)[_STATISTICS.size :])
    except (OSError, ValueError):
        return {}
    packets_received, packets_sent, received, sent = _COUNTERS.unpack_from(found[_LINK_64])
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
