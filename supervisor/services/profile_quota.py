"""How much of memory and disk profiles may take: of one user, of all, and beside what else the file system holds.

Sizes are in bytes.  What is kept counts for its owner; who has not been there yet finds something, too, since a user
gets no more than all others together leave free.
"""

import os
from collections import Counter
from pathlib import Path

import msgspec

from ...policy import limits
from ...policy.quotas import BY_DEFAULT, Quotas
from ..errors import CallerError


class FileSystem(msgspec.Struct, frozen=True):
    """What statvfs(3) says of the file system of a directory."""

    size: int
    free: int  # for us

    @property
    def left_free(self) -> int:
        """How much of it profiles leave free."""
        return min(limits.LEFT_FREE, self.size // limits.LEFT_FREE_PART)


def file_system(directory: Path) -> FileSystem:
    """The file system that `directory` is in, or will be when it is made.  Raises OSError."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    found = os.statvfs(directory)
    return FileSystem(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


class ProfileQuota:
    """What profiles in one place take, of each owner and in all."""

    def __init__(self, directory: Path, *, persistent: bool) -> None:
        self._directory = directory
        self._persistent = persistent
        self._taken: Counter[int] = Counter()
        self._all = 0
        self.under_way = 0  # counted, and not yet in the file system
        if persistent:
            self._where, self._elsewhere = "on disk", "as one that does not persist"
            self._most = limits.PROFILES_ON_DISK
        else:
            self._where, self._elsewhere = "in memory", "as a persistent one"
            self._most = limits.PROFILES_IN_MEMORY

    def take(self, owner: int, text: int) -> None:
        """Count a profile with a text of this size."""
        self._taken[owner] += text + limits.PROFILE_OVERHEAD
        self._all += text + limits.PROFILE_OVERHEAD

    def give_back(self, owner: int, text: int) -> None:
        """Count one less."""
        self._taken[owner] -= text + limits.PROFILE_OVERHEAD
        self._all -= text + limits.PROFILE_OVERHEAD
        if not self._taken[owner]:
            del self._taken[owner]

    def check(self, owner: int, text: int, there: FileSystem, quotas: Quotas = BY_DEFAULT) -> None:
        """Raise CallerError if there is no room for one more, naming what is full and what to do."""
        most_of_user = quotas.disk_per_user if self._persistent else quotas.memory_per_user
        size = text + limits.PROFILE_OVERHEAD
        own = self._taken[owner]
        most = min(self._most, there.size // limits.PROFILES_PART)
        if own + size > most_of_user:
            raise CallerError(
                f"Your configuration profiles {self._where} take {_shown(own)}, and with this one they would exceed "
                f"the {_shown(most_of_user)} that each user has: remove one first, or import it {self._elsewhere}"
            )
        if own + size > most - self._all:
            raise CallerError(
                f"The room for configuration profiles {self._where} ({self._directory}) is nearly full: those of all "
                f"users take {_shown(self._all)} of {_shown(most)}, yours {_shown(own)}, and no user gets more than is "
                f"left free: remove one of yours, or import it {self._elsewhere}"
            )
        if there.free - self.under_way - size < there.left_free:
            raise CallerError(
                f"The file system of {self._directory} is nearly full: {_shown(there.free)} are free, of which "
                f"{_shown(there.left_free)} are kept for sessions and other services: ask the administrator to make "
                f"room there, or import it {self._elsewhere}"
            )

    def check_change(self, there: FileSystem) -> None:
        """Raise CallerError if the file system is too full for the metadata of a profile to be replaced."""
        if there.free < there.left_free // 2:
            raise CallerError(
                f"The file system of {self._directory} is nearly full ({_shown(there.free)} are free), so profiles "
                "there can only be removed: ask the administrator to make room"
            )


def _shown(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size // 2**10} KiB"
