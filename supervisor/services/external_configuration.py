"""Profiles from the configuration service of OpenVPN 3 Linux, if that is installed."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dbus_fast import Variant

from ...policy import limits
from ...policy.access import Acl, Caller, listed_for
from ...policy.dbus_numbers import LogGroup
from ...policy.readiness import NO_OBJECT, pauses
from ..bus.configuration_api import BUS_NAME, ROOT_PATH
from ..bus.connection import BusConnection, BusRefused
from ..errors import AccessDenied, CallerError, SystemFailure
from ..logging.log import Log
from .profiles import Identity, NoProfile, Profile, Reserved, not_shared

_PROPERTIES = "org.freedesktop.DBus.Properties"
_STATE_DIR = Path("/var/lib/openvpn3/configs")  # of the service as OpenVPN 3 Linux installs it
_BACKEND_NAME = "net.openvpn.v3.backends.be"  # and a process id


class ExternalConfiguration:
    """The source of profiles (`profiles.Profiles`) that asks the other service."""

    def __init__(self, connection: BusConnection, log: Log, state_dir: Path = _STATE_DIR) -> None:
        """`state_dir` is where the other service keeps persistent profiles."""
        self._connection = connection
        self._log = log
        self._state_dir = state_dir
        self._counting = asyncio.Lock()
        self._reserved = Reserved()

    async def profile_for(self, path: str, caller: Caller) -> Profile:
        """See `profiles.Profiles`; takes `limits.PROFILE_DEADLINE` at most, most of it for starting the service.

        The other service gives every profile to this service's account, so whether `caller` may use it is checked here.
        """
        async with _answering(path):
            return await self._profile_for(path, caller)

    async def identify(self, path: str) -> Identity:
        """See `profiles.Profiles`."""
        async with _answering(path):
            return Identity(**_identity(path, await self._properties(path)))

    async def _profile_for(self, path: str, caller: Caller) -> Profile:
        properties = await self._properties(path)
        acl = await asyncio.to_thread(shared_with, path, properties["owner"], self._state_dir)
        if not listed_for(caller.uid, acl or Acl(properties["owner"])):
            raise not_shared(path) if acl else _sharing_not_known(path)
        single_use = properties.get("single_use", False)
        if single_use:
            self._reserved.reserve(path)
        try:
            async with self._counting:  # else it would be another's use of it that the other service counts
                text = await self._fetch(path)
            if len(text) > limits.MAX_PROFILE:
                raise CallerError(f"The profile is larger than {limits.MAX_PROFILE // 2**20} MiB")
            return Profile(
                **_identity(path, properties),
                name=properties["name"],
                text=text,
                transfer_owner=properties.get("transfer_owner_session", False),
                overrides=_plain(properties.get("overrides", {})),
                single_use=single_use,
            )
        except BaseException:
            if single_use:
                self._reserved.release(path)
            raise

    async def used(self, profile: Profile) -> None:
        """See `profiles.Profiles`.

        The other service counts a Fetch, and removes a single-use profile at it, if the caller owns the name of
        a backend process: so fetch once more with that name.
        """
        name = f"{_BACKEND_NAME}{os.getpid()}"
        async with self._counting:
            try:
                if not (await self._connection.request_names([name]))[name]:
                    raise SystemFailure(f"another connection owns {name}")
                try:
                    await self._fetch(profile.path)
                finally:
                    await self._connection.release_names([name])
                # Whoever asked before it was removed may be told only now that it is there.
                asyncio.get_running_loop().call_later(limits.PROFILE_DEADLINE, self._reserved.release, profile.path)
            except SystemFailure as error:
                text = f"use of profile {profile.path} not counted: {error}"
                self._log.warn(text, group=LogGroup.CONFIGMGR, user=profile.owner)

    def unused(self, profile: Profile) -> None:
        """See `profiles.Profiles`."""
        self._reserved.release(profile.path)

    async def _properties(self, path: str) -> dict[str, Any]:
        """The properties of a profile; raises CallerError if there is none."""
        try:
            (properties,) = await self._ask(path, _PROPERTIES, "GetAll", "s", [BUS_NAME])
        except BusRefused as error:
            if error.name == NO_OBJECT:
                raise NoProfile(path) from error
            raise
        return _values(properties)

    async def _fetch(self, path: str) -> bytes:
        (text,) = await self._ask(path, BUS_NAME, "Fetch")
        await self._connection.round_trip()  # dbus-fast keeps each message until the next one comes
        return str(text).encode()

    async def _ask(self, path: str, *call: Any) -> list[Any]:
        """As `BusConnection.ask`, once more if the service was not ready, see policy/readiness.py."""
        try:
            return await self._connection.ask(BUS_NAME, path, *call)
        except BusRefused as error:
            if error.name != NO_OBJECT:
                raise
        await self._ready()
        return await self._connection.ask(BUS_NAME, path, *call)

    async def _ready(self) -> None:
        """Wait until the service answers for its root object.  Raises SystemFailure."""
        try:
            async with asyncio.timeout(limits.PROFILE_DEADLINE):
                for pause in pauses():
                    try:
                        await self._connection.ask(BUS_NAME, ROOT_PATH, _PROPERTIES, "Get", "ss", [BUS_NAME, "version"])
                        return
                    except BusRefused as error:
                        if error.name != NO_OBJECT:
                            raise
                    await asyncio.sleep(pause)
        except TimeoutError:
            seconds = f"{limits.PROFILE_DEADLINE:g} s"
            raise SystemFailure(f"it has been started, and is not ready after {seconds}") from None


@asynccontextmanager
async def _answering(path: str) -> AsyncIterator[None]:
    """Give it `limits.PROFILE_DEADLINE` to tell of the profile; what goes wrong with that becomes a CallerError."""
    try:
        async with asyncio.timeout(limits.PROFILE_DEADLINE):
            yield
    except TimeoutError:
        seconds = f"{limits.PROFILE_DEADLINE:g} s"
        raise CallerError(f"The configuration service has not answered for {seconds}") from None
    except KeyError as missing:
        raise CallerError(f"The configuration service does not tell {missing} of {path}") from missing
    except SystemFailure as error:
        raise CallerError(f"The configuration service does not give the profile: {error}") from error


def _identity(path: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Identity`, from the properties of a profile; raises KeyError."""
    return {
        "path": path,
        "owner": properties["owner"],
        "imported": properties["import_timestamp"],
        "persistent": properties["persistent"],
    }


def shared_with(path: str, owner: int, state_dir: Path) -> Acl | None:
    """The users that a profile is shared with, from its file; None for one that is not persistent.

    The other service tells that only to the owner and to those users, so not to this one.
    """
    try:
        kept = json.loads((state_dir / f"{path.rpartition('/')[2]}.json").read_bytes())
        if (kept["object_path"], kept["owner"]) != (path, owner):
            return None
        return Acl(owner, set(map(int, kept["acl"])), kept["public_access"] is True)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _sharing_not_known(path: str) -> AccessDenied:
    return AccessDenied(
        f"Access denied: the configuration profile {path} is not yours, and the users that it is shared with are known "
        "only for profiles that were imported as persistent"
    )


def _values(properties: dict[str, Variant]) -> dict[str, Any]:
    return {name: variant.value for name, variant in properties.items()}


def _plain(overrides: dict[str, Variant]) -> dict[str, bool | str]:
    return {name: value.value for name, value in overrides.items() if isinstance(value.value, bool | str)}
