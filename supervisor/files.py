"""Writing a file so that there is either the old content or the new, never a part of it; and reading one."""

import os
import stat
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".tmp"  # suffix of a file that is still being written


def replace_file(file: Path, *content: bytes, durable: bool = False) -> None:
    """Write `content`, one after the other, beside `file`, readable by its owner only, and rename it into its place.

    A writer that is killed leaves a file with the suffix TEMPORARY behind.  With `durable`, the content is on the disk
    when this returns (fsync(2)).  Raises OSError, and leaves the old content then.
    """
    temporary = file.with_name(file.name + TEMPORARY)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
            for part in content:
                stream.write(part)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.rename(file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        flush_directory(file.parent)


def read_small_file(file: Path, largest: int) -> bytes:
    """The content of a file.  Raises OSError, ValueError for what is no file, or larger than `largest` bytes."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"more than {largest} bytes")
    return content


def flush_directory(directory: Path) -> None:
    """Have the names in a directory on the disk (fsync(2)).  Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
