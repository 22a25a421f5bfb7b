"""Configuration profiles as files, named by the id in their object path.

`ID.profile` has a line of JSON (`Metadata`, as it was at the import) and the text exactly as it was imported; it is
never changed.  `ID.metadata` has, once it was changed, the metadata of now, in JSON.

A crash or a full disk leaves the old content of a file (supervisor/files.py).  A profile that cannot be read is renamed
to `damaged-…`, for somebody to look at.  All that is here blocks.
"""

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

import msgspec

from ...policy.limits import MAX_METADATA
from ..errors import CallerError
from ..files import TEMPORARY, flush_directory, replace_file

SUFFIX = ".profile"
_CHANGED = ".metadata"  # suffix
_DAMAGED = "damaged-"  # prefix


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a profile besides its text; times in seconds since 1970."""

    name: str
    owner: int
    size: int  # bytes of the text: tells a file cut short
    imported: int
    single_use: bool = False
    last_used: int = 0
    used_count: int = 0
    granted: tuple[int, ...] = ()
    public: bool = False
    locked_down: bool = False
    transfer_owner: bool = False
    readonly: bool = False
    tags: tuple[str, ...] = ()
    overrides: dict[str, bool | str] = {}
    problem: str = ""  # why no session can be started with it


Found = tuple[Path, Metadata]


def write_profile(file: Path, metadata: Metadata, text: bytes, *, durable: bool) -> None:
    """Write a new profile; `durable` as of `replace_file`.  Raises CallerError."""
    with _errors_for_caller(file, "stored"):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, msgspec.json.encode(metadata) + b"\n", text, durable=durable)


def write_metadata(file: Path, metadata: Metadata, *, durable: bool) -> None:
    """Replace the metadata of the profile in `file`.  Raises CallerError."""
    with _errors_for_caller(file, "stored"):
        replace_file(file.with_suffix(_CHANGED), msgspec.json.encode(metadata), durable=durable)


def remove_profile(file: Path, *, durable: bool) -> None:
    """Remove the files of a profile.  Raises CallerError."""
    with _errors_for_caller(file, "removed"):
        file.unlink(missing_ok=True)
        if durable:
            flush_directory(file.parent)
    # Last: a profile without it would be as it was imported, shared with whom it no longer is.
    with suppress(OSError):
        file.with_suffix(_CHANGED).unlink()


def read_text(file: Path) -> bytes:
    """The text of a profile.  Raises CallerError."""
    with _errors_for_caller(file, "read"), _open(file) as stream:
        _head(stream)
        return stream.read()


def load(directory: Path) -> tuple[list[Found], list[str]]:
    """The profiles in a directory, and a line for the log about each that is left out."""
    found: list[Found] = []
    notes: list[str] = []
    try:
        names = sorted(file.name for file in directory.iterdir())
    except FileNotFoundError:
        return found, notes
    except OSError as error:
        return found, [f"profiles in {directory} cannot be read: {error.strerror}"]
    known = set(names)
    for name in names:
        file = directory / name
        if name.endswith(TEMPORARY) or (
            name.endswith(_CHANGED) and not name.startswith(_DAMAGED) and file.with_suffix(SUFFIX).name not in known
        ):
            # Left by a process that was killed before the rename, of which nobody was told, or in a removal.
            with suppress(OSError):
                file.unlink()
        elif name.endswith(SUFFIX) and not name.startswith(_DAMAGED):
            try:
                found.append((file, _load_one(file)))
            except OSError as error:
                notes.append(f"profile {file} cannot be read: {error.strerror}")
            except ValueError as error:
                notes.append(f"profile {file} is damaged ({error}): {_move_aside(file)}")
    return found, notes


@contextmanager
def _errors_for_caller(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CallerError(f"the profile cannot be {what} ({file.parent}: {error.strerror})") from error
    except ValueError as error:
        raise CallerError(f"the profile cannot be {what} ({file}: damaged, {error})") from error


def _open(file: Path) -> BufferedReader:
    """Raises OSError, ValueError for what is no file."""
    stream = os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise ValueError("not a regular file")
    return stream


def _head(stream: BufferedReader) -> Metadata:
    """The metadata at the head of an open profile; raises ValueError if it does not fit what follows."""
    line = stream.readline(MAX_METADATA)
    metadata = _decoded(line, "first line")
    size = os.fstat(stream.fileno()).st_size
    if size != len(line) + metadata.size:
        raise ValueError(f"{size} bytes long instead of {len(line) + metadata.size}")
    return metadata


def _decoded(json: bytes, what: str) -> Metadata:
    try:
        return msgspec.json.decode(json, type=Metadata)
    except msgspec.DecodeError as error:
        raise ValueError(f"{what}: {error}") from error


def _load_one(file: Path) -> Metadata:
    if str(uuid.UUID(file.stem)) != file.stem:
        raise ValueError("not named by an id")
    with _open(file) as stream:
        imported = _head(stream)
    try:
        with _open(file.with_suffix(_CHANGED)) as stream:
            changed = _decoded(stream.read(MAX_METADATA), "changed metadata")
    except FileNotFoundError:
        return imported
    if changed.size != imported.size:
        raise ValueError(f"changed metadata: of a text of {changed.size} bytes instead of {imported.size}")
    return changed


def _move_aside(file: Path) -> str:
    aside = file.with_name(_DAMAGED + file.name)
    if aside.exists():
        return f"left where it is, since {aside.name} exists"
    try:
        file.rename(aside)
        with suppress(FileNotFoundError):
            changed = file.with_suffix(_CHANGED)
            changed.rename(changed.with_name(_DAMAGED + changed.name))
    except OSError as error:
        return f"left where it is ({error.strerror})"
    return f"moved to {aside.name}"
