"""One worker's session: its parts, and what its phases' actions do with them.

Requests of the supervisor (requests.py) and events of the engine (events.py) both end here.  Single-threaded: loop.py
calls everything.
"""

import errno
import mmap
import os
from collections.abc import Callable

import prctl
from msgspec.structs import replace

from ...ipc import messages
from ...ipc.channel import Channel
from ...policy.causes import Cause
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import MAX_ENGINE_REPORTS, MAX_PROFILE, MAX_STATUS_TEXT, PAUSE_DEADLINE
from ...policy.profile.overrides import SessionOverrides, for_session
from ...policy.reports import About
from ..profile.compiler_process import CompilerProcess
from ..profile.values import CompiledProfile, ProfileRefused
from ..sandbox.confine import Confinement
from .attempts import Attempts
from .counting import Counting
from .device import Device
from .dialogue import Dialogue
from .downlink import Downlink
from .engine import Engine
from .negotiation import Negotiation
from .phases import Action, Event, Phase, PhaseMachine
from .remotes import Remotes
from .roaming import Roaming
from .route_names import RouteNames
from .timers import Timers
from .uplink import Uplink
from .user_input import UserInput
from .watchdog import Watchdog

_NEGOTIATED = "negotiated"  # name of a timer
_NEGOTIATED_AFTER = 1.0  # seconds from the first sign of it to the report: several lines of the log tell of one change


class WorkerSession:
    """The worker's side of one session."""

    def __init__(self, supervisor: Channel, timers: Timers, confinement: Confinement = Confinement()) -> None:  # noqa: B008
        self.uplink = Uplink(supervisor, self._asks_too_much)
        self.machine = PhaseMachine(self._act)
        self.downlink = Downlink(self.machine)
        self.counting = Counting(self.uplink, self.downlink)
        self.attempts = Attempts(self.uplink, self.machine, timers, self._release_engine)
        self.user_input = UserInput()
        self.dialogue = Dialogue(self.uplink, self.downlink, self.machine, self.attempts, self.user_input)
        self.negotiation = Negotiation()
        self.route_names = RouteNames(self.uplink, timers, self.attempts.looking_up)
        self.device = Device(self.uplink, self.machine, self.attempts, self.route_names, self.negotiation)
        self.roaming = Roaming(
            self.uplink,
            self.downlink,
            self.counting,
            self.machine,
            timers,
            self.attempts,
            self.user_input,
            self.device.report_again,
        )
        self.watchdog = Watchdog(self.uplink, self.downlink, self.machine, timers, lambda: self.engine)
        self.confinement = confinement
        self.timers = timers
        self.handshake_done = False  # the supervisor speaks our protocol
        self.kept_profile = -1  # a descriptor of it, for another supervisor; -1 if it is not to be kept
        self.profile: CompiledProfile | None = None
        self.overrides = SessionOverrides()
        self.engine: Engine | None = None
        self.connecting_reported = False
        self.proxy_refusals = 0
        self.proxy_accepted = False  # by the engine's last line a proxy has made the connection that it was asked for
        self.exit_reason = ""  # why the engine says it exits

    @property
    def phase(self) -> Phase:
        """How far the engine is."""
        return self.machine.phase

    def _asks_too_much(self) -> None:
        self.machine.failed(
            f"The server asks, or the connection changes, more than {MAX_ENGINE_REPORTS} times in a second",
            Cause.SERVER_DEMANDS,
        )

    def set_log_level(self, level: int) -> None:
        """Log lines up to this level (0 to 6) from now on; the engine has to say as much."""
        self.uplink.log_level = level
        self.downlink.set_log_level(level)

    # The engine's beginning

    def begin(self, snapshot: messages.SupervisorSnapshot, profile: int) -> None:
        """Compile the profile in the memfd `profile`, which is its own now, and start the engine, or refuse it."""
        prctl.set_proctitle(f"openvpn3-session: {snapshot.title}")
        self.attempts.connect_deadline = snapshot.connect_deadline
        self.watchdog.stopped_grace = snapshot.stopped_grace
        overrides = dict(snapshot.overrides)
        text = _read_memfd(profile)
        if snapshot.keep_profile:
            self.kept_profile = profile
        else:
            os.close(profile)
        try:
            compiler = CompilerProcess(text, overrides, snapshot.providers)
        except OSError as error:
            self.machine.failed(f"Cannot compile the profile: {error.strerror}", Cause.SERVICE_FAILED)
            return
        try:
            engine = Engine(self.confinement)  # while the profile is compiled
            self.profile = compiler.result()
            self.overrides = for_session(overrides)
            self._prepare_for(self.profile)
            self.device.prepare(self.profile.network, self.overrides, dns_required=snapshot.dns_required)
            compiler.reap()  # before there is a socket that is for the engine alone
            udp_only = all(remote.proto == "udp" for remote in self.profile.remotes)
            engine.start(self.profile.config, snapshot.device, self.downlink.verbosity, udp_only=udp_only)
            self.engine = engine
            self.machine.happened(Event.ENGINE_STARTED)
        except ProfileRefused as error:
            self.machine.failed(str(error), Cause.PROFILE)
        except OSError as error:
            cause = error.strerror or errno.errorcode.get(error.errno or 0)
            self.machine.failed(f"Cannot start the engine: {cause}", Cause.SERVICE_FAILED)

    def _prepare_for(self, profile: CompiledProfile) -> None:
        """Take over what the profile says about the session itself."""
        self.set_log_level(profile.verbosity)
        self.attempts.remotes = Remotes(profile.remotes, random_names=profile.random_names)
        self.uplink.warn(About.PROFILE, profile.warnings)

    # What the phases' actions do

    def _act(self, action: Action, text: str, cause: Cause) -> None:
        if action in _REPORTS:
            self.uplink.tell(_REPORTS[action](text[:MAX_STATUS_TEXT], cause))
        else:
            _ACTIONS[action](self)

    def _accept(self) -> None:
        assert self.profile is not None
        for questions in self.user_input.before_connecting(self.profile):
            self.dialogue.tell(questions)
        self.uplink.tell(messages.Accepted(self.uplink.log_level))

    def _continue(self) -> None:
        self.connecting_reported = False
        if self.user_input.query:
            self.dialogue.input_wanted(self.user_input.query)
        else:
            self.attempts.allow()

    def _release_engine(self, hosts: str) -> None:
        """Answer the engine's hold; `hosts` is what it resolves names with in this attempt."""
        assert self.engine is not None
        try:
            self.engine.write_hosts(hosts)
        except OSError as error:
            self.machine.failed(f"The engine's hosts file cannot be written: {error.strerror}", Cause.SERVICE_FAILED)
            return
        self.downlink.command(*self.user_input.before_attempt(), "hold release")

    def _pause_engine(self) -> None:
        if self.attempts.engine_holds:
            self.machine.happened(Event.ENGINE_HOLDS)
        else:
            late = "The engine does not pause"
            self.timers.set("deadline", PAUSE_DEADLINE, lambda: self.machine.failed(late, Cause.ENGINE_DIED))
            self.interrupt()

    def interrupt(self) -> None:
        """Have the engine drop its connection or attempt, and hold before the next."""
        self.device.disconnected()
        self.downlink.command("signal SIGUSR1")

    def _interrupt_unless_held(self) -> None:
        if not self.attempts.engine_holds:
            self.interrupt()

    def looked_up(self, answer: messages.Resolved) -> None:
        """The supervisor's answer to a look-up."""
        if self.route_names.learned(answer) and answer.host not in self.attempts.remotes.to_look_up():
            if answer.error:
                self.uplink.log(LogCategory.INFO, f"Cannot resolve {answer.host}: {answer.error}")
            answer = replace(answer, error="")  # it is no reason for an attempt to fail
        self.attempts.looked_up(answer)
        self.route_names.go_on()

    def _end_engine(self) -> None:
        """Have the engine end; nothing else is waited for, and secrets are forgotten."""
        self.timers.clear()
        self.user_input.forget_all()
        self.watchdog.end_engine()

    # The engine's course

    def engine_holds(self, seconds: int) -> None:
        """The engine waits for permission to connect, and suggests to wait `seconds`."""
        self.attempts.held(seconds)
        self.machine.happened(Event.ENGINE_HOLDS)

    def try_next_remote(self) -> None:
        """Send the engine on: its present remote has no address, or will not do."""
        self.attempts.skip()
        self.interrupt()

    # The connection

    def counted(self, received: int, sent: int) -> None:
        """The engine tells what it has counted on the wire."""
        self._tell_negotiated()
        self.roaming.counted(received, sent)
        self.counting.counted(received, sent)

    def may_have_negotiated(self) -> None:
        """Tell in a moment what engine and server have agreed on, if that has changed while they are connected."""
        if self.attempts.is_connected and self.negotiation.has_news and not self.timers.runs(_NEGOTIATED):
            self.timers.set(_NEGOTIATED, _NEGOTIATED_AFTER, self._tell_negotiated)

    def _tell_negotiated(self) -> None:
        if news := self.negotiation.news():
            self.uplink.tell(news)


_REPORTS: dict[Action, Callable[[str, Cause], messages.ToSupervisor]] = {
    Action.REPORT_PROFILE_REFUSED: messages.Refused,
    Action.REPORT_FAILED: messages.Failed,
    Action.REPORT_CREDENTIALS_REFUSED: messages.AuthenticationFailed,
    Action.REPORT_ENGINE_DIED: messages.EngineDied,
    Action.REPORT_ENDED: lambda text, _: messages.Ended(text),
}

_ACTIONS: dict[Action, Callable[[WorkerSession], None]] = {
    Action.ACCEPT: lambda session: session._accept(),
    Action.START_DEADLINE: lambda session: session.attempts.start_deadline(),
    Action.STOP_DEADLINE: lambda session: session.attempts.stop_deadline(),
    Action.CONTINUE: lambda session: session._continue(),
    Action.ALLOW_ATTEMPT: lambda session: session.attempts.allow(),
    Action.SCHEDULE_ATTEMPT: lambda session: session.attempts.schedule(),
    Action.HOLD_BACK: lambda session: session.attempts.hold_back(),
    Action.INTERRUPT: lambda session: session._interrupt_unless_held(),
    Action.PAUSE_ENGINE: lambda session: session._pause_engine(),
    Action.REPORT_CONNECTED: lambda session: session.device.report_again(),
    Action.REPORT_PAUSED: lambda session: session.uplink.tell(messages.Paused(session.uplink.request_number)),
    Action.END_ENGINE: lambda session: session._end_engine(),
}


def _read_memfd(descriptor: int) -> bytes:
    size = min(os.fstat(descriptor).st_size, MAX_PROFILE + 1)
    if size == 0:
        return b""
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as content:
        return content[:]
