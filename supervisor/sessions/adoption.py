"""The sessions of an instance that is gone: each is taken over, if its worker is proven to be the one that was noted.

In order: `prove` speaks to all workers at once; `inherit` has network and names spare what is theirs; `show` puts the
sessions on the bus as they were, `settle` has them as they would be had somebody listened all the time.  What cannot
be taken over is ended, with a reason for its owner.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import msgspec

from ...ipc import messages
from ...policy.limits import ADOPTION_DEADLINE
from ...policy.profile.wanted import Wanted
from ..bus.callers import CallerGone, Callers
from ..errors import SystemFailure
from ..workers.takeover import TakenWorker, take_over
from . import dossier, reconcile
from .context import SessionContext
from .dossier import Dossier, KeptRestarts, KeptRun
from .journal import Leftover, proven
from .launch_spec import LaunchSpec, is_profile
from .session import Session, SessionListener
from .states import State

_WITHOUT_WORKER = (State.DOWN, State.DOWN_PAUSED)


class Lost(msgspec.Struct, frozen=True):
    """A session that could not be taken over."""

    path: str
    config_name: str
    owner: int
    starter: int
    created: int
    reached: int
    reason: str


class _Proven(msgspec.Struct):
    """A session whose worker has been taken over."""

    kept: Dossier
    run: KeptRun
    taken: TakenWorker
    asked: list[messages.InputNeeded]
    url: str


class Adoption:
    """What is done at the start with what an earlier instance has left."""

    def __init__(self, context: SessionContext, callers: Callers, lost: Callable[[Lost], None]) -> None:
        self._context = context
        self._callers = callers
        self._lost = lost
        self._proven: list[_Proven] = []
        self._settled: list[asyncio.Event] = []
        self._shown = asyncio.Event()

    async def prove(self) -> list[int]:
        """Take over all workers that can be; the process ids of those that were ended.  Raises OSError."""
        journal = self._context.journal
        found = await asyncio.to_thread(journal.leftovers)
        outcomes = await asyncio.gather(*map(self._prove, found))
        ended = []
        for left, outcome in zip(found, outcomes, strict=True):
            if isinstance(outcome, _Proven):
                journal.take_over(left)
                self._proven.append(outcome)
                continue
            if await asyncio.to_thread(journal.end, left) and left.record is not None:
                ended.append(left.record.pid)
            if outcome is not None:
                self._lost(outcome)
        # Who came first keeps what it has.
        self._proven.sort(key=lambda one: (one.run.configured or float("inf"), one.kept.created))
        return ended

    async def _prove(self, left: Leftover) -> _Proven | Lost | None:
        """A session that can go on, or one that cannot; None for what was none yet, or none any more."""
        if left.dossier is None:
            return None
        try:
            kept = dossier.decode(left.dossier)
        except dossier.OtherVersion as error:
            one = error.outline
            return Lost(one.path, one.config_name, one.acl.owner, one.starter, one.created, 0, str(error))
        except msgspec.MsgspecError:
            self._context.log.error("What was kept of a session is damaged", session=left.session)
            return None
        try:
            return await self._take(left, kept)
        except (SystemFailure, OSError) as error:
            return Lost(
                kept.path,
                kept.config_name,
                kept.acl.owner,
                kept.starter,
                kept.created,
                kept.reached,
                f"The service ended, and the next one could not take the session over: {error}",
            )

    async def _take(self, left: Leftover, kept: Dossier) -> _Proven:
        """Raises SystemFailure or OSError with the reason why it cannot go on."""
        record, run = left.record, kept.run
        if kept.at in _WITHOUT_WORKER:
            raise SystemFailure("it had no worker, since that had died before")
        if record is None or run is None or kept.path.rpartition("/")[2] != left.session or record.uid != run.uid:
            raise SystemFailure("what was noted of it is not whole")
        if kept.at is State.REVIVING:
            raise SystemFailure("its worker had died before, and another one was just being started")
        pidfd = proven(record)
        if pidfd is None:
            raise SystemFailure("its worker has died, too")
        try:
            connection = self._context.journal.connect(left.session)
            taken = await take_over(connection, record.pid, pidfd, record.uid)
        except BaseException:
            os.close(pidfd)
            raise
        try:
            if not self._context.user_ids.reserve(record.uid):
                raise SystemFailure(f"its user id {record.uid} is none of --session-uids")
            return _Proven(kept, run, taken, *reconcile.questions(taken))
        except BaseException:
            _give_up(taken)
            raise

    async def inherit(self) -> list[str]:
        """Have the network spare what is theirs; the devices that were removed.  Raises SystemFailure."""
        owners = {one.run.device: one.kept.acl.owner for one in self._proven}
        exempt = {one.run.uid for one in self._proven if one.run.exempt}
        return await self._context.network.recover(owners, exempt)

    @property
    def devices(self) -> list[str]:
        """The devices of those that are taken over."""
        return [one.run.device for one in self._proven]

    async def show(self, listener: SessionListener, adopted: Callable[[Session], None]) -> None:
        """Make the sessions, and have `adopted` put them on the bus."""
        for one in self._proven:
            if (settings := reconcile.settings(one.taken)) is not None and settings.dns is not None:
                self._context.names.inherit(one.run.device, settings.dns)
        for one in self._proven:
            session = await self._session(one, listener)
            adopted(session)
            if one.run.device not in self._context.network.taken_over:
                session.device_removed(one.run.device)  # somebody has done that meanwhile

    async def _session(self, one: _Proven, listener: SessionListener) -> Session:
        kept, taken = one.kept, one.taken
        session = Session(
            kept.path,
            kept.config_path,
            kept.config_name,
            kept.acl,
            self._context,
            listener,
            starter=kept.starter,
            restart_on_failure=kept.restarts is not None,
            settings=kept.settings,
        )
        if kept.restarts is not None:
            session.runs.spec = await self._spec(kept.restarts, taken)
            session.restarts.wanted = session.runs.spec is not None
        run = session.runs.take_over()
        unheard = session.restore(kept, one.asked, one.url)
        settled = asyncio.Event()
        self._settled.append(settled)

        async def settle() -> None:
            try:
                await self._shown.wait()  # in the order in which they have begun to wait
                await reconcile.reconcile(session, run, taken, unheard)
            finally:
                settled.set()

        run.take_over(one.run, taken, settle)
        await self._find_audience(session, kept)
        return session

    async def _spec(self, kept: KeptRestarts, taken: TakenWorker) -> LaunchSpec | None:
        """What another worker is launched with; None if this one has not given the profile back."""
        profile, taken.profile = taken.profile, -1
        if profile < 0:
            return None
        if not await asyncio.to_thread(is_profile, profile, kept.digest):
            os.close(profile)
            return None
        wanted = Wanted(kept.providers, kept.device)
        return LaunchSpec(kept.overrides, wanted, profile, reusable=True, digest=kept.digest)

    async def _find_audience(self, session: Session, kept: Dossier) -> None:
        """Those that heard of it go on to hear of it, if they are still there."""
        names = dict(kept.watchers) | {one.receiver: one.uid for one in kept.forwards}
        found = {}
        for name, uid in names.items():
            try:
                caller = await self._callers.identify(name)
            except (CallerGone, SystemFailure):
                continue
            if caller.uid == uid:
                found[name] = caller
        for name in kept.watchers:
            if name in found:
                session.audience.watch(found[name])
        for one in kept.forwards:
            if one.receiver in found:
                session.audience.forwards.go_on(found[one.receiver], one.level, one.path)

    async def settle(self) -> None:
        """Begin, and wait until all are as they are to be, or it takes too long; then nothing is spared any more."""
        self._shown.set()
        try:
            async with asyncio.timeout(ADOPTION_DEADLINE):
                for settled in self._settled:
                    await settled.wait()
        except TimeoutError:
            self._context.log.warn(f"Not all sessions have settled within {ADOPTION_DEADLINE:g} s")
        await self._context.network.inherited()


def _give_up(taken: TakenWorker) -> None:
    taken.channel.close()
    os.close(taken.pidfd)
    if taken.profile >= 0:
        os.close(taken.profile)
