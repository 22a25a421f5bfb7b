"""A run: one worker of a session, with all that it has: user id, device, process, protocol, look-ups, credit.

A run is made, used, and thrown away whole.  A session has one after the other, never two at a time: the next waits
until nothing is left of the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from ...ipc import messages
from ...ipc.channel import Channel
from ...policy.access import Acl
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import GOODBYE_DEADLINE, GOODBYE_GRACE
from ...policy.profile.settings import ProfileSettings
from ...policy.sandbox.layers import Layer
from ..errors import SystemFailure
from ..workers.proc import children
from ..workers.process import WorkerListener, WorkerProcess
from ..workers.reap import NoChild
from ..workers.takeover import TakenWorker
from .context import SessionContext
from .conversation import Conversation, request_message
from .counting import Counting
from .dossier import KeptRequest, KeptRun
from .inside import Inside
from .launch_spec import LaunchSpec, worker_title
from .log_credit import LogCredit
from .run_lookups import RunLookups
from .run_network import RunNetwork
from .session_log import SessionLog
from .states import Event
from .statistics import Statistics


class RunOwner(ABC):
    """The session of a run, as far as the run knows it."""

    name: str
    config_name: str
    starter: int
    acl: Acl
    log: SessionLog
    settings: ProfileSettings
    inside: Inside
    statistics: Statistics

    @abstractmethod
    def device_removed(self, device: str) -> None:
        """It has no longer the device of this name."""

    @abstractmethod
    def note(self) -> None:
        """Note on disk what has changed, for the next instance."""

    @abstractmethod
    def start_failed(self, error: Exception) -> None:
        """There is no worker, for this reason."""

    @abstractmethod
    def noticed(self, text: str) -> None:
        """Something about it is not as the profile says."""

    @abstractmethod
    def worker_said(self, run: Run, message: messages.ToSupervisor) -> Awaitable[None] | None:
        """Do what a message of the worker asks, see WorkerListener.received."""

    @abstractmethod
    def worker_killed(self, reason: str) -> None:
        """The worker broke the rules and has been killed."""

    @abstractmethod
    def worker_not_heard(self, reason: str) -> None:
        """The service failed to handle what the worker said, and has killed it."""

    @abstractmethod
    def worker_ended(self, how: str) -> None:
        """The worker's process has been reaped, or is stuck and has been killed."""


class Run(WorkerListener):
    """One worker of a session.  Attributes and properties are for others to read only."""

    def __init__(
        self, owner: RunOwner, spec: LaunchSpec | None, context: SessionContext, after: asyncio.Event | None = None
    ) -> None:
        """Begin to launch it, once `after` is set; if that fails, the owner's `start_failed` tells.

        Without `spec` there is a worker already, see `take_over`.
        """
        self.network = RunNetwork(
            owner.name, owner.acl, owner.settings, owner.log, context, owner.inside, owner.device_removed
        )
        self.layers: frozenset[Layer] | None = None  # that confine worker and engine, once the worker reports it
        self.conversation = Conversation()
        self.log_credit = LogCredit(lambda lines: self.send(messages.LogCredit(lines)))
        self.lookups = RunLookups(owner.name, owner.log, context, self.network, self.send)
        self.network_cleared = asyncio.Event()  # settings are undone
        self.ended = asyncio.Event()  # nothing is left of it
        self.counting = Counting(owner.statistics, self.send, context.patience, owner.starter)
        self._owner = owner
        self._context = context
        self._after = after
        self._uid = 0
        self._worker: WorkerProcess | None = None
        self._exempt = False  # it may connect to this machine
        self.foreign = False  # its worker is one of another version: it is not spoken to
        self._starting = asyncio.create_task(self._start(spec) if spec is not None else asyncio.sleep(0))
        self._ending: asyncio.Task[None] | None = None

    @property
    def device(self) -> str:
        """Name of its network device, empty before there is one and when it has been removed."""
        return self.network.device

    @property
    def uid(self) -> int:
        """User id of worker and engine, 0 before and after."""
        return 0 if self.ended.is_set() else self._uid

    @property
    def pid(self) -> int:
        """Process id of the worker, also of one that has ended; 0 before there is one."""
        return self._worker.pid if self._worker is not None else 0

    @property
    def alive(self) -> bool:
        """Whether the worker's process is there: a process id that has been reaped may be somebody else's by now."""
        return self._worker is not None and self._worker.alive

    @property
    def congested(self) -> bool:
        """Whether the worker has much left to read."""
        return self._worker is not None and self._worker.congested

    # From one instance to the next

    @property
    def kept(self) -> KeptRun:
        """What the next instance has to know of it."""
        event, text = self.conversation.latest_request or ("", "")
        number = self.conversation.request_number
        request = KeptRequest(number, event.name if isinstance(event, Event) else event, text)
        layers = None if self.layers is None else tuple(sorted(self.layers))
        network = self.network
        return KeptRun(
            self._uid, self.device, layers, self._exempt, request, network.redirect, configured=network.configured
        )

    def take_over(self, kept: KeptRun, taken: TakenWorker, settle: Callable[[], Awaitable[None]]) -> None:
        """Have a worker that an earlier instance has started; `settle` is awaited before it is read from."""
        request = kept.request
        self._restore(kept)
        latest = (Event[request.event], request.text) if request.event else None
        self.conversation.go_on(request.number, latest, taken.minor)
        self._worker = WorkerProcess(taken.pid, taken.pidfd, taken.channel, NoChild(taken.pidfd), self, first=settle)
        self._context.lookout.follow(self, lambda: self.processes, self._worker.ask_for_answer)

    def leave_alone(self, kept: KeptRun, pid: int, pidfd: int, channel: Channel) -> None:
        """Have a worker that another version has started and that nobody can speak to; it can only be killed.

        `channel` is one that nothing comes from.
        """
        self.foreign = True
        self._restore(kept)
        self._worker = WorkerProcess(pid, pidfd, channel, NoChild(pidfd), self)

    def _restore(self, kept: KeptRun) -> None:
        self._uid = kept.uid
        self._exempt = kept.exempt
        self.layers = None if kept.layers is None else frozenset(map(Layer, kept.layers))
        self.network.take_over(kept.device, kept.configured, kept.redirect)

    def repeat_request(self) -> None:
        """Tell the worker the latest request once more, which has not come to it."""
        if self.conversation.latest_request is not None:
            self.send(request_message(self.conversation.request_number, *self.conversation.latest_request))

    # The start

    async def _start(self, spec: LaunchSpec) -> None:
        try:
            if self._after is not None:
                await self._after.wait()
            await self._launch(spec)
        except Exception as error:
            self._owner.start_failed(error)

    async def _launch(self, spec: LaunchSpec) -> None:
        """Make device and worker, and hand the worker its session.  Raises SystemFailure."""
        context, owner = self._context, self._owner
        self._uid = context.user_ids.take()
        outcomes = await asyncio.gather(
            self.network.make_device(self._uid, spec.device, owner.noticed),
            self._spawn(spec.providers),
            worker_title(owner.name, owner.config_name, owner.acl.owner, full=context.full_titles),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        assert self._worker is not None
        self._worker.send(messages.SupervisorHello(messages.MAJOR, messages.MINOR))
        snapshot = messages.SupervisorSnapshot(
            title=str(outcomes[2]),
            device=self.device,
            connect_deadline=context.connect_deadline,
            stopped_grace=context.stopped_grace,
            overrides=spec.overrides,
            providers=context.providers,
            dns_required=owner.settings.dns_required,
            keep_profile=spec.reusable,
        )
        self._worker.send(snapshot, spec.profile)
        if not spec.reusable:
            spec.close()
        context.lookout.follow(self, lambda: self.processes, self._worker.ask_for_answer)

    @property
    def launched(self) -> asyncio.Future[None]:
        """Done when the worker has its session, or has not become one."""
        return self._starting

    @property
    def processes(self) -> list[int]:
        """Worker and engine, as far as they are there."""
        return [self.pid, *children(self.pid)] if self.alive else []

    async def _spawn(self, providers: frozenset[int]) -> None:
        context = self._context
        with contextlib.ExitStack() as given:
            later = None
            try:
                later = given.enter_context(context.journal.place_to_wait(self._owner.name))
            except OSError as error:
                text = f"The session would not go on without this service: no socket can be made ({error.strerror})"
                self._owner.log.write(LogCategory.WARN, text)
            pid, pidfd, channel = await context.spawner.spawn(self._uid, providers, later)
        self._worker = WorkerProcess(pid, pidfd, channel, context.reaper, self)
        try:
            context.journal.add(self._owner.name, pid, self._uid)
        except FileNotFoundError:
            pass  # it has ended already, and its end tells why
        except OSError as error:
            raise SystemFailure(f"The session cannot be noted on disk: {error.strerror}") from error

    # What the worker says, and is told

    def answered(self) -> None:
        """The worker gives the sign of life that it was asked for.  Raises ProtocolViolation if it was not."""
        if self._worker is not None:
            self._worker.answered()

    def received(self, message: messages.ToSupervisor) -> Awaitable[None] | None:
        return self._owner.worker_said(self, message)

    def rules_broken(self, reason: str) -> None:
        self._owner.worker_killed(reason)

    def not_handled(self, reason: str) -> None:
        self._owner.worker_not_heard(reason)

    def process_ended(self, how: str) -> None:
        self._owner.worker_ended(how)

    def send(self, message: messages.ToWorker) -> None:
        """Tell the worker something, if there is one that understands it."""
        if self._worker is not None and not self.foreign:
            self._worker.send(message)

    def request(self, event: Event, text: str = "") -> None:
        """Pass on what changes the engine's course: what its user asks for, or the first connection of a new worker."""
        number = self.conversation.begin_request(event, text)
        self._owner.note()
        self.send(request_message(number, event, text))

    def count(self, device: str) -> Awaitable[None] | None:
        """What to await until the session's statistics are as they are now; None if they are.

        `device` is its device as clients see it.
        """
        return self.counting.look(device, can_ask=self.alive and self.conversation.counts_when_asked)

    def kill(self) -> None:
        """Kill the worker, if there is one; its end is told."""
        if self._worker is not None:
            self._worker.kill()

    # What the worker asks for

    async def confine(self, layers: frozenset[Layer], *, local: bool) -> frozenset[Layer]:
        """Note the layers that the worker reports; all that are in effect, with the one that is ours to know.

        With `local`, the profile's server or proxy is on this machine, and the session may connect to it.
        """
        layers -= {Layer.FIREWALL}
        if self._uid in self._context.network.protected:
            if local:
                # Said before the engine has heard from any server; the profile's owner can connect there anyway.
                self._exempt = True
                self._owner.note()
                await self.network.exempt(self._uid)
            else:
                layers |= {Layer.FIREWALL}
        self.layers = layers
        self._owner.note()
        return layers

    def follow_ways(self, servers: tuple[str, ...]) -> None:
        """Have the worker told when the ways to these addresses change."""
        if self._ending is None:
            self._context.network.roaming.follow(self, self._uid, servers, self._tell_way)

    def _tell_way(self, there: bool, moved: bool) -> None:
        self.send(messages.Way(there, moved))

    # The end

    def end(self, *, goodbye: bool, with_others: bool = False) -> None:
        """Begin to undo all that was done for it, once; `ended` tells when that is done.

        With `goodbye` the worker may end its engine in order; else it is killed, and heard no more.  With `with_others`
        many end at once: what is set on its device goes with the device, which takes the kernel no time for each.
        """
        if self._ending is not None:
            return
        goodbye = goodbye and not self.foreign
        self._context.lookout.forget(self)
        self._context.network.roaming.forget(self)
        self._starting.cancel()
        self.lookups.cancel()
        self.counting.end()
        if self._worker is not None and goodbye:
            self._worker.cancel_busy()
            self._worker.send(messages.Disconnect())
        elif self._worker is not None:
            self._worker.dismiss()
        self._ending = asyncio.create_task(self._end(goodbye, with_others))

    async def _end(self, goodbye: bool, with_others: bool) -> None:
        try:
            await asyncio.wait([self._starting])  # from here on, what there is of device and worker is known
            if self._after is not None:
                await self._after.wait()
            if with_others:
                await self.network.clear_names()
            else:
                await self.network.clear()
                self.network_cleared.set()
            if self._worker is not None:
                await self._end_worker(self._worker, goodbye)
            # Not before: a device that is deleted under its engine makes it spin.
            await self.network.delete_device()
        finally:
            self.network_cleared.set()
            self._give_back()
            self.ended.set()

    async def _end_worker(self, worker: WorkerProcess, goodbye: bool) -> None:
        if not goodbye:
            worker.dismiss()  # again: a start that was stopped may have made it
        try:
            async with asyncio.timeout(GOODBYE_DEADLINE + GOODBYE_GRACE if goodbye else None):
                await worker.ended.wait()
        except TimeoutError:
            self._owner.log.write(LogCategory.WARN, "The worker did not end in time and is killed")
            worker.kill()
            await worker.ended.wait()

    def _give_back(self) -> None:
        """Give back what stands in the books of the service: the exemption, the record on disk, the user id."""
        context, name = self._context, self._owner.name
        context.network.end_exemption(self._uid)
        try:
            context.journal.remove(name)
        except OSError as error:
            context.log.error(f"The note of a worker cannot be removed: {error.strerror}", session=name)
        if self._uid and not context.spawner.owes(self._uid):
            context.user_ids.give_back(self._uid)
