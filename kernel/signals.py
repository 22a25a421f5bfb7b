"""Signals that are read from a descriptor and interrupt nothing (signalfd(2)); Python has no function for it."""

import ctypes
import os
import signal
from collections.abc import Collection

from .libc import libc

_SIGNAL_SET = ctypes.c_ulong * (128 // ctypes.sizeof(ctypes.c_ulong))  # the C library's sigset_t
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC  # as SFD_NONBLOCK and SFD_CLOEXEC
_ROOM = 4096  # bytes; the kernel tells 128 a signal


def open_signalfd(numbers: Collection[signal.Signals]) -> int:
    """A descriptor that can be read while one of these signals is pending: those that every thread blocks.

    Raises OSError.
    """
    wanted = _SIGNAL_SET(sum(1 << (number - 1) for number in numbers))
    descriptor: int = libc.signalfd(-1, wanted, _FLAGS)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"signalfd: {os.strerror(number)}")
    return descriptor


def take_signals(descriptor: int) -> None:
    """Make none pending of those that the descriptor is for."""
    try:
        os.read(descriptor, _ROOM)
    except BlockingIOError:
        pass
