"""Looks whether others have taken name servers of sessions away, when files change that tell so."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from ..logging.log import Log
from ..network.contest import Contest
from .file_watch import FileWatch


class PutBack:
    """Has them put back, later each time that they are taken away again; to be used on the loop."""

    def __init__(self, files: Callable[[], Iterable[Path]], put_back: Callable[[], Awaitable[bool]], log: Log) -> None:
        """`files` are to be watched now; `put_back` says whether any name servers were missing."""
        self._files = files
        self._put_back = put_back
        self._log = log
        self._contest = Contest()
        self._watch = FileWatch(self._changed)
        self._watched: tuple[Path, ...] = ()
        self._due: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self._again = False  # something has changed since that began
        self._deaf = False  # it was said that nothing can be watched

    @property
    def contested(self) -> bool:
        """Whether they have been taken away in the last minute."""
        return self._contest.goes_on

    def update(self) -> None:
        """What is set has changed: watch what belongs to it."""
        files = tuple(self._files())
        if files != self._watched:
            self._listen(files)

    def close(self) -> None:
        """Watch no more."""
        self._watch.stop()
        if self._due is not None:
            self._due.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _listen(self, files: tuple[Path, ...]) -> None:
        self._watched = files
        try:
            self._watch.watch(files)
        except OSError as error:
            if not self._deaf:
                self._log.warn(f"That others take name servers of sessions away will not be noticed: {error.strerror}")
            self._deaf = True

    def _changed(self) -> None:
        if self._looking is not None:
            self._again = True
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._contest.pause(), self._look)

    def _look(self) -> None:
        self._due = None
        self._looking = asyncio.create_task(self._look_now())

    async def _look_now(self) -> None:
        # First, so that nothing is missed: the same names may be other files by now.
        self._listen(tuple(self._files()))
        try:
            if await self._put_back():
                self._contest.missing()
        finally:
            self._looking = None
        if self._again:
            self._again = False
            self._changed()
