"""One session as the supervisor keeps it: its state, what clients read of it, and its worker.

Everything that clients read is kept here, current by what the worker reports; no reading ever asks the worker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...ipc import messages
from ...ipc.codes import DEFAULT_LOG_LEVEL, InputGroup, LogCategory, LogGroup, StatusMinor, shown
from ...policy.access import Acl, Caller
from ...policy.layers import Layer
from ...policy.limits import (
    FAILED_READABLE,
    GOODBYE_DEADLINE,
    MAX_STATUS_TEXT,
    MAX_URL,
    MAX_WATCHERS,
    PAUSE_DEADLINE,
    WORKER_GRACE,
)
from ..errors import RequestRefused, SystemFault
from ..log import Log, printable
from .forwarding import Forwarder, Forwards
from .states import Action, Event, State, transition
from .statistics import Statistics
from .user_input import UserInput

if TYPE_CHECKING:
    from ..network.apply import Network
    from ..workers.relay import Worker
    from ..workers.resolver_client import ResolverClient

_GOODBYE_GRACE = 2.0  # seconds the worker has to end, beyond those it gives its engine
_CREDIT_INTERVAL = 1.0  # seconds in which a worker may have LOG_CREDIT lines logged

_WITH_DEVICE = (
    State.CONNECTED,
    State.RECONNECTING,
    State.NEEDS_INPUT,
    State.WEB_AUTH,
    State.PAUSING,
    State.PAUSED,
)


@dataclass(frozen=True)
class Surroundings:
    """What sessions use of the rest of the supervisor."""

    log: Log
    network: Network
    resolver: ResolverClient
    connect_deadline: float  # seconds from Connect to the first connection
    accepted: Callable[[Session], None]  # the worker accepts the profile: the session goes on the bus
    attention: Callable[[Session, InputGroup, str], None]  # the user is needed, with a text
    announce: Callable[[Session], None]  # the status of a session changed
    leave: Callable[[Session], None]  # a session leaves the bus
    finished: Callable[[Session], None]  # nothing of a session is left
    forwarder: Forwarder


class Session:
    """A session: its state, and what its worker reported; session_object.py shows it to clients."""

    def __init__(self, path: str, config_path: str, config_name: str, acl: Acl, surroundings: Surroundings) -> None:
        self.path = path
        self.name = path.rpartition("/")[2]
        self.state = State.STARTING
        self.was_on_bus = False
        self.config_path = config_path
        self.config_name = config_name
        self.acl = acl
        self.watchers: dict[str, int] = {}  # connections that hear of its progress, oldest first, and their users
        self.forwards = Forwards(path, acl, surroundings.forwarder)
        self.created = int(time.time())
        self.status: tuple[int, int, str] = (0, 0, "")
        self.connected_to: tuple[str, str, int] = ("", "", 0)
        self.session_name = ""
        self.log_verbosity = DEFAULT_LOG_LEVEL  # until the worker knows what the profile says
        self.device = ""  # set before the worker has its snapshot
        self.uid = 0  # of worker and engine
        self.worker: Worker | None = None
        self.layers = frozenset[Layer]()  # that confine worker and engine, as the worker reports
        self.greeted = False  # the worker speaks our protocol
        self.turn = 0  # counts what the worker was told; its reports say which it had heard of
        self.verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wound_down = asyncio.Event()  # worker, device and network settings are gone
        self.around = surroundings
        self.last_log = (0, 0, "")  # group, category, text
        self.statistics = Statistics()
        self.user_input = UserInput()
        self._needs: list[messages.InputNeeded] = []  # to be announced when it is on the bus
        self.lines_logged = 0  # since credit was last given
        self.lookups: set[asyncio.Task[None]] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None  # of the present state
        self._winding_down: asyncio.Task[None] | None = None
        self.network_gone = asyncio.Event()

    @property
    def backend_pid(self) -> int:
        """Process id of the worker, 0 before it has one."""
        return self.worker.pid if self.worker else 0

    @property
    def device_name(self) -> str:
        """Name of the network device as clients see it; empty before the first connection."""
        return self.device if self.state in _WITH_DEVICE and self.session_name else ""

    @property
    def running(self) -> bool:
        """Whether it counts as a session of its profile: not once it has failed."""
        return self.state not in (State.AUTH_FAILED, State.FAILED, State.GONE)

    # Start

    def start(self, launching: Coroutine[Any, Any, None]) -> None:
        """Begin; what becomes of it is told by `verdict`."""
        self._starting = asyncio.create_task(self._launch(launching))

    async def _launch(self, launching: Coroutine[Any, Any, None]) -> None:
        try:
            await launching
        except Exception as error:
            self._fail_start(error)

    def _fail_start(self, error: Exception) -> None:
        if not self.verdict.done():
            self.verdict.set_exception(error)
            self.verdict.exception()  # asyncio complains of one that nobody looked at, and nobody may be waiting

    def give_up(self) -> None:
        """Nobody waits for the session any more that was being started."""
        if self.state is State.STARTING:
            self.happened(Event.DISCONNECT)
        if self.worker is not None:
            self.worker.kill()

    def watch(self, caller: Caller) -> None:
        """Let a caller hear of the session's progress from now on."""
        self.watchers[caller.name] = caller.uid
        while len(self.watchers) > MAX_WATCHERS:
            del self.watchers[next(iter(self.watchers))]

    # The life

    def happened(self, event: Event, text: str = "") -> None:
        """Follow the table; the only place that changes `state`.

        Raises NotNow if the event has no place in the present state.
        """
        before, cell = self.state, transition(self.state, event)
        text = printable(text[:MAX_URL])
        self.was_on_bus = self.was_on_bus or cell.next is State.READY
        self.state = cell.next
        self._note(LogCategory.DEBUG, f"{before.name} → {cell.next.name} on {event.name}")
        self._watch_state(before, event)
        if event is Event.PAUSE:
            self.statistics.paused()
        if cell.next is State.RECONNECTING is not before:
            self.statistics.reconnected()
        if cell.action is Action.TELL_WORKER:
            self._tell_worker(event, text)
        for row in cell.statuses:
            self.status = (row.major, row.minor, row.text.format(config_path=self.config_path, text=text))
            self._log_status()
            self.around.announce(self)
        if cell.action in (Action.FAIL, Action.LEAVE):
            self._wind_down()
        if cell.action is Action.FAIL:
            self._expiry = asyncio.get_running_loop().call_later(FAILED_READABLE, self.happened, Event.EXPIRED)
        elif cell.action is Action.LEAVE:
            if self._expiry is not None:
                self._expiry.cancel()
            self.forwards.end()
            self.around.leave(self)

    def _watch_state(self, before: State, event: Event) -> None:
        """Set the deadline of the state that was entered, or entered anew by a request, if it has one."""
        if self.state is before and event is not Event.RESTART:
            return
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        # The worker keeps the same deadlines and knows more about the cause: it goes first.
        limits = {State.CONNECTING: self.around.connect_deadline, State.PAUSING: PAUSE_DEADLINE}
        if self.state in limits:
            reason = f"The session's worker does not come to an end of {self.state.name}"
            self._deadline = asyncio.get_running_loop().call_later(
                limits[self.state] + WORKER_GRACE, self.happened, Event.ENGINE_FAILED, reason
            )

    def _tell_worker(self, event: Event, text: str) -> None:
        assert self.worker is not None
        self.turn += 1
        self.worker.send(
            {
                Event.CONNECT: messages.Connect(self.turn),
                Event.PAUSE: messages.Pause(self.turn, text),
                Event.RESUME: messages.Resume(self.turn),
                Event.RESTART: messages.Restart(self.turn),
            }[event]
        )

    def log(self, category: LogCategory, text: str, group: LogGroup = LogGroup.SESSIONMGR) -> None:
        """Write a line of the session's to the service's log and, if its own level shows it, to its forwards."""
        self._note(category, text, group)
        if shown(category, self.log_verbosity):
            text = printable(text)
            self.last_log = (group, category, text)
            self.forwards.line(group, category, text)

    def set_log_verbosity(self, level: int) -> None:
        """Have lines up to this level (0 to 6) from now on; the service's own level is another matter."""
        self.log_verbosity = level
        if self.worker is not None:
            self.worker.send(messages.SetLogLevel(level))

    def _note(self, category: LogCategory, text: str, group: LogGroup = LogGroup.SESSIONMGR) -> None:
        """Write what clients learn in another way, or not at all, to the service's log only."""
        self.around.log.write(group, category, text, self.name)

    def _log_status(self) -> None:
        _, minor, text = self.status
        if minor in (StatusMinor.SESS_AUTH_URL, StatusMinor.CFG_REQUIRE_USER):
            text = ""  # what the server says to its user alone
        failed = minor in (StatusMinor.CONN_FAILED, StatusMinor.CONN_AUTH_FAILED)
        words = StatusMinor(minor).name.replace("_", " ").capitalize()
        self._note(LogCategory.ERROR if failed else LogCategory.VERB1, f"{words}: {text}" if text else words)

    def _wind_down(self) -> None:
        """Begin to take everything away that the session has, once."""
        if self._winding_down is None:
            self._fail_start(RequestRefused("The session was ended while it was being started"))
            if self._starting is not None:
                self._starting.cancel()
            if self.worker is not None:
                self.worker.cancel_busy()
                self.worker.send(messages.Disconnect())
            for lookup in self.lookups:
                lookup.cancel()
            self._winding_down = asyncio.create_task(self._undo())

    async def _undo(self) -> None:
        if self._starting is not None:
            await asyncio.wait([self._starting])  # from here on, what there is of device and worker is known
        try:
            if self.device:
                await self.clear_network()
            self.network_gone.set()
            if self.worker is not None:
                await self._await_worker(self.worker)
            # Only now: a device that is deleted under a running engine makes it spin.
            if self.device:
                await self.around.network.delete_device(self.device)
        except SystemFault as error:
            self.log(LogCategory.ERROR, f"Device {self.device} could not be removed: {error}", LogGroup.NETCFG)
        finally:
            self.network_gone.set()
            self.wound_down.set()
            self.around.finished(self)

    async def _await_worker(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(GOODBYE_DEADLINE + _GOODBYE_GRACE):
                await worker.gone.wait()
        except TimeoutError:
            self.log(LogCategory.WARN, "The worker did not end in time and is killed")
            worker.kill()
            await worker.gone.wait()

    async def clear_network(self) -> None:
        try:
            await self.around.network.clear(self.device)
        except SystemFault as error:
            self.log(LogCategory.ERROR, f"Network settings could not be undone: {error}", LogGroup.NETCFG)

    # What the worker reports (workers/reports.py)

    def accepted(self) -> None:
        """The profile is usable: the session goes on the bus."""
        if self.verdict.done():
            return  # given up meanwhile
        self.around.accepted(self)
        needs, self._needs = self._needs, []
        for need in needs:
            self.need(need)
        self.verdict.set_result(None)

    def refused(self, reason: str) -> None:
        self._fail_start(RequestRefused(printable(reason)))

    def need(self, need: messages.InputNeeded) -> None:
        """The user has to answer questions that were added to `user_input`."""
        if self.state is State.STARTING:
            self._needs.append(need)
        elif need.status:
            self.around.attention(self, need.group, printable(need.attention[:MAX_STATUS_TEXT]))
            self.happened(Event.INPUT_NEEDED, need.status)

    def answered(self, answer: messages.Answer) -> None:
        """The user typed something: pass it on."""
        assert self.worker is not None
        self.worker.send(answer)
        if answer.group is InputGroup.CHALLENGE_AUTH_PENDING and not self.user_input.missing:
            self.happened(Event.ANSWERED)

    def worker_ended(self, how: str) -> None:
        """The worker's process has been reaped."""
        self._worker_lost(f"The session's worker {how}")

    def worker_at_fault(self, reason: str) -> None:
        """The worker broke the rules and has been killed."""
        self.log(LogCategory.CRIT, f"Worker {self.backend_pid} is killed: {reason}")
        self._worker_lost(f"The session's worker was killed: {reason}")

    def _worker_lost(self, text: str) -> None:
        self._fail_start(SystemFault(text))
        self.happened(Event.WORKER_DIED, text)
