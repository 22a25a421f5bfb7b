"""ovpnctl's connection to the bus, and the error messages for calls that fail."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError, InvalidAddressError

from ..policy.limits import READY_DEADLINE
from ..policy.readiness import NO_OBJECT, pauses
from .exits import CommandError, CommandExit, NotFound
from .services import SESSIONS, BusService

CALL_TIMEOUT = 25.0  # seconds for one reply: the bus may have to start the service first
CALLS_AT_ONCE = 32  # a bus refuses more than 128 calls under way
PROPERTIES = "org.freedesktop.DBus.Properties"


class Bus:
    """A connection to the bus that the services are on."""

    def __init__(self, connection: MessageBus) -> None:
        self.connection = connection
        self.owner: dict[str, str] = {}  # by name of a service: the connection that answered last
        self._ready: set[str] = set()  # connections of services that have shown an object

    async def call(
        self,
        service: BusService,
        member: str,
        signature: str = "",
        *arguments: Any,
        path: str = "",
        interface: str = "",
        descriptors: Sequence[int] = (),
    ) -> Message:
        """Call a method, by default on the service's root object; returns the reply.

        An argument of the type "h" is an index in `descriptors`, which stay open.

        Raises CommandError: UNREACHABLE if there is no answer, REFUSED if the answer is an error.
        """
        path = path or service.root
        call = (path, interface or service.name, member, signature, arguments, descriptors)
        reply = await self._answer(service, *call)
        if _is_absent(reply) and reply.sender not in self._ready:
            await self._wait_ready(service)
            reply = await self._answer(service, *call)
        if reply.message_type is MessageType.ERROR:
            text = str(reply.body[0]) if reply.body else ""
            raise failure(service, reply.error_name or "", text, path)
        return reply

    async def _answer(
        self,
        service: BusService,
        path: str,
        interface: str,
        member: str,
        signature: str,
        arguments: tuple[Any, ...],
        descriptors: Sequence[int] = (),
    ) -> Message:
        """The reply to a call, which may be an error."""
        body = list(arguments)
        message = Message(
            service.name, path, interface, member, signature=signature, body=body, unix_fds=list(descriptors)
        )
        reply = await self.reply(message, service.title)
        self.owner[service.name] = sender = reply.sender or ""
        if not _is_absent(reply):
            self._ready.add(sender)
        return reply

    async def _wait_ready(self, service: BusService) -> None:
        """Wait until a service shows its root object, see policy/readiness.py.  Raises CommandError."""
        version = (service.root, PROPERTIES, "Get", "ss", (service.name, "version"))
        try:
            async with asyncio.timeout(READY_DEADLINE):
                for pause in pauses():
                    if not _is_absent(await self._answer(service, *version)):
                        return
                    await asyncio.sleep(pause)
        except TimeoutError:
            raise CommandError(
                f"the {service.title} has been started, and is not ready after {READY_DEADLINE:g} s",
                CommandExit.UNREACHABLE,
                "The journal or system log may have the reason.",
            ) from None

    async def properties(self, service: BusService, path: str, interface: str = "") -> dict[str, Any]:
        """All properties of an object that this user may read, of its own interface or another that it has."""
        reply = await self.call(service, "GetAll", "s", interface or service.name, path=path, interface=PROPERTIES)
        return {name: variant.value for name, variant in reply.body[0].items()}

    async def all_properties(self, service: BusService, paths: list[str]) -> dict[str, dict[str, Any]]:
        """The properties of several objects, by path; without those of objects that have been removed meanwhile."""
        at_once = asyncio.Semaphore(CALLS_AT_ONCE)

        async def read(path: str) -> dict[str, Any] | None:
            async with at_once:
                try:
                    return await self.properties(service, path)
                except NotFound:
                    return None

        answers = await asyncio.gather(*map(read, paths))
        return {path: answer for path, answer in zip(paths, answers, strict=True) if answer is not None}

    async def property(self, service: BusService, path: str, name: str) -> Any:
        """One property of an object."""
        reply = await self.call(service, "Get", "ss", service.name, name, path=path, interface=PROPERTIES)
        return reply.body[0].value

    async def set_property(self, service: BusService, path: str, name: str, signature: str, value: Any) -> None:
        """Set one property of an object."""
        arguments = (service.name, name, Variant(signature, value))
        await self.call(service, "Set", "ssv", *arguments, path=path, interface=PROPERTIES)

    async def match(self, rule: str) -> None:
        """Ask the bus for the signals that fit `rule`; they come to the connection's message handlers."""
        reply = await self._ask_daemon("AddMatch", rule)
        if reply.message_type is MessageType.ERROR:
            raise CommandError(f"the bus refuses the match rule {rule}", CommandExit.OTHER)

    async def owner_of(self, name: str) -> str:
        """The connection that owns a name; empty if none does."""
        reply = await self._ask_daemon("GetNameOwner", name)
        return "" if reply.message_type is MessageType.ERROR else str(reply.body[0])

    async def _ask_daemon(self, member: str, text: str) -> Message:
        message = Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus",
            member=member,
            signature="s",
            body=[text],
        )
        return await self.reply(message, "bus")

    async def reply(self, message: Message, whom: str) -> Message:
        """The reply to a message, which may be an error; `whom` names who is asked.  Raises CommandError."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                reply = await self.connection.call(message)
        except TimeoutError:
            raise CommandError(
                f"the {whom} has not answered for {CALL_TIMEOUT:.0f} s", CommandExit.UNREACHABLE
            ) from None
        except (EOFError, OSError) as error:
            raise CommandError(lost(error), CommandExit.UNREACHABLE) from error
        if reply is None:
            raise CommandError(lost(), CommandExit.UNREACHABLE)
        return reply


def lost(error: Exception | None = None) -> str:
    """The message that the connection to the bus has ended, with the reason if it is known."""
    reason = getattr(error, "strerror", None) or (error and str(error))
    return f"the connection to the bus was lost: {reason}" if reason else "the connection to the bus was lost"


@asynccontextmanager
async def system_bus() -> AsyncIterator[Bus]:
    """Connect to the bus of DBUS_SYSTEM_BUS_ADDRESS, else the system bus; raises CommandError."""
    try:
        connection = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    except (OSError, EOFError, AuthError, InvalidAddressError) as error:
        raise CommandError(
            f"the system bus cannot be reached: {getattr(error, 'strerror', None) or error}",
            CommandExit.UNREACHABLE,
            "Is dbus-daemon (or dbus-broker) running, and DBUS_SYSTEM_BUS_ADDRESS right, if it is set?",
        ) from error
    try:
        yield Bus(connection)
    finally:
        connection.disconnect()


_DAEMON = "org.freedesktop.DBus.Error."
_ABSENT = "Object does not exist"
_NOT_THERE = {_DAEMON + "ServiceUnknown", _DAEMON + "NameHasNoOwner"}
_UNIT_FAILED = "Could not activate remote peer"  # dbus-broker's words
_ABSENT_SERVICE = "Is openvpn3-service-sessionmgr installed or started on this bus?"
_SEE_LOG = "`systemctl status openvpn3-sessionmgr`, the journal or the system log has the reason."
_WENT_AWAY = {_DAEMON + "NoReply", _DAEMON + "Disconnected", _DAEMON + "Timeout", _DAEMON + "TimedOut"}

# What to do about an error whose text contains this.
_HINTS = (
    (
        "already running",
        "`ovpnctl sessions-list` shows it; `ovpnctl session-manage` with its name resumes, restarts or ends it.",
    ),
    ("Access denied", "It belongs to another user, who can share it."),
    ("Access to the configuration profile is denied", "It belongs to another user, who can share it."),
    ("No such interface", "The session manager that runs is another one, or an older release of this one."),
)


def _is_absent(reply: Message) -> bool:
    """Whether a reply says that there is no such object."""
    return reply.error_name == NO_OBJECT and bool(reply.body) and _ABSENT in str(reply.body[0])


def _why_not_started(otherwise: str = _SEE_LOG) -> str:
    """Why the bus could not start the session manager, as far as it can be seen from here; `otherwise` if it cannot."""
    from ..policy.configuration.files import read
    from ..policy.configuration.table import DIRECTORY

    problems = read(Path(DIRECTORY)).problems
    if not problems:
        return otherwise
    more = f"and {len(problems) - 1} more: " if problems[1:] else ""
    return f"Its configuration is wrong: {problems[0]} ({more}`ovpnctl config-check`)"


def failure(service: BusService, error_name: str, text: str, path: str) -> CommandError:
    """An error reply as a CommandError; `path` is the object that was called."""
    text = re.sub(r"^(GDBus\.Error:\S+:\s*)+", "", text) or error_name
    if error_name in _NOT_THERE:
        return CommandError(
            f"the {service.title} is not running, and the bus cannot start it ({service.name})",
            CommandExit.UNREACHABLE,
            _why_not_started(_SEE_LOG if _UNIT_FAILED in text else _ABSENT_SERVICE),
        )
    if error_name.startswith(_DAEMON + "Spawn."):
        return CommandError(
            f"the bus could not start the {service.title}: {text}",
            CommandExit.UNREACHABLE,
            _why_not_started(),
        )
    if error_name in _WENT_AWAY:
        hint = _why_not_started() if error_name == _DAEMON + "TimedOut" else ""
        return CommandError(f"the {service.title} did not answer: {text}", CommandExit.UNREACHABLE, hint)
    if error_name == NO_OBJECT and _ABSENT in text:
        hint = f"`ovpnctl {'sessions' if service is SESSIONS else 'configs'}-list` shows yours."
        return NotFound(f"there is no {service.thing} {path}", CommandExit.REFUSED, hint)
    hint = next((hint for words, hint in _HINTS if words in text), "")
    return CommandError(text, CommandExit.REFUSED, hint)
