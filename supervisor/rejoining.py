"""A bus that has gone is joined again when it is back: meanwhile sessions go on, and nobody can ask for anything."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ..policy.limits import REJOIN_FIRST, REJOIN_LONGEST
from .bus.connection import BusConnection, BusRefused
from .bus.transport import BusLost
from .bus_names import BusNames
from .idle import IdleTimer
from .logging.log import Log


class _Tries:
    """Tries to join the bus, which come less and less often."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._pause = REJOIN_FIRST
        self._said = ""

    async def failed(self, problem: str) -> None:
        """Say why, once, and wait until another one is due."""
        if problem != self._said:
            self._log.info(f"The bus cannot be joined: {problem}; trying again")
            self._said = problem
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, REJOIN_LONGEST)


async def first_joined(address: str, log: Log, *, waits: bool) -> BusConnection:
    """A connection to the bus at `address`, however long that takes, if it `waits`.  Raises BusLost if it does not."""
    tries = _Tries(log)
    while True:
        try:
            connection = BusConnection(address)
            await connection.connect()
        except BusLost as error:
            if not waits:
                raise
            await tries.failed(str(error))
        else:
            return connection


class Rejoining:
    """Joins the bus of `connection` again, and has all made anew that goes with a connection."""

    def __init__(
        self,
        connection: BusConnection,
        log: Log,
        names: BusNames,
        parts: Sequence[Callable[[], Awaitable[None]]],
        given_up: IdleTimer,
    ) -> None:
        """`parts` are called one after the other before the names are owned: who can be called by name is ready.

        `given_up` tells when it is no longer waited for.
        """
        self._connection = connection
        self._log = log
        self._names = names
        self._parts = parts
        self._given_up = given_up
        self._away = False

    def less_work(self) -> None:
        """There may be no session any more."""
        if self._away:
            self._given_up.look()

    async def joined(self, *stops: asyncio.Event) -> bool:
        """Join the bus; False if one of `stops` is set before, or it is no longer waited for."""
        self._away = True
        self._given_up.restart()
        joining = asyncio.ensure_future(self._join())
        ends = [asyncio.ensure_future(event.wait()) for event in (*stops, self._given_up.idle)]
        try:
            await asyncio.wait([joining, *ends], return_when=asyncio.FIRST_COMPLETED)
            if joining.done():
                joining.result()
            return joining.done()
        finally:
            self._away = False
            self._given_up.stop()
            for task in (joining, *ends):
                task.cancel()

    async def _join(self) -> None:
        """Join it, however long that takes."""
        tries = _Tries(self._log)
        while problem := await self._try():
            self._connection.close()
            await tries.failed(problem)

    async def _try(self) -> str:
        """Join it now; why that is not possible, or ""."""
        try:
            await self._connection.rejoin()
            for part in self._parts:
                await part()
            taken = await self._names.own()
        except (BusLost, BusRefused) as error:
            return str(error)
        # As one that the bus has started for a call, and that will end when it finds this one.
        return f"another process owns {taken}" if taken else ""
