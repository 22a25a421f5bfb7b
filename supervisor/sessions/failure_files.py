"""Failures of sessions as files: one for each user who started the sessions, in JSON, named by the user's id.

All that is here blocks.
"""

import errno
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from ...policy.limits import MAX_FAILURE_FILE, MAX_FAILURE_USERS
from ..files import TEMPORARY, read_small_file, replace_file
from ..services.profile_quota import file_system
from .past_failure import PastFailure

_SUFFIX = ".json"


def write(directory: Path, user: int, failures: Iterable[PastFailure]) -> None:
    """Replace what is kept of a user.  Raises OSError, also when others need what little room is left."""
    there = file_system(directory)
    if there.free < there.left_free // 2:
        raise OSError(errno.ENOSPC, "the file system is nearly full")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(_file(directory, user), msgspec.json.encode(tuple(failures)))


def remove(directory: Path, user: int) -> None:
    """Remove what is kept of a user.  Raises OSError."""
    _file(directory, user).unlink(missing_ok=True)


def load(directory: Path) -> tuple[dict[int, tuple[PastFailure, ...]], list[str]]:
    """What is kept, by user, and a line for the log about each file that cannot be used."""
    found: dict[int, tuple[PastFailure, ...]] = {}
    notes: list[str] = []
    try:
        files = sorted(directory.iterdir())
    except FileNotFoundError:
        return found, notes
    except OSError as error:
        return found, [f"The failures kept in {directory} cannot be read: {error.strerror}"]
    for file in files:
        if file.name.endswith(TEMPORARY):  # left by a process that was killed
            _discard(file)
        elif (user := _user(file)) is not None and len(found) < MAX_FAILURE_USERS:
            notes += _load_one(file, user, found)
    return found, notes


def _load_one(file: Path, user: int, found: dict[int, tuple[PastFailure, ...]]) -> Iterator[str]:
    try:
        found[user] = msgspec.json.decode(read_small_file(file, MAX_FAILURE_FILE), type=tuple[PastFailure, ...])
    except OSError as error:
        yield f"The failures kept in {file} cannot be read: {error.strerror}"
    except (ValueError, msgspec.DecodeError) as error:
        yield f"The failures kept in {file} are damaged ({error}), and are removed"
        _discard(file)


def _file(directory: Path, user: int) -> Path:
    return directory / f"{user}{_SUFFIX}"


def _user(file: Path) -> int | None:
    return int(file.stem) if file.suffix == _SUFFIX and file.stem.isascii() and file.stem.isdecimal() else None


def _discard(file: Path) -> None:
    with suppress(OSError):
        file.unlink()
