"""The network namespace of a session's owner in which the device of that session is, and the commands it is for."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from ...policy.access import Caller
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.limits import MAX_COMMANDS_INSIDE
from ..errors import RequestRefused, SystemFailure
from ..network.handed import HandedNamespace
from .session_log import SessionLog
from .states import Event, NotNow


class InsideOwner(ABC):
    """The session, as far as its namespace knows it."""

    log: SessionLog

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether it has neither failed nor ended."""

    @abstractmethod
    def happened(self, event: Event) -> None:
        """Follow the table of states.  Raises NotNow."""

    @abstractmethod
    async def place_device(self) -> None:
        """Put the device, with what is set on it, where it belongs by now.  Raises SystemFailure."""

    @abstractmethod
    async def network_cleared(self) -> None:
        """Wait until the network settings of a session that ends are undone."""

    @abstractmethod
    def network_lost(self, text: str) -> None:
        """It cannot be connected any more."""


class Inside:
    """While there is a `namespace`, the device of the connected session is in there, and nothing of it on this machine.

    It outlives the runs of its session; attributes are for others to read only.
    """

    def __init__(self, owner: InsideOwner) -> None:
        self.namespace: HandedNamespace | None = None
        self.on_placed: Callable[[], None] = lambda: None  # the device is there, with what is to be set on it
        self.holders: dict[str, int] = {}  # connections, each with the id of a process of the user's in there
        self._owner = owner
        self._disconnects = False  # the session, when the last of them leaves
        self._turn = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def enter(self, caller: Caller, namespace: HandedNamespace, pid: int, disconnects: bool | None) -> None:
        """A command of the caller's is to have this namespace.  With `disconnects` None that stays as it is.

        Raises RequestRefused.
        """
        async with self._turn:
            try:
                self._check(namespace)
            except BaseException:
                namespace.close()
                raise
            self.holders[caller.name] = pid  # before anything is awaited: it may leave meanwhile
            if self.namespace is not None:
                namespace.close()
            else:
                try:
                    await self._move(namespace)
                except BaseException:
                    self.holders.pop(caller.name, None)
                    namespace.close()
                    raise
            if disconnects is not None:
                self._disconnects = disconnects

    def _check(self, namespace: HandedNamespace) -> None:
        if not self._owner.running:
            raise RequestRefused("The session has ended")
        if self.namespace is not None and self.namespace.inode != namespace.inode:
            raise RequestRefused("The session's device is in another network namespace: join that one")
        if len(self.holders) >= MAX_COMMANDS_INSIDE:
            raise RequestRefused(f"There are {MAX_COMMANDS_INSIDE} commands in the session's network namespace already")

    async def _move(self, namespace: HandedNamespace) -> None:
        self.namespace = namespace
        try:
            await self._owner.place_device()
        except BaseException as error:
            self.namespace = None
            try:
                await self._owner.place_device()
            except SystemFailure as lost:
                self._owner.network_lost(str(lost))
            if isinstance(error, SystemFailure):
                raise RequestRefused(f"The session's device cannot go there: {error}") from error
            raise
        self._say("The device is in a network namespace of the session's owner: nothing else goes through the tunnel")

    async def leave(self, caller: Caller) -> None:
        """A command of the caller's has ended.  Raises RequestRefused if it has none."""
        if self.holders.pop(caller.name, None) is None:
            raise RequestRefused("This connection has no command in the session's network namespace")
        await self._left()

    def vanished(self, name: str) -> None:
        """A connection has left the bus."""
        if self.holders.pop(name, None) is not None:
            task = asyncio.create_task(self._left())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _left(self) -> None:
        """What comes when the last one has left, if that is so."""
        async with self._turn:
            if self.holders or self.namespace is None:
                return
            if self._disconnects:
                with suppress(NotNow):
                    self._owner.happened(Event.DISCONNECT)
                    await self._owner.network_cleared()
                return
            namespace, self.namespace = self.namespace, None
            try:
                await self._owner.place_device()
            except SystemFailure as error:
                self._owner.network_lost(f"The device cannot come back to this machine: {error}")
            else:
                self._say("The device is back on this machine")
            finally:
                namespace.close()

    def end(self) -> None:
        """The session has ended, and its device is gone."""
        self.holders.clear()
        if self.namespace is not None:
            self.namespace.close()
            self.namespace = None

    def _say(self, text: str) -> None:
        self._owner.log.write(LogCategory.INFO, text, LogGroup.NETCFG)
