"""What the kernel tells of a network device without waiting: MTU, queue length, counters (netdevice(7), proc(5)).

Nothing here needs the lock that the removal of another device holds.
"""

import fcntl
import re
import socket
import struct
from pathlib import Path

# linux/sockios.h
_SIOCGIFMTU = 0x8921
_SIOCGIFTXQLEN = 0x8942
_IFREQ = struct.Struct("16si20x")

# Of the network namespace that the process is in, unlike /sys/class/net.
_DEVICES = Path("/proc/self/net/dev")


def mtu(device: str) -> int:
    """Its largest packet in bytes; 0 if there is no such device."""
    return _ask(_SIOCGIFMTU, device)


def txqueuelen(device: str) -> int:
    """How many packets may wait to be sent; 0 if there is no such device."""
    return _ask(_SIOCGIFTXQLEN, device)


def counters(device: str) -> dict[str, int]:
    """Bytes and packets that the engine read from (IN) and wrote to (OUT) a device; {} if there is no such device.

    The kernel counts from its own side: what the engine reads, the device has sent.
    """
    row = re.search(rf"^ *{re.escape(device)}:(.*)$", _DEVICES.read_text(), re.MULTILINE) if device else None
    if row is None:
        return {}
    columns = row[1].split()
    received, sent = columns[:2], columns[8:10]
    return {
        "TUN_BYTES_IN": int(sent[0]),
        "TUN_BYTES_OUT": int(received[0]),
        "TUN_PACKETS_IN": int(sent[1]),
        "TUN_PACKETS_OUT": int(received[1]),
    }


def _ask(request: int, device: str) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, request, _IFREQ.pack(device.encode(), 0))
        except OSError:
            return 0
    number: int = _IFREQ.unpack(answer)[1]
    return number
