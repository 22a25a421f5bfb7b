"""Speaking in a worker's place: its own channel to the supervisor, taken from it."""

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

_SYS_PIDFD_GETFD = 438  # the same number on every architecture (pidfd_getfd(2))

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def worker_channel(pid: int) -> Iterator[socket.socket]:
    """The worker's end of its channel, while the worker itself stands still; needs root.

    Raises OSError, LookupError if there is no such socket.
    """
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        with _channel_of(pid, pidfd) as channel:
            channel.setblocking(True)
            yield channel
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        os.close(pidfd)


@contextlib.contextmanager
def waiting_socket(pid: int) -> Iterator[socket.socket]:
    """Where a worker without a supervisor waits for another, while the worker itself stands still; as above."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        with _channel_of(pid, pidfd, listening=True) as found:
            found.setblocking(True)
            yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        os.close(pidfd)


def _channel_of(pid: int, pidfd: int, *, listening: bool = False) -> socket.socket:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if not str(entry.readlink()).startswith("socket:"):
            continue
        descriptor = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, int(entry.name), 0)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
        found = socket.socket(fileno=descriptor)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        if found.type == socket.SOCK_SEQPACKET and listens == listening:
            return found
        found.close()
    raise LookupError(f"process {pid} has no packet socket")
