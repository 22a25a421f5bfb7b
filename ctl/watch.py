"""What the session manager says about sessions while ovpnctl waits, as one queue of events."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ipc.codes import SessionEvent
from . import services
from .services import SESSIONS
from .words import Status

if TYPE_CHECKING:
    from dbus_fast import Message

    from .bus import Bus


@dataclass(frozen=True)
class Changed:
    """A session has a new status."""

    path: str
    status: Status


@dataclass(frozen=True)
class Line:
    """A line of a session's log; group and category are numbers of ipc/codes.py."""

    path: str
    group: int
    category: int
    text: str


@dataclass(frozen=True)
class Gone:
    """A session has left the bus."""

    path: str


@dataclass(frozen=True)
class Lost:
    """There will be no more news: the service or the bus went away."""

    text: str


@dataclass(frozen=True)
class Interrupted:
    """The user wants to stop."""

    signal: signal.Signals


Event = Changed | Line | Gone | Lost | Interrupted


class Watch:
    """Events of all sessions that this connection hears of, in the order in which they came.

    The session manager sends StatusChange to every connection that has called a method of the session, so that
    what follows a call is never missed by a watch that was started before it.
    """

    def __init__(self, bus: "Bus") -> None:
        self._bus = bus
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._disconnected: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, bus: "Bus") -> "Watch":
        """Begin to listen; raises CommandError if the bus does not let us."""
        watch = cls(bus)
        bus.connection.add_message_handler(watch._receive)
        name = SESSIONS.name
        for rule in (
            f"type='signal',sender='{name}',interface='{name}'",
            f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{name}'",
        ):
            await bus.match(rule)
        watch._disconnected = asyncio.create_task(watch._until_disconnected())
        return watch

    async def next(self, path: str) -> Event:
        """The next event that concerns the session at `path`."""
        while True:
            event = await self._events.get()
            if not isinstance(event, Changed | Line | Gone) or event.path == path:
                return event

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turn the first SIGINT or SIGTERM into an event; a second one ends ovpnctl at once."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)

        def interrupt(number: signal.Signals) -> None:
            restore()
            self._events.put_nowait(Interrupted(number))

        def restore() -> None:
            for number in signals:
                loop.remove_signal_handler(number)

        for number in signals:
            loop.add_signal_handler(number, interrupt, number)
        try:
            yield
        finally:
            restore()

    def _receive(self, message: "Message") -> None:
        # Anybody on the bus may send such signals: only those of the process that answers us count.
        if message.sender == self._bus.owner.get(SESSIONS.name):
            self._receive_from_service(message)
        elif message.sender == "org.freedesktop.DBus" and message.member == "NameOwnerChanged":
            name, old, _ = message.body
            if name == SESSIONS.name and old:
                self._events.put_nowait(Lost(f"the {SESSIONS.title} went away"))

    def _receive_from_service(self, message: "Message") -> None:
        match message.interface, message.member, message.body:
            case ((SESSIONS.name | services.FORWARDED), "StatusChange", [int(major), int(minor), str(text)]):
                self._events.put_nowait(Changed(str(message.path), Status(major, minor, text)))
            case services.FORWARDED, "Log", [int(group), int(category), str(text)]:
                self._events.put_nowait(Line(str(message.path), group, category, text))
            case SESSIONS.name, "SessionManagerEvent", [str(path), SessionEvent.DESTROYED, _]:
                self._events.put_nowait(Gone(path))

    async def _until_disconnected(self) -> None:
        try:
            await self._bus.connection.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's
        except Exception as error:
            self._events.put_nowait(Lost(f"the connection to the bus was lost: {error}"))
        else:
            self._events.put_nowait(Lost("the connection to the bus was lost"))
