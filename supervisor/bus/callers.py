"""Identifying callers: the user id of a connection, as the bus tells it."""

import asyncio
from collections.abc import Callable, Iterable

from dbus_fast import Message, MessageType

from ...policy.access import Caller
from ...policy.limits import MAX_CALLERS_ASKED
from ..errors import SystemFailure
from ..waiting import shared
from .connection import BUS_PATH, BusConnection, BusRefused
from .inbound import BUS

_VANISHED_RULE = f"type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}',member='NameOwnerChanged',arg2=''"
_NO_OWNER = "org.freedesktop.DBus.Error.NameHasNoOwner"


class CallerGone(Exception):
    """The connection left the bus before it could be identified: there is no one to answer."""


class Callers:
    """The callers seen on `connection`; the bus is asked once for each, until its name vanishes.

    The bus never gives a unique name twice, so an identity stays true for as long as it is kept.
    """

    def __init__(self, connection: BusConnection) -> None:
        self._connection = connection
        self._known: dict[str, Caller] = {}
        self._asked: dict[str, asyncio.Task[Caller]] = {}
        self._on_vanished: list[Callable[[str], None]] = []
        connection.add_message_handler(self._signalled)

    async def start(self) -> None:
        """Have the bus report vanished names; before the first `identify`.

        Raises BusRefused, BusLost.
        """
        await self._connection.ask_bus("AddMatch", "s", _VANISHED_RULE)

    def known(self, name: str) -> Caller | None:
        """The caller of this unique name, if the bus has been asked before."""
        return self._known.get(name)

    async def identify(self, name: str) -> Caller:
        """The caller of this unique name.

        Raises CallerGone if the name has vanished, BusRefused if the bus does not tell, BusLost.
        """
        if caller := self._known.get(name):
            return caller
        task = self._asked.get(name)
        if task is None:
            task = self._asked[name] = asyncio.create_task(self._ask(name))
        return await shared(task)  # others may wait for the same answer

    async def identify_all(self, names: Iterable[str]) -> dict[str, Caller]:
        """The callers of those of these unique names that are on the bus, as far as it tells."""
        at_once = asyncio.Semaphore(MAX_CALLERS_ASKED)

        async def ask(name: str) -> Caller | None:
            async with at_once:
                try:
                    return await self.identify(name)
                except (CallerGone, SystemFailure):
                    return None

        found = await asyncio.gather(*map(ask, names))
        return {caller.name: caller for caller in found if caller is not None}

    def vanished(self, callback: Callable[[str], None]) -> None:
        """Have `callback(name)` called whenever a connection leaves the bus."""
        self._on_vanished.append(callback)

    def forget(self) -> None:
        """The bus is gone, and all connections with it: the next one gives their names to others."""
        for name in {*self._known, *self._asked}:
            self._gone(name)

    def _gone(self, name: str) -> None:
        self._known.pop(name, None)
        self._asked.pop(name, None)
        for callback in self._on_vanished:
            callback(name)

    async def _ask(self, name: str) -> Caller:
        try:
            # Not GetConnectionCredentials: to that, dbus-broker 37 adds a descriptor (ProcessFD), which nobody wants.
            (uid,) = await self._connection.ask_bus("GetConnectionUnixUser", "s", name)
        except BusRefused as error:
            if error.name == _NO_OWNER:
                raise CallerGone(name) from None
            raise
        finally:
            # Gone from the table already: the name vanished after the bus had answered.
            still_there = self._asked.pop(name, None) is not None
        caller = Caller(name, uid)
        if still_there:
            self._known[name] = caller
        return caller

    def _signalled(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or message.member != "NameOwnerChanged":
            return
        if message.sender != BUS or message.signature != "sss":
            return
        name, _, new_owner = message.body
        if new_owner or not name.startswith(":"):
            return
        self._gone(name)
