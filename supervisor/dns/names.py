"""The name servers of all sessions: who may have them, who has them, and setting them.

Name servers that cannot be had are a warning, or end the session that cannot do without (the setting dns-required).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Container, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ...policy.dbus_numbers import LogGroup
from ...policy.dns import DnsSettings
from ...policy.limits import DNS_DEADLINE
from ..errors import SystemFailure
from ..logging.log import Log
from ..network.name_servers import MachineNameServers
from ..waiting import until_done
from .backend import Backend, NamesInForce
from .claims import Grant, NameClaims
from .journal import NamesJournal
from .put_back import PutBack

_LOST = "lost"  # stands for a device of before the machine started


class NamesMissing(SystemFailure):
    """Name servers that a session cannot do without cannot be had."""

    def __init__(self, warnings: Iterable[str]) -> None:
        super().__init__(f"DNS, which the setting dns-required of the profile asks for: {'; '.join(warnings)}")


class _Device(msgspec.Struct):
    """A device whose session wants name servers."""

    session: str
    owner: int
    grant: Grant
    required: bool  # the session cannot do without
    touched: bool = False  # something may be set
    in_force: bool = False  # all of it is
    failed: str = ""  # why it could not be set
    taken: bool = False  # others have taken it away, and it is not back


class Names:
    """The name servers of all sessions."""

    def __init__(
        self,
        backend: Backend,
        because: str,
        machine: MachineNameServers,
        journal: NamesJournal | None,
        log: Log,
    ) -> None:
        """`because` says why it is this back end."""
        self.on_notice: Callable[[str, str], None] = lambda session, text: None  # for the log of this session
        self.on_lost: Callable[[str, str], None] = lambda session, text: None  # this session can no longer do without
        self._backend, self._because = backend, because
        self._machine = machine
        self._journal = journal
        self._log = log
        self._claims = NameClaims()
        self._devices: dict[str, _Device] = {}
        self._refused: dict[str, tuple[str, str]] = {}  # by device: what its session is not to have, and why
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # One request of each user at a time: nobody waits for many of another's.
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch = PutBack(self._files, self._put_back, log)

    @property
    def backend(self) -> str:
        """What sets them, and why this."""
        return f"{self._backend.name} ({self._because})"

    def in_force(self, device: str) -> DnsSettings | None:
        """What is set for a device; None if nothing is."""
        known = self._devices.get(device)
        return known.grant.settings if known and known.in_force else None

    async def look(self, device: str) -> NamesInForce:
        """What is in force for a device, asked for now where something can be asked.  Raises SystemFailure."""
        known = self._devices.get(device)
        if known is None or not known.touched:
            return NamesInForce((), ())
        return await self._backend.look(device, self.in_force(device))

    def lacks(self, device: str) -> list[tuple[str, str]]:
        """What a device's session wants and does not have, each with the reason."""
        refused = [self._refused[device]] if device in self._refused else []
        known = self._devices.get(device)
        if known is None:
            return refused
        failed = [(_servers(known.grant.settings), known.failed)] if known.failed else []
        return [*refused, *known.grant.waits, *failed]

    async def recover(self, going_on: Container[str] = ()) -> list[str]:
        """Give back what an earlier instance left behind; for which devices.  To be called first.

        Not that of the devices `going_on`, whose sessions will ask for it again.
        """
        recovered = []
        noted = self._journal.devices() if self._journal is not None else []
        lost = [_LOST] if not noted and self._backend.left_behind() else []
        for device in (one for one in (*noted, *lost) if one not in going_on):
            try:
                await self._backend.unset(device)
            except SystemFailure as error:
                self._log.error(f"Name servers of an earlier instance could not be given back: {error}")
            else:
                recovered.append(device)
                self._forget(device)
        return recovered

    def inherit(self, device: str, settings: DnsSettings) -> None:
        """An earlier instance has set these for a device: they are not the machine's own."""
        self._machine.inherit(device, [server.address for server in settings.servers])

    def close(self) -> None:
        """Watch nothing any more, and close the journal."""
        self._watch.close()
        if self._journal is not None:
            self._journal.close()

    def prepare(self, device: str) -> None:
        """A session begins with this device."""
        self._backend.prepare(device)

    async def apply(
        self,
        device: str,
        session: str,
        owner: int,
        wanted: DnsSettings | None,
        *,
        required: bool = False,
        refused: str = "",
        narrowed: str = "",
    ) -> list[str]:
        """Set a session's name servers, in place of those set before; returns warnings for the user.

        `refused` is why its owner may not set any, `narrowed` why not for all names; "" who may.  With `required`,
        raises SystemFailure instead, and nothing is set any more.
        """
        warnings = await self._apply(device, session, owner, wanted, required, refused, narrowed)
        if required and warnings:
            await self.clear(device)
            raise NamesMissing(warnings)
        return warnings

    async def _apply(
        self,
        device: str,
        session: str,
        owner: int,
        wanted: DnsSettings | None,
        required: bool,
        refused: str,
        narrowed: str,
    ) -> list[str]:
        if wanted is None:
            await self.clear(device)
            return []
        if narrowed and not (wanted.domains and self._backend.by_domain):
            refused = refused or narrowed
        if reason := refused or self._refusal(wanted):
            await self.clear(device)
            self._refused[device] = _servers(wanted), reason
            return [f"{_servers(wanted)}: not used by this machine: {reason}"]
        self._refused.pop(device, None)
        if narrowed:
            wanted = msgspec.structs.replace(wanted, everything=False)
            self._refused[device] = f"{_servers(wanted)} for all names", narrowed
        grant = self._claims.request(device, session, owner, wanted)
        for note in grant.notes:
            self._log.warn(note, group=LogGroup.NETCFG, session=session, user=owner)
        if (known := self._devices.get(device)) is None:
            known = self._devices[device] = _Device(session, owner, grant, required)
        known.grant = grant
        for_some = (
            [f"{_servers(wanted)}: only for names in {', '.join(wanted.domains)}: {narrowed}"] if narrowed else []
        )
        warnings = [*for_some, *grant.warnings, *await self._set(device)]
        self._claims.give_up(device)
        self._grant_again()
        return warnings

    async def clear(self, device: str, *, keep: bool = False) -> None:
        """Give back what a session had; with `keep` it will ask again in a while, and no other gets it meanwhile."""
        self._refused.pop(device, None)
        known = self._devices.get(device)
        if known is None:
            return
        known.taken = False
        async with self._locks[device]:
            await self._unset(device, known)
        if keep:
            return
        self._devices.pop(device, None)
        self._locks.pop(device, None)
        self._claims.release(device)
        self._grant_again()

    def reappeared(self) -> None:
        """What sets name servers has started anew: all are set again."""
        for device in self._devices:
            self._start(self._set_late(device))

    def _grant_again(self) -> None:
        """Set what others have waited for and need not any more."""
        for device, grant in self._claims.again():
            self._devices[device].grant = grant
            self._start(self._set_late(device))

    def _refusal(self, wanted: DnsSettings) -> str:
        """Why these cannot be set; "" if they can."""
        if not self._backend.by_domain and not wanted.everything:
            return (
                f"by {self._backend.name} they could only be used for all names, which takes the override "
                "dns-scope=global"
            )
        return self._backend.problem(wanted)

    def _files(self) -> list[Path]:
        """What tells when others take away what is set."""
        held = [device for device, known in self._devices.items() if known.in_force or known.taken]
        return [file for device in held for file in self._backend.files(device)]

    async def _put_back(self) -> bool:
        """Set again what others have taken away; whether there was anything."""
        any_gone = False
        for device, known in list(self._devices.items()):
            try:
                if known.in_force and await self._backend.is_gone(device, known.grant.settings):
                    known.taken = True
            except SystemFailure:
                continue  # told when it starts anew
            if not known.taken:
                continue
            any_gone, said = True, known.failed
            warnings = await self._set(device, again=True)
            if warnings and known.required:
                self.on_lost(known.session, str(NamesMissing(warnings)))
            for warning in warnings if known.failed != said else ():
                self.on_notice(known.session, warning)
            if known.in_force and (said or not self._watch.contested):
                text = f"{_servers(known.grant.settings)}: another program took it away, and it has been put back"
                self.on_notice(known.session, text)
        return any_gone

    async def _set(self, device: str, *, again: bool = False) -> list[str]:
        """Set what is granted to a device; warnings for the user.  With `again`, only if others took it away."""
        async with self._locks[device]:
            known = self._devices.get(device)
            if known is None or (again and not known.taken):
                return []
            settings = known.grant.settings
            if not (settings.everything if not self._backend.by_domain else known.grant.usable):
                await self._unset(device, known)
                return []
            addresses = [server.address for server in settings.servers]
            self._machine.lend(device, addresses, alone=not self._backend.by_domain)
            known.touched, known.in_force, known.failed = True, False, ""
            try:
                if self._backend.outlives_device and self._journal is not None:
                    self._journal.write(device)
                async with asyncio.timeout(DNS_DEADLINE * 2), self._turns[known.owner]:
                    await (self._backend.set_again if again else self._backend.set)(device, settings)
            except (SystemFailure, TimeoutError) as error:
                self._start(self._unset_in_turn(device, known))  # it may take as long again
                known.failed = self._reason(error)
                return [f"{_servers(settings)}: not used by this machine: {known.failed}"]
            known.in_force, known.taken = True, False
            self._watch.update()
            self._log.verb1(_described(settings, self._backend.name), group=LogGroup.NETCFG, session=known.session)
            return []

    async def _set_late(self, device: str) -> None:
        """Set what could not be set when it was asked for."""
        known = self._devices.get(device)
        if known is None:
            return
        was = known.in_force
        warnings = await self._set(device)
        if known.required and warnings:
            self.on_lost(known.session, str(NamesMissing(warnings)))
            return
        for warning in warnings:
            self.on_notice(known.session, warning)
        if known.in_force and (not was or known.grant.warnings):
            self.on_notice(known.session, f"{_servers(known.grant.settings)}: in use now")

    async def _unset_in_turn(self, device: str, known: _Device) -> None:
        async with self._locks[device]:
            if not known.in_force:  # it has not been set again meanwhile
                await self._unset(device, known)

    async def _unset(self, device: str, known: _Device) -> None:
        """Take back what may be set.  That it fails is not logged if setting failed for the same reason."""
        if not known.touched:
            return
        known.touched = known.in_force = False
        try:
            async with asyncio.timeout(DNS_DEADLINE * 2), self._turns[known.owner]:
                await self._backend.unset(device)
        except (SystemFailure, TimeoutError) as error:
            if (reason := self._reason(error)) != known.failed:
                text = f"Name servers could not be given back: {reason}"
                self._log.warn(text, group=LogGroup.NETCFG, session=known.session)
            if self._backend.outlives_device:
                self._start(until_done(partial(self._unset_late, device)))
                return
        else:
            self._forget(device)
            self._watch.update()
        self._machine.give_back(device)

    async def _unset_late(self, device: str) -> bool:
        """Take back what could not be taken back; whether there is nothing left to do."""
        known = self._devices.get(device)
        if known is not None and known.touched:
            return True  # it has been set anew, which will be taken back
        if any(other.touched for other in self._devices.values()):
            return False  # these may be in the same place
        try:
            async with asyncio.timeout(DNS_DEADLINE * 2):
                await self._backend.unset(device)
        except (SystemFailure, TimeoutError):
            return False
        self._forget(device)
        self._machine.give_back(device)
        self._log.info(f"The name servers set for {device} have been given back", group=LogGroup.NETCFG)
        return True

    def _forget(self, device: str) -> None:
        """Remove the record of a device."""
        if self._journal is not None:
            try:
                self._journal.remove(device)
            except OSError as error:
                self._log.error(f"The note of name servers cannot be removed: {error.strerror}", group=LogGroup.NETCFG)

    def _reason(self, error: Exception) -> str:
        return str(error) or f"{self._backend.name} takes too long"

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _servers(settings: DnsSettings) -> str:
    addresses = ", ".join(server.text for server in settings.servers)
    return f"name server{'s' if len(settings.servers) > 1 else ''} {addresses}"


def _described(settings: DnsSettings, by: str) -> str:
    which = "all names" if settings.everything else f"names in {', '.join(settings.domains) or 'no domain'}"
    return f"{_servers(settings)} by {by} for {which}"
