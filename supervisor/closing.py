"""Closing descriptors that strangers have sent, which may take as long as they like.

close(2) waits for what a socket has not sent (SO_LINGER, socket(7)), and for a file system that a user serves (FUSE).
"""

import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from ..policy.limits import MAX_CLOSING

_NO_LINGER = struct.pack("ii", 0, 0)


class _Closers:
    """Threads that close what waits for it; there is one more while all are busy."""

    def __init__(self) -> None:
        self._waiting = deque[int]()
        self._lock = threading.Lock()
        self._threads = 0

    def close(self, descriptors: Iterable[int]) -> None:
        with self._lock:
            self._waiting.extend(descriptors)
            if not self._waiting or self._threads >= MAX_CLOSING:
                return
            self._threads += 1
        threading.Thread(target=self._work, name="closing", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                one = self._waiting.popleft()
            _close(one)


def _close(descriptor: int) -> None:
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor) as link:
        try:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        finally:
            link.detach()
    with suppress(OSError):
        os.close(descriptor)


_closers = _Closers()


def close_elsewhere(descriptors: Iterable[int]) -> None:
    """Have them closed soon, and wait for nothing."""
    _closers.close(descriptors)
