"""Small records in a file whose space is taken when it is made: one more can be kept when its directory is full."""

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from ..policy.limits import MAX_RECORDS

RECORD_PLACE = 512  # bytes; places never lie across two pages, so the kernel copies a record at once
_HEAD = struct.Struct("<IH")  # checksum and length of what follows; all zero in a free place
_FREE = bytes(RECORD_PLACE)


class RecordFile:
    """A file of MAX_RECORDS places, which its owner only may read.

    A record that a crash cut off fails its checksum.  Nothing is synced to disk.
    """

    def __init__(self, file: Path) -> None:
        """Make the file if need be, and take its space (posix_fallocate(3)).  Raises OSError with its name."""
        self._file = file
        self._taken: set[int] | None = None  # places; not known before the file is read
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(file, flags, 0o600)
        try:
            os.posix_fallocate(self._descriptor, 0, MAX_RECORDS * RECORD_PLACE)
        except OSError as error:
            os.close(self._descriptor)
            raise OSError(error.errno, error.strerror, str(file)) from None

    def read(self) -> dict[int, bytes | None]:
        """The records by their places; None for one that is damaged.  Raises OSError."""
        found = dict(self._read())
        self._taken = set(found)
        return found

    def add(self, record: bytes) -> int:
        """Keep a record; its place.  Raises OSError if there is none, ValueError if it is empty or too long for one."""
        content = _content(record)
        if self._taken is None:
            self.read()
        assert self._taken is not None
        place = next((place for place in range(MAX_RECORDS) if place not in self._taken), -1)
        if place < 0:
            raise OSError(errno.ENOSPC, f"all {MAX_RECORDS} places in {self._file} are taken")
        os.pwrite(self._descriptor, content, place * RECORD_PLACE)
        self._taken.add(place)
        return place

    def rewrite(self, place: int, record: bytes) -> None:
        """Keep another record in this place.  Raises as `add`."""
        os.pwrite(self._descriptor, _content(record), place * RECORD_PLACE)

    def remove(self, place: int) -> None:
        """Free a place.  Raises OSError."""
        os.pwrite(self._descriptor, _FREE, place * RECORD_PLACE)
        if self._taken is not None:
            self._taken.discard(place)

    def close(self) -> None:
        """Close the file; the records stay."""
        os.close(self._descriptor)
        self._descriptor = -1  # the number may be another file's by now

    def _read(self) -> Iterator[tuple[int, bytes | None]]:
        everything = os.pread(self._descriptor, MAX_RECORDS * RECORD_PLACE, 0)
        for place in range(MAX_RECORDS):
            content = everything[place * RECORD_PLACE : (place + 1) * RECORD_PLACE]
            if content != _FREE:
                checksum, length = _HEAD.unpack_from(content)
                record = content[_HEAD.size : _HEAD.size + length]
                yield place, record if len(record) == length and crc32(record) == checksum else None


def _content(record: bytes) -> bytes:
    """What is written for a record.  Raises ValueError if it is empty or too long."""
    if not 0 < len(record) <= RECORD_PLACE - _HEAD.size:
        raise ValueError(f"a record of {len(record)} bytes")
    return (_HEAD.pack(crc32(record), len(record)) + record).ljust(RECORD_PLACE, b"\0")
