"""The configuration profiles of the embedded configuration service.

Profiles that are to outlive a reboot lie in the state directory, the others in the runtime directory (a tmpfs): both
outlive the process, which ends when idle (profile_files.py).  Texts are read when needed and not kept in memory.
"""

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ...policy.pieces import Pieces
from ...policy.quotas import BY_DEFAULT, Quotas
from ..errors import CallerError, NoSuchObject
from .long_work import LongWork
from .profile_files import SUFFIX, Metadata, load, read_text, remove_profile, write_metadata, write_profile
from .profile_quota import ProfileQuota, file_system

T = TypeVar("T")

PATH_PREFIX = "/net/openvpn/v3/configuration/"


class StoredProfile(msgspec.Struct, eq=False):
    """One profile in the store."""

    file: Path
    persistent: bool
    metadata: Metadata
    number: int = 0  # in the order in which they came
    changing: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)

    @property
    def path(self) -> str:
        """The D-Bus object path."""
        return PATH_PREFIX + self.file.stem.replace("-", "x")


class ProfileStore:
    """The profiles in the runtime and the state directory, by object path.

    Its methods run on the event loop; what touches files runs in a thread, in its user's turn.
    """

    def __init__(self, runtime_dir: Path, state_dir: Path, quotas: Quotas = BY_DEFAULT) -> None:
        self.quotas = quotas  # may be changed at any time
        self.long_work = LongWork()
        self.profiles: dict[str, StoredProfile] = {}
        self._directory = {False: runtime_dir / "profiles", True: state_dir / "profiles"}
        self._quota = {kept: ProfileQuota(self._directory[kept], persistent=kept) for kept in (False, True)}
        self._numbers = itertools.count()
        self._count: Counter[int] = Counter()  # by owner, with those that are being imported
        self._usable: dict[int, set[str]] = {}  # paths, by owner and by whom they are shared with
        self._public: set[str] = set()  # paths

    async def load(self) -> list[str]:
        """Read what earlier processes stored; returns a line for the log about each file left out."""
        notes: list[str] = []
        found: list[StoredProfile] = []
        for persistent, directory in self._directory.items():
            here, notes_here = await asyncio.to_thread(load, directory)
            found += (StoredProfile(file, persistent, metadata) for file, metadata in here)
            notes += notes_here
        found.sort(key=lambda profile: profile.metadata.imported)
        self.profiles = {profile.path: profile for profile in found}
        for profile in found:
            profile.number = next(self._numbers)
            self._take(profile.persistent, profile.metadata)
            self._list(profile)
        return notes

    async def add(
        self,
        name: str,
        text: bytes,
        owner: int,
        *,
        single_use: bool,
        persistent: bool,
        problem: Pieces[str] | None = None,
    ) -> StoredProfile:
        """Store a new profile, if there is room for it; `problem` then tells what its metadata has under that name.

        Raises CallerError if there is no room, or it cannot be stored, and the errors of `problem`.
        """
        metadata = Metadata(name=name, owner=owner, size=len(text), imported=int(time.time()), single_use=single_use)
        directory = self._directory[persistent]
        await self.long_work.keep_pace(owner, len(text))
        try:
            there = await self._soon(persistent, owner, lambda: file_system(directory))
        except OSError as error:
            raise CallerError(f"the profile cannot be stored ({directory}: {error.strerror})") from error
        quotas = self.quotas.of(owner)
        if self._count[owner] >= quotas.profiles_per_user:
            raise CallerError(f"a user may have {quotas.profiles_per_user} configuration profiles: remove one first")
        self._quota[persistent].check(owner, len(text), there, quotas)
        file = directory / f"{uuid.uuid4()}{SUFFIX}"
        self._take(persistent, metadata)
        self._quota[persistent].under_way += len(text)
        try:
            if problem is not None:
                text_of_problem = await self.long_work.in_pieces(owner, problem)
                metadata = msgspec.structs.replace(metadata, problem=text_of_problem)
            await self.long_work.in_thread(owner, write_profile, file, metadata, text, durable=persistent)
        except BaseException:
            self._give_back(persistent, metadata)
            raise
        finally:
            self._quota[persistent].under_way -= len(text)
        profile = StoredProfile(file, persistent, metadata, next(self._numbers))
        self.profiles[profile.path] = profile
        self._list(profile)
        return profile

    def find(self, path: str) -> StoredProfile:
        """The profile at an object path; raises NoSuchObject."""
        try:
            return self.profiles[path]
        except KeyError:
            raise NoSuchObject(path) from None

    def usable_by(self, uid: int) -> list[StoredProfile]:
        """The profiles of a user, those shared with the user and public ones; the oldest first.

        In a time that does not grow with what others have.
        """
        found = [self.profiles[path] for path in self._public | self._usable.get(uid, set())]
        found.sort(key=lambda profile: profile.number)
        return found

    async def text(self, profile: StoredProfile, reader: int) -> bytes:
        """The text as imported, for a user; raises CallerError if its file cannot be read."""
        text = await self.long_work.in_thread(reader, read_text, profile.file)
        await self.long_work.keep_pace(reader, len(text))
        return text

    async def change(self, profile: StoredProfile, change: Callable[[Metadata], dict[str, Any]]) -> None:
        """Replace the metadata that `change` returns, given the present one, on file and then in memory.

        Raises CallerError if it cannot be stored, NoSuchObject if the profile was removed meanwhile.
        """
        async with profile.changing:
            self.find(profile.path)
            before = profile.metadata
            metadata = msgspec.structs.replace(before, **change(before))
            await self._soon(profile.persistent, before.owner, lambda: self._write_metadata(profile, metadata))
            self._give_back(profile.persistent, before)
            self._take(profile.persistent, metadata)
            self._unlist(profile)
            profile.metadata = metadata
            self._list(profile)

    async def remove(self, profile: StoredProfile) -> None:
        """Delete a profile; raises CallerError if its file cannot be deleted, NoSuchObject if it is gone."""
        async with profile.changing:
            self.find(profile.path)
            await self.long_work.in_thread(
                profile.metadata.owner, remove_profile, profile.file, durable=profile.persistent
            )
            self._give_back(profile.persistent, profile.metadata)
            self._unlist(profile)
            del self.profiles[profile.path]

    async def _soon(self, persistent: bool, user: int, work: Callable[[], T]) -> T:
        """The result of `work` on a small file, which takes no time in memory, and on disk may."""
        if persistent:
            return await self.long_work.in_thread(user, work)
        return await self.long_work.in_pieces(user, _one_piece(work))

    def _write_metadata(self, profile: StoredProfile, metadata: Metadata) -> None:
        try:
            there = file_system(profile.file.parent)
        except OSError as error:
            raise CallerError(f"the profile cannot be stored ({profile.file.parent}: {error.strerror})") from error
        self._quota[profile.persistent].check_change(there)
        write_metadata(profile.file, metadata, durable=profile.persistent)

    def _list(self, profile: StoredProfile) -> None:
        metadata = profile.metadata
        for uid in {metadata.owner, *metadata.granted}:
            self._usable.setdefault(uid, set()).add(profile.path)
        if metadata.public:
            self._public.add(profile.path)

    def _unlist(self, profile: StoredProfile) -> None:
        for uid in {profile.metadata.owner, *profile.metadata.granted}:
            self._usable[uid].discard(profile.path)
            if not self._usable[uid]:
                del self._usable[uid]
        self._public.discard(profile.path)

    def _take(self, persistent: bool, metadata: Metadata) -> None:
        self._count[metadata.owner] += 1
        self._quota[persistent].take(metadata.owner, metadata.size)

    def _give_back(self, persistent: bool, metadata: Metadata) -> None:
        self._count[metadata.owner] -= 1
        self._quota[persistent].give_back(metadata.owner, metadata.size)


def _one_piece(work: Callable[[], T]) -> Pieces[T]:
    yield
    return work()
