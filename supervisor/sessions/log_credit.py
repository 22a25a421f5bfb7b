"""How many lines a worker may have logged."""

import asyncio
from collections.abc import Callable

from ...policy.limits import LOG_CREDIT
from ..errors import ProtocolViolation

_INTERVAL = 1.0  # seconds in which a worker may have LOG_CREDIT lines logged


class LogCredit:
    """What one worker has left of it."""

    def __init__(self, give: Callable[[int], None]) -> None:
        """`give` tells the worker how many more lines it may send."""
        self._give = give
        self._spent = 0  # since it was last given

    def spend(self) -> None:
        """Count a line, and give credit for more in a while.  Raises ProtocolViolation for one beyond the credit."""
        if self._spent == 0:
            asyncio.get_running_loop().call_later(_INTERVAL, self._renew)
        self._spent += 1
        if self._spent > LOG_CREDIT:
            raise ProtocolViolation("it sent log lines beyond its credit")

    def _renew(self) -> None:
        spent, self._spent = self._spent, 0
        self._give(spent)
