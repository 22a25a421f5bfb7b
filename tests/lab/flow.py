"""A flow of numbered datagrams to an echo service and back, counted: `flow.py ADDRESS PORT PER_SECOND`.

Prints each second what has become of all so far, in one line of JSON: how many were sent, how many came back, twice,
late (after a later one), and the longest time, in ms, that one took.  Datagrams of the last seconds may still be under
way: they count as sent when their time is over.  SIGTERM ends it, after the time that the last ones have.
"""

import json
import selectors
import signal
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass

_NUMBER = struct.Struct("!Q")
_PATIENCE = 20.0  # seconds until a datagram counts as lost: longer than any queue on its way holds one


@dataclass
class Counts:
    """Datagrams so far."""

    sent: int = 0  # whose time is over, or which are back
    lost: int = 0
    twice: int = 0
    late: int = 0
    longest: float = 0.0  # ms
    refused: int = 0  # that the kernel did not take from us


def main(address: str, port: int, per_second: float) -> None:
    """Send and count until SIGTERM."""
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    counts = Counts()
    under_way: dict[int, float] = {}
    back = set[int]()
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.setblocking(False)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    ready = selectors.DefaultSelector()
    ready.register(line, selectors.EVENT_READ)
    number, highest = 0, -1
    due = told = time.monotonic()
    while not stopping or under_way:
        now = time.monotonic()
        # After a pause of this process itself it does not catch up: a burst would be another flow.
        if now - due > 1:
            due = now
        if not stopping and now >= due:
            due += 1 / per_second
            try:
                line.sendto(_NUMBER.pack(number), (address, port))
                under_way[number] = now
                number += 1
            except OSError:
                counts.refused += 1
        for _ in ready.select(max(due - time.monotonic(), 0) if not stopping else 0.1):
            try:
                while True:
                    [found] = _NUMBER.unpack(line.recv(64))
                    since = under_way.pop(found, None)
                    if since is None:
                        # One that was given up is late, but not lost.
                        counts.lost -= found not in back
                        counts.twice += found in back
                        back.add(found)
                        continue
                    back.add(found)
                    counts.sent += 1
                    counts.longest = max(counts.longest, (time.monotonic() - since) * 1000)
                    counts.late += found < highest
                    highest = max(highest, found)
            except OSError:
                pass  # nothing more; or an ICMP error, which the datagram's time will show
        now = time.monotonic()
        while under_way and now - next(iter(under_way.values())) > _PATIENCE:
            del under_way[next(iter(under_way))]
            counts.sent += 1
            counts.lost += 1
        back = {one for one in back if one > highest - 10_000} if len(back) > 20_000 else back
        if now - told >= 1:
            told = now
            print(json.dumps(asdict(counts)), flush=True)
    print(json.dumps(asdict(counts)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
