"""Which sessions there are, who sees which, and whether there may be one more."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from weakref import WeakValueDictionary

from ...policy.access import Caller, listed_for
from ...policy.limits import MAX_STARTS_PER_USER, VERDICT_DEADLINE
from ...policy.quotas import BY_DEFAULT, Quotas
from ...policy.session_places import Places, refusal
from ..bus.manager_api import ROOT_PATH
from ..errors import CallerError
from .session import Session
from .states import State


class Register:
    """All sessions of which anything is left."""

    def __init__(self, places: Places, quotas: Quotas = BY_DEFAULT) -> None:
        self.present: dict[str, Session] = {}  # on the bus or about to be, by path
        self.places, self.quotas = places, quotas  # may be changed at any time
        self._ending: set[Session] = set()  # off the bus, but something of them is left
        self._turns = WeakValueDictionary[int, asyncio.Semaphore]()  # by user, while one starts sessions
        self._one_ended = asyncio.Event()  # set for a moment when nothing is left of one

    def __len__(self) -> int:
        return len(self.present) + len(self._ending)

    def __iter__(self) -> Iterator[Session]:
        """All, as they are now."""
        return iter([*self.present.values(), *self._ending])

    def add(self, session: Session) -> None:
        """It is about to be on the bus."""
        self.present[session.path] = session

    def removed(self, session: Session) -> None:
        """It has left the bus."""
        del self.present[session.path]
        if not session.ended.is_set():
            self._ending.add(session)

    def ended(self, session: Session) -> None:
        """Nothing is left of it."""
        self._ending.discard(session)
        self._one_ended.set()
        self._one_ended.clear()

    def named(self, name: str) -> Session | None:
        """The one on the bus, or about to be, whose path ends so."""
        return self.present.get(f"{ROOT_PATH}/{name}")

    def seen_by(self, caller: Caller) -> Iterator[Session]:
        """Those on the bus that a caller may use."""
        for session in self.present.values():
            if session.state is not State.STARTING and listed_for(caller.uid, session.acl):
                yield session

    # Before a session is started

    def turn(self, caller: Caller) -> asyncio.Semaphore:
        """What lets a few of the caller's sessions be started at once: a hundred would leave nothing to others."""
        return self._turns.setdefault(caller.uid, asyncio.Semaphore(MAX_STARTS_PER_USER))

    async def wait_for_ending(self, caller: Caller) -> None:
        """Give sessions that have been disconnected time to go, if only such ones leave no place for the caller's."""
        try:
            async with asyncio.timeout(VERDICT_DEADLINE):
                while self._no_place(caller) and not self._no_place(caller, ending=False):
                    await self._one_ended.wait()
        except TimeoutError:
            pass  # what is left of them counts

    def check_places(self, caller: Caller) -> None:
        """Raises CallerError if there is no place for another session of the caller's."""
        if reason := self._no_place(caller):
            raise CallerError(reason)

    def _no_place(self, caller: Caller, *, ending: bool = True) -> str:
        """Why there is no place for another session of the caller's, "" if there is one."""
        counted = self if ending else self.present.values()
        started = Counter(session.starter for session in counted)
        return refusal(caller.uid, started, self.places, self.quotas)

    def check_running(self, caller: Caller, config_path: str, *, of_all: bool = False) -> None:
        """Raises CallerError if a session of this profile is running that the caller sees, or with `of_all` any."""
        of_it = [one for one in self.present.values() if one.config_path == config_path and one.running]
        if any(of_all or listed_for(caller.uid, one.acl) for one in of_it):
            raise CallerError("A session with this configuration profile is already running")
