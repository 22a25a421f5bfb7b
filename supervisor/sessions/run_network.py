"""The network of one run: its device, what is set on it, and the name servers that go with it."""

import asyncio
import time
from collections.abc import Callable

from msgspec.structs import replace

from ...policy.access import Acl
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.limits import LIVE_CHANGES_PAUSE
from ...policy.network import NetworkSettings, check
from ...policy.profile.settings import ProfileSettings
from ...policy.redirect import Redirect, versions
from ...policy.rights import Right
from ..errors import SystemFailure
from ..network.handed import HandedNamespace
from .context import SessionContext
from .inside import Inside
from .session_log import SessionLog

_SHOWN = 32  # characters of a device's name in a profile


class RunNetwork:
    """What one run has of the network; attributes are for others to read only."""

    def __init__(
        self,
        session: str,
        acl: Acl,
        settings: ProfileSettings,
        log: SessionLog,
        context: SessionContext,
        inside: Inside,
        gone: Callable[[str], None],
    ) -> None:
        """`session` is its name; `gone` is told of a device that has not come back from where `inside` says."""
        self.device = ""  # set before the worker has its snapshot, until it has been removed
        self.configured = 0.0  # time.monotonic() when settings were first asked for
        self.redirect: Redirect | None = None  # of the settings asked for last
        self._session = session
        self._acl = acl
        self._settings = settings
        self._log = log
        self._network = context.network
        self._names = context.names
        self._rights = context.rights
        self._refused: dict[Right, str] = {}  # of those that its settings ask for, why not
        self._inside = inside
        self._gone = gone
        self._wanted: NetworkSettings | None = None  # asked for last, until they are cleared
        self._turn = asyncio.Lock()
        self._next_change = 0.0  # by the loop's clock: not sooner, while connected

    @property
    def settings_inside(self) -> NetworkSettings | None:
        """What is to be set on the device where it is, by those in there; None while it is on this machine."""
        return self._wanted if self.device in self._network.away else None

    async def make_device(self, uid: int, wanted: str, noticed: Callable[[str], None]) -> None:
        """Make the device for an engine of this user id; `noticed` hears of it if it is not called as wanted."""
        self.device = await self._network.create_device(self._session, uid, self._acl.owner, wanted)
        self._names.prepare(self.device)
        if wanted not in ("", self.device):
            noticed(
                f"The profile asks for the device {wanted[:_SHOWN]!a}: {self._network.no_device_named(wanted)}; "
                f"it is {self.device}"
            )

    def take_over(self, device: str, configured: float, redirect: Redirect | None) -> None:
        """Have what an earlier instance has made; Network.recover knows of the device."""
        self.device, self.configured, self.redirect = device, configured, redirect

    def namespace_handed(self, namespace: HandedNamespace) -> None:
        """The namespace that an earlier instance has left the device in has been handed over anew."""
        self._network.away.handed(self.device, namespace)

    async def stay_closed(self) -> None:
        """What the session has closed while it is not connected stays so; what fails is logged."""
        if self.redirect is not None:
            try:
                await self._network.stay_closed(self.device, self.redirect)
            except SystemFailure as error:
                self._failed(f"What goes nowhere while the session is not connected may go past it: {error}")

    async def exempt(self, uid: int) -> None:
        """Let this user id connect to this machine; what fails is logged."""
        try:
            await self._network.exempt(uid)
        except SystemFailure as error:
            self._log.write(LogCategory.WARN, f"The session cannot connect to this machine: {error}")

    async def pause(self) -> None:
        """Wait until the settings of a connected session may change again."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next_change - loop.time())  # not at all, if that is over
        self._next_change = loop.time() + LIVE_CHANGES_PAUSE

    async def apply(self, settings: NetworkSettings) -> list[str]:
        """Put these settings on the device, and have names looked up as they say; see Network.apply, Names.apply."""
        self.configured = self.configured or time.monotonic()
        self._refused = await self._refusals(settings)
        if settings.redirect is not None:
            redirect = replace(
                settings.redirect,
                optional=self._settings.redirect_optional,
                while_not_connected=self._settings.while_not_connected,
                refused=self._refused[Right.REDIRECT],
            )
            settings = replace(settings, redirect=redirect)
        self.redirect = settings.redirect
        async with self._turn:
            self._wanted = settings
            return await self._place(settings)

    async def _refusals(self, settings: NetworkSettings) -> dict[Right, str]:
        """For each right that these settings ask for, why its owner does not have it."""
        dns = settings.dns
        wanted = {
            Right.REDIRECT: settings.redirect is not None,
            Right.DNS: dns is not None,
            Right.DNS_GLOBAL: dns is not None and dns.everything,
        }
        rights = [right for right, is_wanted in wanted.items() if is_wanted]
        texts = await asyncio.gather(*(self._rights.refusal(right, self._acl.owner) for right in rights))
        return dict(zip(rights, texts, strict=True))

    async def place(self) -> None:
        """Put the device, with what is set on it, where it belongs by now.  Raises SystemFailure."""
        async with self._turn:
            if self._inside.namespace is None:
                await self._network.away.bring_back(self.device)
            if self._wanted is not None:
                for warning in await self._place(self._wanted):
                    self._log.write(LogCategory.WARN, warning, LogGroup.NETCFG)

    async def _place(self, settings: NetworkSettings) -> list[str]:
        if self._inside.namespace is not None:
            check(settings)
            # Others may have it on this machine now, and its traffic goes as without a tunnel.
            self._network.let_go(self._session)
            await self._clear_machine(keep=False)
            if isinstance(self._inside.namespace, HandedNamespace):  # else it is there
                await self._network.away.move(self.device, self._inside.namespace)
            self._inside.on_placed()
            return []
        warnings = await self._network.apply(self.device, settings)
        names = await self._names.apply(
            self.device,
            self._session,
            self._acl.owner,
            settings.dns,
            required=self._settings.dns_required,
            refused=self._refused.get(Right.DNS, ""),
            narrowed=self._refused.get(Right.DNS_GLOBAL, ""),
        )
        return warnings + names + self._blocked(settings)

    def _blocked(self, settings: NetworkSettings) -> list[str]:
        """What the kill switch keeps from everybody, since the tunnel does not take it."""
        if not self._settings.kill_switch:
            return []
        taken = versions(settings.redirect) if settings.redirect is not None else frozenset[int]()
        lost = " and ".join(f"IPv{version}" for version in (4, 6) if version not in taken)
        if not lost:
            return []
        return [f"the kill switch blocks {lost}, but for the tunnel's networks: the default route is not the tunnel"]

    async def clear(self, *, keep: bool = False) -> None:
        """Take all settings off the device, see Network.clear and Names.clear; what fails is logged.

        It is on this machine then, where the engine opens it the next time.
        """
        async with self._turn:
            self._wanted = None
            if self.device in self._network.away:
                await self._bring_back()
            elif self.device:
                await self._clear_machine(keep=keep)

    async def clear_names(self) -> None:
        """As `clear`, but leave what goes with the device, which is removed when its engine has ended."""
        if self.device in self._network.away:
            await self.clear()
        else:
            async with self._turn:
                self._wanted = None
                await self._names.clear(self.device, keep=False)

    async def bring_back(self) -> None:
        """Have the device on this machine, where the engine opens it, until settings are applied the next time."""
        async with self._turn:
            if self.device in self._network.away:
                await self._bring_back()

    async def _bring_back(self) -> None:
        try:
            await self._network.away.bring_back(self.device)
        except SystemFailure as error:
            self._failed(f"Device {self.device} has not come back: {error}")
            self._gone(self.device)

    async def _clear_machine(self, *, keep: bool) -> None:
        # Both at once: whatever sets name servers may take seconds, with traffic still sent into the tunnel.
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
