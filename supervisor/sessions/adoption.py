"""The sessions of an instance that is gone: each is taken over, if its worker is proven to be the one that was noted.

In order: `prove` speaks to all workers at once; `inherit` has network and names spare what is theirs; `show` puts the
sessions on the bus as they were, `settle` has them as they would be had somebody listened all the time.  What cannot
be taken over is ended, with a reason for its owner.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from ...ipc import messages
from ...ipc.channel import Channel, channel_pair
from ...policy.access import Caller
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import ADOPTION_DEADLINE, TAKEOVER_TURN, TAKEOVERS_AT_ONCE
from ...policy.profile.wanted import Wanted
from ..bus.callers import Callers
from ..closing import close_elsewhere
from ..errors import ProtocolViolation, SupervisorError, SystemFailure
from ..sandbox.pkcs11_providers import ListedProviders
from ..services.long_work import LongWork
from ..services.profiles import Profiles
from ..workers.takeover import AnotherVersion, TakenWorker, take_over
from . import dossier, reconcile
from .context import SessionContext
from .dossier import Dossier, KeptRestarts, KeptRun, Outline
from .journal import Leftover, proven
from .launch_spec import LaunchSpec, is_profile, launch_spec
from .run import Run
from .session import Session, SessionListener
from .states import FAILED, State

# Of one that was being revived, the worker is given up: there will be another.
_TO_BE_REVIVED = (State.DOWN, State.DOWN_PAUSED, State.REVIVING)
_WITHOUT_WORKER = (*_TO_BE_REVIVED, *FAILED)


class Lost(msgspec.Struct, frozen=True):
    """A session that could not go on."""

    session: Outline
    reason: str
    reached: int = 0


class _Found(msgspec.Struct):
    """A session that was kept."""

    kept: Dossier
    taken: TakenWorker | None = None  # its worker, if it has one that goes on
    pid: int = 0
    asked: list[messages.InputNeeded] = []
    url: str = ""
    died: str = ""  # what became of the worker that it had, if that does not go on
    settled: asyncio.Event | None = None  # set when its worker's word is heard, if that is waited for
    foreign: int = -1  # pidfd of the worker, if that is of another version, which is left alone

    @property
    def goes_on(self) -> bool:
        """Whether its worker does."""
        return self.taken is not None or self.foreign >= 0

    @property
    def run(self) -> KeptRun:
        """Of the worker that goes on."""
        assert self.kept.run is not None
        return self.kept.run


class Adoption:
    """What is done at the start with what an earlier instance has left."""

    def __init__(
        self,
        context: SessionContext,
        callers: Callers,
        profiles: Profiles,
        listed: ListedProviders,
        lost: Callable[[Lost], None],
    ) -> None:
        """`lost` is called with each session that cannot even be shown."""
        self._context = context
        self._callers = callers
        self._profiles = profiles
        self._listed = listed
        self._lost = lost
        self._found: list[_Found] = []
        self._shown = asyncio.Event()
        self._unheard: list[Channel] = []  # other ends of channels, in place of those to workers of other versions

    async def prove(self) -> list[int]:
        """Take over all workers that can be; the process ids of those that were ended.  Raises OSError."""
        journal = self._context.journal
        left_behind = await asyncio.to_thread(journal.leftovers)
        turns = asyncio.Semaphore(TAKEOVERS_AT_ONCE)
        outcomes = await asyncio.gather(*(self._prove_in_turn(one, turns) for one in left_behind))
        to_end = list[tuple[Leftover, bool]]()
        for left, found in zip(left_behind, outcomes, strict=True):
            if found is not None:
                self._found.append(found)
            if found is not None and found.goes_on:
                journal.take_over(left)
                found.pid = left.record.pid if left.record is not None else 0
            else:
                to_end.append((left, found is not None))
        ends = (asyncio.to_thread(partial(journal.end, left, keep=kept)) for left, kept in to_end)
        were_there = await asyncio.gather(*ends, return_exceptions=True)
        ended = list[int]()
        for (left, _), there in zip(to_end, were_there, strict=True):
            if isinstance(there, OSError):  # the others are not to be lost for that
                self._context.log.error(f"Cleaning up after an earlier instance failed: {there}")
            elif isinstance(there, BaseException):
                raise there
            elif there and left.record is not None:
                ended.append(left.record.pid)
        # Who came first keeps what it has.
        self._found.sort(key=lambda one: ((one.kept.run and one.kept.run.configured) or float("inf"), one.kept.created))
        return ended

    async def _prove_in_turn(self, left: Leftover, turns: asyncio.Semaphore) -> _Found | None:
        """As `_prove`; who is slow keeps the others waiting for a moment only.

        Hundreds at once would have their workers wait for an answer for seconds.
        """
        async with turns:
            proving = asyncio.ensure_future(self._prove(left))
            await asyncio.wait([proving], timeout=TAKEOVER_TURN)
        return await proving

    async def _prove(self, left: Leftover) -> _Found | None:
        """A session as it is found; None for what was none yet, none any more, or cannot be read."""
        if left.dossier is None:
            return None
        try:
            kept = dossier.decode(left.dossier)
        except dossier.OtherVersion as error:
            self._lost(Lost(error.outline, f"The session could not go on with this version of the service: {error}"))
            return None
        except (msgspec.MsgspecError, KeyError):
            self._context.log.error("What was kept of a session is damaged", session=left.session)
            return None
        if kept.path.rpartition("/")[2] != left.session:
            return None
        if kept.at in _WITHOUT_WORKER:
            return _Found(kept)
        try:
            return await self._take(left, kept)
        except (SystemFailure, ProtocolViolation, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            return _Found(kept, died=f"could not be taken over by another instance of the service: {reason}")

    async def _take(self, left: Leftover, kept: Dossier) -> _Found:
        """Raises SystemFailure, ProtocolViolation or OSError with the reason why its worker cannot go on."""
        record, run = left.record, kept.run
        if record is None:
            raise SystemFailure("an earlier one has ended its worker")
        if run is None or record.uid != run.uid:
            raise SystemFailure("what was noted of it is not whole")
        pidfd = proven(record)
        if pidfd is None:
            return _Found(kept, died="ended while there was no service")
        try:
            connection = self._context.journal.connect(left.session)
            taken = await take_over(connection, record.pid, pidfd, record.uid)
        except AnotherVersion:
            if not self._context.user_ids.reserve(record.uid):
                os.close(pidfd)
                raise
            return _Found(kept, foreign=pidfd)
        except BaseException:
            os.close(pidfd)
            raise
        try:
            if not self._context.user_ids.reserve(record.uid):
                raise SystemFailure(f"its user id {record.uid} is none of --session-uids")
            asked, url = reconcile.questions(taken)
            return _Found(kept, taken, record.pid, asked, url)
        except BaseException:
            _give_up(taken)
            raise

    @property
    def _going_on(self) -> list[_Found]:
        return [one for one in self._found if one.goes_on]

    async def inherit(self) -> list[str]:
        """Have the network spare what is theirs; the devices that were removed.  Raises SystemFailure."""
        owners = {one.run.device: one.kept.acl.owner for one in self._going_on}
        exempt = {one.run.uid for one in self._going_on if one.run.exempt}
        return await self._context.network.recover(owners, exempt)

    @property
    def devices(self) -> list[str]:
        """The devices of those whose workers go on."""
        return [one.run.device for one in self._going_on]

    async def show(self, listener: SessionListener, adopted: Callable[[Session], None]) -> None:
        """Make the sessions, and have `adopted` put them on the bus."""
        for one in self._going_on:
            settings = reconcile.settings(one.taken) if one.taken is not None else None
            if settings is not None and settings.dns is not None:
                self._context.names.inherit(one.run.device, settings.dns)
        callers = await self._callers.identify_all({name for one in self._found for name in _known(one.kept)})
        for one in self._found:
            session = await self._session(one, listener, callers)
            if session is None:
                continue
            adopted(session)
            if one.died:
                session.worker_ended(one.died)
            elif one.goes_on and one.run.device not in self._context.network.taken_over:
                session.device_removed(one.run.device)  # somebody has done that meanwhile
                one.settled = None

    async def _session(self, one: _Found, listener: SessionListener, callers: Mapping[str, Caller]) -> Session | None:
        kept, taken = one.kept, one.taken
        spec = await self._spec(one) if kept.at not in FAILED else None
        if spec is None and kept.at in _TO_BE_REVIVED:
            self._context.journal.forget(kept.path.rpartition("/")[2])
            reason = "The session waited for another worker, and its profile is not there any more"
            self._lost(Lost(dossier.outline_of(kept), reason, kept.reached))
            return None
        session = Session(
            kept.path,
            kept.config_path,
            kept.config_name,
            kept.acl,
            self._context,
            listener,
            starter=kept.starter,
            restart_on_failure=spec is not None,
            settings=kept.settings,
        )
        session.runs.spec = spec
        run = session.runs.take_over() if kept.at not in _WITHOUT_WORKER else None
        unheard = session.restore(kept, one.asked, one.url)
        number = self._context.network.away.number(kept.run.device) if kept.run is not None else None
        if run is not None and kept.inside is not None and number is not None:
            session.inside.go_on(kept.inside, number, callers)
        if taken is not None and run is not None:
            settled = asyncio.Event()
            if session.inside.namespace is None:  # else it may want its device back, for which it has to wait
                one.settled = settled

            async def settle() -> None:
                try:
                    await self._shown.wait()  # in the order in which they have begun to wait
                    await reconcile.reconcile(session, run, taken, unheard)
                finally:
                    settled.set()

            run.take_over(one.run, taken, settle)
        elif one.foreign >= 0 and run is not None:
            await self._leave_alone(session, run, one)
        _find_audience(session, kept, callers)
        return session

    async def _leave_alone(self, session: Session, run: Run, one: _Found) -> None:
        """Nobody can speak to its worker, but traffic goes on, and it can be ended."""
        ours, theirs = channel_pair()
        ours.socket.setblocking(False)
        self._unheard.append(theirs)
        run.leave_alone(one.run, one.pid, one.foreign, ours)
        session.status = (*session.status[:2], "From another version of the service: it can only be disconnected")
        try:
            await self._context.network.leave_alone(one.run.device, one.run.redirect)
        except SystemFailure as error:
            session.log.write(LogCategory.WARN, f"What is set for the session may not stay so: {error}")

    async def _spec(self, one: _Found) -> LaunchSpec | None:
        """What another worker is launched with, if the session may have one: the profile that it was started with.

        From the worker; with secret overrides, which are not kept, from the configuration service.
        """
        kept, taken = one.kept.restarts, one.taken
        profile = -1 if taken is None else taken.profile
        if kept is None:
            if profile >= 0:
                close_elsewhere([profile])
            return None
        if profile >= 0:
            if not kept.secrets and await asyncio.to_thread(is_profile, profile, kept.digest):
                wanted = Wanted(kept.providers, kept.device)
                return LaunchSpec(kept.overrides, wanted, profile, reusable=True, digest=kept.digest)
            close_elsewhere([profile])
        return await self._spec_from_store(one.kept, kept)

    async def _spec_from_store(self, kept: Dossier, restarts: KeptRestarts) -> LaunchSpec | None:
        """The same, of a profile that is still there, and still the same, with the values of its secret overrides."""
        try:
            profile = await self._profiles.profile_for(kept.config_path, Caller("", kept.starter))
        except SupervisorError:
            return None
        self._profiles.unused(profile)
        try:
            spec = await launch_spec(profile, self._listed, LongWork(), kept.starter, reusable=True)
        except OSError:
            return None
        secrets = tuple(one for one in spec.overrides if one[0] in restarts.secrets)
        if spec.digest != restarts.digest or len(secrets) < len(restarts.secrets):
            spec.close()
            return None
        spec.overrides = (*restarts.overrides, *secrets)
        return spec

    async def settle(self) -> None:
        """Begin, and wait until all are as they are to be, or it takes too long; then nothing is spared any more."""
        self._shown.set()
        try:
            async with asyncio.timeout(ADOPTION_DEADLINE):
                for one in self._found:
                    if one.settled is not None:
                        await one.settled.wait()
        except TimeoutError:
            self._context.log.warn(f"Not all sessions have settled within {ADOPTION_DEADLINE:g} s")
        await self._context.network.inherited()


def _audience(kept: Dossier) -> dict[str, int]:
    """Who heard of it: user ids by unique name."""
    return dict(kept.watchers) | {one.receiver: one.uid for one in kept.forwards}


def _known(kept: Dossier) -> set[str]:
    """The unique names of all that had to do with it."""
    return {*_audience(kept), *(kept.inside.holders if kept.inside is not None else ())}


def _find_audience(session: Session, kept: Dossier, callers: Mapping[str, Caller]) -> None:
    """Those that heard of it go on to hear of it, if they are among `callers`."""
    there = [(callers.get(name), uid) for name, uid in _audience(kept).items()]
    found = {caller.name: caller for caller, uid in there if caller is not None and caller.uid == uid}
    for name in kept.watchers:
        if name in found:
            session.audience.watch(found[name])
    for one in kept.forwards:
        if one.receiver in found:
            session.audience.forwards.go_on(found[one.receiver], one.level, one.path)


def _give_up(taken: TakenWorker) -> None:
    taken.channel.close()
    os.close(taken.pidfd)
    if taken.profile >= 0:
        close_elsewhere([taken.profile])
