"""The idle timer: ends the service when it has had nothing to do for a while."""

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Sets the event `idle` when there has been no work for `seconds` (0: never).

    Calls alone are not work: a front-end that polls must not keep the service running.
    """

    def __init__(self, seconds: float, work: Callable[[], int], calls: Callable[[], int]) -> None:
        """`work` counts what keeps the service running, `calls` the calls being answered."""
        self.idle = asyncio.Event()
        self.seconds = seconds  # `restart` makes a change count
        self._work = work
        self._calls = calls
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Start or stop the timer; call whenever the amount of work may have changed."""
        if self._work():
            self._stop()
        elif self._timer is None and self.seconds > 0:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self._expired)

    def restart(self) -> None:
        """Count from now."""
        self.idle.clear()
        self._stop()
        self.look()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        if self._work():
            return
        if self._calls():
            # One of them may be about to start a session.
            self.look()
        else:
            self.idle.set()
