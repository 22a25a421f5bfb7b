"""What every worker of a session is given: the profile, in a memory file of its own, and what goes with it."""

import fcntl
import os

from ...policy.profile.wanted import Wanted, wanted_by
from ..sandbox.pkcs11_providers import ListedProviders
from ..services.long_work import LongWork
from ..services.profiles import Profile


class LaunchSpec:
    """What to launch a session's workers with."""

    def __init__(self, profile: Profile, wanted: Wanted, *, reusable: bool) -> None:
        """`wanted` is what the profile asks for.

        With `reusable` more than one worker may be given it.  Raises OSError.
        """
        self.overrides = tuple(profile.overrides.items())
        self.providers = wanted.providers
        self.device = wanted.device
        self.reusable = reusable
        self.profile = _sealed_memfd(profile.text)

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
    return LaunchSpec(profile, wanted, reusable=reusable)


def _sealed_memfd(content: bytes) -> int:
    """A file in memory that nobody can change any more (memfd_create(2), fcntl(2))."""
    descriptor = os.memfd_create("profile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
