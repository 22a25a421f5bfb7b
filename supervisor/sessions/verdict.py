"""What a worker makes of its session's profile: NewTunnel waits for it."""

import asyncio
from collections.abc import Callable, Iterable

from ...policy.limits import VERDICT_DEADLINE
from ..errors import SystemFailure
from ..workers.own_time import within

LATE = f"The session's worker gave no verdict within {VERDICT_DEADLINE:g} s"


class Verdict:
    """The outcome of a session's first start; what is given once stays."""

    def __init__(self) -> None:
        """Needs a running loop."""
        self._given: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self._given.done()

    @property
    def error(self) -> BaseException | None:
        """Why there is no session, if one was given that says so."""
        return self._given.exception() if self._given.done() else None

    def accept(self) -> None:
        """The profile is usable."""
        if not self._given.done():
            self._given.set_result(None)

    def refuse(self, error: Exception) -> None:
        """There is no session, for this reason."""
        if not self._given.done():
            self._given.set_exception(error)
            self._given.exception()  # asyncio complains of one that nobody looked at, and nobody may be waiting

    async def wait(self, launched: "asyncio.Future[None]", processes: Callable[[], Iterable[int]]) -> None:
        """Wait for it: when the worker is `launched` these processes have VERDICT_DEADLINE.

        Raises what it was refused with, or SystemFailure.
        """
        await asyncio.wait([self._given, launched], return_when=asyncio.FIRST_COMPLETED)
        try:
            await within(VERDICT_DEADLINE, self._given, processes)
        except TimeoutError:
            raise SystemFailure(LATE) from None
