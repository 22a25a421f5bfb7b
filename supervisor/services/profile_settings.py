"""Settings of profiles that only this session manager knows (policy/profile/settings.py), kept beside the profiles.

They belong to a profile as it was imported, and to its owner: one that comes to have its path, or another owner, has
none of them.  As profiles do, those of persistent ones outlive a reboot, and the others lie in the runtime directory.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from dbus_fast import Variant

from ...policy.access import Acl, Caller
from ...policy.dbus_numbers import LogGroup
from ...policy.profile.settings import (
    AUTOCONNECT,
    SETTINGS,
    InvalidSetting,
    ProfileSettings,
    in_force,
    of_profile,
    read,
)
from ..errors import CallerError
from ..logging.log import Log
from . import settings_files
from .long_work import LongWork
from .profiles import Identity, KnownProfiles, NoProfile, not_yours
from .settings_files import Kept, KeptSettings


class SettingsStore:
    """The settings of all profiles; the D-Bus methods are those of bus/settings_api.py.

    Nothing is kept in memory.  What reads and writes files runs in a thread, one thing at a time for each owner.
    """

    acl: Acl | None = None

    def __init__(self, runtime_dir: Path, state_dir: Path, profiles: KnownProfiles, log: Log) -> None:
        self._directory = {False: runtime_dir / "settings", True: state_dir / "settings"}
        self._profiles = profiles
        self._log = log
        self._long_work = LongWork()
        # About the setting autoconnect: the former raises an error if a profile cannot have it.
        self.check_autoconnect: Callable[[Identity], Awaitable[None]] | None = None
        self.autoconnect_changed: Callable[[Identity, bool], Awaitable[None]] | None = None
        # What a profile asks, and the names of the credentials that may answer it.  Raises SupervisorError, OSError.
        self.credentials_of: Callable[[Identity], Awaitable[list[tuple[str, str, bool]]]] | None = None

    async def of(self, profile: Identity) -> tuple[ProfileSettings, str]:
        """The settings of a profile; and why they are not as its owner set them, "" if they are."""
        values, trouble = await self._values(profile)
        return of_profile(values), trouble

    async def forget(self, profile: Identity) -> None:
        """The profile is no longer there, or no longer its owner's.  Does not raise: what is kept has no effect."""
        if self.autoconnect_changed is not None:
            await self.autoconnect_changed(profile, False)
        directory = self._directory[profile.persistent]

        def drop() -> None:
            kept = settings_files.load(directory, profile.owner)
            if kept.pop(profile.path, None) is not None:
                settings_files.write(directory, profile.owner, kept, durable=False)

        try:
            await self._long_work.in_thread(profile.owner, drop)
        except (OSError, ValueError, CallerError) as error:
            self._warn(profile, f"The settings of {profile.path}, which is gone, cannot be removed: {error}")

    async def with_autoconnect(self) -> list[Identity]:
        """The profiles that have the setting autoconnect; those whose settings cannot be read count as without."""
        found = []
        for owner in await asyncio.to_thread(settings_files.owners, self._directory[True]):
            try:
                kept = await asyncio.to_thread(settings_files.load, self._directory[True], owner)
            except (OSError, ValueError) as error:
                self._log.warn(f"The settings of the profiles of user {owner} cannot be read: {error}")
                continue
            for path, one in kept.items():
                try:
                    profile = await self._profiles.identify(path)
                except CallerError:
                    continue
                there = profile.persistent and (profile.owner, profile.imported) == (owner, one.imported)
                if there and of_profile(one.values).autoconnect:
                    found.append(profile)
        return found

    # D-Bus methods

    async def get_settings(self, caller: Caller, config_path: str) -> dict[str, Variant]:
        """Answers GetSettings."""
        values, _ = await self._values(await self._profile(config_path, caller))
        return {name: Variant(SETTINGS[name].type, value) for name, value in in_force(values).items()}

    async def set_setting(self, caller: Caller, config_path: str, name: str, value: Variant) -> None:
        """Answers SetSetting."""
        try:
            plain = read(name, value.signature, value.value)
        except InvalidSetting as error:
            raise CallerError(str(error)) from error
        profile = await self._profile(config_path, caller)
        if name == AUTOCONNECT and plain and self.check_autoconnect is not None:
            await self.check_autoconnect(profile)
        gone = await self._gone(profile)
        directory = self._directory[profile.persistent]

        def change() -> None:
            try:
                kept = settings_files.load(directory, profile.owner)
            except ValueError:
                kept = {}  # damaged: all are set anew
            kept = {path: one for path, one in kept.items() if (path, one.imported) not in gone}
            values = dict(_of(kept, profile))
            values.pop(name, None)
            if plain != SETTINGS[name].default:
                values[name] = plain
            kept.pop(profile.path, None)
            if values:
                kept[profile.path] = KeptSettings(profile.imported, values)
            settings_files.write(directory, profile.owner, kept, durable=profile.persistent)

        try:
            await self._long_work.in_thread(profile.owner, change)
            if name == AUTOCONNECT and self.autoconnect_changed is not None:
                await self.autoconnect_changed(profile, bool(plain))
        except OSError as error:
            raise CallerError(f"The setting cannot be stored ({directory}: {error.strerror})") from error
        text = f"setting {name} of profile {config_path} set to {plain} by user {caller.uid}"
        self._log.verb1(text, group=LogGroup.CONFIGMGR, user=caller.uid)

    async def get_credentials(self, caller: Caller, config_path: str) -> list[tuple[str, str, bool]]:
        """Answers GetCredentials."""
        profile = await self._profile(config_path, caller)
        return await self.credentials_of(profile) if self.credentials_of is not None else []

    async def _profile(self, path: str, caller: Caller) -> Identity:
        """The profile at an object path, for its owner and root.  Raises CallerError."""
        profile = await self._profiles.identify(path)
        if caller.uid not in (0, profile.owner):
            raise not_yours(path)
        return profile

    async def _values(self, profile: Identity) -> tuple[dict[str, bool | str], str]:
        """What was set of a profile; and why that cannot be told."""
        directory = self._directory[profile.persistent]
        try:
            kept = await self._long_work.in_thread(profile.owner, settings_files.load, directory, profile.owner)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else f"damaged, {error}"
            self._warn(profile, f"The settings of the profiles of user {profile.owner} cannot be read: {why}")
            return {}, "the profile's settings cannot be read, and count as not set: set them anew"
        return _of(kept, profile), ""

    async def _gone(self, profile: Identity) -> set[tuple[str, int]]:
        """The owner's other profiles of the same kind that settings are kept of, and that are no longer there."""
        directory = self._directory[profile.persistent]
        try:
            kept = await self._long_work.in_thread(profile.owner, settings_files.load, directory, profile.owner)
        except (OSError, ValueError):
            return set()
        gone = set[tuple[str, int]]()
        for path, one in kept.items():
            try:
                found = profile if path == profile.path else await self._profiles.identify(path)
                there = (found.owner, found.imported) == (profile.owner, one.imported)
            except NoProfile:
                there = False
            if not there:
                gone.add((path, one.imported))
        return gone

    def _warn(self, profile: Identity, text: str) -> None:
        self._log.warn(text, group=LogGroup.CONFIGMGR, user=profile.owner)


def _of(kept: Kept, profile: Identity) -> dict[str, bool | str]:
    """What is kept of this profile, not of one that had its path before."""
    one = kept.get(profile.path)
    return one.values if one is not None and one.imported == profile.imported else {}
