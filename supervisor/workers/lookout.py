"""Looks for processes that are stuck without being stopped: they spin, or wait in the kernel for what does not come."""

import asyncio
from collections.abc import Callable, Hashable, Iterable

import msgspec

from ...policy.limits import LOOK_INTERVAL
from .proc import content

_BUSY = 0.9  # of the time between two looks: as good as all
_AT_ONCE = 16  # followed things that are looked at before others get the loop
_TICKS = 100.0  # of /proc/PID/stat in a second (USER_HZ, the same on all architectures of ours)
_UNINTERRUPTIBLE, _STOPPED = b"D", b"T"


class _Reading(msgspec.Struct, frozen=True):
    state: bytes
    wanted: float  # seconds in which it has used a processor, or waited for one


class _Followed(msgspec.Struct, frozen=True):
    pids: Callable[[], Iterable[int]]
    suspect: Callable[[], None]


class Lookout:
    """Tells of each process that wanted a processor all the time between two looks, or waited uninterruptibly.

    Or was stopped, as far as nobody is told of that.

    That alone is no fault: an engine with much traffic does.  Whoever is told asks the process.  There is no timer
    while nothing is followed.
    """

    def __init__(self, interval: float = LOOK_INTERVAL) -> None:
        """`interval` is in seconds."""
        self._interval = interval
        self._followed: dict[Hashable, _Followed] = {}
        self._helpers: list[_Followed] = []
        self._seen: dict[int, _Reading] = {}
        self._looking: asyncio.Task[None] | None = None

    def add_helper(self, pids: Callable[[], Iterable[int]], suspect: Callable[[], None]) -> None:
        """Look at these processes as well, while anything is followed."""
        self._helpers.append(_Followed(pids, suspect))

    def follow(self, key: Hashable, pids: Callable[[], Iterable[int]], suspect: Callable[[], None]) -> None:
        """Look at the processes `pids` until `forget`, and call `suspect` when one may be stuck."""
        self._followed[key] = _Followed(pids, suspect)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_now_and_then())

    def forget(self, key: Hashable) -> None:
        """Look no more at what was followed by this key; nothing if there is no such."""
        self._followed.pop(key, None)
        if not self._followed:
            self.stop()

    def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
            self._seen.clear()

    async def _look_now_and_then(self) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(self._interval)
            before, looked = looked, loop.time()
            await self._look(looked - before)

    async def _look(self, seconds: float) -> None:
        """Look at each once; `seconds` have passed since the last time."""
        seen: dict[int, _Reading] = {}
        for number, one in enumerate([*self._helpers, *self._followed.values()], 1):
            stuck = False
            for pid in one.pids():
                reading, before = _read(pid), self._seen.get(pid)
                if reading is not None:
                    seen[pid] = reading
                    stuck |= before is not None and _may_be_stuck(before, reading, seconds)
            if stuck:
                one.suspect()
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._seen = seen


def _may_be_stuck(before: _Reading, now: _Reading, seconds: float) -> bool:
    if now.wanted - before.wanted >= _BUSY * seconds:
        return True
    return before.state == now.state and now.state in (_UNINTERRUPTIBLE, _STOPPED) and before.wanted == now.wanted


def _read(pid: int) -> _Reading | None:
    """A process as it is now; None if it is gone."""
    try:
        fields = content(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    try:
        # On a busy machine one that spins has little of the processor, and waits for it otherwise.
        used, waited, *_ = content(f"/proc/{pid}/schedstat").split()
        return _Reading(fields[0], (int(used) + int(waited)) / 1e9)
    except OSError:  # the kernel does not count this (CONFIG_SCHED_INFO)
        return _Reading(fields[0], (int(fields[11]) + int(fields[12])) / _TICKS)
