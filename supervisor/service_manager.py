"""systemd, where it has started this process: it is told of its state, and that its event loop turns (sd_notify(3))."""

import asyncio
import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """Whoever listens at $NOTIFY_SOCKET; where there is none, nothing is told."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        # It starts us anew, at the latest when it has heard nothing for so many microseconds.
        patience = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._interval = int(patience) / 1e6 / 2 if self._address and ours and patience.isdigit() else 0.0  # seconds
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

    def tell(self, *assignments: str) -> None:
        """Send some assignments; nobody waits for them."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as link:
                link.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            pass  # it starts us anew when that lasts

    def _turn(self) -> None:
        self.tell("WATCHDOG=1")
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._turn)
