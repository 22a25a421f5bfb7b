"""The D-Bus object of a configuration profile: its methods and properties."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from dbus_fast import Variant

from ...policy.access import Acl, Caller
from ...policy.dbus_numbers import LogGroup
from ...policy.limits import MAX_PROFILE_GRANTS, MAX_PROFILE_NAME, MAX_TAG, MAX_TAGS
from ...policy.profile import overrides
from ...policy.profile.credentials import without_credentials
from ...policy.profile.syntax import ProfileTextError
from ..bus.configuration_api import PROFILE_DENIED
from ..errors import AccessDenied, CallerError, InvalidValue
from ..logging.log import Log
from ..waiting import shared
from .profile_files import Metadata
from .profile_json import profile_json
from .profile_store import ProfileStore, StoredProfile


class ParentService(Protocol):
    """What a profile needs from the configuration service."""

    store: ProfileStore
    service_uid: int
    log: Log

    async def remove(self, stored: StoredProfile) -> None: ...


class ProfileObject:
    """Answers a profile's rows: methods by name, properties as attributes, setting them by `set_…`.

    Texts of errors are those of OpenVPN 3 Linux, where it has one.
    """

    dco = False  # the engine always runs without it

    def __init__(self, service: ParentService, stored: StoredProfile) -> None:
        self._service = service
        self._stored = stored
        self._making: dict[tuple[int, str], asyncio.Future[str]] = {}  # replies, by reader

    # Reading

    def validate(self, caller: Caller) -> None:
        """Answers Validate."""
        if self._metadata.problem:
            raise CallerError(self._metadata.problem)

    async def fetch(self, caller: Caller) -> str:
        """Answers Fetch; a locked-down profile is for its owner and the services alone.

        Others whom it is shared with can use the user names and passwords in it, and not read them.
        """
        self._check_readable(caller)
        return await self._shared(caller, self._read)

    async def fetch_json(self, caller: Caller) -> str:
        """Answers FetchJSON, for the same callers."""
        self._check_readable(caller)
        return await self._shared(caller, self._read_as_json)

    def _check_readable(self, caller: Caller) -> None:
        metadata = self._metadata
        if metadata.locked_down and not self._sees_all(caller.uid):
            raise AccessDenied(PROFILE_DENIED)

    def _sees_all(self, uid: int) -> bool:
        return uid in (self._metadata.owner, self._service.service_uid)

    async def _shared(self, caller: Caller, make: Callable[[int], Coroutine[None, None, str]]) -> str:
        """What `make` gives for a user, made once for all of the user's calls that come before it is there."""
        making = self._making.get((caller.uid, make.__name__))
        if making is None:
            making = asyncio.create_task(make(caller.uid))
            self._making[caller.uid, make.__name__] = making
            making.add_done_callback(lambda _: self._making.pop((caller.uid, make.__name__)))
        text = await shared(making)
        await self._service.store.long_work.keep_pace(caller.uid, len(text))
        return text

    async def _read(self, reader: int) -> str:
        store = self._service.store
        text = (await store.text(self._stored, reader)).decode()
        if self._sees_all(reader):
            return text
        try:
            return await store.long_work.in_pieces(reader, without_credentials(text))
        except ProfileTextError as error:
            raise CallerError(f"The profile cannot be read: {error}") from error

    async def _read_as_json(self, reader: int) -> str:
        text = (await self._read(reader)).encode()
        return await self._service.store.long_work.in_pieces(reader, profile_json(text))

    # Changing: each raises AccessDenied if the profile is sealed, CallerError if the change cannot be stored

    async def set_override(self, caller: Caller, name: str, value: Variant) -> None:
        """Answers SetOverride."""
        try:
            plain = overrides.read(name, value.signature, value.value)
        except overrides.InvalidOverride as error:
            raise CallerError(str(error)) from error
        await self._change(caller, f"override {name} set", lambda metadata: _with_override(metadata, name, plain))

    async def unset_override(self, caller: Caller, name: str) -> None:
        """Answers UnsetOverride."""
        await self._change(caller, f"override {name!a} unset", lambda metadata: _without_override(metadata, name))

    async def add_tag(self, caller: Caller, tag: str) -> None:
        """Answers AddTag."""
        _check_tag(tag)
        await self._change(caller, f"tag {tag} added", lambda metadata: _with_tag(metadata, tag))

    async def remove_tag(self, caller: Caller, tag: str) -> None:
        """Answers RemoveTag."""
        _check_tag(tag)
        await self._change(caller, f"tag {tag} removed", lambda metadata: _without_tag(metadata, tag))

    async def access_grant(self, caller: Caller, uid: int) -> None:
        """Answers AccessGrant."""
        await self._change(caller, f"shared with user {uid}", lambda metadata: _with_user(metadata, uid))

    async def access_revoke(self, caller: Caller, uid: int) -> None:
        """Answers AccessRevoke."""
        await self._change(caller, f"no longer shared with user {uid}", lambda metadata: _without_user(metadata, uid))

    async def set_name(self, caller: Caller, name: str) -> None:
        """Sets the property."""
        check_name(name)
        await self._change(caller, "renamed", lambda _: {"name": name})

    async def set_locked_down(self, caller: Caller, value: bool) -> None:
        """Sets the property."""
        await self._change(caller, f"locked down: {value}", lambda _: {"locked_down": value})

    async def set_public_access(self, caller: Caller, value: bool) -> None:
        """Sets the property."""
        await self._change(caller, f"public: {value}", lambda _: {"public": value})

    async def set_transfer_owner_session(self, caller: Caller, value: bool) -> None:
        """Sets the property."""
        await self._change(caller, f"gives its owner to sessions: {value}", lambda _: {"transfer_owner": value})

    def set_dco(self, caller: Caller, value: bool) -> None:
        """Sets the property, to false; raises InvalidValue for true."""
        _check_not_sealed(self._metadata)
        if value:
            raise InvalidValue("Data channel offload needs privileges that no session has here")

    def set_option(self, caller: Caller, option: str, value: str) -> None:
        """Answers SetOption, which has no effect in the original either."""
        _check_not_sealed(self._metadata)

    async def seal(self, caller: Caller) -> None:
        """Answers Seal."""
        if self._metadata.problem:
            raise CallerError("Configuration is not currently valid")
        await self._service.store.change(self._stored, lambda _: {"readonly": True})
        self._log(caller, "sealed")

    async def remove(self, caller: Caller) -> None:
        """Answers Remove; a sealed profile can be removed too."""
        await self._service.remove(self._stored)

    async def _change(self, caller: Caller, what: str, change: Callable[[Metadata], dict[str, Any]]) -> None:
        def unless_sealed(metadata: Metadata) -> dict[str, Any]:
            _check_not_sealed(metadata)
            return change(metadata)

        await self._service.store.change(self._stored, unless_sealed)
        self._log(caller, what)

    def _log(self, caller: Caller, what: str) -> None:
        text = f"profile {self._stored.path} {what} by user {caller.uid}"
        self._service.log.verb1(text, group=LogGroup.CONFIGMGR, user=caller.uid)

    # Properties

    @property
    def _metadata(self) -> Metadata:
        return self._stored.metadata

    @property
    def acl(self) -> Acl:
        return acl_of(self._metadata)

    @property
    def name(self) -> str:
        return self._metadata.name

    @property
    def import_timestamp(self) -> int:
        return self._metadata.imported

    @property
    def last_used_timestamp(self) -> int:
        return self._metadata.last_used

    @property
    def used_count(self) -> int:
        return self._metadata.used_count

    @property
    def single_use(self) -> bool:
        return self._metadata.single_use

    @property
    def persistent(self) -> bool:
        return self._stored.persistent

    @property
    def locked_down(self) -> bool:
        return self._metadata.locked_down

    @property
    def transfer_owner_session(self) -> bool:
        return self._metadata.transfer_owner

    @property
    def readonly(self) -> bool:
        return self._metadata.readonly

    @property
    def valid(self) -> bool:
        return not self._metadata.problem

    @property
    def tags(self) -> list[str]:
        return list(self._metadata.tags)

    @property
    def overrides(self) -> dict[str, Variant]:
        # Names that an older or newer version knew make the original's command line refuse the whole profile.
        return {
            name: Variant(overrides.OVERRIDES[name].type, value)
            for name, value in self._metadata.overrides.items()
            if name in overrides.OVERRIDES
        }


def acl_of(metadata: Metadata) -> Acl:
    """Who may do what with a profile."""
    return Acl(metadata.owner, set(metadata.granted), metadata.public)


def check_name(name: str) -> None:
    """Raise CallerError for what cannot be a profile's name."""
    if not name.strip():
        raise CallerError("A configuration profile needs a name")
    if len(name.encode()) > MAX_PROFILE_NAME:
        raise CallerError(f"The name is longer than {MAX_PROFILE_NAME} bytes")
    if not name.isprintable():
        raise CallerError("The name contains control characters")


def _check_not_sealed(metadata: Metadata) -> None:
    if metadata.readonly:
        raise AccessDenied("Configuration profile is sealed and read-only")


def _check_tag(tag: str) -> None:
    if not tag:
        raise CallerError("Tag value cannot be empty")
    if len(tag.encode()) > MAX_TAG:
        raise CallerError("Tag value too long")
    if not tag.isprintable():
        raise CallerError("Tag value contains control characters")


def _with_tag(metadata: Metadata, tag: str) -> dict[str, Any]:
    if tag in metadata.tags:
        raise CallerError("Tag already exists")
    if len(metadata.tags) >= MAX_TAGS:
        raise CallerError(f"A profile may have {MAX_TAGS} tags: remove one first")
    return {"tags": (*metadata.tags, tag)}


def _without_tag(metadata: Metadata, tag: str) -> dict[str, Any]:
    if tag not in metadata.tags:
        raise CallerError("Non-existing tag")
    return {"tags": tuple(one for one in metadata.tags if one != tag)}


def _with_user(metadata: Metadata, uid: int) -> dict[str, Any]:
    if uid in metadata.granted:
        raise CallerError("UID already granted access")
    if len(metadata.granted) >= MAX_PROFILE_GRANTS:
        raise CallerError(
            f"A profile may be shared with {MAX_PROFILE_GRANTS} users: revoke one first, or make it public"
        )
    return {"granted": (*metadata.granted, uid)}


def _without_user(metadata: Metadata, uid: int) -> dict[str, Any]:
    if uid not in metadata.granted:
        raise CallerError("UID not granted access")
    return {"granted": tuple(one for one in metadata.granted if one != uid)}


def _with_override(metadata: Metadata, name: str, value: bool | str) -> dict[str, Any]:
    return {"overrides": {**metadata.overrides, name: value}}


def _without_override(metadata: Metadata, name: str) -> dict[str, Any]:
    if name not in metadata.overrides:
        raise CallerError(f"Override '{name}' has not been set")
    return {"overrides": {one: value for one, value in metadata.overrides.items() if one != name}}
