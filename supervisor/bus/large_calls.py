"""Calls with large arguments that are being read, wait or are run: how much of them, of one user and in all."""

from collections import Counter

from dbus_fast import Message

from ...policy.limits import MAX_LARGE_CALLS, MAX_LARGE_CALLS_PER_USER
from .budget import Budget


class LargeCalls:
    """Such calls, from before they are read until they are answered; `budget` knows whose they are."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._calls: dict[tuple[str | None, int], tuple[int | None, int]] = {}  # user and bytes, by sender and serial
        self._of_user: Counter[int | None] = Counter()  # bytes; None: of users that are not known yet
        self._all = 0

    def admit(self, sender: str, serial: int, size: int) -> bool:
        """Whether there is room for a call; if so, it is counted until it is `done`."""
        if (sender, serial) in self._calls:
            return False  # they could not be told apart when one of them is over
        account = self._budget.accounts.get(sender)
        uid = account.user.uid if account else None
        if self._of_user[uid] + size > MAX_LARGE_CALLS_PER_USER or self._all + size > MAX_LARGE_CALLS:
            return False
        self._calls[sender, serial] = uid, size
        self._of_user[uid] += size
        self._all += size
        return True

    def done(self, call: Message) -> None:
        """A call, large or not, is over."""
        if self._calls and (counted := self._calls.pop((call.sender, call.serial), None)):
            uid, size = counted
            self._of_user[uid] -= size
            self._all -= size
            if not self._of_user[uid]:
                del self._of_user[uid]
