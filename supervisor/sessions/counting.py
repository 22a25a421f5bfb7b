"""A session's counters as they are when somebody reads them: asked of the kernel and, by the worker, of the engine.

Nothing is counted while nobody looks.  Whoever reads waits for a moment at most (COUNT_DEADLINE), and not at all while
an earlier question has no answer: then they are as they were.  Who may read the sessions of many users waits for those
of each user a moment at most, too (COUNT_PATIENCE).
"""

import asyncio
from collections.abc import Awaitable, Callable

from ...ipc import messages
from ...policy.limits import COUNT_DEADLINE, COUNT_PATIENCE, COUNT_PATIENCE_BACK, COUNTS_KEPT
from ..network.device_info import counters
from .statistics import Statistics


class Patience:
    """How long readers wait for the sessions that each user has started; needs a running loop."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = asyncio.get_running_loop().time
        self._spent: dict[int, tuple[float, float]] = {}  # seconds, and when that was so, by user

    def has_any(self, user: int) -> bool:
        """Whether readers still wait for this user's sessions."""
        return self._spent_now(user) < COUNT_PATIENCE

    def spend(self, user: int, seconds: float) -> None:
        """Readers have waited so long for one of them; what was too long for one counts, not what was for many."""
        spent = min(self._spent_now(user) + seconds, COUNT_PATIENCE + COUNT_DEADLINE)
        self._spent[user] = spent, self.now()

    def _spent_now(self, user: int) -> float:
        spent, then = self._spent.get(user, (0.0, 0.0))
        return max(0.0, spent - (self.now() - then) * COUNT_PATIENCE / COUNT_PATIENCE_BACK)


class Counting:
    """Asks for what is counted in one run."""

    def __init__(
        self, statistics: Statistics, ask: Callable[[messages.Count], None], patience: Patience, user: int
    ) -> None:
        """`ask` sends the worker a message; `user` has started the session."""
        self._statistics = statistics
        self._ask = ask
        self._patience = patience
        self._user = user
        self._current_until = 0.0  # by the loop's time
        self._unanswered = False
        self._answer = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def look(self, device: str, *, can_ask: bool) -> Awaitable[None] | None:
        """What to await until the counters are as they are now; None if they are, or nobody waits for them.

        `device` is the session's, "" without one; `can_ask` whether its worker knows the question.
        """
        if self._looking is None:
            if asyncio.get_running_loop().time() < self._current_until:
                return None
            self._looking = asyncio.create_task(self._look(device, can_ask=can_ask and not self._unanswered))
        return asyncio.shield(self._looking) if self._patience.has_any(self._user) else None

    async def _look(self, device: str, *, can_ask: bool) -> None:
        began = self._patience.now()
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
            now = self._patience.now()
            self._patience.spend(self._user, now - began)
            self._current_until = now + COUNTS_KEPT
            self._looking = None

    def answered(self) -> None:
        """The worker tells its counters, asked or not."""
        self._unanswered = False
        self._answer.set()

    def end(self) -> None:
        """Nobody will answer any more."""
        self._answer.set()
