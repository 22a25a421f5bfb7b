"""Calls that come before the service is ready; of too many, those of the connection with most are refused."""

from collections import Counter

from dbus_fast import Message

from ...policy.limits import MAX_HELD_CALLS


class HeldCalls:
    """The calls that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._calls: list[Message] = []
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._calls)

    def holds(self, sender: str) -> bool:
        """Whether calls of a connection wait."""
        return self._of[sender] > 0

    def add(self, call: Message) -> Message | None:
        """Hold a call; the one that is to be refused for it, which may be the same."""
        sender = call.sender or ""
        refused = None
        if len(self._calls) >= MAX_HELD_CALLS:
            most, count = self._of.most_common(1)[0]
            if self._of[sender] + 1 >= count:
                return call
            latest = next(n for n in range(len(self._calls) - 1, -1, -1) if (self._calls[n].sender or "") == most)
            refused = self._calls.pop(latest)
            self._of[most] -= 1
        self._calls.append(call)
        self._of[sender] += 1
        return refused

    def take(self) -> list[Message]:
        """All, which are held no more."""
        calls, self._calls = self._calls, []
        self._of.clear()
        return calls
