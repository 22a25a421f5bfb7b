"""How long a session may be in each of its states, and what happens when that is over."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from ...policy.limits import FAILED_READABLE, PAUSE_DEADLINE, VERDICT_DEADLINE, WORKER_GRACE
from ..workers.own_time import OwnTime
from .restarts import Restarts
from .states import Event, State
from .verdict import LATE


class Deadline(msgspec.Struct, frozen=True):
    """The end of a state."""

    seconds: float  # from when the state was entered
    event: Event  # that happens then
    text: str = ""
    another_run: bool = False  # instead of the event, where the session may have one
    own: bool = False  # of its processes' own time (workers/own_time.py)


def deadline_of(state: State, *, connect: float, restarts: Restarts) -> Deadline | None:
    """The deadline of a state, if it has one.

    `connect` are the seconds that the worker has for the first connection.
    """
    # The worker keeps the same deadlines and knows more about the cause: it goes first.
    late = f"The session's worker does not come to an end of {state.name}"
    match state:
        case State.CONNECTING:
            return Deadline(connect + WORKER_GRACE, Event.ENGINE_FAILED, late)
        case State.PAUSING:
            return Deadline(PAUSE_DEADLINE + WORKER_GRACE, Event.ENGINE_FAILED, late)
        case State.DOWN:
            return Deadline(restarts.pause, Event.DUE)
        case State.REVIVING:
            return Deadline(VERDICT_DEADLINE, Event.ENGINE_FAILED, LATE, another_run=True, own=True)
        case State.AUTH_FAILED | State.FAILED:
            return Deadline(FAILED_READABLE, Event.EXPIRED)
    return None


class StateTimer:
    """Waits for the deadline of the present state; needs a running loop."""

    def __init__(self, processes: Callable[[], Iterable[int]]) -> None:
        """`processes` are those whose own time it is where a deadline is of such."""
        self.handle: asyncio.TimerHandle | None = None
        self._processes = processes

    @property
    def due(self) -> float | None:
        """When it is over, by the loop's clock, which is time.monotonic(); None without one."""
        return None if self.handle is None else self.handle.when()

    def set(
        self,
        deadline: Deadline | None,
        happened: Callable[[Event, str], None],
        another_run: Callable[[Event, str], None],
    ) -> None:
        """Wait for this one in place of another; one of the functions is called then, see Deadline."""
        self.cancel()
        if deadline is not None:
            over = partial(another_run if deadline.another_run else happened, deadline.event, deadline.text)
            if deadline.own:
                over = partial(self._over, OwnTime(deadline.seconds, self._processes), over)
            self.handle = asyncio.get_running_loop().call_later(deadline.seconds, over)

    def _over(self, time: OwnTime, then: Callable[[], None]) -> None:
        left = time.left
        if left > 0:
            self.handle = asyncio.get_running_loop().call_later(left, self._over, time, then)
        else:
            then()

    def cancel(self) -> None:
        """Wait for none."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
