"""Work that takes long: one thing at a time for each user, and none keeps the loop from answering others.

Python runs one thread at a time, and switches between them after milliseconds.  So what is Python runs on the loop, a
piece at a time; threads are for what waits for the disk.
"""

import asyncio
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from ...policy.limits import LARGE_REPLY, WORK_PIECE, WORK_RATE, WORK_REST
from ...policy.pieces import Pieces

T = TypeVar("T")
P = ParamSpec("P")


class LongWork:
    """Runs users' work; what one user has waiting delays none of another's."""

    def __init__(self) -> None:
        self._of_user: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._piece = asyncio.Lock()

    async def in_pieces(self, uid: int, work: Pieces[T]) -> T:
        """The result of `work`, whose errors are raised here."""
        loop = asyncio.get_running_loop()
        async with self._turn(uid):
            while True:
                await self._piece.acquire()
                end = time.perf_counter() + WORK_PIECE
                try:
                    while time.perf_counter() < end:
                        next(work)
                except StopIteration as done:
                    result: T = done.value
                    return result
                finally:
                    loop.call_later(WORK_REST, self._piece.release)

    async def in_thread(self, uid: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`, which waits for the disk; its errors are raised here."""
        async with self._turn(uid):
            return await asyncio.to_thread(work, *args, **kwargs)

    async def keep_pace(self, uid: int, size: int) -> None:
        """Wait for the user's turn to have so many bytes read or sent, which cannot be done in pieces.

        What the user has done next waits, so that it is no more than WORK_RATE.
        """
        if size > LARGE_REPLY:
            turn = self._turn(uid)
            await turn.acquire()
            asyncio.get_running_loop().call_later(size / WORK_RATE, turn.release)

    def _turn(self, uid: int) -> asyncio.Lock:
        return self._of_user.setdefault(uid, asyncio.Lock())
