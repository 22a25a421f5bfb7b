"""Devices of sessions that are in users' network namespaces: how they get there, and back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ...policy.limits import HANDED_DEADLINE, NETWORK_DEADLINE
from ..errors import SystemFailure
from ..waiting import shared
from . import tun
from .addressing import Addressing
from .handed import DeviceGone, HandedNamespace, LeftNamespace
from .journal import Entry
from .serial_executor import SerialExecutor, limited


class Away:
    """Which devices are away, or on their way."""

    def __init__(
        self,
        executor: SerialExecutor,
        removals: SerialExecutor,
        addressing: Addressing,
        renumbered: Callable[[], None],
    ) -> None:
        """`addressing` is used in `executor` only, where `renumbered` is called when a device has another index.

        `removals` is for what takes long.
        """
        self._renumbered = renumbered
        self._executor = executor
        self._removals = removals
        self._addressing = addressing
        self._namespaces: dict[str, HandedNamespace | LeftNamespace] = {}
        self._handed: dict[str, asyncio.Event] = {}  # of devices in those that were left: set when they are handed anew
        self._coming: dict[str, asyncio.Task[None]] = {}

    def __contains__(self, device: object) -> bool:
        return device in self._namespaces

    def inherit(self, device: str, namespace: LeftNamespace) -> None:
        """An earlier instance has moved a device there."""
        self._namespaces[device] = namespace
        self._handed[device] = asyncio.Event()

    def handed(self, device: str, namespace: HandedNamespace) -> None:
        """The namespace that a device was left in has been handed anew."""
        if isinstance(self._namespaces.get(device), LeftNamespace):
            self._namespaces[device] = namespace
            self._handed[device].set()

    def number(self, device: str) -> int | None:
        """The number of the namespace that an earlier instance has left a device in, until it is handed anew."""
        namespace = self._namespaces.get(device)
        return namespace.number if isinstance(namespace, LeftNamespace) else None

    async def move(self, device: str, namespace: HandedNamespace) -> None:
        """Move a device on which nothing is set; no effect if it is there.

        Raises SystemFailure, and it has stayed.  When this is cancelled, it may be there.
        """
        if device in self._namespaces:
            return
        async with limited(f"moving {device}", NETWORK_DEADLINE):
            entry = await self._executor.run(self._entry, device)
            self._namespaces[device] = namespace
            try:
                number = await self._removals.run(namespace.number)
                await self._executor.run(self._addressing.leaves, device, number)
                await self._removals.run(namespace.move_in, entry.index)
            except SystemFailure:
                del self._namespaces[device]
                await self._executor.run(self._addressing.returned, device, entry.index)
                raise

    async def bring_back(self, device: str) -> None:
        """Bring a device back, with nothing set on it; no effect if it is not away.

        Raises SystemFailure: there is no such device any more.
        """
        if device not in self._namespaces:
            return
        if device not in self._coming:
            # A task of its own: whatever becomes of the caller, it is known where the device is.
            self._coming[device] = task = asyncio.create_task(self._bring_back(device))
            task.add_done_callback(lambda _: self._coming.pop(device))
        await shared(self._coming[device])

    async def _bring_back(self, device: str) -> None:
        try:
            namespace = await self._own(device)
            async with limited(f"bringing {device} back", NETWORK_DEADLINE):
                entry = await self._executor.run(self._entry, device)
                index = await self._removals.run(_back, entry, namespace)
                await self._executor.run(self._addressing.returned, device, index)
                await self._executor.run(self._renumbered)
        finally:
            del self._namespaces[device]
            self._handed.pop(device, None)

    async def _own(self, device: str) -> HandedNamespace:
        """The namespace that a device is in, once it can be brought back.  Raises DeviceGone; then it is removed."""
        if (handed := self._handed.get(device)) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(HANDED_DEADLINE):
                    await handed.wait()
        namespace = self._namespaces[device]
        if isinstance(namespace, HandedNamespace):
            return namespace
        entry = await self._executor.run(self._entry, device)
        await self._removals.run(namespace.remove, device, entry.uid)
        raise DeviceGone("nobody has handed over the network namespace that it is in")

    # The rest runs in the threads.

    def _entry(self, device: str) -> Entry:
        entry = self._addressing.entry(device)
        if entry is None:
            raise SystemFailure(f"there is no device {device}")
        return entry


def _back(entry: Entry, namespace: HandedNamespace) -> int:
    if tun.index_of(entry.name) == entry.index:  # a move was given up before it began
        return entry.index
    return namespace.bring_back(entry.name, entry.uid)
