"""The session manager's signals about sessions, and signals to ovpnctl itself, as one queue of events."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..policy.dbus_numbers import SessionEvent
from . import services
from .bus import lost
from .exits import CommandError, CommandExit
from .services import SESSIONS
from .status_text import Status

if TYPE_CHECKING:
    from dbus_fast import Message

    from .bus import Bus


@dataclass(frozen=True)
class StatusChanged:
    """A session has a new status."""

    path: str
    status: Status


@dataclass(frozen=True)
class LogLine:
    """A line of a session's log; group and category are numbers of policy/dbus_numbers.py."""

    path: str
    group: int
    category: int
    text: str


@dataclass(frozen=True)
class NetworkChanged:
    """What is to be set in the network namespace that a session's device is in may differ."""

    path: str


@dataclass(frozen=True)
class SessionGone:
    """A session has left the bus."""

    path: str


@dataclass(frozen=True)
class ServiceLost:
    """There will be no more events: the service has left the bus, or the connection to the bus has ended."""

    text: str
    owner: str = ""  # the connection of the service that has ended; empty if it is that of ovpnctl


@dataclass(frozen=True)
class ServiceBack:
    """The service is on the bus again."""


@dataclass(frozen=True)
class Interrupted:
    """ovpnctl was asked to end, by a signal."""

    signal: signal.Signals


_DAEMON = "org.freedesktop.DBus"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Event = StatusChanged | LogLine | NetworkChanged | SessionGone | ServiceLost | ServiceBack | Interrupted


class Watch:
    """Events of all sessions that this connection receives signals of, in the order in which they came.

    The session manager sends StatusChange to every connection that has called a method of the session: a watch that
    was started before a call misses nothing that follows it.
    """

    def __init__(self, bus: "Bus") -> None:
        self._bus = bus
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._owner = ""  # who has the service's name; empty while nobody does
        self._disconnected: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, bus: "Bus") -> "Watch":
        """Begin to receive signals; raises CommandError if the bus refuses."""
        watch = cls(bus)
        bus.connection.add_message_handler(watch._receive)
        name = SESSIONS.name
        for rule in (
            f"type='signal',sender='{name}',interface='{name}'",
            f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{name}'",
        ):
            await bus.match(rule)
        # From here on NameOwnerChanged tells; the bus may have to start the service first.
        watch._owner = await bus.owner_of(name)
        watch._disconnected = asyncio.create_task(watch._until_disconnected())
        return watch

    async def next(self, path: str) -> Event:
        """The next event that concerns the session at `path`."""
        while True:
            match await self._events.get():
                case ServiceBack():
                    pass
                case StatusChanged() | LogLine() | NetworkChanged() | SessionGone() as event if event.path != path:
                    pass
                case ServiceLost() as event if event.owner and event.owner != self._bus.owner.get(SESSIONS.name):
                    pass  # it left before the call: the one that answered has replaced it
                case event:
                    return event

    async def back(self) -> Interrupted | None:
        """Wait until the service is on the bus, or for the signal that came before.  Raises CommandError."""
        while not self._owner:
            match event := await self._events.get():
                case Interrupted():
                    return event
                case ServiceLost(text, ""):
                    raise CommandError(text, CommandExit.UNREACHABLE)
        return None

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turn SIGINT, SIGTERM and SIGHUP into events; a second SIGINT or SIGTERM ends ovpnctl at once.

        A terminal that is closed sends SIGHUP several times: the kernel does, and so does the shell.  What is
        ignored, as nohup has it, stays so.
        """
        loop = asyncio.get_running_loop()
        signals = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]

        def interrupt(number: signal.Signals) -> None:
            if number != signal.SIGHUP:
                loop.remove_signal_handler(number)
            self._events.put_nowait(Interrupted(number))

        for number in signals:
            loop.add_signal_handler(number, interrupt, number)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _receive(self, message: "Message") -> None:
        # Anybody on the bus may send such signals: only those of the service count.  It is known by its name, since
        # what a call brings about is told before the call is answered, and by its answer, since a service that is
        # about to end gives its name back first.
        if message.sender == _DAEMON:  # which may have answered last, when the service was not there
            if message.member == "NameOwnerChanged":
                self._owner_changed(*message.body)
        elif message.sender and message.sender in (self._owner, self._bus.owner.get(SESSIONS.name)):
            self._receive_from_service(message)

    def _owner_changed(self, name: str, old: str, new: str) -> None:
        if name != SESSIONS.name:
            return
        self._owner = new
        if old:
            self._events.put_nowait(ServiceLost(f"the {SESSIONS.title} has left the bus", old))
        if new:
            self._events.put_nowait(ServiceBack())

    def _receive_from_service(self, message: "Message") -> None:
        match message.interface, message.member, message.body:
            case ((SESSIONS.name | services.FORWARDED), "StatusChange", [int(major), int(minor), str(text)]):
                self._events.put_nowait(StatusChanged(str(message.path), Status(major, minor, text)))
            case services.FORWARDED, "Log", [int(group), int(category), str(text)]:
                self._events.put_nowait(LogLine(str(message.path), group, category, text))
            case services.NAMESPACE, "NetworkChanged", []:
                self._events.put_nowait(NetworkChanged(str(message.path)))
            case SESSIONS.name, "SessionManagerEvent", [str(path), SessionEvent.DESTROYED, _]:
                self._events.put_nowait(SessionGone(path))

    async def _until_disconnected(self) -> None:
        try:
            await self._bus.connection.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's
        except Exception as error:
            self._events.put_nowait(ServiceLost(lost(error)))
        else:
            self._events.put_nowait(ServiceLost(lost()))
