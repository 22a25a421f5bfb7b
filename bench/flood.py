"""A user's connections that call as fast as they are answered, as a program on one core: orders as in client.py.

in:   {"messages": [hex, …], "window": n}: flood with these in turn, n under way on each connection; {}: stop
      with a window of 0, as fast as they are taken: calls that want no reply
out:  {} when it has begun; {"replies": n, "errors": n, "seconds": s} when it has been stopped, and is answered

The first argument is the call of Hello, in hexadecimal.
"""

import itertools
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

_CONNECTIONS = 8
_READ = 1024 * 1024  # bytes at a time
_FIXED = 16  # bytes of a message that tell its length
_RETURN, _ERROR = 2, 3
_UNANSWERED = 100  # calls that want no reply, sent in one go
_PATIENCE = 2.0  # seconds without a reply, after which none is waited for


class Connection:
    """One connection to the bus."""

    def __init__(self, address: str, hello: bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address.removeprefix("unix:path="))
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        assert self.socket.recv(1024).startswith(b"OK ")
        self.socket.sendall(b"BEGIN\r\n" + hello)
        self.socket.recv(4096)
        self.socket.setblocking(False)
        self.serials = itertools.count(2)
        self.under_way = self.replies = self.errors = 0
        self._received = bytearray()
        self._to_send = memoryview(b"")

    def call(self, messages: Iterator[bytes], window: int) -> None:
        """Call until so many calls are under way."""
        if not self._to_send:
            batch = bytearray()
            for _ in range(window - self.under_way if window else _UNANSWERED):
                start = len(batch)
                batch += next(messages)
                struct.pack_into("<I", batch, start + 8, next(self.serials) & 0x7FFFFFFF or 1)
            self.under_way = window  # replies that come all the same are counted, and not waited for
            self._to_send = memoryview(batch)
        self.send()

    def send(self) -> None:
        """Send what is left of the last batch, as much as is taken."""
        try:
            while self._to_send:
                self._to_send = self._to_send[self.socket.send(self._to_send) :]
        except BlockingIOError:
            pass

    @property
    def sending(self) -> bool:
        return bool(self._to_send)

    def read(self) -> None:
        """Count the replies that have come."""
        data = self.socket.recv(_READ)
        if not data:
            raise EOFError("the bus closed a connection")
        received = self._received
        received += data
        position, end = 0, len(received)
        while position + _FIXED <= end:
            order = "<" if received[position] == ord("l") else ">"
            body, _, fields = struct.unpack_from(order + "III", received, position + 4)
            size = _FIXED + (fields + 7) // 8 * 8 + body
            if position + size > end:
                break
            kind = received[position + 1]
            if kind in (_RETURN, _ERROR):
                self.under_way -= 1
                self.replies += 1
                self.errors += kind == _ERROR
            position += size
        del received[:position]


def flood(connections: list[Connection], messages: list[bytes], window: int) -> dict[str, float]:
    """Call until there is something to read on standard input, and all is answered."""
    began = time.monotonic()
    polled = select.epoll()
    by_descriptor = {one.socket.fileno(): one for one in connections}
    cycles = {one: itertools.cycle(messages) for one in connections}
    for one in connections:
        polled.register(one.socket, select.EPOLLIN | select.EPOLLOUT)
    polled.register(0, select.EPOLLIN)
    begun = stopping = False
    while not stopping or any(one.under_way > 0 or one.sending for one in connections):
        ready = polled.poll(_PATIENCE)
        if not ready and stopping:
            break  # what is missing is not answered
        for descriptor, event in ready:
            if descriptor == 0:
                stopping = True
                polled.unregister(0)
                continue
            one = by_descriptor[descriptor]
            if event & select.EPOLLIN:
                one.read()
            if one.sending:
                one.send()
            elif not stopping and one.under_way <= window // 2:
                one.call(cycles[one], window)
            if not begun and (one.replies or not window) and not any(other.sending for other in connections):
                begun = True
                print("{}", flush=True)
            polled.modify(descriptor, select.EPOLLIN | (select.EPOLLOUT if one.sending or not window else 0))
    return {
        "replies": sum(one.replies for one in connections),
        "errors": sum(one.errors for one in connections),
        "seconds": time.monotonic() - began,
    }


def main() -> None:
    hello = bytes.fromhex(sys.argv[1])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    orders = iter(lambda: os.read(0, 1 << 26), b"")
    received = b""
    for data in orders:
        received += data
        while b"\n" in received:
            line, _, received = received.partition(b"\n")
            order = json.loads(line)
            if order:
                # New ones each time: late replies to the last flood are not this one's.
                connections = [Connection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"], hello) for _ in range(_CONNECTIONS)]
                done = flood(connections, [bytes.fromhex(one) for one in order["messages"]], order["window"])
                for one in connections:
                    one.socket.close()
                print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
