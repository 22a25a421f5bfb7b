"""The override automatic-restart: how often, and after which pauses, a session is started again whose engine died.

The numbers are those of OpenVPN 3 Linux, and stand in policy/limits.py.
"""

from ...policy.limits import MAX_RESTART_PAUSE, MAX_RESTARTS, RESTART_FORGOTTEN, RESTART_PAUSE


def pause_before(attempt: int) -> float:
    """Seconds to wait before a try; they count from 1."""
    return float(min(RESTART_PAUSE * 2 ** (attempt - 1), MAX_RESTART_PAUSE))


class Restarts:
    """The tries of one session.  Times are those of time.monotonic()."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.tries = 0  # that count
        self._connected_since: float | None = None

    @property
    def pause(self) -> float:
        """Seconds to wait before the try that was granted last."""
        return pause_before(self.tries)

    @property
    def used_up(self) -> bool:
        """Whether the session is wanted again, but was tried often enough."""
        return self.wanted and self.tries >= MAX_RESTARTS

    def follow(self, connected: bool, now: float) -> None:
        """Note whether the session is connected; tries before a long connection do not count any more."""
        if connected:
            self._connected_since = now if self._connected_since is None else self._connected_since
        elif self._connected_since is not None:
            if now - self._connected_since >= RESTART_FORGOTTEN:
                self.tries = 0
            self._connected_since = None

    @property
    def kept(self) -> tuple[int, float | None]:
        """The tries that count, and since when the session is connected."""
        return self.tries, self._connected_since

    def restore(self, tries: int, connected_since: float | None) -> None:
        """Go on from what was kept."""
        self.tries, self._connected_since = tries, connected_since

    def another(self) -> bool:
        """Whether there may be another try; if so it counts."""
        if not self.wanted or self.used_up:
            return False
        self.tries += 1
        return True
