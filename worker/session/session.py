"""What a worker knows of its session, and the few things that can be done with it.

Requests of the supervisor (requests.py) and events of the engine (events.py) both end in calls of these methods.
Single-threaded: serve.py calls everything from one loop.
"""

import errno
import mmap
import os
import signal

import prctl

from ...ipc import messages
from ...ipc.channel import Channel, ChannelClosed
from ...ipc.codec import encode
from ...ipc.messages import ToSupervisor
from ...policy.dbus_numbers import LogCategory, shown
from ...policy.limits import GOODBYE_DEADLINE, LOG_CREDIT, MAX_LOG_LINE, MAX_PROFILE, MAX_STATUS_TEXT, PAUSE_DEADLINE
from ...policy.profile.overrides import SessionOverrides, for_session
from ..profile.compiling import Judge
from ..profile.profile import Judgement, ProfileRefused
from ..sandbox.confine import Confinement
from .attempts import Attempts
from .dialogue import Dialogue
from .engine import Engine
from .phase import Phase
from .remotes import Remotes
from .timers import Timers
from .user_input import UserInput

_LEAST_VERBOSITY = 3
_SIGN_OF_LIFE = "pid"  # the shortest command that changes nothing
_PATIENCE = 10.0  # seconds for a first connection that is expected to fail


class Session:
    """The worker's side of one session."""

    def __init__(self, supervisor: Channel, timers: Timers, confinement: Confinement = Confinement()) -> None:  # noqa: B008
        self._supervisor = supervisor
        self.timers = timers
        self.confinement = confinement
        self.phase = Phase.NEW
        self.handshake_done = False  # the supervisor speaks our protocol
        self.request_number = 0  # the number of the latest request that changes the engine's course
        self.snapshot: messages.SupervisorSnapshot | None = None
        self.judgement: Judgement | None = None
        self.engine: Engine | None = None
        self.established = False  # was connected once
        self.connecting_announced = False
        self.endpoint: tuple[str, str, int, str] | None = None  # protocol, address, port, name of the connection
        self.endpoint_told = False  # not before the bytes so far are counted
        self.attempts = Attempts(self)
        self.overrides = SessionOverrides()
        self.user_input = UserInput()
        self.dialogue = Dialogue(self)
        self.redirected = False  # all traffic is to go through the tunnel
        self.proxy_refusals = 0
        self.last_error = ""  # the engine's last error line
        self.exit_reason = ""  # why the engine says it exits
        self.bytes_before = (0, 0)  # up to the last time the engine began again at 0
        self.bytes_now = (0, 0)
        self._saying_goodbye = False
        self._log_level = 6
        self._credit = LOG_CREDIT
        self._lines_dropped = 0

    @property
    def connecting(self) -> bool:
        """Whether the engine is to connect, or to stay connected."""
        return self.phase == Phase.RUNNING

    # To the supervisor

    def tell(self, message: ToSupervisor) -> None:
        """Send a message; waits while the supervisor is busy with an earlier one."""
        try:
            self._supervisor.send(encode(message))
        except ChannelClosed:
            pass  # the loop reads the same, and stops

    def log(self, category: LogCategory, text: str) -> None:
        """Log a line if the level shows it and the supervisor's credit allows; else count it."""
        if not shown(category, self._log_level):
            return
        if self._credit <= (1 if self._lines_dropped else 0):
            self._lines_dropped += 1
            return
        if self._lines_dropped:
            dropped, self._lines_dropped = self._lines_dropped, 0
            self._credit -= 1
            self.tell(messages.LogLine(LogCategory.WARN, f"{dropped} log lines were dropped here"))
        self._credit -= 1
        self.tell(messages.LogLine(category, text[:MAX_LOG_LINE]))

    def add_credit(self, lines: int) -> None:
        self._credit = min(self._credit + lines, LOG_CREDIT)

    def set_log_level(self, level: int) -> None:
        """Log lines up to this level (0 to 6) from now on; the engine has to say as much."""
        self._log_level = level
        self.command(self._verbosity())

    def _verbosity(self) -> str:
        return f"verb {max(self._log_level, _LEAST_VERBOSITY)}"

    # The engine's life

    def begin(self, snapshot: messages.SupervisorSnapshot, profile: int) -> None:
        """Judge the profile in the memfd `profile` and start the engine on it, or refuse it."""
        self.snapshot = snapshot
        title = f"openvpn3-session: {snapshot.config_name} of {snapshot.owner}, session {snapshot.session}"
        prctl.set_proctitle(title)
        overrides = dict(snapshot.overrides)
        try:
            judge = Judge(_read_memfd(profile), overrides, snapshot.providers)
        except OSError as error:
            self.refuse(f"The profile cannot be judged: {error.strerror}")
            return
        try:
            engine = Engine(self.confinement)  # while the profile is judged
            self.judgement = judge.verdict()
            self.overrides = for_session(overrides)
            self._prepare_for(self.judgement)
            judge.reap()  # before there is a socket that is for the engine alone
            # Below that the engine would not say why it fails, nor what the server tells it to do.
            engine.start(self.judgement.config, snapshot.device, max(self._log_level, _LEAST_VERBOSITY))
            self.engine = engine
            self.phase = Phase.STARTING
        except ProfileRefused as error:
            self.refuse(str(error))
        except OSError as error:
            self.refuse(f"The engine cannot be started: {error.strerror or errno.errorcode.get(error.errno or 0)}")

    def _prepare_for(self, judgement: Judgement) -> None:
        """Take over what the profile says about the session itself."""
        self._log_level = judgement.verbosity
        self.attempts.remotes = Remotes(judgement.remotes)
        for warning in judgement.warnings:
            self.log(LogCategory.WARN, warning)
        self.redirected = "\nredirect-gateway" in judgement.config

    def refuse(self, reason: str) -> None:
        """Say that the profile cannot be used, and end."""
        self.tell(messages.Refused(reason[:MAX_STATUS_TEXT]))
        self.stop()

    def command(self, *commands: str | bytearray) -> None:
        """Give the engine management commands; one that is gone is found out by its exit."""
        if self.engine is not None and self.engine.management is not None:
            try:
                self.engine.management.send(*commands)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except BlockingIOError:
                self.fail("The engine does not read its commands")

    def command_unlogged(self, command: bytearray) -> None:
        """Give the engine a command with something in it that it must not repeat in its log."""
        self.command("verb 0", command, self._verbosity())

    def connect(self) -> None:
        """Let the held engine go, or go on with what was typed meanwhile."""
        if self.phase == Phase.RUNNING:  # the server had not waited for what was typed
            if self.endpoint_told:
                self.tell_connected()
            return
        self.phase = Phase.RUNNING
        self.connecting_announced = False
        self.await_connection()
        if self.user_input.query:
            self.dialogue.input_wanted(self.user_input.query)
        else:
            self.attempts.begin()

    # Its course

    def hold(self, seconds: int) -> None:
        """The engine holds and suggests to wait `seconds`."""
        self.attempts.engine_holds = True
        if self.phase == Phase.STARTING:
            self.phase = Phase.HELD
            assert self.judgement is not None
            for questions in self.user_input.before_connecting(self.judgement):
                self.dialogue.tell(questions)
            self.tell(messages.Accepted(self._log_level))
        elif self.phase == Phase.PAUSING:
            self.pause_is_done()
        elif self.phase == Phase.RUNNING:
            self.attempts.after_pause(seconds)

    def pause(self, reason: str) -> None:
        """Stop traffic: the engine drops its connection and stays held."""
        self.log(LogCategory.INFO, f"Pausing connection, reason: {reason}")
        self.attempts.put_off()
        self.timers.cancel("connect")
        self.phase = Phase.PAUSING
        if self.attempts.engine_holds:
            self.pause_is_done()
        else:
            self.timers.set("pause", PAUSE_DEADLINE, lambda: self.fail("The engine does not pause"))
            self.interrupt()

    def pause_is_done(self) -> None:
        self.phase = Phase.PAUSED
        self.timers.cancel("pause")
        self.attempts.put_off()
        self.tell(messages.Paused(self.request_number))

    def resume(self) -> None:
        """Go on after a pause, whether it is complete or under way."""
        self.log(LogCategory.INFO, "Resuming connection")
        self.timers.cancel("pause")
        self.phase = Phase.RUNNING
        self.await_connection()
        self.attempts.begin()

    def restart(self) -> None:
        """Drop the connection and make it anew at once."""
        self.log(LogCategory.INFO, "Restarting connection")
        self.timers.cancel("pause")
        pausing = self.phase == Phase.PAUSING
        self.phase = Phase.RUNNING
        self.await_connection()
        if not self.attempts.engine_holds and not pausing:
            self.interrupt()
        self.attempts.begin()

    def interrupt(self) -> None:
        """Have the engine drop its connection or attempt, and hold before the next."""
        self.endpoint = None
        self.command("signal SIGUSR1")

    def tell_connected(self) -> None:
        """Report the connection there is."""
        assert self.endpoint is not None
        self.endpoint_told = True
        self.tell(messages.Connected(self.request_number, *self.endpoint))

    def await_connection(self) -> None:
        """Begin the time that a first connection may take."""
        if not self.established and self.snapshot is not None:
            self._set_connect_deadline(self.snapshot.connect_deadline)

    def _set_connect_deadline(self, seconds: float) -> None:
        self.timers.set("connect", seconds, lambda: self._connect_timed_out(seconds))

    def _connect_timed_out(self, seconds: float) -> None:
        phase = "waiting for the server" if self.attempts.remotes.usable else "looking up its name"
        cause = f": {self.last_error}" if self.last_error else ""
        self.fail(f"No connection within {seconds:g} s ({phase}){cause}")

    def expect_refusal(self, cause: str) -> None:
        """The first connection will probably not come about, because of `cause`: do not wait long for it."""
        if not self.established and self.phase == Phase.RUNNING and self.snapshot is not None:
            self.last_error = cause
            self._set_connect_deadline(min(_PATIENCE, self.snapshot.connect_deadline))

    def fail(self, reason: str) -> None:
        """Report the end of the session's connection, and end."""
        if self.phase == Phase.STARTING:
            self.refuse(reason)
        elif self.phase != Phase.STOPPING:
            self.tell(messages.Failed(reason[:MAX_STATUS_TEXT]))
            self.stop()

    def engine_died(self, reason: str) -> None:
        """Report that the engine died without being asked to, and end."""
        if self.phase != Phase.STOPPING:
            self.tell(messages.EngineDied(reason[:MAX_STATUS_TEXT]))
            self.stop()

    def authentication_failed(self, reason: str) -> None:
        if self.phase != Phase.STOPPING:
            self.tell(messages.AuthenticationFailed(reason[:MAX_STATUS_TEXT]))
            self.stop()

    def ended(self, reason: str) -> None:
        """Report an orderly end that the supervisor did not ask for, and end."""
        if self.phase != Phase.STOPPING:
            self.tell(messages.Ended(reason[:MAX_STATUS_TEXT]))
            self.stop()

    def stop(self) -> None:
        """Ask the engine to end; kill it if it takes too long.  The loop ends when it is gone."""
        if self.phase == Phase.STOPPING:
            return
        self.phase = Phase.STOPPING
        self.timers.clear()
        self.user_input.forget_all()
        if self.engine is not None:
            engine = self.engine
            engine.signal(signal.SIGTERM)
            self.timers.set("goodbye", GOODBYE_DEADLINE, lambda: engine.signal(signal.SIGKILL))
            self.command(_SIGN_OF_LIFE)

    def lives_on(self) -> None:
        """The engine, asked to end, answers a sign of life: over UDP it says goodbye to its server first.

        After that it would wait a second or more (--explicit-exit-notify in openvpn(8)); a second SIGTERM ends it.
        The goodbye leaves in the turn of its loop in which it answers first: once it answers again, that is done.
        """
        assert self.engine is not None
        if self._saying_goodbye:
            self.engine.signal(signal.SIGTERM)
        else:
            self._saying_goodbye = True
            self.command(_SIGN_OF_LIFE)

    # Traffic

    def count_bytes(self, bytes_in: int, bytes_out: int) -> None:
        """The engine's counters; some versions begin again at 0 with each connection, and some go on."""
        if bytes_in < self.bytes_now[0] or bytes_out < self.bytes_now[1]:
            before_in, before_out = self.bytes_before
            self.bytes_before = (before_in + self.bytes_now[0], before_out + self.bytes_now[1])
        self.bytes_now = (bytes_in, bytes_out)
        self.tell(messages.Traffic(self.bytes_before[0] + bytes_in, self.bytes_before[1] + bytes_out))


def _read_memfd(descriptor: int) -> bytes:
    size = min(os.fstat(descriptor).st_size, MAX_PROFILE + 1)
    if size == 0:
        return b""
    with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as content:
        return content[:]
