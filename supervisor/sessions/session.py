"""One session as the supervisor keeps it: its state, what clients read of it, and its worker.

Everything that clients read is kept here, current by what the worker reports; no reading ever asks the worker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ...ipc import messages
from ...policy.access import Acl, Caller
from ...policy.dbus_numbers import DEFAULT_LOG_LEVEL, InputGroup, LogCategory, LogGroup, StatusMinor, shown
from ...policy.limits import (
    FAILED_READABLE,
    MAX_RESTARTS,
    MAX_STATUS_TEXT,
    MAX_URL,
    MAX_WATCHERS,
    PAUSE_DEADLINE,
    VERDICT_DEADLINE,
    WORKER_GRACE,
)
from ...policy.sandbox.layers import Layer
from ..errors import RequestRefused, SystemFailure
from ..logging.log import Log, escape_control_characters
from ..workers.spawner_client import NoSpawner
from .backing import Backing
from .device_object import NO_DEVICE
from .forwarding import Forwarder, Forwards
from .restarts import Restarts
from .states import TABLE, Action, Event, State, transition
from .statistics import Statistics
from .user_input import UserInput

if TYPE_CHECKING:
    from ..network.apply import Network
    from ..workers.relay import Worker
    from ..workers.resolver_client import ResolverClient
    from .launch import Launcher, Outfit

_WITH_DEVICE = (
    State.CONNECTED,
    State.RECONNECTING,
    State.NEEDS_INPUT,
    State.WEB_AUTH,
    State.PAUSING,
    State.PAUSED,
)


class Surroundings(msgspec.Struct, frozen=True):
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
    follow_device: Callable[[Session], None]  # a session may have a device to show now, or none any more
    forwarder: Forwarder


class Session:
    """A session: its state, and what its worker reported; session_object.py shows it to clients."""

    def __init__(
        self,
        path: str,
        config_path: str,
        config_name: str,
        acl: Acl,
        surroundings: Surroundings,
        *,
        restart_on_failure: bool = False,
    ) -> None:
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
        self.device_path = NO_DEVICE
        self.uid = 0  # of worker and engine
        self.worker: Worker | None = None
        self.layers: frozenset[Layer] | None = None  # that confine worker and engine, once the worker reports it
        self.handshake_done = False  # the worker speaks our protocol
        self.request_number = 0  # counts what the worker was told; its reports say which it had heard of
        self.verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wound_down = asyncio.Event()  # worker, device and network settings are gone
        self.around = surroundings
        self.last_log = (0, 0, "")  # group, category, text
        self.statistics = Statistics()
        self.user_input = UserInput()
        self.restarts = Restarts(restart_on_failure)
        self.backing = Backing(self)
        self._needs: list[messages.InputNeeded] = []  # to be announced when the worker has accepted the profile
        self.lines_logged = 0  # since credit was last given
        self.reports = (0, 0.0, 0)  # of the engine's course: for which request, since when (time.monotonic()), how many
        self.lookups: set[asyncio.Task[None]] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None  # of the present state
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

    def start(self, launcher: Launcher, outfit: Outfit) -> None:
        """Begin; what becomes of it is told by `verdict`."""
        self.backing.start(launcher, outfit)

    def start_failed(self, error: Exception) -> None:
        """There is no worker, for this reason."""
        if self.state is not State.REVIVING:
            self._fail_start(error)
        elif isinstance(error, SystemFailure) and not isinstance(error, NoSpawner):
            self._lost(f"No worker could be started: {error}", Event.ENGINE_FAILED)
        else:
            self.happened(Event.ENGINE_FAILED, f"No worker can be started: {error}")

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
        text = escape_control_characters(text[:MAX_URL])
        self.was_on_bus = self.was_on_bus or cell.next is State.READY
        self.state = cell.next
        self._note(LogCategory.DEBUG, f"{before.name} → {cell.next.name} on {event.name}")
        self._watch_state(before, event)
        self.around.follow_device(self)
        self.restarts.follow(self.state is State.CONNECTED, time.monotonic())
        if event is Event.PAUSE:
            self.statistics.paused()
        if cell.next in (State.RECONNECTING, State.DOWN) and cell.next is not before:
            self.statistics.reconnected()
        if cell.action is Action.TELL_WORKER:
            self._tell_worker(event, text)
        for row in cell.statuses:
            self.status = (row.major, row.minor, row.text.format(config_path=self.config_path, text=text))
            self._log_status()
            self.around.announce(self)
        if cell.action is Action.TAKE_DOWN:
            self.backing.take_down()
        elif cell.action is Action.START_AGAIN:
            self.backing.start_again()
        elif cell.action in (Action.FAIL, Action.LEAVE):
            self._fail_start(RequestRefused("The session was ended while it was being started"))
            self.backing.wind_down()
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
        later = asyncio.get_running_loop().call_later
        if self.state is State.DOWN:
            self._deadline = later(self.restarts.pause, self.happened, Event.DUE)
        elif self.state is State.REVIVING:
            late = f"The session's worker gave no verdict within {VERDICT_DEADLINE:g} s"
            self._deadline = later(VERDICT_DEADLINE, self._lost, late, Event.ENGINE_FAILED)
        # The worker keeps the same deadlines and knows more about the cause: it goes first.
        limits = {State.CONNECTING: self.around.connect_deadline, State.PAUSING: PAUSE_DEADLINE}
        if self.state in limits:
            reason = f"The session's worker does not come to an end of {self.state.name}"
            self._deadline = later(limits[self.state] + WORKER_GRACE, self.happened, Event.ENGINE_FAILED, reason)

    def _tell_worker(self, event: Event, text: str) -> None:
        assert self.worker is not None
        if event in (Event.PAUSE, Event.RESTART):
            # It was about the login that is now given up; the next one asks anew.
            self.user_input.withdraw(InputGroup.CHALLENGE_AUTH_PENDING)
        self.request_number += 1
        self.worker.send(
            {
                Event.CONNECT: messages.Connect(self.request_number),
                Event.PAUSE: messages.Pause(self.request_number, text),
                Event.RESUME: messages.Resume(self.request_number),
                Event.RESTART: messages.Restart(self.request_number),
                Event.ACCEPTED: messages.Connect(self.request_number),
            }[event]
        )

    def log(self, category: LogCategory, text: str, group: LogGroup = LogGroup.SESSIONMGR) -> None:
        """Write a line of the session's to the service's log and, if its own level shows it, to its forwards."""
        self._note(category, text, group)
        if shown(category, self.log_verbosity):
            text = escape_control_characters(text)
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

    async def clear_network(self) -> None:
        try:
            await self.around.network.clear(self.device)
        except SystemFailure as error:
            self.log(LogCategory.ERROR, f"Network settings could not be undone: {error}", LogGroup.NETCFG)

    # What the worker reports (workers/reports.py)

    def accepted(self, log_level: int) -> None:
        """The profile is usable: the session goes on the bus, or on with what it was doing."""
        needs, self._needs = self._needs, []
        if self.state is State.REVIVING:
            self.set_log_verbosity(self.log_verbosity)
            if not self.user_input.missing:
                self.happened(Event.ACCEPTED)
        elif self.verdict.done():
            return  # given up meanwhile
        else:
            self.log_verbosity = log_level
            self.around.accepted(self)
            self.verdict.set_result(None)
        for need in needs:
            self._announce_need(need)

    def refused(self, reason: str) -> None:
        """The profile is not usable."""
        if self.state is State.REVIVING:
            self.happened(Event.ENGINE_FAILED, reason)
        else:
            self._fail_start(RequestRefused(escape_control_characters(reason)))

    def need(self, need: messages.InputNeeded) -> None:
        """The user has to answer questions that were added to `user_input`."""
        if self.state in (State.STARTING, State.REVIVING):
            self._needs.append(need)
        else:
            self._announce_need(need)

    def _announce_need(self, need: messages.InputNeeded) -> None:
        if need.status:
            self.around.attention(self, need.group, escape_control_characters(need.attention[:MAX_STATUS_TEXT]))
            self.happened(Event.INPUT_NEEDED, need.status)

    def answered(self, answer: messages.UserAnswer) -> None:
        """The user typed something: pass it on."""
        assert self.worker is not None
        self.worker.send(answer)
        if answer.group is InputGroup.CHALLENGE_AUTH_PENDING and not self.user_input.missing:
            self.happened(Event.ANSWERED)

    def worker_ended(self, how: str) -> None:
        """The worker's process has been reaped."""
        text = f"The session's worker {how}"
        self._fail_start(SystemFailure(text))
        self._lost(text, Event.WORKER_DIED)

    def engine_died(self, reason: str) -> None:
        """The engine died without being asked to, and the worker ends."""
        self._lost(reason, Event.ENGINE_FAILED)

    def device_removed(self) -> None:
        """Somebody has taken the session's network device away; an engine that goes on without one spins."""
        text = f"The network device {self.device} was removed"
        self._fail_start(SystemFailure(text))
        if (self.state, Event.ENGINE_FAILED) in TABLE:
            self._lost(text, Event.ENGINE_FAILED)

    def _lost(self, text: str, otherwise: Event) -> None:
        """Something the session cannot do without failed: there is another try, or `otherwise` happens."""
        if (self.state, Event.CRASHED) not in TABLE:
            self.happened(otherwise, text)
        elif self.restarts.another():
            self.log(LogCategory.WARN, text)
            what = f"try {self.restarts.tries} of {MAX_RESTARTS} in {self.restarts.pause:g} s"
            self.happened(Event.CRASHED, f"{text[:MAX_STATUS_TEXT]}: {what}")
        else:
            if self.restarts.used_up:
                text += f", after {MAX_RESTARTS} restarts"
            self.happened(otherwise, text)

    def worker_at_fault(self, reason: str) -> None:
        """The worker broke the rules and has been killed."""
        self.log(LogCategory.CRIT, f"Worker {self.backend_pid} is killed: {reason}")
        text = f"The session's worker was killed: {reason}"
        self._fail_start(SystemFailure(text))
        self.happened(Event.WORKER_DIED, text)
