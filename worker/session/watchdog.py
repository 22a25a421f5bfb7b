"""The watch over the engine's process: that it is not stuck, and that it ends when it is asked to."""

import signal
from collections.abc import Callable

from ...ipc import messages
from ...policy.causes import Cause
from ...policy.limits import ANSWER_DEADLINE, GOODBYE_DEADLINE, STOPPED_GRACE
from .downlink import Downlink
from .engine import Engine
from .phases import Event, Phase, PhaseMachine
from .timers import Timers
from .uplink import Uplink

_SIGN_OF_LIFE = "pid"  # the shortest command that changes nothing


class Watchdog:
    """Asks one session's engine for signs of life, asks it to end, and kills it if it does neither."""

    def __init__(
        self,
        uplink: Uplink,
        downlink: Downlink,
        machine: PhaseMachine,
        timers: Timers,
        engine: Callable[[], Engine | None],
    ) -> None:
        """`engine` is the session's, once there is one."""
        self._uplink = uplink
        self._downlink = downlink
        self._machine = machine
        self._timers = timers
        self._engine = engine
        self.stopped_grace = STOPPED_GRACE  # seconds that the engine may be stopped, 0 for ever
        self._asked = False  # for a sign of life, and has not answered
        self._saying_goodbye = False

    def stopped_or_goes_on(self) -> None:
        """The engine may have been stopped (SIGSTOP); unless it goes on soon, it is killed."""
        engine = self._engine()
        stopped = engine.stopped() if engine is not None else None
        if stopped is not None:
            self._timers.cancel("stopped")
        if stopped and self.stopped_grace:
            self._timers.set("stopped", self.stopped_grace, lambda: self._kill(f"is stopped ({stopped})"))

    def ask_for_answer(self) -> None:
        """Tell the supervisor that the worker is alive, and ask the engine; it is killed if it does not answer."""
        self._uplink.tell(messages.Pong())
        if self._downlink.connection is not None and not self._asked:
            self._asked = True
            late = f"does not answer within {ANSWER_DEADLINE:g} s"
            self._timers.set("answer", ANSWER_DEADLINE, lambda: self._kill(late))
            self._downlink.command(_SIGN_OF_LIFE)

    def answered(self) -> None:
        """The engine, asked for a sign of life, gives one."""
        if self._machine.phase is Phase.STOPPING:
            self._goodbye_goes_on()
        self._asked = False
        self._timers.cancel("answer")

    def _kill(self, how: str) -> None:
        engine = self._engine()
        assert engine is not None
        self._machine.happened(Event.ENGINE_DIED, f"The engine {how}, and is killed", Cause.ENGINE_DIED)
        engine.signal(signal.SIGKILL)

    def end_engine(self) -> None:
        """Ask the engine to end, if there is one; kill it if it takes too long.  The loop ends when it is gone."""
        engine = self._engine()
        if engine is not None:
            engine.signal(signal.SIGTERM)
            self._timers.set("goodbye", GOODBYE_DEADLINE, lambda: engine.signal(signal.SIGKILL))
            self._downlink.command(_SIGN_OF_LIFE)

    def _goodbye_goes_on(self) -> None:
        """An engine that was asked to end gives a sign of life: over UDP it says goodbye to its server first.

        After that it would wait a second or more (--explicit-exit-notify in openvpn(8)); a second SIGTERM ends it.
        The goodbye leaves in the turn of its loop in which it answers first: once it answers again, that is done.
        """
        engine = self._engine()
        assert engine is not None
        if self._saying_goodbye:
            engine.signal(signal.SIGTERM)
        else:
            self._saying_goodbye = True
            self._downlink.command(_SIGN_OF_LIFE)
