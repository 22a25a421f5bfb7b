"""A session's counters as they are when somebody reads them: asked of the kernel and, by the worker, of the engine.

Nothing is counted while nobody looks.  Whoever reads waits for a moment at most (COUNT_DEADLINE), and not at all while
an earlier question has no answer: then they are as they were.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ...ipc import messages
from ...policy.limits import COUNT_DEADLINE, COUNTS_KEPT
from ..network.device_info import counters
from .statistics import Statistics


class Counting:
    """Asks for what is counted in one run."""

    def __init__(self, statistics: Statistics, ask: Callable[[messages.Count], None]) -> None:
        """`ask` sends the worker a message."""
        self._statistics = statistics
        self._ask = ask
        self._current_until = 0.0  # by the loop's time
        self._unanswered = False
        self._answer = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def look(self, device: str, *, can_ask: bool) -> Awaitable[None] | None:
        """What to await until the counters are as they are now; None if they are.

        `device` is the session's, "" without one; `can_ask` whether its worker knows the question.
        """
        if self._looking is None:
            if asyncio.get_running_loop().time() < self._current_until:
                return None
            self._looking = asyncio.create_task(self._look(device, can_ask=can_ask and not self._unanswered))
        return asyncio.shield(self._looking)

    async def _look(self, device: str, *, can_ask: bool) -> None:
        try:
            async with asyncio.timeout(COUNT_DEADLINE):
                if can_ask:
                    self._unanswered = True
                    self._answer.clear()
                    self._ask(messages.Count())
                if device:
                    # It may have to wait for the lock that the removal of another device holds.
                    self._statistics.count_device(await asyncio.to_thread(counters, device))
                if can_ask:
                    await self._answer.wait()
        except TimeoutError:
            pass
        finally:
            self._current_until = asyncio.get_running_loop().time() + COUNTS_KEPT
            self._looking = None

    def answered(self) -> None:
        """The worker tells its counters, asked or not."""
        self._unanswered = False
        self._answer.set()

    def end(self) -> None:
        """Nobody will answer any more."""
        self._answer.set()
