"""Waiting for something that an event loop does, where nothing tells of it."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until the condition holds; the deadline is the caller's."""
    while not condition():
        await asyncio.sleep(0)
