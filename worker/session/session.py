"""One worker's session: its parts, and what its phases' actions do with them.

Requests of the supervisor (requests.py) and events of the engine (events.py) both end here.  Single-threaded: loop.py
calls everything.
"""

import errno
import mmap
import os
import signal
from collections.abc import Callable, Mapping

import prctl
from msgspec.structs import replace

from ...ipc import messages
from ...ipc.channel import Channel
from ...policy.causes import Cause
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import (
    ANSWER_DEADLINE,
    GOODBYE_DEADLINE,
    MAX_BYTES,
    MAX_ENGINE_REPORTS,
    MAX_PROFILE,
    MAX_STATUS_TEXT,
    PAUSE_DEADLINE,
    STOPPED_GRACE,
)
from ...policy.network import NetworkSettings, PolicyViolation, check
from ...policy.profile.overrides import SessionOverrides, for_session
from ...policy.reports import About
from ..profile.compiler_process import CompilerProcess
from ..profile.values import CompiledProfile, ProfileRefused
from ..sandbox.confine import Confinement
from . import dns_settings, network_settings
from .attempts import Attempts
from .dialogue import Dialogue
from .downlink import Downlink
from .engine import Engine
from .negotiation import Negotiation
from .phases import Action, Event, Phase, PhaseMachine
from .pushed import Pushed
from .remotes import Remotes
from .roaming import Roaming
from .route_names import RouteNames
from .routes import Routes, Tunnel
from .timers import Timers
from .uplink import Uplink
from .user_input import UserInput

_SIGN_OF_LIFE = "pid"  # the shortest command that changes nothing


class WorkerSession:
    """The worker's side of one session."""

    def __init__(self, supervisor: Channel, timers: Timers, confinement: Confinement = Confinement()) -> None:  # noqa: B008
        self.uplink = Uplink(supervisor, self._asks_too_much)
        self.machine = PhaseMachine(self._act)
        self.downlink = Downlink(self.machine)
        self.attempts = Attempts(self.uplink, self.machine, timers, self._release_engine)
        self.user_input = UserInput()
        self.dialogue = Dialogue(self.uplink, self.downlink, self.machine, self.attempts, self.user_input)
        self.roaming = Roaming(
            self.uplink,
            self.downlink,
            self.machine,
            timers,
            self.attempts,
            self.user_input,
            self._report_connected_again,
        )
        self.confinement = confinement
        self.timers = timers
        self.stopped_grace = STOPPED_GRACE  # seconds that the engine may be stopped, 0 for ever
        self.handshake_done = False  # the supervisor speaks our protocol
        self.profile: CompiledProfile | None = None
        self.overrides = SessionOverrides()
        self.dns_required = False
        self.engine: Engine | None = None
        self.connecting_reported = False
        self.endpoint: tuple[str, str, int, str] | None = None  # protocol, address, port, name of the connection
        self.endpoint_reported = False  # not before the bytes so far are counted
        self.network: NetworkSettings | None = None  # asked for last
        self.pushed = Pushed()
        self.negotiation = Negotiation()
        self.route_names = RouteNames(self.uplink, timers, self.attempts.looking_up)
        self.proxy_refusals = 0
        self.exit_reason = ""  # why the engine says it exits
        self.bytes_before = (0, 0)  # up to the last time the engine began again at 0
        self.bytes_now = (0, 0)
        self._saying_goodbye = False
        self._engine_asked = False  # for a sign of life, and has not answered

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
        """Compile the profile in the memfd `profile` and start the engine with it, or refuse it."""
        prctl.set_proctitle(f"openvpn3-session: {snapshot.title}")
        self.attempts.connect_deadline = snapshot.connect_deadline
        self.stopped_grace = snapshot.stopped_grace
        self.dns_required = snapshot.dns_required
        overrides = dict(snapshot.overrides)
        try:
            compiler = CompilerProcess(_read_memfd(profile), overrides, snapshot.providers)
        except OSError as error:
            self.machine.failed(f"Cannot compile the profile: {error.strerror}", Cause.SERVICE_FAILED)
            return
        try:
            engine = Engine(self.confinement)  # while the profile is compiled
            self.profile = compiler.result()
            self.overrides = for_session(overrides)
            self._prepare_for(self.profile)
            compiler.reap()  # before there is a socket that is for the engine alone
            engine.start(self.profile.config, snapshot.device, self.downlink.verbosity)
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
        self.pushed = Pushed(profile.network)

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
        self.endpoint = None
        self.downlink.command("signal SIGUSR1")

    def _interrupt_unless_held(self) -> None:
        if not self.attempts.engine_holds:
            self.interrupt()

    def _report_connected_again(self) -> None:
        if self.endpoint is not None and self.endpoint_reported:
            self.report_connected()

    def device_up(self, environment: Mapping[str, str]) -> None:
        """The engine has its device: ask for its settings, once the names in its routes have been looked up."""
        of_profile = self.profile.network if self.profile is not None else ()
        routes = Routes(of_profile, self.pushed.options)
        if not self.pushed.complete:
            routes.problems.append("the server pushes more than is read: options may be missing")
        options = (*of_profile, *self.pushed.options)
        self.negotiation.device_up(Tunnel.of(environment, (), options, "").gateways)
        dns, dns_warnings = dns_settings.requested(of_profile, self.pushed.options, self.overrides)
        if self.dns_required and dns is None and self.overrides.dns_setup and dns_settings.asked_for(options):
            self.machine.failed(
                "The server's network settings cannot be used: DNS, which the setting dns-required of the profile asks "
                f"for: {'; '.join(dns_warnings)}",
                Cause.SERVER_SETTINGS,
            )
            return

        def configure() -> None:
            wanted, warnings = network_settings.from_environment(
                environment,
                self.attempts.remotes.tried,
                routes=routes,
                options=options,
                found=self.route_names.found,
                dns=dns,
            )
            self.uplink.warn(About.CONNECTION, [*warnings, *dns_warnings])
            if past := [route.destination for route in wanted.routes if route.past]:
                self.uplink.log(LogCategory.INFO, f"Past the tunnel go {', '.join(past)}")
            if self.ask_for_network(wanted) and self.endpoint is not None and self.endpoint_reported:
                self.report_connected()

        self.route_names.look_up(routes.names, configure)

    def device_down(self) -> None:
        """The engine has given its device up."""
        self.route_names.stop()
        self.network = None
        self.uplink.tell(messages.ClearNetwork())

    def looked_up(self, answer: messages.Resolved) -> None:
        """The supervisor's answer to a look-up."""
        if self.route_names.learned(answer) and answer.host not in self.attempts.remotes.to_look_up():
            if answer.error:
                self.uplink.log(LogCategory.INFO, f"Cannot resolve {answer.host}: {answer.error}")
            answer = replace(answer, error="")  # it is no reason for an attempt to fail
        self.attempts.looked_up(answer)
        self.route_names.go_on()

    def ask_for_network(self, wanted: NetworkSettings) -> bool:
        """Ask for settings of the device; False if they are not acceptable, and the session has failed."""
        try:
            check(wanted)
        except PolicyViolation as error:
            self.machine.failed(f"The server's network settings cannot be used: {error}", Cause.SERVER_SETTINGS)
            return False
        self.network = wanted
        self.uplink.tell(messages.ApplyNetwork(wanted))
        return True

    def _server_known(self) -> bool:
        """Have the routes of others keep off the server to which the engine talks by now; False if that fails.

        With a device that persists, the engine does not say that its settings hold for another server.
        """
        server, network = self.attempts.remotes.tried, self.network
        if network is None or network.server == server:
            return True
        return self.ask_for_network(network_settings.moved(network, server))

    def report_connected(self) -> None:
        """Report the connection there is, once its network settings have been asked for."""
        assert self.endpoint is not None
        self.endpoint_reported = True
        if not self.route_names.waiting and self._server_known():
            self.uplink.tell(messages.Connected(self.uplink.request_number, *self.endpoint))

    def _end_engine(self) -> None:
        """Ask the engine to end; kill it if it takes too long.  The loop ends when it is gone."""
        self.timers.clear()
        self.user_input.forget_all()
        if self.engine is not None:
            engine = self.engine
            engine.signal(signal.SIGTERM)
            self.timers.set("goodbye", GOODBYE_DEADLINE, lambda: engine.signal(signal.SIGKILL))
            self.downlink.command(_SIGN_OF_LIFE)

    # The engine's course

    def engine_holds(self, seconds: int) -> None:
        """The engine waits for permission to connect, and suggests to wait `seconds`."""
        self.attempts.held(seconds)
        self.machine.happened(Event.ENGINE_HOLDS)

    def try_next_remote(self) -> None:
        """Send the engine on: its present remote has no address, or will not do."""
        self.attempts.skip()
        self.interrupt()

    def _still_answers(self) -> None:
        """An engine that was asked to end gives a sign of life: over UDP it says goodbye to its server first.

        After that it would wait a second or more (--explicit-exit-notify in openvpn(8)); a second SIGTERM ends it.
        The goodbye leaves in the turn of its loop in which it answers first: once it answers again, that is done.
        """
        assert self.engine is not None
        if self._saying_goodbye:
            self.engine.signal(signal.SIGTERM)
        else:
            self._saying_goodbye = True
            self.downlink.command(_SIGN_OF_LIFE)

    # An engine that is stuck

    def engine_stopped_or_goes_on(self) -> None:
        """The engine may have been stopped (SIGSTOP); unless it goes on soon, it is killed."""
        stopped = self.engine.stopped() if self.engine is not None else None
        if stopped is not None:
            self.timers.cancel("stopped")
        if stopped and self.stopped_grace:
            self.timers.set("stopped", self.stopped_grace, lambda: self._kill_engine(f"is stopped ({stopped})"))

    def ask_for_answer(self) -> None:
        """Tell the supervisor that the worker is alive, and ask the engine; it is killed if it does not answer."""
        self.uplink.tell(messages.Pong())
        if self.downlink.connection is not None and not self._engine_asked:
            self._engine_asked = True
            late = f"does not answer within {ANSWER_DEADLINE:g} s"
            self.timers.set("answer", ANSWER_DEADLINE, lambda: self._kill_engine(late))
            self.downlink.command(_SIGN_OF_LIFE)

    def engine_answers(self) -> None:
        """The engine, asked for a sign of life, gives one."""
        if self.phase is Phase.STOPPING:
            self._still_answers()
        self._engine_asked = False
        self.timers.cancel("answer")

    def _kill_engine(self, how: str) -> None:
        assert self.engine is not None
        self.machine.happened(Event.ENGINE_DIED, f"The engine {how}, and is killed", Cause.ENGINE_DIED)
        self.engine.signal(signal.SIGKILL)

    # Traffic

    def count_bytes(self, bytes_in: int, bytes_out: int) -> None:
        """The engine's counters; some versions begin again at 0 with each connection, and some go on."""
        if bytes_in < self.bytes_now[0] or bytes_out < self.bytes_now[1]:
            before_in, before_out = self.bytes_before
            self.bytes_before = (before_in + self.bytes_now[0], before_out + self.bytes_now[1])
        self.bytes_now = (bytes_in, bytes_out)
        if news := self.negotiation.news():
            self.uplink.tell(news)
        self.roaming.counted(bytes_in, bytes_out)
        total_in, total_out = self.bytes_before[0] + bytes_in, self.bytes_before[1] + bytes_out
        self.uplink.tell(messages.Traffic(min(total_in, MAX_BYTES), min(total_out, MAX_BYTES)))


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
    Action.REPORT_CONNECTED: lambda session: session._report_connected_again(),
    Action.REPORT_PAUSED: lambda session: session.uplink.tell(messages.Paused(session.uplink.request_number)),
    Action.END_ENGINE: lambda session: session._end_engine(),
}


def _read_memfd(descriptor: int) -> bytes:
    size = min(os.fstat(descriptor).st_size, MAX_PROFILE + 1)
    if size == 0:
        return b""
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as content:
        return content[:]
