"""The network of one run: its device, what is set on it, and the name servers that go with it."""

import asyncio
import time
from collections.abc import Callable

from msgspec.structs import replace

from ...policy.access import Acl
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.network import NetworkSettings
from ...policy.profile.settings import ProfileSettings
from ..errors import SystemFailure
from .context import SessionContext
from .session_log import SessionLog

_SHOWN = 32  # characters of a device's name in a profile


class RunNetwork:
    """What one run has of the network; attributes are for others to read only."""

    def __init__(
        self, session: str, acl: Acl, settings: ProfileSettings, log: SessionLog, context: SessionContext
    ) -> None:
        """`session` is its name."""
        self.device = ""  # set before the worker has its snapshot, until it has been removed
        self.configured = 0.0  # time.monotonic() when settings were first asked for
        self._session = session
        self._acl = acl
        self._settings = settings
        self._log = log
        self._network = context.network
        self._names = context.names

    async def make_device(self, uid: int, wanted: str, noticed: Callable[[str], None]) -> None:
        """Make the device for an engine of this user id; `noticed` hears of it if it is not called as wanted."""
        self.device = await self._network.create_device(self._session, uid, self._acl.owner, wanted)
        self._names.prepare(self.device)
        if wanted not in ("", self.device):
            noticed(
                f"The profile asks for the device {wanted[:_SHOWN]!a}: {self._network.no_device_named(wanted)}; "
                f"it is {self.device}"
            )

    def take_over(self, device: str, configured: float) -> None:
        """Have what an earlier instance has made; Network.recover knows of the device."""
        self.device, self.configured = device, configured

    async def exempt(self, uid: int) -> None:
        """Let this user id connect to this machine; what fails is logged."""
        try:
            await self._network.exempt(uid)
        except SystemFailure as error:
            self._log.write(LogCategory.WARN, f"The session cannot connect to this machine: {error}")

    async def apply(self, settings: NetworkSettings) -> list[str]:
        """Put these settings on the device, and have names looked up as they say; see Network.apply, Names.apply."""
        self.configured = self.configured or time.monotonic()
        if settings.redirect is not None:
            redirect = replace(settings.redirect, optional=self._settings.redirect_optional)
            settings = replace(settings, redirect=redirect)
        warnings = await self._network.apply(self.device, settings)
        required = self._settings.dns_required
        names = await self._names.apply(self.device, self._session, self._acl.owner, settings.dns, required=required)
        return warnings + names

    async def clear(self, *, keep: bool = False) -> None:
        """Take all settings off the device, see Network.clear and Names.clear; what fails is logged.

        Both at once: whatever sets name servers may take seconds, with traffic still sent into the tunnel.
        """
        if self.device:
            await asyncio.gather(self._names.clear(self.device, keep=keep), self._clear_device(keep))

    async def _clear_device(self, keep: bool) -> None:
        try:
            await self._network.clear(self.device, keep=keep)
        except SystemFailure as error:
            self._failed(f"Network settings could not be undone: {error}")

    async def delete_device(self) -> None:
        """Remove the device, if there is one; what fails is logged."""
        if not self.device:
            return
        try:
            await self._network.delete_device(self.device)
        except SystemFailure as error:
            self._failed(f"Device {self.device} could not be removed: {error}")
        self.device = ""

    def _failed(self, text: str) -> None:
        self._log.write(LogCategory.ERROR, text, LogGroup.NETCFG)
