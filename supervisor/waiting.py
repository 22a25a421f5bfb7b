"""Waiting for what others may wait for, too."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def shared(result: "asyncio.Future[T]") -> T:
    """Wait for a result or exception; when the one who waits is cancelled, what brings it goes on."""
    # Else one that fails after that would be reported as a fault: shield() looks at what it protects no more.
    result.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(result)
