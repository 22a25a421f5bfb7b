"""How many lines each user may cause in the log: a burst, and so many a second after that.

journald, which counts the lines of a service as a whole, would otherwise drop others' for those of one.
"""

import time
from collections.abc import Callable

from ...policy.dbus_numbers import DEFAULT_LOG_LEVEL
from ...policy.limits import LOG_LINES_A_SECOND, LOG_LINES_OF_USER, MORE_LOG_LINES

_NOTICE = 5.0  # seconds from the first line left out to the notice of how many they were

Later = Callable[[float, Callable[[], None]], object]


class _User:
    __slots__ = ("left", "left_out", "seen")

    def __init__(self, left: float, seen: float) -> None:
        self.left = left  # lines that may still be written
        self.seen = seen  # time.monotonic() of the latest line
        self.left_out = 0  # lines, since the last notice


class UserCredit:
    """The lines that each user may still cause; `say(uid, count)` is told how many were left out."""

    def __init__(self, say: Callable[[int, int], None]) -> None:
        self.later: Later | None = None  # calls a function after so many seconds; without, notices wait for a line
        self._say = say
        self._users: dict[int, _User] = {}
        self._notice_at = 0.0  # time.monotonic(); 0 while none is due

    def spend(self, uid: int, level: int) -> bool:
        """Whether a line that user `uid` causes may be written, in a log of this level; else it is counted."""
        now = time.monotonic()
        self.tell_due(now)
        more = MORE_LOG_LINES if level > DEFAULT_LOG_LEVEL else 1
        user = self._users.get(uid)
        if user is None:
            user = self._users[uid] = _User(LOG_LINES_OF_USER * more, now)
        user.left = min(user.left + (now - user.seen) * LOG_LINES_A_SECOND * more, LOG_LINES_OF_USER * more)
        user.seen = now
        if user.left >= 1:
            user.left -= 1
            return True
        user.left_out += 1
        if not self._notice_at:
            self._notice_at = now + _NOTICE
            if self.later is not None:
                self.later(_NOTICE, self.tell)
        return False

    def tell_due(self, now: float) -> None:
        """Say how many lines were left out, if it is time to."""
        if self._notice_at and now >= self._notice_at:
            self.tell()

    def tell(self) -> None:
        """Say how many lines were left out, for each user, and forget those who have caused none for long."""
        self._notice_at = 0.0
        full = time.monotonic() - LOG_LINES_OF_USER / LOG_LINES_A_SECOND
        for uid, user in list(self._users.items()):
            if user.left_out:
                left_out, user.left_out = user.left_out, 0
                self._say(uid, left_out)
            elif user.seen < full:
                del self._users[uid]
