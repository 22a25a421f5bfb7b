"""systemd, where it has started this process: it is told of its state, and that its event loop turns (sd_notify(3))."""

import asyncio
import os
from collections.abc import Mapping

from ..kernel.notify import Notify


class ServiceManager(Notify):
    """What this service tells it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__(environment)
        # It starts us anew, at the latest when it has heard nothing for so many microseconds.
        patience = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._interval = int(patience) / 1e6 / 2 if self.heard and ours and patience.isdigit() else 0.0  # seconds
        self._timer: asyncio.TimerHandle | None = None

    def ready(self) -> None:
        """The service serves; from now on it tells that the event loop turns, for as long as it does."""
        self.tell("READY=1", "STATUS=Serving")
        if self._interval:
            self._turn()

    def ending(self) -> None:
        """The service is about to end."""
        self.tell("STOPPING=1", "STATUS=Ending")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def status(self, text: str) -> None:
        """Say what systemctl status shows."""
        self.tell(f"STATUS={text}")

    def _turn(self) -> None:
        self.tell("WATCHDOG=1")
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._turn)
