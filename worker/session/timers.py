"""Named deadlines for a loop that waits in select()."""

import time
from collections.abc import Callable


class Timers:
    """Each name has at most one deadline; setting it again replaces it."""

    def __init__(self) -> None:
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}

    def set(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` once, `seconds` from now."""
        self._timers[name] = (time.monotonic() + seconds, action)

    def cancel(self, name: str) -> None:
        self._timers.pop(name, None)

    def runs(self, name: str) -> bool:
        """Whether there is a deadline of this name."""
        return name in self._timers

    def clear(self) -> None:
        self._timers.clear()

    def time_left(self) -> float | None:
        """Seconds until the first deadline, 0 if it has passed, None without any."""
        if not self._timers:
            return None
        return max(0.0, min(deadline for deadline, _ in self._timers.values()) - time.monotonic())

    def run_due(self) -> None:
        """Call every action whose time has come."""
        now = time.monotonic()
        for name, (deadline, action) in list(self._timers.items()):
            if deadline <= now and self._timers.get(name) == (deadline, action):
                del self._timers[name]
                action()
