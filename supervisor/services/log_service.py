"""net.openvpn.v3.log: other services of OpenVPN 3 Linux write to this log, and clients read and set its properties.

A service attaches with the interface of its signals and then sends `Log(group, category, text)` or
`Log(group, category, token, text)` to this name alone.  Forwarding sessions' lines to clients, the other half of
the original's log service, is in sessions/forwarding.py.
"""

import hashlib
from collections.abc import Callable

import msgspec
from dbus_fast import Message, MessageType
from dbus_fast.validators import is_interface_name_valid

from ...policy.access import Acl, Caller
from ...policy.dbus_numbers import MAX_LOG_LEVEL, LogCategory, LogGroup
from ...policy.limits import MAX_ATTACHED
from ..bus.callers import Callers
from ..bus.connection import BusConnection, BusRefused
from ..bus.dispatch import Dispatcher
from ..bus.log_api import BUS_NAME, LOG, ROOT_PATH
from ..errors import InvalidValue, LogServiceError
from ..logging.log import Log, Origin

_BACKEND_NAME = "net.openvpn.v3.backends.be"  # and a process id
_TOKENLESS, _WITH_TOKEN = "uus", "uuss"


class _Attached(msgspec.Struct):
    """A service that logs through this one with one of its interfaces."""

    tag: str
    pid: int
    session_path: str = ""  # of the session that all its lines are about


class LogService:
    """The root object, and the attached services by unique name and interface."""

    acl: Acl | None = None
    config_file = ""

    def __init__(
        self, connection: BusConnection, callers: Callers, dispatcher: Dispatcher, log: Log, *, version: str
    ) -> None:
        self.version = version
        self.on_change: Callable[[], None] | None = None  # called when one has attached or gone
        self._connection = connection
        self._callers = callers
        self._dispatcher = dispatcher
        self._log = log
        self._attached: dict[tuple[str, str], _Attached] = {}

    def start(self) -> None:
        """Put the root object on the bus."""
        self._connection.add_message_handler(self._received)
        self._callers.vanished(self._vanished)
        self._dispatcher.export(ROOT_PATH, LOG, self, bus_name=BUS_NAME)

    # D-Bus methods

    async def attach(self, caller: Caller, interface: str) -> None:
        """Answers Attach."""
        if not is_interface_name_valid(interface):
            raise LogServiceError("Not the name of an interface")
        if (caller.name, interface) in self._attached:
            raise LogServiceError("Already attached")
        if len(self._attached) >= MAX_ATTACHED:
            raise LogServiceError(f"{MAX_ATTACHED} services are attached already")
        attached = _Attached(_tag(caller.name, interface), 0)
        self._attached[caller.name, interface] = attached
        self._connection.inbound.heard.add(caller.name.encode())
        try:
            (attached.pid,) = await self._connection.ask_bus("GetConnectionUnixProcessID", "s", caller.name)
        except BusRefused:
            self._forget(caller.name, interface)  # it has left the bus
            return
        self._say(LogCategory.VERB2, "Attached", caller.name, interface, attached)
        self._changed()

    def detach(self, caller: Caller, interface: str) -> None:
        """Answers Detach."""
        if (caller.name, interface) not in self._attached:
            raise LogServiceError("Not attached")
        self._forget(caller.name, interface)

    async def assign_session(self, caller: Caller, session_path: str, interface: str) -> None:
        """Answers AssignSession."""
        attached = self._attached.get((caller.name, interface))
        if attached is None:
            raise LogServiceError("Not attached")
        if not await self._owns(caller, f"{_BACKEND_NAME}{attached.pid}"):
            raise LogServiceError("Access denied")
        attached.session_path = session_path

    def proxy_log_events(self, caller: Caller, target_address: str, session_path: str) -> str:
        """Answers ProxyLogEvents, which is for the session manager alone: for this process."""
        raise LogServiceError("Access denied")

    def get_subscriber_list(self, caller: Caller) -> list[list[str]]:
        """Answers GetSubscriberList."""
        return [[attached.tag, name, interface, ""] for (name, interface), attached in self._attached.items()]

    # Properties

    @property
    def num_attached(self) -> int:
        """How many are attached; each is work that keeps the service from ending."""
        return len(self._attached)

    @property
    def log_method(self) -> str:
        return self._log.method

    @property
    def log_level(self) -> int:
        return self._log.level

    def set_log_level(self, caller: Caller, level: int) -> None:
        check_log_level(level)
        self._log.level = level

    @property
    def log_dbus_details(self) -> bool:
        return self._log.style.origins

    def set_log_dbus_details(self, caller: Caller, value: bool) -> None:
        self._log.style.origins = value

    @property
    def log_prefix_logtag(self) -> bool:
        return self._log.style.tags

    def set_log_prefix_logtag(self, caller: Caller, value: bool) -> None:
        self._log.style.tags = value

    @property
    def timestamp(self) -> bool:
        return self._log.style.time_stamps

    def set_timestamp(self, caller: Caller, value: bool) -> None:
        self._log.style.time_stamps = value

    # Lines of attached services

    def _received(self, message: Message) -> bool:
        if message.message_type is not MessageType.SIGNAL or message.member != "Log":
            return False
        attached = self._attached.get((message.sender or "", message.interface or ""))
        if attached is None:
            return False
        if message.signature == _TOKENLESS:
            group, category, text = message.body
            token = ""
        elif message.signature == _WITH_TOKEN:
            group, category, token, text = message.body
        else:
            return False
        path = attached.session_path or message.path or ""
        origin = Origin(message.sender or "", attached.pid, message.interface or "", path, attached.tag, token)
        self._log.write(_group(group), _category(category), text, origin=origin)
        return True

    def _vanished(self, name: str) -> None:
        for sender, interface in list(self._attached):
            if sender == name:
                self._forget(sender, interface)

    def _forget(self, name: str, interface: str) -> None:
        attached = self._attached.pop((name, interface), None)
        if attached is not None:
            if not any(sender == name for sender, _ in self._attached):
                self._connection.inbound.heard.discard(name.encode())
            self._say(LogCategory.VERB2, "Detached", name, interface, attached)
            self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    async def _owns(self, caller: Caller, name: str) -> bool:
        try:
            (owner,) = await self._connection.ask_bus("GetNameOwner", "s", name)
        except BusRefused:
            return False
        return bool(owner == caller.name)

    def _say(self, category: LogCategory, what: str, name: str, interface: str, attached: _Attached) -> None:
        text = f"{what}: {{tag:{attached.tag}}} {name} {interface}, pid {attached.pid}"
        self._log.write(LogGroup.LOGGER, category, text)


def check_log_level(level: int) -> None:
    """Raise InvalidValue, with the original's text, unless `level` is from 0 to 6."""
    if level > MAX_LOG_LEVEL:
        raise InvalidValue("Incorrect log level")


def _tag(name: str, interface: str) -> str:
    """A number by which an administrator finds a service's lines."""
    return str(int.from_bytes(hashlib.blake2b(f"{name} {interface}".encode(), digest_size=8).digest()))


def _group(number: int) -> LogGroup:
    try:
        return LogGroup(number)
    except ValueError:
        return LogGroup.EXTSERVICE


def _category(number: int) -> LogCategory:
    try:
        return LogCategory(number)
    except ValueError:
        return LogCategory.INFO
