"""Deadlines of processes' own time: that in which they wait for a processor, since others use it, does not count."""

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from ...policy.limits import BUSY_MACHINE
from ..waiting import shared
from .proc import content

T = TypeVar("T")
Pids = Callable[[], Iterable[int]]


class OwnTime:
    """A deadline that processes have, which may be others at each look."""

    def __init__(self, seconds: float, pids: Pids) -> None:
        """It begins now, needs a running loop, and is put off BUSY_MACHINE times as long as it is, at most."""
        self._seconds, self._pids = seconds, pids
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._before = {pid: _waited(pid) for pid in pids()}
        self._waited: dict[int, float] = {}

    @property
    def left(self) -> float:
        """Seconds, as of now; they become more while the processes wait for a processor."""
        for pid in self._pids():
            waited = _waited(pid) - self._before.get(pid, 0.0)
            self._waited[pid] = max(waited, self._waited.get(pid, 0.0))
        put_off = min(sum(self._waited.values()), BUSY_MACHINE * self._seconds)
        return self._began + self._seconds + put_off - self._loop.time()


async def within(seconds: float, awaited: "asyncio.Future[T]", pids: Pids) -> T:
    """Wait for a result or exception, which goes on if this is given up.

    Raises TimeoutError when these processes have had so many seconds of their own for it.
    """
    time = OwnTime(seconds, pids)
    while (left := time.left) > 0:
        await asyncio.wait([awaited], timeout=left)
        if awaited.done():
            return await shared(awaited)
    raise TimeoutError


def _waited(pid: int) -> float:
    """Seconds that a process has waited for a processor, in all its threads; 0 if it is gone, or nobody counts this."""
    total = 0
    try:
        with os.scandir(f"/proc/{pid}/task") as threads:
            for thread in threads:
                total += int(content(f"{thread.path}/schedstat").split()[1])
    except OSError:  # also where the kernel does not count it (CONFIG_SCHED_INFO)
        pass
    return total / 1e9
