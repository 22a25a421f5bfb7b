"""An executor with one thread, for calls that would block the event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

from ..errors import SystemFailure
from ..waiting import shared

STEPS_AT_ONCE = 16  # requests to the kernel before another session's turn

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class SerialExecutor:
    """Runs jobs in order in one daemon thread, which starts with the first job and has the privileges of that moment.

    A job that hangs delays the jobs behind it, but neither the event loop nor the end of the process, as a thread of
    the standard library's executor would.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a job; it is done whether or not somebody waits for its result."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        result: Future[T] = Future()
        self._jobs.put(partial(_run, result, partial(function, *args, **kwargs)))
        return result

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Queue a job and wait for its result or exception; when cancelled, the job is done all the same."""
        return await shared(asyncio.wrap_future(self.submit(function, *args, **kwargs)))

    async def run_steps(self, steps: Generator[None, None, None]) -> None:
        """Take steps to the end, some in each job; they are closed, whether or not that comes.

        Raises what the steps raise.
        """
        try:
            while await self.run(advance, steps):
                pass
        finally:
            self.submit(steps.close)

    def stop(self) -> None:
        """End the thread when the jobs queued so far are done."""
        self._jobs.put(None)

    def _work(self) -> None:
        for job in iter(self._jobs.get, None):
            job()


class Gathered(Generic[T, R]):
    """Jobs of one kind for an executor: all that wait when their turn comes are done at once."""

    def __init__(self, executor: SerialExecutor, do: Callable[[Sequence[T]], Sequence[R | Exception]]) -> None:
        """`do` gets what is to be done, and returns the outcome of each, or raises what becomes that of all."""
        self._executor, self._do = executor, do
        self._waiting = deque[tuple[T, Future[R]]]()

    def submit(self, item: T) -> Future[R]:
        """Queue a job; it is done whether or not somebody waits for its result.  From any thread."""
        result: Future[R] = Future()
        self._waiting.append((item, result))
        self._executor.submit(self._do_all)
        return result

    async def run(self, item: T) -> R:
        """Queue a job and wait for its result or exception; when cancelled, the job is done all the same."""
        return await shared(asyncio.wrap_future(self.submit(item)))

    def _do_all(self) -> None:
        jobs = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not jobs:
            return  # they have been done with an earlier one
        outcomes: Sequence[R | Exception]
        try:
            outcomes = self._do([item for item, _ in jobs])
        except Exception as error:
            outcomes = [error] * len(jobs)
        for (_, result), outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                result.set_exception(outcome)
            else:
                result.set_result(outcome)


def advance(steps: Iterator[None]) -> bool:
    """Take some steps; whether there may be more."""
    return sum(1 for _ in islice(steps, STEPS_AT_ONCE)) == STEPS_AT_ONCE


@asynccontextmanager
async def limited(what: str, deadline: float) -> AsyncIterator[None]:
    """Raise SystemFailure when the body, described by `what`, takes more than `deadline` seconds."""
    try:
        async with asyncio.timeout(deadline):
            yield
    except TimeoutError:
        raise SystemFailure(f"{what} takes more than {deadline:g} s") from None


def _run(result: Future[Any], function: Callable[[], Any]) -> None:
    try:
        value = function()
    except BaseException as error:  # whatever it is, it belongs to who asked for the job
        result.set_exception(error)
    else:
        result.set_result(value)
