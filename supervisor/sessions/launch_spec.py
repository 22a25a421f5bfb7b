"""What every worker of a session is given: the profile, in a memory file of its own, and what goes with it."""

import asyncio
import fcntl
import os
from hashlib import sha256

from ...policy.limits import MAX_PROFILE
from ...policy.profile.bound_credentials import fingerprint
from ...policy.profile.wanted import Wanted, wanted_by
from ..accounts import account_name
from ..sandbox.pkcs11_providers import ListedProviders
from ..services.long_work import LongWork
from ..services.profiles import Profile

_SHORT = 64 * 1024  # bytes of a profile that take less time than handing it to a thread
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class LaunchSpec:
    """What to launch a session's workers with."""

    def __init__(
        self,
        overrides: tuple[tuple[str, bool | str], ...],
        wanted: Wanted,
        profile: int,
        *,
        reusable: bool,
        digest: str = "",
        fingerprint_of: tuple[int, str] = (-1, ""),
    ) -> None:
        """`wanted` is what the profile asks for, `profile` a sealed memory file of it, which belongs to this now.

        With `reusable` more than one worker may be given it, which has this `digest`.  `fingerprint_of` is its owner,
        and its fingerprint.
        """
        self.overrides = overrides
        self.providers = wanted.providers
        self.device = wanted.device
        self.reusable = reusable
        self.digest = digest
        self.profile = profile
        self._fingerprint_of = fingerprint_of

    def fingerprint_for(self, owner: int) -> str:
        """The fingerprint by which a session of this user finds credentials; empty unless the profile is theirs."""
        profile_owner, found = self._fingerprint_of
        return found if owner == profile_owner else ""

    def close(self) -> None:
        """Forget the profile: no worker is given it any more."""
        if self.profile >= 0:
            os.close(self.profile)
            self.profile = -1


async def launch_spec(
    profile: Profile, providers: ListedProviders, long_work: LongWork, uid: int, *, reusable: bool
) -> LaunchSpec:
    """The spec for sessions of `profile`, which is searched for what it asks for in the turn of user `uid`.

    Raises OSError.
    """
    wanted = await long_work.in_pieces(uid, wanted_by(profile.text, providers.listed))
    short = len(profile.text) <= _SHORT
    digest = _digest(profile.text) if short else await asyncio.to_thread(_digest, profile.text)
    return LaunchSpec(
        tuple(profile.overrides.items()),
        wanted,
        _sealed_memfd(profile.text),
        reusable=reusable,
        digest=digest,
        fingerprint_of=(profile.owner, fingerprint(profile.owner, digest, profile.overrides)),
    )


def is_profile(descriptor: int, digest: str) -> bool:
    """Whether a descriptor is of a file that nobody can change, with the profile of this digest.  Blocks a while."""
    try:
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            return False
        size = os.fstat(descriptor).st_size
        return size <= MAX_PROFILE and _digest(os.pread(descriptor, size, 0)) == digest
    except OSError:
        return False


def _digest(text: bytes) -> str:
    return sha256(text).hexdigest()


def _sealed_memfd(content: bytes) -> int:
    """A file in memory that nobody can change any more (memfd_create(2), fcntl(2))."""
    descriptor = os.memfd_create("profile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


async def worker_title(session: str, config_name: str, owner: int, *, full: bool) -> str:
    """What a worker is to be called among the processes; without `full` it names neither profile nor user."""
    number = f"session {session}"
    return f"{config_name} of {await account_name(owner)}, {number}" if full else number
