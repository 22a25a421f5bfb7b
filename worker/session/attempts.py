"""When the engine may try to connect: it holds before each attempt, and goes on when there is an address to try."""

from collections.abc import Callable

from ...ipc import messages
from ...policy.causes import Cause, Failure
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import CONNECT_DEADLINE, MAX_LOOKUPS_PER_SESSION, MAX_SERVER_ADDRESSES, MAX_STATUS_TEXT
from ...policy.reports import is_address
from .engine_messages import Meaning, Weight, given_up
from .fresh_names import FreshNames
from .phases import Phase, PhaseMachine
from .remotes import Remotes
from .timers import Timers
from .uplink import Uplink

_LEAST_PAUSE = 1.0  # seconds between attempts; after some errors the engine would try again without any
_LONGEST_PAUSE = 30.0  # seconds; the engine suggests up to 300
_LOOKUP_GRACE = 1.0  # seconds that other names may take once there is an address to try
_LOOKUP_RETRY = 3.0  # seconds until names are looked up again, none of which had an address
_PATIENCE = 10.0  # seconds for a first connection that is expected to fail, and for a server that falls silent
_ASKED_FOR = "SIGUSR1"  # why the engine gives up an attempt that we interrupt
_NO_WAY = Failure(Cause.UNREACHABLE, "No way to the server: waiting for a network")
_TOKEN_EXPIRED = "auth-failure (auth-token)"  # the same, where it goes on with the password


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
        self.failure: Failure | None = None  # why the latest attempt failed, or one before that was hopeless
        self._cause: Meaning | None = None  # why the attempt under way fails, if it does: what weighs most
        self._passed_over = ""  # address that would be tried again before others had their turn
        self._hopeless = 0  # attempts, one after the other, that each server would fail again
        self.looking_up: set[str] = set()  # names that the supervisor was asked for
        self._fresh = FreshNames(uplink, self.looking_up)
        self.engine_holds = False  # waits for "hold release"
        self._suggested_pause = 0  # seconds, by the engine that holds
        self._at_once = False  # at the next hold, whatever the engine suggests
        self._connected = False
        self._skipped = 0  # remotes without an address that the engine came to, one after the other
        self._way_there = True  # to one of the servers, as far as the supervisor has told
        self._way_changed = False  # and the attempt under way is given up because of that
        self._waiting_for_way = False
        self._servers: tuple[str, ...] | None = None  # that the supervisor follows
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
            self._fresh.wanted(name)
            if len(self.looking_up) < MAX_LOOKUPS_PER_SESSION and name not in self.looking_up:
                self.looking_up.add(name)
                self._uplink.tell(messages.Resolve(name))
        if self.looking_up <= self._fresh.under_way:
            self._release()
        elif self.remotes.usable and not self._timers.runs("grace"):  # each answer would put it off again
            self._timers.set("grace", _LOOKUP_GRACE, self._release)

    def schedule(self) -> None:
        """Let the engine, which holds, try again after a while."""
        if self.wait_for_way():
            return
        pause = min(max(self._suggested_pause, _LEAST_PAUSE), _LONGEST_PAUSE)
        self._timers.set("release", 0.0 if self._at_once else pause, self.allow)

    def follow_way(self, servers: tuple[str, ...]) -> None:
        """Have the supervisor tell when the ways to these change."""
        servers = tuple(filter(is_address, servers))[:MAX_SERVER_ADDRESSES]
        if servers != self._servers:
            self._servers = servers
            self._uplink.tell(messages.Servers(servers))

    def way(self, *, there: bool, moved: bool) -> None:
        """Whether there is a way to any of them, and another; an attempt that is under way is not to blame for it."""
        if moved:
            self._fresh.network_changed()
        self._way_there = there
        self._way_changed = not self._connected and not self.engine_holds
        if there:
            self._waiting_for_way = False

    def wait_for_way(self) -> bool:
        """Whether the engine, which holds, has to wait until there is a way to a server; users are told so."""
        self.follow_way(self.remotes.addresses())
        if self._way_there:
            return False
        self._cancel_release()
        if not self._waiting_for_way:
            self._waiting_for_way = True
            self.report_no_way()
        return True

    def report_no_way(self) -> None:
        """Tell the session's users that there is no way to the server."""
        self.report(_NO_WAY, "network-unreachable")

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

    @property
    def is_connected(self) -> bool:
        """Whether the engine is connected."""
        return self._connected

    def connected(self) -> None:
        """The engine is connected."""
        self.connected_once = self._connected = True
        self.failure = self._cause = None
        self._hopeless = 0

    def heard(self, meaning: Meaning | None) -> None:
        """The engine or the server has said something of this meaning."""
        if meaning is None or self.leads_nowhere:
            return
        if self._cause is None or meaning.weight > self._cause.weight:
            self._cause = meaning
            if meaning.weight is Weight.NETWORK and not self._connected and self._machine.phase is Phase.RUNNING:
                self.report(meaning.failure)  # the engine may go on with this attempt for a while
        if meaning.weight is Weight.WARNING:
            self._expect_failure()

    @property
    def cause(self) -> Failure | None:
        """Why the attempt under way fails, if it does, as far as that is known."""
        return self._cause.failure if self._cause is not None else None

    @property
    def understood(self) -> Failure | None:
        """The same, unless it is only an error that means nothing to us."""
        return self._cause.failure if self._cause is not None and self._cause.weight > Weight.NONE else None

    def ended(self, reason: str, *, challenged: bool = False) -> Failure | None:
        """The engine has given up its connection, or an attempt, for `reason`: why that failed, if it did.

        It did not if it was `challenged`, and goes on when its user has answered; nor if it led nowhere.
        """
        skipped, was_connected, where = self.leads_nowhere, self._connected, self.remotes.tried
        self._passed_over = ""
        if not skipped:
            self._skipped = 0
        way_changed, self._way_changed = self._way_changed, False
        if was_connected:
            self.remotes.lost()
        elif way_changed:
            self.remotes.tried = ""
        elif where or reason != _ASKED_FOR:  # else there was no attempt yet
            self.remotes.attempt_failed()
        self._connected = False
        self._timers.cancel("silence")
        cause, self._cause = self._cause, None
        if (
            skipped
            or challenged
            or reason in (_ASKED_FOR, _TOKEN_EXPIRED)
            or (was_connected and reason != "auth-failure")
        ):
            return None
        said = cause.failure.text if cause is not None else ""
        failure = cause.failure if cause is not None and cause.weight > Weight.NONE else given_up(reason, where, said)
        hopeless = cause is not None and cause.hopeless
        if hopeless or not self._hopeless:
            self.failure = failure
        self._hopeless = self._hopeless + 1 if hopeless else 0
        return failure

    def refused_by_all(self) -> bool:
        """Whether trying again is pointless: every server has shown that it will not do, and none ever did."""
        return not self.connected_once and self._hopeless >= max(1, self.remotes.attempts_in_a_round)

    def pass_over(self, address: str) -> None:
        """The next attempt is not to be at this address, if it is that again."""
        self._passed_over = address

    @property
    def leads_nowhere(self) -> bool:
        """Whether the engine has come to a remote that there is no point in trying now."""
        return self.remotes.leads_nowhere or self.remotes.tried == self._passed_over != ""

    def report(self, failure: Failure, reason: str = "") -> None:
        """Tell the session's users why there is no connection yet; `reason` in the engine's word."""
        number, text = self._uplink.request_number, failure.text[:MAX_STATUS_TEXT]
        if self._uplink.standing.said_connected:  # lost while the engine was thought to do something else
            self._uplink.tell(messages.Reconnecting(number, reason))
        self._uplink.tell(messages.AttemptFailed(number, reason, text, failure.cause))

    def handshake_begins(self) -> None:
        """The server answers: if it falls silent now, its users are told after a while."""
        self._timers.set("silence", _PATIENCE, self._fell_silent)

    def handshake_goes_on(self) -> None:
        """The engine has come past the handshake, or not so far."""
        self._timers.cancel("silence")

    def _fell_silent(self) -> None:
        if self._machine.phase is Phase.RUNNING and not self._connected:
            self.report(self.understood or given_up("tls-error", self.remotes.tried, f"silent for {_PATIENCE:g} s"))

    def looked_up(self, answer: messages.Resolved) -> None:
        """The supervisor's answer to a look-up."""
        self.looking_up.discard(answer.host)
        if not self._fresh.learned(answer, self.remotes):
            self._learned(answer)
        if self._machine.phase is not Phase.RUNNING:
            return
        if self.engine_holds:
            self.allow()
        if not self._connected:
            self._fresh.go_on()

    def _learned(self, answer: messages.Resolved) -> None:
        for trouble in self.remotes.learned(answer.host, answer.addresses):
            self._name_failed(trouble)
            if trouble not in self._told:
                self._told.add(trouble)
                self._uplink.log(LogCategory.WARN, trouble)
        if answer.error:
            trouble = f"Cannot resolve {answer.host}: {answer.error}"
            self._name_failed(trouble)
            self._uplink.log(LogCategory.WARN, trouble)

    def _name_failed(self, trouble: str) -> None:
        if not self._hopeless:
            self.failure = Failure(Cause.NAME_UNKNOWN, trouble)

    def _release(self) -> None:
        """Answer the engine's hold, if there is any address for it to try."""
        self._cancel_release()
        if not self.engine_holds:
            return
        if self.wait_for_way():
            return
        if not self.remotes.usable:
            self.remotes.forget_failures()
            if self.failure is not None:
                self.report(self.failure)
            self._timers.set("release", _LOOKUP_RETRY, self.allow)
            return
        self.engine_holds = self._at_once = self._way_changed = False
        self._release_engine(self.remotes.hosts_file())
        self._fresh.attempt_begins(self.remotes)

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

    def _expect_failure(self) -> None:
        """The first connection will probably not come about: do not wait long for it."""
        if not self.connected_once and self._machine.phase is Phase.RUNNING:
            self._set_deadline(min(_PATIENCE, self.connect_deadline))

    def _set_deadline(self, seconds: float) -> None:
        self._timers.set("deadline", seconds, lambda: self._timed_out(seconds))

    def _timed_out(self, seconds: float) -> None:
        usable = self.remotes.usable
        waiting_for = "waiting for the server" if usable else "looking up its name"
        failure = (
            _NO_WAY
            if self._waiting_for_way
            else self.failure
            if self._hopeless
            else self.understood or self.failure or self.cause
        )
        cause = failure.cause if failure else Cause.NO_ANSWER if usable else Cause.NAME_UNKNOWN
        why = f": {failure.text}" if failure else ""
        self._machine.failed(f"No connection within {seconds:g} s ({waiting_for}){why}", cause)
