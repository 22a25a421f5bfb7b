"""What the engine has counted on the wire: asked for when somebody wants to know, and told now and then unasked."""

from ...ipc import messages
from ...policy.limits import MAX_BYTES
from .downlink import Downlink
from .uplink import Uplink

_NOW = "load-stats"  # a command whose answer has the counters


class Counting:
    """The counters of one session's engine."""

    def __init__(self, uplink: Uplink, downlink: Downlink) -> None:
        self._uplink = uplink
        self._downlink = downlink
        self._asked = False  # by the supervisor, which waits for an answer
        self._before = (0, 0)  # up to the last time that the engine began again at 0
        self._now = (0, 0)
        self._told = messages.Traffic(0, 0)

    def watch(self, seconds: int) -> None:
        """Have the engine tell every so many seconds."""
        self._downlink.command(f"bytecount {seconds}")

    def look(self) -> None:
        """Have it tell once."""
        self._downlink.command(_NOW)

    def answer(self) -> None:
        """The supervisor asks: tell it what the engine says, or what it has said, if there is no engine to ask."""
        self._asked = True
        if self._downlink.connection is not None:
            self.look()
        else:
            self._tell()

    def counted(self, received: int, sent: int) -> None:
        """The engine tells its counters; some versions begin again at 0 with each connection, and some go on."""
        if received < self._now[0] or sent < self._now[1]:
            self._before = (self._before[0] + self._now[0], self._before[1] + self._now[1])
        self._now = (received, sent)
        self._tell()

    def _tell(self) -> None:
        totals = (min(before + now, MAX_BYTES) for before, now in zip(self._before, self._now, strict=True))
        traffic = messages.Traffic(*totals)
        if self._asked or traffic != self._told:
            self._asked, self._told = False, traffic
            self._uplink.tell(traffic)
