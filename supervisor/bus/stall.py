"""A bus that takes nothing of what waits for it: the log says so, and in the end it counts as gone."""

import asyncio
from collections.abc import Callable

from ...policy.limits import BUS_SLOW, BUS_STALLED


class StallWatch:
    """Looks every BUS_SLOW seconds whether anything moves, while something waits.

    `report` is told when nothing does, and when it moves again; `give_up` after BUS_STALLED seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, give_up: Callable[[str], None]) -> None:
        self.report: Callable[[str], None] = lambda text: None
        self._loop = loop
        self._give_up = give_up
        self._moved = False
        self._stalled = 0.0  # seconds
        self._timer: asyncio.TimerHandle | None = None

    def waiting(self) -> None:
        """The bus takes no more now."""
        if self._timer is None:
            self._moved = False
            self._stalled = 0.0
            self._timer = self._loop.call_later(BUS_SLOW, self._look)

    def moved(self) -> None:
        """The bus has taken something."""
        self._moved = True

    def done(self) -> None:
        """Nothing waits any more, or the bus is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._over()

    def _look(self) -> None:
        self._timer = None
        if self._moved:
            self._over()
            self.waiting()
            return
        self._stalled += BUS_SLOW
        if self._stalled >= BUS_STALLED:
            self._give_up(f"it has taken nothing for {self._stalled:.0f} s")
            return
        if self._stalled == BUS_SLOW:
            self.report(f"The bus has taken nothing for {BUS_SLOW:.0f} s: waiting for it")
        self._timer = self._loop.call_later(BUS_SLOW, self._look)

    def _over(self) -> None:
        if self._stalled:
            self.report(f"The bus takes data again, after {self._stalled:.0f} s")
            self._stalled = 0.0
