"""What the session manager needs from a configuration service, ours or that of OpenVPN 3 Linux."""

from typing import Protocol

import msgspec

from ...policy.access import Caller
from ..errors import AccessDenied, CallerError


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a profile from all others, also from one that has its path later; and whether it outlives a reboot."""

    path: str
    owner: int
    imported: int  # seconds since 1970
    persistent: bool


class Profile(Identity, frozen=True, kw_only=True):
    """A configuration profile that a caller may start a session with."""

    name: str
    text: bytes
    transfer_owner: bool  # the session belongs to the profile's owner, whoever starts it
    overrides: dict[str, bool | str]
    single_use: bool


class NoProfile(CallerError):
    """There is no profile at an object path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"No configuration profile at {path}")


class KnownProfiles(Protocol):
    """Says which profiles there are."""

    async def identify(self, path: str) -> Identity:
        """The profile at an object path, whoever may use it.

        Raises NoProfile if there is none, another CallerError if that cannot be told.
        """


class Profiles(KnownProfiles, Protocol):
    """A source of profiles."""

    async def profile_for(self, path: str, caller: Caller) -> Profile:
        """The profile at an object path; whoever gets it calls `used` or `unused` in the end.

        A single-use one is given to nobody else meanwhile.
        Raises AccessDenied if `caller` may not use it, CallerError if there is none or it is not available.
        """

    async def used(self, profile: Profile) -> None:
        """Count that a session was started with `profile`, and remove a single-use one.

        Does not raise: the session can do without.  It keeps its own copy of the profile.
        """

    def unused(self, profile: Profile) -> None:
        """No session was started with `profile`: a single-use one can be used after all."""


class Reserved:
    """The single-use profiles that a session is being started with, by path; and those that could not be removed."""

    def __init__(self) -> None:
        self._paths: set[str] = set()

    def reserve(self, path: str) -> None:
        """Give the profile to one caller.  Raises CallerError if it is another's."""
        if path in self._paths:
            raise CallerError(
                f"The configuration profile {path} is for one session only, and one has been started with it: import "
                "it again for another"
            )
        self._paths.add(path)

    def release(self, path: str) -> None:
        """The profile is there for others, or is gone."""
        self._paths.discard(path)


def not_shared(path: str) -> AccessDenied:
    """The error for a profile that the caller may not use."""
    return AccessDenied(f"Access denied: the configuration profile {path} is not shared with you")


def not_yours(path: str) -> AccessDenied:
    """The error for what is for the owner of a profile."""
    return AccessDenied(f"Access denied: the configuration profile {path} is not yours")
