"""Configuration profiles as files, for the embedded configuration service.

One profile is one file, named by the id in its object path: a line of JSON (`Metadata`), then the text exactly
as it was imported.  Profiles that are to outlive a reboot lie in the state directory, the others in the
runtime directory (a tmpfs): both outlive the process, which ends when idle.

A crash or a full disk leaves the old content of a file (files.py).  A file that cannot be read as a profile is renamed
to `damaged-…`, for somebody to look at.  Texts are read when needed and not kept in memory.
"""

import asyncio
import os
import stat
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

import msgspec

from ...policy import limits
from ..errors import CallerError, NoSuchObject
from ..files import TEMPORARY, flush_directory, replace_file

PATH_PREFIX = "/net/openvpn/v3/configuration/"
_SUFFIX = ".profile"
_DAMAGED = "damaged-"  # prefix
_MAX_METADATA = 64 * 1024  # bytes of the JSON line

# Bounds that keep the line within that, with a name and all overrides at their longest.
MAX_TAG = 128  # characters, as in the original
MAX_TAGS = 32  # of a profile
MAX_GRANTED = 200  # users that a profile is shared with


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


class StoredProfile(msgspec.Struct, eq=False):
    """One profile in the store."""

    file: Path
    persistent: bool
    metadata: Metadata
    changing: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)

    @property
    def path(self) -> str:
        """The D-Bus object path."""
        return PATH_PREFIX + self.file.stem.replace("-", "x")


class ProfileStore:
    """The profiles in the runtime and the state directory, by object path.

    Its methods run on the event loop; what touches files runs in a thread.
    """

    def __init__(self, runtime_dir: Path, state_dir: Path) -> None:
        self._directory = {False: runtime_dir / "profiles", True: state_dir / "profiles"}
        self._importing: Counter[int] = Counter()
        self.profiles: dict[str, StoredProfile] = {}

    async def load(self) -> list[str]:
        """Read what earlier processes stored; returns a line for the log about each file left out."""
        notes: list[str] = []
        found: list[StoredProfile] = []
        for persistent, directory in self._directory.items():
            here, notes_here = await asyncio.to_thread(_load, directory, persistent)
            found += here
            notes += notes_here
        found.sort(key=lambda profile: profile.metadata.imported)
        self.profiles = {profile.path: profile for profile in found}
        return notes

    async def add(
        self, name: str, text: bytes, owner: int, *, single_use: bool, persistent: bool, problem: str = ""
    ) -> StoredProfile:
        """Store a new profile; raises CallerError if it cannot be stored, or if `owner` has too many."""
        owned = sum(profile.metadata.owner == owner for profile in self.profiles.values())
        if owned + self._importing[owner] >= limits.MAX_PROFILES_PER_USER:
            raise CallerError(
                f"a user may have {limits.MAX_PROFILES_PER_USER} configuration profiles: remove one first"
            )
        metadata = Metadata(
            name=name,
            owner=owner,
            size=len(text),
            imported=int(time.time()),
            single_use=single_use,
            problem=problem,
        )
        file = self._directory[persistent] / f"{uuid.uuid4()}{_SUFFIX}"
        profile = StoredProfile(file, persistent, metadata)
        self._importing[owner] += 1
        try:
            await asyncio.to_thread(_write, file, metadata, text, durable=persistent)
        finally:
            self._importing[owner] -= 1
        self.profiles[profile.path] = profile
        return profile

    def find(self, path: str) -> StoredProfile:
        """The profile at an object path; raises NoSuchObject."""
        try:
            return self.profiles[path]
        except KeyError:
            raise NoSuchObject(path) from None

    async def text(self, profile: StoredProfile) -> bytes:
        """The text as imported; raises CallerError if its file cannot be read."""
        return (await asyncio.to_thread(_read, profile.file))[1]

    async def change(self, profile: StoredProfile, change: Callable[[Metadata], dict[str, Any]]) -> None:
        """Replace the metadata that `change` returns, given the present one, in the file and then in memory.

        Raises CallerError if it cannot be stored, NoSuchObject if the profile was removed meanwhile.
        """
        async with profile.changing:
            self.find(profile.path)
            metadata = msgspec.structs.replace(profile.metadata, **change(profile.metadata))
            await asyncio.to_thread(_rewrite, profile.file, metadata, durable=profile.persistent)
            profile.metadata = metadata

    async def remove(self, profile: StoredProfile) -> None:
        """Delete a profile; raises CallerError if its file cannot be deleted, NoSuchObject if it is gone."""
        async with profile.changing:
            self.find(profile.path)
            await asyncio.to_thread(_unlink, profile.file, durable=profile.persistent)
            del self.profiles[profile.path]


@contextmanager
def _errors_for_caller(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CallerError(f"the profile cannot be {what} ({file.parent}: {error.strerror})") from error
    except ValueError as error:
        raise CallerError(f"the profile cannot be {what} ({file}: damaged, {error})") from error


def _write(file: Path, metadata: Metadata, text: bytes, durable: bool) -> None:
    with _errors_for_caller(file, "stored"):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, msgspec.json.encode(metadata) + b"\n" + text, durable=durable)


def _rewrite(file: Path, metadata: Metadata, durable: bool) -> None:
    _write(file, metadata, _read(file)[1], durable)


def _unlink(file: Path, durable: bool) -> None:
    with _errors_for_caller(file, "removed"):
        file.unlink(missing_ok=True)
        if durable:
            flush_directory(file.parent)


def _read(file: Path) -> tuple[Metadata, bytes]:
    with _errors_for_caller(file, "read"), _open(file) as stream:
        return _metadata(stream), stream.read()


def _open(file: Path) -> BufferedReader:
    return os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _metadata(stream: BufferedReader) -> Metadata:
    """The metadata at the head of an open profile file; raises ValueError if it does not fit what follows."""
    status = os.fstat(stream.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    line = stream.readline(_MAX_METADATA)
    try:
        metadata = msgspec.json.decode(line, type=Metadata)
    except msgspec.DecodeError as error:
        raise ValueError(f"first line: {error}") from error
    if status.st_size != len(line) + metadata.size:
        raise ValueError(f"{status.st_size} bytes long instead of {len(line) + metadata.size}")
    return metadata


def _load(directory: Path, persistent: bool) -> tuple[list[StoredProfile], list[str]]:
    profiles: list[StoredProfile] = []
    notes: list[str] = []
    try:
        files = sorted(directory.iterdir())
    except FileNotFoundError:
        return profiles, notes
    except OSError as error:
        return profiles, [f"profiles in {directory} cannot be read: {error.strerror}"]
    for file in files:
        if file.suffix == TEMPORARY:
            # Left by a process that was killed before the rename: nobody was told that it is stored.
            with suppress(OSError):
                file.unlink()
        elif file.suffix == _SUFFIX and not file.name.startswith(_DAMAGED):
            try:
                profiles.append(_load_one(file, persistent))
            except OSError as error:
                notes.append(f"profile {file} cannot be read: {error.strerror}")
            except ValueError as error:
                notes.append(f"profile {file} is damaged ({error}): {_move_aside(file)}")
    return profiles, notes


def _load_one(file: Path, persistent: bool) -> StoredProfile:
    if str(uuid.UUID(file.stem)) != file.stem:
        raise ValueError("not named by an id")
    with _open(file) as stream:
        return StoredProfile(file, persistent, _metadata(stream))


def _move_aside(file: Path) -> str:
    aside = file.with_name(_DAMAGED + file.name)
    if aside.exists():
        return f"left where it is, since {aside.name} exists"
    try:
        file.rename(aside)
    except OSError as error:
        return f"left where it is ({error.strerror})"
    return f"moved to {aside.name}"
