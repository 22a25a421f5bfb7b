"""The idle timer: ends the service when it has had nothing to do for a while."""

import asyncio
import math
from collections.abc import Callable


class IdleTimer:
    """Sets the event `idle` when there has been no work, and no call, for `seconds` (0: never).

    There is one timer, whatever comes meanwhile: calls only leave their time behind.
    """

    def __init__(
        self,
        seconds: float,
        work: Callable[[], int],
        calls: Callable[[], int] = lambda: 0,
        called_at: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """`work` counts what keeps the service running, `calls` the calls being answered.

        `called_at` is when the last one came, on the loop's clock.
        """
        self.idle = asyncio.Event()
        self.seconds = seconds  # `restart` makes a change count
        self._work = work
        self._calls = calls
        self._called_at = called_at
        self._idle_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Start or stop the timer; call whenever the amount of work may have changed."""
        if self._work():
            self.stop()
        elif self._timer is None and self.seconds > 0:
            self._start(self.seconds)

    def restart(self) -> None:
        """Count from now."""
        self.idle.clear()
        self.stop()
        self.look()

    @property
    def called_since(self) -> bool:
        """Whether somebody has called since `idle` was set."""
        return self._called_at() > self._idle_at

    def _start(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expired)

    def stop(self) -> None:
        """Count no more until `restart`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        if self._work():
            return
        now = asyncio.get_running_loop().time()
        if self._calls():
            # One of them may be about to start a session.
            self.look()
        elif (left := self._called_at() + self.seconds - now) > 0:
            self._start(left)
        else:
            self._idle_at = now
            self.idle.set()
