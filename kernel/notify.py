"""What is told to systemd, where that has started this process (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping


class Notify:
    """Whoever listens at $NOTIFY_SOCKET; where there is none, nothing is told."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def tell(self, *assignments: str) -> None:
        """Send some assignments; nobody waits for them."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as link:
                link.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            pass  # systemd acts when it hears nothing for long
