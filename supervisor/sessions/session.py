"""One session as the supervisor keeps it: what outlives its runs, and the table of states that it follows.

Everything that clients read is kept here, current by what the worker reports; only what is counted is asked for.
"""

from __future__ import annotations

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable

from msgspec.structs import replace

from ...ipc import messages
from ...policy.access import Acl
from ...policy.causes import Cause, Failure
from ...policy.dbus_numbers import InputGroup, LogCategory, LogGroup
from ...policy.limits import MAX_STATUS_TEXT, MAX_URL, WORKER_GRACE
from ...policy.profile.settings import ProfileSettings
from ..errors import RequestRefused
from ..logging.log import escape_control_characters
from ..network.device_info import counters
from ..network.handed import HandedNamespace
from . import permits
from .audience import Audience
from .context import SessionContext
from .deadlines import StateTimer, deadline_of
from .inside import Inside, InsideOwner
from .keeping import KeptSession
from .launch_spec import LaunchSpec
from .notices import Notices
from .past_failure import CAUSE_OF, REACHED, Reached
from .reports import ReportedSession
from .restarts import Restarts
from .run import Run
from .run_troubles import TroubledSession
from .runs import Runs
from .server import Server
from .session_lock import SessionLock
from .session_log import SessionLog
from .states import FAILED, WITH_DEVICE, Action, Event, State, transition
from .statistics import Statistics
from .user_input import UserInput
from .verdict import Verdict

_DEFAULTS = ProfileSettings()


class SessionListener(ABC):
    """Who puts sessions on the bus, and tells clients of them."""

    @abstractmethod
    def accepted(self, session: Session) -> None:
        """Its worker accepts the profile: put it on the bus, and let it be ready."""

    @abstractmethod
    def state_changed(self, session: Session) -> None:
        """It may have a device to show now, or none any more."""

    @abstractmethod
    def status_changed(self, session: Session) -> None:
        """It has another status, or the same anew."""

    @abstractmethod
    def attention_required(self, session: Session, group: InputGroup, text: str) -> None:
        """Its user is needed, with a text."""

    @abstractmethod
    def removed(self, session: Session) -> None:
        """It leaves the bus; something of its last run may be left."""

    @abstractmethod
    def ended(self, session: Session) -> None:
        """Nothing is left of its last run; its failure may still be there to be read."""


class Session(KeptSession, TroubledSession, ReportedSession, InsideOwner):
    """A session; session_object.py shows it to clients.  Its attributes are for others to read only."""

    def __init__(
        self,
        path: str,
        config_path: str,
        config_name: str,
        acl: Acl,
        context: SessionContext,
        listener: SessionListener,
        *,
        starter: int,
        restart_on_failure: bool = False,
        settings: ProfileSettings = _DEFAULTS,
    ) -> None:
        """`starter` is the user whom the session is charged to as long as anything of it is left."""
        self.path = path
        self.name = path.rpartition("/")[2]
        self.config_path = config_path
        self.config_name = config_name
        self.acl = acl
        self.starter = starter
        self.settings = settings
        self.created = int(time.time())
        self.state = State.STARTING
        self.entered_by: Event | None = None  # what led to that state
        self.status: tuple[int, int, str] = (0, 0, "")
        self.last_error: Failure | None = None  # why it failed or an attempt did, unless it connected since
        self.server = Server()  # the latest that it was connected to
        self.connected_since = 0  # seconds since 1970, of the present connection or the last one
        self.negotiated: messages.Negotiated | None = None  # with the server, for that connection
        self.reached = Reached.PROFILE  # at most
        self.notices = Notices()
        self.statistics = Statistics()
        self.user_input = UserInput()
        self.audience = Audience(path, acl, context.forwarder)
        self.audience.on_change = self.audience.forwards.on_change = self.note_soon
        self.log = SessionLog(self.name, context.log, self.audience.forwards, starter)
        self.inside = Inside(self)
        self.ended = asyncio.Event()  # nothing is left of the last run
        self.lock = SessionLock(
            context.network.kill_switch, self.name, starter, config_name, wanted=settings.kill_switch
        )
        self._context = context
        self._listener = listener
        self.runs = Runs(self, context)
        self.restarts = Restarts(restart_on_failure)
        self.verdict = Verdict()
        self._needs: list[messages.InputNeeded] = []  # to be announced when the worker has accepted the profile
        self._timer = StateTimer(self._processes)
        self._ending: asyncio.Task[None] | None = None

    @property
    def run(self) -> Run | None:
        """The present one, in use or failed; none between two."""
        return self.runs.present

    @property
    def backend_pid(self) -> int:
        """Process id of the worker, 0 before it has one."""
        return self.run.pid if self.run is not None else 0

    @property
    def device_name(self) -> str:
        """Name of the network device as clients see it; empty before the first connection."""
        return self.run.device if self.state in WITH_DEVICE and self.server.name and self.run is not None else ""

    @property
    def running(self) -> bool:
        """Whether it counts as a session of its profile: not once it has failed."""
        return self.state not in (*FAILED, State.GONE)

    @property
    def due(self) -> float | None:
        """When the present state ends by itself, by time.monotonic(), if it does."""
        return self._timer.due

    def go_on(self, state: State, due: float | None) -> None:
        """Be where an earlier instance has left it, without a word to anybody."""
        self.state = state
        self.verdict.accept()
        if state not in (State.READY, State.PARKED, *FAILED):
            self.lock.go_on()
        deadline = deadline_of(state, connect=self._context.connect_deadline, restarts=self.restarts)
        if deadline is not None:
            least = 0.0 if state is State.DOWN else WORKER_GRACE  # in which the worker tells of its own deadlines
            left = max((due or 0.0) - time.monotonic(), least)
            self._timer.set(replace(deadline, seconds=left), self.happened, self.try_again_or)

    # Start and end

    async def start(self, spec: LaunchSpec) -> None:
        """Begin the first run, and wait for its worker's verdict on the profile; `spec` is closed in the end.

        Raises RequestRefused if the profile is not usable, SystemFailure if there is no verdict.
        """
        self.runs.spec = spec
        self.fingerprint = spec.fingerprint_for(self.acl.owner)
        self.runs.begin()
        assert self.run is not None
        await self.verdict.wait(self.run.launched, self._processes)

    def _processes(self) -> list[int]:
        """Whose time it is in which a worker starts: its own, and this process's."""
        return [os.getpid(), *(self.run.processes if self.run is not None else ())]

    def give_up(self) -> None:
        """Nobody waits for the session any more that was being started; `ended` tells when nothing is left of it."""
        if self.state is State.STARTING:
            self.happened(Event.DISCONNECT)
        if self.run is not None:
            self.run.kill()

    async def network_cleared(self) -> None:
        """Wait until the network settings of the last run are undone."""
        await self.runs.network_cleared()

    def _end(self) -> None:
        """Begin to end the last run, once."""
        if self._ending is None:
            self.verdict.refuse(RequestRefused("The session was ended while it was being started"))
            self._context.network.let_go(self.name)
            if self.run is not None and self.run.device:
                self._context.network.will_delete(self.run.device)
            self.runs.end()
            self._ending = asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        await self.runs.ended()
        self.inside.end()
        self.ended.set()
        self.lock.ended()
        self._listener.ended(self)

    # The life

    def happened(self, event: Event, text: str = "", cause: Cause | None = None) -> None:
        """Follow the table; the only place that changes `state`.  `cause` is that of a failure, if it is known.

        Raises NotNow if the event has no place in the present state.
        """
        before, cell = self.state, transition(self.state, event)
        text = escape_control_characters(text[:MAX_URL])
        self.state = cell.next
        if cell.next is not before:
            self.entered_by = event
        if cause is None and cell.next is not before:
            cause = CAUSE_OF.get(event)
        if cause is not None:
            self.last_error = Failure(cause, text[:MAX_STATUS_TEXT])
        self.reached = max(self.reached, REACHED.get(self.state, self.reached))
        self.log.note(LogCategory.DEBUG, f"{before.name} → {cell.next.name} on {event.name}")
        if self.state is not before or event is Event.RESTART:
            deadline = deadline_of(self.state, connect=self._context.connect_deadline, restarts=self.restarts)
            self._timer.set(deadline, self.happened, self.try_again_or)
        self._listener.state_changed(self)
        self.restarts.follow(self.state is State.CONNECTED, time.monotonic())
        self.statistics.follow(before, event, cell.next)
        if cell.action is Action.TELL_WORKER:
            self._request(event, text)
        words = {"config_path": self.config_path, "text": text}
        told = [(row.major, row.minor, row.text.format(**words)) for row in cell.statuses]
        if told:
            self.status = told[-1]
            self.note()  # before anybody is told, who would be told again by the next instance
        for self.status in told:
            self.log.note_status(self.status)
            self._listener.status_changed(self)
        match cell.action:
            case Action.END_RUN:
                assert self.run is not None
                self.statistics.count_device(counters(self.run.device))
                self.statistics.begin_anew()
                self.user_input.withdraw()
                self.runs.drop()
            case Action.BEGIN_RUN:
                self.notices.clear()
                self.negotiated = None
                self.runs.begin()
            case Action.FAIL:
                if self.run is not None:
                    self.statistics.count_device(counters(self.run.device))
                self._end()
            case Action.REMOVE:
                self._end()
                self.audience.forwards.end()
                self._listener.removed(self)
        self.note()

    def _request(self, event: Event, text: str) -> None:
        assert self.run is not None
        if event in (Event.PAUSE, Event.RESTART):
            # It was about the login that is now given up; the next one asks anew.
            self.user_input.withdraw(InputGroup.CHALLENGE_AUTH_PENDING)
        self.run.request(event, text)

    # What its user wants of the worker beside what is in the table

    def answer(self, answer: messages.UserAnswer) -> None:
        """Pass on what the user typed."""
        assert self.run is not None
        self.run.send(answer)
        if answer.group is InputGroup.CHALLENGE_AUTH_PENDING and not self.user_input.missing:
            self.happened(Event.ANSWERED)
        self.note_soon()

    def set_log_level(self, level: int) -> None:
        """Have lines up to this level (0 to 6) from now on; the service's own level is another matter."""
        self.log.level = level
        self.note_soon()
        if self.run is not None:
            self.run.send(messages.SetLogLevel(level))

    # What happens to its run (what goes wrong: run_troubles.py)

    def noticed(self, text: str) -> None:
        self.log.write(LogCategory.WARN, text, LogGroup.NETCFG)
        self.notices.device_made(text)
        self.note()

    def worker_said(self, run: Run, message: messages.ToSupervisor) -> Awaitable[None] | None:
        return permits.dispatch(self, run, message)

    def namespace_handed(self, namespace: HandedNamespace) -> None:
        if self.run is not None:
            self.run.network.namespace_handed(namespace)

    async def place_device(self) -> None:
        if self.run is not None:
            await self.run.network.place()

    # What the worker reports (reports.py)

    def accepted(self, log_level: int) -> None:
        needs, self._needs = self._needs, []
        if self.state is State.REVIVING:
            self.set_log_level(self.log.level)
            if not self.user_input.missing:
                self.happened(Event.ACCEPTED)
        elif self.verdict.given:
            return  # given up meanwhile
        else:
            self.log.level = log_level
            self._listener.accepted(self)
            self.verdict.accept()
        for need in needs:
            self._announce(need)

    def refused(self, reason: str, cause: Cause) -> None:
        if self.state is State.REVIVING:
            self.happened(Event.ENGINE_FAILED, reason, cause)
        else:
            self.last_error = Failure(cause, escape_control_characters(reason[:MAX_STATUS_TEXT]))
            self.verdict.refuse(RequestRefused(escape_control_characters(reason)))

    def needs_input(self, need: messages.InputNeeded) -> None:
        if self.state in (State.STARTING, State.REVIVING):
            self._needs.append(need)
        else:
            self._announce(need)

    def _announce(self, need: messages.InputNeeded) -> None:
        if need.status:
            self._listener.attention_required(
                self, need.group, escape_control_characters(need.attention[:MAX_STATUS_TEXT])
            )
            self.happened(Event.INPUT_NEEDED, need.status)

    def needs_url(self, url: str) -> None:
        self._listener.attention_required(self, InputGroup.OPEN_URL, url)
        self.happened(Event.URL_NEEDED, url)

    def connected(self, server: Server) -> None:
        if self.state is not State.CONNECTED:
            self.connected_since = int(time.time())
        self.server = server
        self.last_error = None
        self.user_input.withdraw()
        self.happened(Event.ENGINE_CONNECTED)

    def lost(self, reason: str, cause: Cause) -> None:
        self.try_again_or(Event.ENGINE_FAILED, reason, cause)
