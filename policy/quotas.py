"""How much each user, and all, may have, as far as the administrator may choose it."""

import msgspec

from .limits import (
    DEFAULT_SESSIONS,
    DEFAULT_SESSIONS_PER_USER,
    MAX_PROFILES_PER_USER,
    PROFILES_IN_MEMORY_PER_USER,
    PROFILES_ON_DISK_PER_USER,
)

_ROOT = 0


class Quotas(msgspec.Struct, frozen=True):
    """The numbers in force; sizes in bytes.  What each user may have is for root no less than it is by default."""

    sessions: int = DEFAULT_SESSIONS
    sessions_per_user: int = DEFAULT_SESSIONS_PER_USER
    profiles_per_user: int = MAX_PROFILES_PER_USER
    disk_per_user: int = PROFILES_ON_DISK_PER_USER
    memory_per_user: int = PROFILES_IN_MEMORY_PER_USER

    def of(self, uid: int) -> "Quotas":
        """Those for a user."""
        if uid != _ROOT:
            return self
        return Quotas(
            self.sessions,
            max(self.sessions_per_user, BY_DEFAULT.sessions_per_user),
            max(self.profiles_per_user, BY_DEFAULT.profiles_per_user),
            max(self.disk_per_user, BY_DEFAULT.disk_per_user),
            max(self.memory_per_user, BY_DEFAULT.memory_per_user),
        )


BY_DEFAULT = Quotas()
