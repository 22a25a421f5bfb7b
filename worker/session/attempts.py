"""When the engine may try to connect: it holds before each attempt, and goes on when there is an address to try."""

from collections.abc import Callable

from ...ipc import messages
from ...policy.causes import Cause
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import CONNECT_DEADLINE, MAX_LOOKUPS_PER_SESSION
from .phases import Phase, PhaseMachine
from .remotes import Remotes
from .timers import Timers
from .uplink import Uplink

_LEAST_PAUSE = 1.0  # seconds between attempts; after some errors the engine would try again without any
_LONGEST_PAUSE = 30.0  # seconds; the engine suggests up to 300
_LOOKUP_GRACE = 1.0  # seconds that other names may take once there is an address to try
_LOOKUP_RETRY = 3.0  # seconds until names are looked up again, none of which had an address
_PATIENCE = 10.0  # seconds for a first connection that is expected to fail


class Attempts:
    """The attempts of one session's engine, and the time that the first connection may take."""

    def __init__(self, uplink: Uplink, machine: PhaseMachine, timers: Timers, release: Callable[[str], None]) -> None:
        """`release` lets the engine, which holds, make one attempt with a hosts file of this content."""
        self._uplink = uplink
        self._machine = machine
        self._timers = timers
        self._release_engine = release
        self.remotes = Remotes(())
        self.connect_deadline = CONNECT_DEADLINE  # seconds from Connect to the first connection
        self.connected_once = False
        self.last_error = ""  # why an attempt failed, as far as anything was said
        self.looking_up: set[str] = set()  # names that the supervisor was asked for
        self.engine_holds = False  # waits for "hold release"
        self._suggested_pause = 0  # seconds, by the engine that holds
        self._at_once = False  # at the next hold, whatever the engine suggests
        self._connected = False
        self._skipped = 0  # remotes without an address that the engine came to, one after the other
        self._told: set[str] = set()  # what is wrong with names, as far as that was said

    def held(self, seconds: int) -> None:
        """The engine holds, and suggests to wait `seconds`."""
        self.engine_holds = True
        self._suggested_pause = seconds

    def allow(self) -> None:
        """Let the engine try: now if it holds and knows an address, else as soon as both is so."""
        if not self.engine_holds:
            self._at_once = True
            return
        for name in self.remotes.to_look_up():
            if len(self.looking_up) < MAX_LOOKUPS_PER_SESSION and name not in self.looking_up:
                self.looking_up.add(name)
                self._uplink.tell(messages.Resolve(name))
        if not self.looking_up:
            self._release()
        elif self.remotes.usable and not self._timers.runs("grace"):  # each answer would put it off again
            self._timers.set("grace", _LOOKUP_GRACE, self._release)

    def schedule(self) -> None:
        """Let the engine, which holds, try again after a while."""
        pause = min(max(self._suggested_pause, _LEAST_PAUSE), _LONGEST_PAUSE)
        self._timers.set("release", 0.0 if self._at_once else pause, self.allow)

    def hold_back(self) -> None:
        """Let the engine hold until it is allowed another attempt, and take all the time that this takes."""
        self._cancel_release()
        self._at_once = False
        self.stop_deadline()

    def at_once(self) -> None:
        """Let the engine try again as soon as it holds."""
        self._at_once = True

    def skip(self) -> None:
        """The engine has come to a remote without an address: on to the next, with a pause after a whole round."""
        self._skipped += 1
        if self._skipped < len(self.remotes.remotes):
            self.at_once()

    def connected(self) -> None:
        """The engine is connected."""
        self.connected_once = self._connected = True

    def ended(self) -> None:
        """The engine has given up an attempt, or its connection."""
        if not self.remotes.leads_nowhere:
            self._skipped = 0
        if self._connected:
            self.remotes.lost()
        else:
            self.remotes.attempt_failed()
        self._connected = False

    def looked_up(self, answer: messages.Resolved) -> None:
        """The supervisor's answer to a look-up."""
        self.looking_up.discard(answer.host)
        for trouble in self.remotes.learned(answer.host, answer.addresses):
            self.last_error = trouble
            if trouble not in self._told:
                self._told.add(trouble)
                self._uplink.log(LogCategory.WARN, trouble)
        if answer.error:
            self.last_error = f"cannot resolve {answer.host}: {answer.error}"
            self._uplink.log(LogCategory.WARN, f"Cannot resolve {answer.host}: {answer.error}")
        if self._machine.phase is Phase.RUNNING and self.engine_holds:
            self.allow()

    def _release(self) -> None:
        """Answer the engine's hold, if there is any address for it to try."""
        self._cancel_release()
        if not self.engine_holds:
            return
        if not self.remotes.usable:
            self.remotes.forget_failures()
            self._timers.set("release", _LOOKUP_RETRY, self.allow)
            return
        self.engine_holds = self._at_once = False
        self._release_engine(self.remotes.hosts_file())

    def _cancel_release(self) -> None:
        self._timers.cancel("release")
        self._timers.cancel("grace")

    # The time that the first connection may take

    def start_deadline(self) -> None:
        """Begin the time that a first connection may take; lift whatever limit there was."""
        self.stop_deadline()
        if not self.connected_once:
            self._set_deadline(self.connect_deadline)

    def stop_deadline(self) -> None:
        """Lift the time limit."""
        self._timers.cancel("deadline")

    def expect_failure(self, cause: str) -> None:
        """The first connection will probably not come about, because of `cause`: do not wait long for it."""
        if not self.connected_once and self._machine.phase is Phase.RUNNING:
            self.last_error = cause
            self._set_deadline(min(_PATIENCE, self.connect_deadline))

    def _set_deadline(self, seconds: float) -> None:
        self._timers.set("deadline", seconds, lambda: self._timed_out(seconds))

    def _timed_out(self, seconds: float) -> None:
        waiting_for = "waiting for the server" if self.remotes.usable else "looking up its name"
        cause = f": {self.last_error}" if self.last_error else ""
        self._machine.failed(f"No connection within {seconds:g} s ({waiting_for}){cause}", Cause.UNKNOWN)
