"""What the session manager needs from a configuration service, ours or that of OpenVPN 3 Linux."""

from typing import Protocol

import msgspec

from ...policy.access import Caller
from ..errors import AccessDenied, CallerError


class Profile(msgspec.Struct, frozen=True):
    """A configuration profile that a caller may start a session with."""

    path: str
    name: str
    text: bytes
    owner: int
    transfer_owner: bool  # the session belongs to the profile's owner, whoever starts it
    overrides: dict[str, bool | str]
    single_use: bool


class Profiles(Protocol):
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


def no_profile_at(path: str) -> CallerError:
    """The error for a path at which there is no profile."""
    return CallerError(f"No configuration profile at {path}")


def not_shared(path: str) -> AccessDenied:
    """The error for a profile that the caller may not use."""
    return AccessDenied(f"Access denied: the configuration profile {path} is not shared with you")
