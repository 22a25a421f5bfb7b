"""Calls with large arguments that are being read, wait or are run: how much of them, of one user and in all."""

from collections import Counter

import msgspec
from dbus_fast import Message

from ...policy.limits import MAX_LARGE_CALLS, MAX_LARGE_CALLS_PER_USER
from .budget import Budget


class _Counted(msgspec.Struct):
    """A call that counts."""

    sender: str
    uid: int | None  # None: of a user that is not known yet
    size: int  # bytes


class LargeCalls:
    """Such calls, from before they are read until they are answered; `budget` knows whose they are."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._coming: dict[tuple[str | None, int], _Counted] = {}  # admitted and not read, by sender and serial
        self._read: dict[int, _Counted] = {}  # by id() of the call: a connection may use a serial number again
        self._of_user: Counter[int | None] = Counter()  # bytes
        self._all = 0

    def admit(self, sender: str, serial: int, size: int) -> bool:
        """Whether there is room for a call; if so, it is counted until it is `done`."""
        if (sender, serial) in self._coming:
            return False  # they could not be told apart when one of them is read
        account = self._budget.accounts.get(sender)
        uid = account.user.uid if account else None
        if self._of_user[uid] + size > MAX_LARGE_CALLS_PER_USER or self._all + size > MAX_LARGE_CALLS:
            return False
        self._coming[sender, serial] = _Counted(sender, uid, size)
        self._of_user[uid] += size
        self._all += size
        return True

    def read(self, call: Message) -> None:
        """A call, large or not, has been read."""
        key = call.sender, call.serial
        if self._coming and (counted := self._coming.get(key)) and _size(call) == counted.size:
            self._read[id(call)] = self._coming.pop(key)

    def identified(self, sender: str, uid: int) -> None:
        """The user of a connection is known: what it has here counts for that one, as far as there is room."""
        for counted in (*self._coming.values(), *self._read.values()):
            room = self._of_user[uid] + counted.size <= MAX_LARGE_CALLS_PER_USER
            if counted.sender == sender and counted.uid is None and room:
                self._give_back(counted)
                counted.uid = uid
                self._of_user[uid] += counted.size

    def done(self, call: Message) -> None:
        """A call, large or not, is over."""
        if self._read and (counted := self._read.pop(id(call), None)):
            self._give_back(counted)
            self._all -= counted.size

    def forget(self) -> None:
        """The bus is gone: none is coming any more, and those that were run are given up."""
        self._coming.clear()
        self._read.clear()
        self._of_user.clear()
        self._all = 0

    def _give_back(self, counted: _Counted) -> None:
        self._of_user[counted.uid] -= counted.size
        if not self._of_user[counted.uid]:
            del self._of_user[counted.uid]


def _size(call: Message) -> int:
    """The bytes of a call's arguments, as far as they are texts, numbers and switches, as those that may be large."""
    size = 0
    for kind, value in zip(call.signature, call.body, strict=False):
        size += -size % 4 + 4
        if kind == "s":
            size += len(value.encode()) + 1
    return size
