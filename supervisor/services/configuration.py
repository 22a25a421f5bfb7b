"""The embedded configuration service: net.openvpn.v3.configuration, if no other program provides it."""

import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Any

from ...policy import limits
from ...policy.access import Acl, Caller, listed_for
from ...policy.dbus_numbers import LogGroup
from ...policy.pieces import Pieces
from ...policy.profile import syntax
from ...policy.profile.other_formats import other_format
from ...policy.profile.validity import problem
from ..accounts import account_id
from ..bus.configuration_api import BUS_NAME, CONFIGURATION, PROFILE, ROOT_PATH
from ..bus.dispatch import Dispatcher
from ..bus.signals import Signals
from ..errors import CallerError, NoSuchObject
from ..logging.log import Log
from .profile_files import Metadata
from .profile_object import ProfileObject, acl_of, check_name
from .profile_store import ProfileStore, StoredProfile
from .profiles import Identity, NoProfile, Profile, Reserved, not_shared


class ProfileEvent(IntEnum):
    """Argument of ConfigurationManagerEvent."""

    CREATED = 1
    DESTROYED = 2


class ConfigurationService:
    """The root object of the service, and the session manager's source of profiles (`profiles.Profiles`).

    Clients tell from `version` what the service can do: "v22" and above has Validate and tags.
    """

    acl: Acl | None = None

    def __init__(
        self, store: ProfileStore, dispatcher: Dispatcher, signals: Signals, log: Log, *, service_uid: int, version: str
    ) -> None:
        self.version = version
        self.service_uid = service_uid
        self.store = store
        self._dispatcher = dispatcher
        self._signals = signals
        self.log = log
        self._reserved = Reserved()
        self.on_removed: Callable[[Identity], Awaitable[None]] | None = None  # also when it is given to another user

    async def start(self) -> None:
        """Read the stored profiles and put all objects on the bus."""
        for note in await self.store.load():
            self.log.warn(note, group=LogGroup.CONFIGMGR)
        self._dispatcher.export(ROOT_PATH, CONFIGURATION, self, bus_name=BUS_NAME)
        for stored in self.store.profiles.values():
            self._export(stored)

    # D-Bus methods

    async def import_profile(self, caller: Caller, name: str, text: str, single_use: bool, persistent: bool) -> str:
        """Answers Import."""
        check_name(name)
        profile = text.encode()
        if len(profile) > limits.MAX_PROFILE:
            raise CallerError(f"The profile is larger than {limits.MAX_PROFILE // 2**20} MiB")
        stored = await self.store.add(
            name, profile, caller.uid, single_use=single_use, persistent=persistent, problem=_problem(text)
        )
        self._export(stored)
        self._announce(stored, ProfileEvent.CREATED)
        text = f"profile {stored.path} imported by user {caller.uid}"
        self.log.verb1(text, group=LogGroup.CONFIGMGR, user=caller.uid)
        return stored.path

    def fetch_available_configs(self, caller: Caller) -> list[str]:
        """Answers FetchAvailableConfigs."""
        return [stored.path for stored in self.store.usable_by(caller.uid)]

    def lookup_config_name(self, caller: Caller, name: str) -> list[str]:
        """Answers LookupConfigName."""
        return [stored.path for stored in self.store.usable_by(caller.uid) if stored.metadata.name == name]

    def search_by_tag(self, caller: Caller, tag: str) -> list[str]:
        """Answers SearchByTag."""
        return [stored.path for stored in self.store.usable_by(caller.uid) if tag in stored.metadata.tags]

    async def search_by_owner(self, caller: Caller, owner: str) -> list[str]:
        """Answers SearchByOwner; a user that does not exist has no profiles."""
        uid = await _user_id(owner, caller)
        return [stored.path for stored in self.store.usable_by(caller.uid) if stored.metadata.owner == uid]

    async def transfer_ownership(self, caller: Caller, path: str, new_owner: int) -> None:
        """Answers TransferOwnership; who else may use the profile stays as it is."""
        try:
            stored = self.store.find(path)
            before = _identity(stored)
            await self.store.change(stored, lambda _: {"owner": new_owner})
        except NoSuchObject:
            raise NoProfile(path) from None
        if new_owner != before.owner:
            await self._removed(before)
        self.log.info(f"profile {path} given to user {new_owner}", group=LogGroup.CONFIGMGR)

    # For the session manager

    async def profile_for(self, path: str, caller: Caller) -> Profile:
        """See `profiles.Profiles`."""
        try:
            stored = self.store.find(path)
        except NoSuchObject:
            raise NoProfile(path) from None
        metadata = stored.metadata
        if not listed_for(caller.uid, acl_of(metadata)):
            raise not_shared(path)
        if metadata.single_use:
            self._reserved.reserve(path)
        try:
            text = await self.store.text(stored, caller.uid)
        except BaseException:
            self._reserved.release(path)
            raise
        return Profile(
            path=path,
            owner=metadata.owner,
            imported=metadata.imported,
            persistent=stored.persistent,
            name=metadata.name,
            text=text,
            transfer_owner=metadata.transfer_owner,
            overrides=dict(metadata.overrides),
            single_use=metadata.single_use,
        )

    async def identify(self, path: str) -> Identity:
        """See `profiles.Profiles`."""
        try:
            return _identity(self.store.find(path))
        except NoSuchObject:
            raise NoProfile(path) from None

    async def used(self, profile: Profile) -> None:
        """See `profiles.Profiles`."""
        try:
            stored = self.store.find(profile.path)
            if stored.metadata.single_use:
                await self.remove(stored)
                self._reserved.release(profile.path)
            else:
                await self.store.change(stored, _count_use)
        except NoSuchObject:
            self._reserved.release(profile.path)  # removed by its owner in the meantime
        except CallerError as error:
            text = f"use of profile {profile.path} not counted: {error}"
            self.log.warn(text, group=LogGroup.CONFIGMGR, user=profile.owner)

    def unused(self, profile: Profile) -> None:
        """See `profiles.Profiles`."""
        self._reserved.release(profile.path)

    async def remove(self, stored: StoredProfile) -> None:
        """Delete a profile and remove its object from the bus; raises CallerError if it cannot be deleted."""
        await self.store.remove(stored)
        self._dispatcher.withdraw(stored.path)
        self._announce(stored, ProfileEvent.DESTROYED)
        await self._removed(_identity(stored))

    async def _removed(self, profile: Identity) -> None:
        if self.on_removed is not None:
            await self.on_removed(profile)

    def _export(self, stored: StoredProfile) -> None:
        self._dispatcher.export(stored.path, PROFILE, ProfileObject(self, stored), bus_name=BUS_NAME)

    def _announce(self, stored: StoredProfile, event: ProfileEvent) -> None:
        body = [stored.path, event.value, stored.metadata.owner]
        self._signals.emit(ROOT_PATH, CONFIGURATION, "ConfigurationManagerEvent", body, of=stored.metadata.owner)


# The row of Import asks for a method with a name that Python reserves.
setattr(ConfigurationService, "import", ConfigurationService.import_profile)


def _problem(text: str) -> Pieces[str]:
    """Why no session can be started with a profile; raises CallerError if it is not a profile at all."""
    try:
        options = yield from syntax.tokenizing(text)
        return problem(text, options) or ""
    except syntax.ProfileTextError as error:
        raise CallerError(f"The profile cannot be read: {other_format(text) or error}") from error


def _identity(stored: StoredProfile) -> Identity:
    metadata = stored.metadata
    return Identity(path=stored.path, owner=metadata.owner, imported=metadata.imported, persistent=stored.persistent)


def _count_use(metadata: Metadata) -> dict[str, Any]:
    return {"used_count": metadata.used_count + 1, "last_used": int(time.time())}


async def _user_id(user: str, caller: Caller) -> int | None:
    """The number of a user given by name or number, for a caller; None if there is none."""
    if user.isascii() and user.isdecimal():
        return int(user)
    try:
        return await account_id(user, caller.uid)
    except (KeyError, ValueError):
        return None
    except TimeoutError:
        raise CallerError(f"Looking up the user {user!a} takes too long; give the number") from None
