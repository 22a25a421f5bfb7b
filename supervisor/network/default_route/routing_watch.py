"""Looks at the machine's routing when it has changed, after a quiet moment."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

from ..contest import Contest
from ..serial_executor import STEPS_AT_ONCE, SerialExecutor
from .routing_events import RoutingEvents


class RoutingWatch:
    """The moment is longer when somebody removes rules of ours again and again.  To be used on the loop."""

    def __init__(
        self, executor: SerialExecutor, look_again: Callable[[], Iterator[bool]], changed: Callable[[], None]
    ) -> None:
        """`look_again`, used in the executor, takes steps, and yields whether rules of ours were missing.

        `changed` is called at once.
        """
        self._executor = executor
        self._look_again = look_again
        self._changed = changed
        self._events = RoutingEvents(self._noticed)
        self._looking: asyncio.TimerHandle | None = None  # in a moment
        self._contest = Contest()

    def start(self) -> None:
        """Begin to watch, unless begun already.  Raises SystemFailure."""
        self._events.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._events.stop()
        if self._looking is not None:
            self._looking.cancel()

    def _noticed(self) -> None:
        self._changed()
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(self._contest.pause(), self._look)

    def _look(self) -> None:
        self._looking = None
        job = asyncio.wrap_future(self._executor.submit(self._follow, self._look_again()))
        job.add_done_callback(self._looked)

    def _looked(self, job: asyncio.Future[bool]) -> None:
        if not job.cancelled() and job.result():
            self._contest.missing()

    def _follow(self, steps: Iterator[bool]) -> bool:
        """Take some steps, in turn with others' requests; whether rules of ours were missing."""
        missing = list(islice(steps, STEPS_AT_ONCE))
        if len(missing) == STEPS_AT_ONCE:
            self._executor.submit(self._follow, steps)
        return any(missing)
