"""What one worker has said so far, and was told: what may come next depends on it."""

import time

from ...ipc import messages
from ...policy.limits import MAX_WORKER_REPORTS
from ..errors import ProtocolViolation
from .states import Event


class Conversation:
    """The protocol with one worker, from its hello on; permits.py says what is permitted in which state."""

    def __init__(self) -> None:
        self._handshake_done = False
        self._minor = -1  # of the protocol that the worker speaks, once it has said so
        self._request_number = 0
        self.latest_request: tuple[Event, str] | None = None
        self._said_once: set[type[messages.ToSupervisor]] = set()
        self._second = 0.0  # time.monotonic() when the second began that reports are counted in
        self._reports = 0  # since then

    @property
    def request_number(self) -> int:
        """Of the latest request that changes the engine's course; 0 if there was none."""
        return self._request_number

    @property
    def counts_when_asked(self) -> bool:
        """Whether the worker knows Count; one that does not tells what is counted by itself."""
        return self._minor >= messages.COUNT_SINCE

    def go_on(self, number: int, latest: tuple[Event, str] | None, minor: int) -> None:
        """Take up a conversation that another supervisor has begun, and in which hands were shaken anew."""
        self._request_number, self.latest_request = number, latest
        self._handshake_done, self._minor = True, minor

    def begin_request(self, event: Event | None = None, text: str = "") -> int:
        """The number of a request that changes the engine's course: reports from before it do not count any more."""
        self._request_number += 1
        self.latest_request = None if event is None else (event, text)
        self._second = 0.0  # what comes of it counts for itself
        return self._request_number

    def is_current(self, message: messages.ToSupervisor) -> bool:
        """Whether the worker had heard of the latest request, which else overrules what it reports.

        Raises ProtocolViolation for a message before the hello, or a report of a request that was not made yet.
        """
        if not self._handshake_done and not isinstance(message, messages.WorkerHello):
            raise ProtocolViolation(f"it sent {type(message).__name__} before its hello")
        if not isinstance(message, messages.NUMBERED_REPORTS):
            return True
        if message.request_number > self._request_number:
            raise ProtocolViolation(f"it answered request {message.request_number} of {self._request_number}")
        return message.request_number == self._request_number

    def count(self, message: messages.ToSupervisor, *, once: bool) -> None:
        """Note a message that is acted upon; `once` if there may be one of its kind.

        Raises ProtocolViolation for a second one, and for reports beyond MAX_WORKER_REPORTS a second: each is a
        status, signals to the session's users, and lines of the log.
        """
        kind = type(message)
        if once:
            if kind in self._said_once:
                raise ProtocolViolation(f"it sent {kind.__name__} twice")
            self._said_once.add(kind)
        if isinstance(message, messages.NUMBERED_REPORTS):
            now = time.monotonic()
            if now - self._second >= 1:
                self._second, self._reports = now, 0
            self._reports += 1
            if self._reports > MAX_WORKER_REPORTS:
                raise ProtocolViolation(f"it reported more than {MAX_WORKER_REPORTS} events in a second")

    def shake_hands(self, hello: messages.WorkerHello) -> None:
        """Let the worker say more, if it speaks our protocol; else raise ProtocolViolation."""
        if hello.major != messages.MAJOR:
            raise ProtocolViolation(f"it speaks protocol {hello.major}, not {messages.MAJOR}")
        self._handshake_done, self._minor = True, hello.minor


def request_message(number: int, event: Event, text: str) -> messages.ToWorker:
    """What a worker is told for a request that changes the engine's course."""
    match event:
        case Event.CONNECT | Event.ACCEPTED:
            return messages.Connect(number)
        case Event.PAUSE:
            return messages.Pause(number, text)
        case Event.RESUME:
            return messages.Resume(number)
        case Event.RESTART:
            return messages.Restart(number)
        case _:
            raise ValueError(f"{event.name} is no request")
