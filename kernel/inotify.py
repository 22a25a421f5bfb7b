"""Changes of files, read from a descriptor (inotify(7)); Python has no function for it."""

import ctypes
import os
import struct
from collections.abc import Iterator

from .libc import libc

# Of linux/inotify.h: written and closed, renamed to or from, made, removed; what is watched itself has gone.
_CHANGES = 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC  # as IN_NONBLOCK and IN_CLOEXEC
_EVENT = struct.Struct("=iIII")  # watch, mask, cookie, length of the name that follows
_ROOM = 16384  # bytes; an event has up to 272


def open_inotify() -> int:
    """A descriptor that can be read when what is watched changes.  Raises OSError."""
    return _descriptor(libc.inotify_init1(_FLAGS), "inotify_init1")


def add_watch(descriptor: int, path: str) -> int:
    """Watch a file, or what is in a directory, and whether it goes; the number of this watch.  Raises OSError."""
    return _descriptor(libc.inotify_add_watch(descriptor, os.fsencode(path), _CHANGES), f"inotify_add_watch {path}")


def read_changes(descriptor: int) -> Iterator[tuple[int, str]]:
    """What has changed so far: the watch, and the name in it; "" for what is watched itself.

    With the watch -1, some have been lost.
    """
    while True:
        try:
            data = os.read(descriptor, _ROOM)
        except BlockingIOError:
            return
        while data:
            watch, _, _, length = _EVENT.unpack_from(data)
            end = _EVENT.size + length
            yield watch, os.fsdecode(data[_EVENT.size : end].rstrip(b"\0"))
            data = data[end:]


def _descriptor(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
