"""The network namespace of a session's owner in which the device of that session is, and the commands it is for."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress

from ...policy.access import Caller
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.limits import MAX_COMMANDS_INSIDE
from ..errors import RequestRefused, SystemFailure
from ..network.handed import HandedNamespace, LeftNamespace
from .dossier import KeptInside
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
    def note_soon(self) -> None:
        """Note on disk what has changed, for the next instance."""

    @abstractmethod
    def namespace_handed(self, namespace: HandedNamespace) -> None:
        """The namespace that an earlier instance has left the device in has been handed over anew."""

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
        self.namespace: HandedNamespace | LeftNamespace | None = None
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
                self._check(caller, namespace)
            except BaseException:
                namespace.close()
                raise
            self.holders[caller.name] = pid  # before anything is awaited: it may leave meanwhile
            if isinstance(self.namespace, LeftNamespace):
                self.namespace = namespace
                self._owner.namespace_handed(namespace)
            elif self.namespace is not None:
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
            self._owner.note_soon()  # who it is for

    # From one instance to the next

    @property
    def kept(self) -> KeptInside | None:
        """What the next instance has to know."""
        if self.namespace is None:
            return None
        return KeptInside(self.namespace.inode, self.namespace.uid, dict(self.holders), self._disconnects)

    def go_on(self, kept: KeptInside, number: int, callers: Mapping[str, Caller]) -> None:
        """The device is where an earlier instance has left it, in the namespace of this number.

        Of those whom it was for, those among `callers` are still there.
        """
        self.namespace = LeftNamespace(number, kept.inode, kept.uid)
        self._disconnects = kept.disconnects
        self.holders = {
            name: pid for name, pid in kept.holders.items() if name in callers and callers[name].uid == kept.uid
        }
        if not self.holders:
            self._begin_to_leave()

    def _check(self, caller: Caller, namespace: HandedNamespace) -> None:
        if not self._owner.running:
            raise RequestRefused("The session has ended")
        if self.namespace is not None and self.namespace.inode != namespace.inode:
            raise RequestRefused("The session's device is in another network namespace: join that one")
        if caller.name not in self.holders and len(self.holders) >= MAX_COMMANDS_INSIDE:
            raise RequestRefused(f"There are {MAX_COMMANDS_INSIDE} commands in the session's network namespace already")

    async def _move(self, namespace: HandedNamespace) -> None:
        self.namespace = namespace
        self._owner.note_soon()
        try:
            await self._owner.place_device()
        except BaseException as error:
            self.namespace = None
            self._owner.note_soon()
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
            self._begin_to_leave()

    def _begin_to_leave(self) -> None:
        task = asyncio.create_task(self._left())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _left(self) -> None:
        """What comes when the last one has left, if that is so."""
        self._owner.note_soon()
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
                self._owner.note_soon()

    def end(self) -> None:
        """The session has ended, and its device is gone."""
        self.holders.clear()
        if self.namespace is not None:
            self.namespace.close()
            self.namespace = None

    def _say(self, text: str) -> None:
        self._owner.log.write(LogCategory.INFO, text, LogGroup.NETCFG)
