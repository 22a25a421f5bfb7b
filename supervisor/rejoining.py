"""A bus that has gone is joined again when it is back: meanwhile sessions go on, and nobody can ask for anything."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ..policy.limits import REJOIN_FIRST, REJOIN_LONGEST
from .bus.connection import BusConnection, BusRefused
from .bus.transport import BusLost
from .bus_names import BusNames
from .idle import IdleTimer
from .logging.log import Log


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
        """Join it, however long that takes; tries come less and less often."""
        pause, said = REJOIN_FIRST, ""
        while problem := await self._try():
            if problem != said:
                self._log.info(f"The bus cannot be joined: {problem}; trying again")
                said = problem
            self._connection.close()
            await asyncio.sleep(pause)
            pause = min(pause * 2, REJOIN_LONGEST)

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
