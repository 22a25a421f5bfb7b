"""What the kernel tells of a device at once (netdevice(7)), without a lock that the removal of another would hold."""

import fcntl
import socket
import struct

# linux/sockios.h
_SIOCGIFMTU = 0x8921
_SIOCGIFTXQLEN = 0x8942
_IFREQ = struct.Struct("16si20x")


def mtu(device: str) -> int:
    """Its largest packet in bytes; 0 when it is gone."""
    return _ask(_SIOCGIFMTU, device)


def txqueuelen(device: str) -> int:
    """How many packets may wait to be sent; 0 when it is gone."""
    return _ask(_SIOCGIFTXQLEN, device)


def _ask(request: int, device: str) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, request, _IFREQ.pack(device.encode(), 0))
        except OSError:
            return 0
    number: int = _IFREQ.unpack(answer)[1]
    return number
