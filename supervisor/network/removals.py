"""Removing devices: in a thread of its own, since the kernel takes so long for it that others would have to wait.

What waits for that thread is removed together, which takes hardly longer than one does.
"""

import asyncio
from collections.abc import Callable, Sequence

from ...policy.dbus_numbers import LogGroup
from ...policy.limits import NETWORK_DEADLINE
from ..errors import SystemFailure
from ..logging.log import Log
from . import device_group, tun
from .addressing import Addressing
from .journal import DeviceJournal, Entry
from .netlink import Netlink
from .serial_executor import Gathered, SerialExecutor, limited


class DeviceRemovals:
    """Which devices are to be removed; those that a process has open are tried again."""

    def __init__(
        self,
        network: SerialExecutor,
        netlink: Netlink,
        addressing: Addressing,
        journal: DeviceJournal,
        log: Log,
        tun_directory: int | None,
        others: Callable[[], None],
    ) -> None:
        """`netlink` and `addressing` are used in `network` only, where `others` is called when there are others.

        `tun_directory` has a node for devices (tun.py), if it is not the machine's.
        """
        self.executor = SerialExecutor("devices")
        self._network = network
        self._netlink = netlink
        self._addressing = addressing
        self._others = others
        self._taken = Gathered(network, self._take_all)
        self._removed = Gathered(self.executor, self._destroy_all)
        self._journal = journal
        self._log = log
        self._tun_directory = tun_directory
        self._lingering: dict[int, Entry] = {}  # by index: to be removed, but a process had them open

    async def take_and_remove(self, device: str) -> None:
        """Remove a device of a session's, with what is set on it, if there is one.  Raises SystemFailure.

        One that a process still holds is switched off, and removed later.
        """
        async with limited(f"clearing {device}", NETWORK_DEADLINE):
            entry = await self._taken.run(device)
        if entry is not None:
            await self.remove(entry)

    async def remove(self, entry: Entry) -> None:
        """Remove a device, or note that it is to be removed later.  Raises SystemFailure."""
        try:
            async with limited(f"removing {entry.name}", NETWORK_DEADLINE):
                await self._removed.run(entry)
        except tun.DeviceBusy as busy:
            self._log.warn(f"{busy}: to be removed later", group=LogGroup.NETCFG, session=entry.session)
            await self._network.run(self._switch_off, entry)

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
        self._removed.submit(entry)

    def begin_lingering(self) -> None:
        """Have tried once more what could not be removed up to now."""
        for entry in list(self._lingering.values()):
            self.begin(entry)

    # In the network's thread.

    def take(self, name: str) -> Entry | None:
        """Take a device on which nothing is set from those of sessions; None if there is none."""
        [entry] = self._take_all([name])
        return entry

    def _take_all(self, names: Sequence[str]) -> list[Entry | None]:
        entries = self._addressing.take(names)
        self._others()
        return entries

    def _switch_off(self, entry: Entry) -> None:
        if self._netlink.set_down(entry.index):
            self._netlink.remove_all_addresses(entry.index)
        self._addressing.gone([entry])

    # In the thread of its own.

    def _destroy_all(self, entries: Sequence[Entry]) -> list[Exception | None]:
        together = set[int]()
        if len(entries) > 1:
            try:
                together = device_group.remove({entry.index: entry.name for entry in entries})
            except SystemFailure as error:
                self._log.debug(f"Devices are removed one by one: {error}", group=LogGroup.NETCFG)
        outcomes = [self._destroy(entry, there=entry.index not in together) for entry in entries]
        # Before anybody else gets the name of one.
        busy = [isinstance(outcome, tun.DeviceBusy) for outcome in outcomes]
        self._network.submit(
            self._addressing.gone, [entry for entry, held in zip(entries, busy, strict=True) if not held]
        )
        return outcomes

    def _destroy(self, entry: Entry, *, there: bool) -> Exception | None:
        try:
            if there:
                tun.destroy(entry.name, entry.index, self._tun_directory)
            self._lingering.pop(entry.index, None)
            self._journal.remove(entry)
        except tun.DeviceBusy as busy:
            self._lingering[entry.index] = entry
            return busy
        except (SystemFailure, OSError) as error:
            return error
        return None
