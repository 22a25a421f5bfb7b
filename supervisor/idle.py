"""When the service has had nothing to do for long enough."""

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Watches whether there are children, and says when there have been none for `seconds` (0: never).

    Calls alone do not keep the service alive: a front-end that looks every now and then must not either.
    """

    def __init__(self, seconds: float, children: Callable[[], int], calls: Callable[[], int]) -> None:
        """`children` counts sessions of which anything is left, `calls` those being answered."""
        self.idle = asyncio.Event()
        self._seconds = seconds
        self._children = children
        self._calls = calls
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Start or stop the clock; call whenever the number of children may have changed."""
        if self._children():
            self._stop()
        elif self._timer is None and self._seconds > 0:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expired)

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
        if self._children():
            return
        if self._calls():
            # One of them may be about to make a child.
            self.look()
        else:
            self.idle.set()
