"""Waiting for what others may wait for, too, or for what cannot be done yet."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..policy.limits import AGAIN_FIRST, AGAIN_LONGEST

T = TypeVar("T")


async def shared(result: "asyncio.Future[T]") -> T:
    """Wait for a result or exception; when the one who waits is cancelled, what brings it goes on."""
    # Else one that fails after that would be reported as a fault: shield() looks at what it protects no more.
    result.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(result)


async def until_done(work: Callable[[], Awaitable[bool]]) -> None:
    """Try something again, less and less often, until it says that it is done."""
    pause = AGAIN_FIRST
    while True:
        await asyncio.sleep(pause)
        if await work():
            return
        pause = min(pause * 2, AGAIN_LONGEST)
