"""Removing devices: in a thread of its own, since the kernel takes so long for it that others would have to wait."""

import asyncio

from ...policy.dbus_numbers import LogGroup
from ...policy.limits import NETWORK_DEADLINE
from ..errors import SystemFailure
from ..logging.log import Log
from . import tun
from .journal import DeviceJournal, Entry
from .serial_executor import SerialExecutor, limited


class DeviceRemovals:
    """Which devices are to be removed; those that a process has open are tried again."""

    def __init__(self, journal: DeviceJournal, log: Log, tun_directory: int | None) -> None:
        """`tun_directory` has a node for devices (tun.py), if it is not the machine's."""
        self.executor = SerialExecutor("devices")
        self._journal = journal
        self._log = log
        self._tun_directory = tun_directory
        self._lingering: dict[int, Entry] = {}  # by index: to be removed, but a process had them open

    async def remove(self, entry: Entry) -> None:
        """Remove a device, or note that it is to be removed later.  Raises SystemFailure."""
        try:
            async with limited(f"removing {entry.name}", NETWORK_DEADLINE):
                await self.executor.run(self._destroy, entry)
        except tun.DeviceBusy as busy:
            self._log.warn(f"{busy}: to be removed later", group=LogGroup.NETCFG, session=entry.session)

    async def remove_all(self, entries: list[Entry]) -> None:
        """Remove some devices, and log which cannot be removed."""
        for outcome in await asyncio.gather(*map(self.remove, entries), return_exceptions=True):
            if isinstance(outcome, SystemFailure):
                self._log.error(str(outcome), group=LogGroup.NETCFG)
            elif outcome is not None:
                raise outcome

    async def remove_lingering(self) -> None:
        """Try once more what could not be removed up to now."""
        await self.remove_all(list(self._lingering.values()))

    # From any thread; nobody waits for these.

    def begin(self, entry: Entry) -> None:
        """Have a device removed."""
        self.executor.submit(self._destroy, entry)

    def begin_lingering(self) -> None:
        """Have tried once more what could not be removed up to now."""
        for entry in list(self._lingering.values()):
            self.begin(entry)

    def _destroy(self, entry: Entry) -> None:
        try:
            tun.destroy(entry.name, entry.index, self._tun_directory)
        except tun.DeviceBusy:
            self._lingering[entry.index] = entry
            raise
        self._lingering.pop(entry.index, None)
        self._journal.remove(entry)
