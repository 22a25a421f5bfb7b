"""The last failures of each user's sessions, kept on disk when session and service are gone, and shown on the bus.

What a session's starter does counts for the starter, so that nobody makes the service forget another's failures.  A
disk that is full or broken costs the memory of the next service: never a session.
"""

import asyncio
from collections.abc import Iterable
from heapq import nlargest
from operator import attrgetter
from pathlib import Path

from dbus_fast import Variant

from ...policy.access import Acl
from ...policy.limits import FLUSH_DEADLINE, MAX_FAILURE_USERS, MAX_FAILURES_PER_USER, MAX_FAILURES_SHOWN
from ..bus.dispatch import Dispatcher
from ..bus.failures_api import FAILURES, FAILURES_PATH
from ..bus.manager_api import BUS_NAME
from ..logging.log import Log
from . import failure_files
from .past_failure import PastFailure

_newest = attrgetter("time")


class Failures:
    """The last failures of all users; those of one user are on the bus as an object while there are any."""

    def __init__(self, directory: Path, dispatcher: Dispatcher, log: Log) -> None:
        self._directory = directory
        self._dispatcher = dispatcher
        self._log = log
        self._kept: dict[int, list[PastFailure]] = {}  # by starter; the users who failed last, and their failures, last
        self._shown: set[int] = set()  # users
        self._unsaved: dict[int, None] = {}  # starters, in the order in which they are to be saved
        self._saving: asyncio.Task[None] | None = None
        self._trouble = ""  # that the log has told of

    async def load(self) -> None:
        """Read what earlier services kept."""
        found, notes = await asyncio.to_thread(failure_files.load, self._directory)
        for note in notes:
            self._log.warn(note)
        for starter, failures in sorted(found.items(), key=lambda item: max(map(_newest, item[1]), default=0)):
            self._kept[starter] = list(failures[-MAX_FAILURES_PER_USER:])
        self._show()

    def add(self, failure: PastFailure) -> None:
        """Keep one more."""
        failures = self._kept.pop(failure.starter, [])
        self._kept[failure.starter] = [*failures, failure][-MAX_FAILURES_PER_USER:]
        self._save(failure.starter)
        if len(self._kept) > MAX_FAILURE_USERS:
            forgotten = next(iter(self._kept))
            del self._kept[forgotten]
            self._save(forgotten)
        self._show()

    def has(self, starter: int, session: str) -> bool:
        """Whether a session's failure is kept."""
        return any(one.session == session for one in self._kept.get(starter, ()))

    def of(self, user: int) -> list[PastFailure]:
        """Those that a user may see, the newest first."""
        seen = [one for one in self._all() if user in (0, one.owner, one.starter)]
        return nlargest(MAX_FAILURES_SHOWN, reversed(seen), key=_newest)

    async def close(self) -> None:
        """Wait until all is saved that can be."""
        if self._saving is not None:
            await asyncio.wait([self._saving], timeout=FLUSH_DEADLINE)

    def _all(self) -> Iterable[PastFailure]:
        return (one for failures in self._kept.values() for one in failures)

    def _show(self) -> None:
        """Have on the bus one object for each user who has something to see."""
        having = {user for one in self._all() for user in (0, one.owner, one.starter)}
        for user in self._shown - having:
            self._dispatcher.withdraw(f"{FAILURES_PATH}/{user}")
        for user in having - self._shown:
            target = FailuresObject(self, user)
            self._dispatcher.export(f"{FAILURES_PATH}/{user}", FAILURES, target, bus_name=BUS_NAME)
        self._shown = having

    def _save(self, starter: int) -> None:
        self._unsaved[starter] = None
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save_all())

    async def _save_all(self) -> None:
        """One file at a time, each with all that has come until then."""
        while self._unsaved:
            starter = next(iter(self._unsaved))
            del self._unsaved[starter]
            trouble = ""
            try:
                if failures := self._kept.get(starter):
                    await asyncio.to_thread(failure_files.write, self._directory, starter, tuple(failures))
                else:
                    await asyncio.to_thread(failure_files.remove, self._directory, starter)
            except OSError as error:
                trouble = f"Failures of sessions cannot be kept in {self._directory}: {error.strerror}"
            if trouble and trouble != self._trouble:
                self._log.warn(f"{trouble}; they are remembered until the service ends")
            self._trouble = trouble


class FailuresObject:
    """What one user sees of them: the properties of bus/failures_api.py."""

    def __init__(self, failures: Failures, user: int) -> None:
        self.acl = Acl(user)
        self._failures = failures
        self._user = user

    @property
    def failures(self) -> list[dict[str, Variant]]:
        return [one.row for one in self._failures.of(self._user)]
