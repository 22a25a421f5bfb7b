"""How much went through a device."""

import re
from pathlib import Path

# Of the network namespace that the process is in, unlike /sys/class/net; and it needs no lock that
# a device being removed elsewhere would hold.
_DEVICES = Path("/proc/self/net/dev")


def counters(device: str) -> dict[str, int]:
    """Bytes and packets that the engine read from (IN) and wrote to (OUT) a device; {} when it is gone.

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
