"""A session's counters, by the names that front-ends of OpenVPN 3 Linux know; they never go backwards."""

from collections import Counter

from ...policy.limits import MAX_BYTES
from ..errors import ProtocolViolation
from .states import Event, State

# Reasons of the engine that have a counter (the error names of the OpenVPN 3 core).
_COUNTED_REASONS = {
    "ping-restart": "KEEPALIVE_TIMEOUT",
    "tls-error": "HANDSHAKE_TIMEOUT",
    "server_poll": "CONNECTION_TIMEOUT",
    "network-unreachable": "NETWORK_UNAVAILABLE",
}


class Statistics:
    """What a session has counted so far."""

    def __init__(self) -> None:
        self._wire = (0, 0)  # bytes in and out, over all connections of the worker
        self._device: dict[str, int] = {}
        self._before: Counter[str] = Counter()  # of earlier workers and devices
        self._events: Counter[str] = Counter()

    def values(self) -> dict[str, int]:
        """All counters that are not zero, as they were counted last (counting.py)."""
        total = self._counted()
        for name, value in self._before.items():  # in most sessions none; a Counter would take as long as all else
            total[name] = min(total.get(name, 0) + value, MAX_BYTES)
        total.update(self._events)
        return {name: value for name, value in total.items() if value}

    def begin_anew(self) -> None:
        """Another worker and another device count from 0."""
        self._before.update(self._counted())
        self._wire = (0, 0)
        self._device = {}

    @property
    def kept(self) -> tuple[dict[str, int], dict[str, int]]:
        """What no worker and no device counts: of earlier ones, and events."""
        return dict(self._before), dict(self._events)

    @property
    def kept_of_one_that_is_over(self) -> tuple[dict[str, int], dict[str, int]]:
        """The same of a session whose worker and device count no more."""
        return dict(self._before + Counter(self._counted())), dict(self._events)

    def restore(self, before: dict[str, int], events: dict[str, int]) -> None:
        """Go on counting from what was kept."""
        self._before, self._events = Counter(before), Counter(events)

    def _counted(self) -> dict[str, int]:
        return {"BYTES_IN": self._wire[0], "BYTES_OUT": self._wire[1], **self._device}

    def follow(self, before: State, event: Event, after: State) -> None:
        """Count requests to pause, and connections that are given up or lost, to be made again."""
        if event is Event.PAUSE:
            self._events["N_PAUSE"] += 1
        if after in (State.RECONNECTING, State.DOWN) and after is not before:
            self._events["N_RECONNECT"] += 1

    def lost(self, reason: str) -> None:
        """The engine lost its connection, or did not get one; `reason` in its words."""
        if reason in _COUNTED_REASONS:
            self._events[_COUNTED_REASONS[reason]] += 1

    def count_wire(self, bytes_in: int, bytes_out: int) -> None:
        """The worker's counters of encrypted bytes.

        Raises ProtocolViolation if they go backwards, or further than they can.
        """
        now = (bytes_in, bytes_out)
        if any(not before <= n <= MAX_BYTES for before, n in zip(self._wire, now, strict=True)):
            raise ProtocolViolation("its byte counters go backwards")
        self._wire = now

    def count_device(self, found: dict[str, int]) -> None:
        """The counters of the device; none if there is no such device any more."""
        self._device = found or self._device
