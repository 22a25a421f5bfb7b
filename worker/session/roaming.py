"""What becomes of a connection when the way to its server changes.

Over TCP it is made anew at once.  Over UDP the server follows, since it knows the engine by a number and not by its
address, so it is made anew only if what is sent gets no answer.
"""

from collections.abc import Callable

from ...ipc import messages
from ...policy.limits import COUNT_INTERVAL, ROAMING_PATIENCE
from .attempts import Attempts
from .counting import Counting
from .downlink import Downlink
from .phases import Event, Phase, PhaseMachine
from .timers import Timers
from .uplink import Uplink
from .user_input import UserInput

_LOST, _SILENT = "no way", "no answer"  # names of timers
_ASKED_EACH = 1  # second, whether what is sent is answered by a new way


class Roaming:
    """The way of one session's engine to its server."""

    def __init__(
        self,
        uplink: Uplink,
        downlink: Downlink,
        counting: Counting,
        machine: PhaseMachine,
        timers: Timers,
        attempts: Attempts,
        user_input: UserInput,
        report_connected: Callable[[], None],
    ) -> None:
        """`report_connected` tells that the connection which was reported lost is there after all."""
        self._uplink = uplink
        self._downlink = downlink
        self._counting = counting
        self._machine = machine
        self._timers = timers
        self._attempts = attempts
        self._user_input = user_input
        self._report_connected = report_connected
        self._follows = False  # the server does
        self._reported_lost = False
        self._asking = False  # whether traffic is answered by the new way
        self._since: tuple[int, int] | None = None  # the engine's counters when that began

    def connected(self, address: str, *, follows: bool) -> None:
        """The engine is connected to this address, and its server follows or does not."""
        self.ended()
        self._follows = follows
        self._attempts.follow_way((address,))

    def ended(self) -> None:
        """The connection or attempt has ended."""
        self._reported_lost = False
        self._timers.cancel(_LOST)
        self._stop_asking()

    def way(self, message: messages.Way) -> None:
        """The way to the servers has changed."""
        self._attempts.way(there=message.there, moved=message.moved)
        if self._machine.phase is not Phase.RUNNING:
            return  # what follows looks for itself
        if self._attempts.is_connected:
            self._while_connected(message)
        elif self._attempts.engine_holds:
            if not self._attempts.wait_for_way():
                self._machine.happened(Event.WAY_CHANGED)
        elif not self._user_input.asked_at_login:  # else the server waits for its user
            if message.moved:
                self._machine.happened(Event.WAY_CHANGED)
            elif not message.there:
                self._downlink.command("signal SIGUSR1")

    def _while_connected(self, message: messages.Way) -> None:
        if not message.there:
            self._stop_asking()
            self._timers.set(_LOST, ROAMING_PATIENCE, self._lost)
            return
        self._timers.cancel(_LOST)
        if message.moved and not self._follows and not self._user_input.asks_again:
            self._machine.happened(Event.WAY_CHANGED)
        else:
            self._timers.cancel(_SILENT)
            self._asking, self._since = True, None
            self._counting.look()
            self._counting.watch(_ASKED_EACH)

    def _stop_asking(self) -> None:
        self._timers.cancel(_SILENT)
        if self._asking:
            self._asking = False
            self._counting.watch(COUNT_INTERVAL)

    def _lost(self) -> None:
        """There has been no way for a while: the session says so, and the engine keeps its connection meanwhile."""
        if self._machine.phase is Phase.RUNNING:
            self._reported_lost = True
            self._uplink.tell(messages.Reconnecting(self._uplink.request_number, "network-unreachable"))
            self._attempts.report_no_way()

    def counted(self, received: int, sent: int) -> None:
        """The engine's counters, whenever they change, and when it was asked."""
        if not self._asking:
            return
        if self._since is None:
            self._since = (received, sent)
        elif received > self._since[0]:
            self._stop_asking()
            if self._reported_lost:
                self._reported_lost = False
                self._report_connected()
        elif sent > self._since[1] and not self._timers.runs(_SILENT):
            self._timers.set(_SILENT, ROAMING_PATIENCE, self._silent)

    def _silent(self) -> None:
        """What was sent got no answer.  Where a new connection wants something of the user, UDP is given more time."""
        if not (self._follows and self._user_input.asks_again):
            self._machine.happened(Event.WAY_CHANGED)
