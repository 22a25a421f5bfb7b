"""Fuzz target `bus`: messages of any form through the dispatch of calls, in process.

Behind it are the real objects of all services and a session in each state, which have no worker and no device.  What
the bus does not deliver (what is not well-formed) is left out; whatever it delivers is answered, once.
"""

import asyncio
import ctypes
import io
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
from dbus_fast import Message, MessageType
from dbus_fast._private.unmarshaller import Unmarshaller

from ...policy.access import Acl, Caller
from ...policy.limits import (
    MAX_FORWARDS_PER_USER,
    MAX_GRANTED_USERS,
    MAX_GUEST_FORWARDS,
    MAX_GUEST_WATCHERS,
    MAX_WATCHERS_PER_USER,
)
from ...supervisor.bus.budget import Budget
from ...supervisor.bus.callers import Callers
from ...supervisor.bus.configuration_api import ROOT_PATH as CONFIGURATION_PATH
from ...supervisor.bus.connection import BusConnection, BusRefused
from ...supervisor.bus.dispatch import Dispatcher
from ...supervisor.bus.inbound import Inbound
from ...supervisor.bus.inspection_api import INSPECTION
from ...supervisor.bus.log_api import ROOT_PATH as LOG_PATH
from ...supervisor.bus.manager_api import BUS_NAME, ROOT_PATH
from ...supervisor.bus.replies import expects_reply
from ...supervisor.bus.session_api import SESSION
from ...supervisor.bus.signals import Signals
from ...supervisor.bus.wire import check_body
from ...supervisor.logging.log import Log
from ...supervisor.sandbox.pkcs11_providers import ListedProviders
from ...supervisor.services.configuration import ConfigurationService
from ...supervisor.services.log_service import LogService
from ...supervisor.services.profile_files import Metadata
from ...supervisor.services.profile_store import PATH_PREFIX, ProfileStore
from ...supervisor.services.stubs import export_stubs
from ...supervisor.sessions.forwarding import Forwarder
from ...supervisor.sessions.inspection import Inspection
from ...supervisor.sessions.manager import SessionManager
from ...supervisor.sessions.session_object import SessionObject
from ...supervisor.sessions.states import State
from ..support.bare import BareSession, bare_context, resolver_without_process
from ..support.calls import INTERFACES, CallMaker

OWNER, STRANGER, ROOT, NEWCOMER, VANISHED = range(5)
_UIDS = {OWNER: 1000, STRANGER: 1001, ROOT: 0, NEWCOMER: 1000}
SENDERS = tuple(f":1.{number + 7}" for number in range(5))
ON_BUS: tuple[State, ...] = tuple(state for state in State if state not in (State.STARTING, State.GONE))
SESSION_PATHS = {state: f"{ROOT_PATH}/{state.name.lower()}" for state in ON_BUS}
_PROFILE_ID = "0b2f1d3e-9c58-4a7e-8a31-6f2d5c4b7a90"
PROFILE_PATH = PATH_PREFIX + _PROFILE_ID.replace("-", "x")
_PATHS = (ROOT_PATH, *SESSION_PATHS.values(), CONFIGURATION_PATH, PROFILE_PATH, LOG_PATH)
_PROFILE = b"client\ndev tun\nremote 192.0.2.1\n<ca>\nx\n</ca>\n"
_SERVICE_UID = 999
_VERSION = "v27"
_TYPES = tuple(kind.value for kind in MessageType)  # others our policy files keep off
_MAX_MESSAGES = 4  # of one input
_DEADLINE = 10.0  # seconds in which everything is answered


class _Unjoined(BusConnection):
    """A connection that has no bus: it keeps what is sent, and answers what is asked of the bus."""

    def __init__(self) -> None:
        self._user_message_handlers = []
        self._watched = False
        self._serial = 0
        self.unique_name = ":1.1"
        self.sent: list[Message] = []
        self.budget = Budget(self._all_read)
        self.inbound = Inbound(lambda serial: False)

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    async def _all_read(self, name: str) -> int | None:
        return 0

    def post(self, message: Message, *, droppable: bool = False, of: int | None = None) -> bool:
        check_body(message.signature, message.body)
        message.serial = message.serial or self.next_serial()
        message._marshall(False)
        self.sent.append(message)
        return True

    async def _about(self, member: str, name: str) -> list[Any]:
        number = SENDERS.index(name)
        if number == VANISHED:
            raise BusRefused("org.freedesktop.DBus.Error.NameHasNoOwner", f"Could not get owner of {name}")
        if member == "GetConnectionUnixProcessID":
            return [4711]
        return [_UIDS[number]]

    def ask_bus(self, member: str, signature: str = "", *body: Any) -> Awaitable[list[Any]]:
        return self._about(member, *body)

    async def round_trip(self) -> None:
        await asyncio.sleep(0)


class _Faults:
    """What the dispatch logs: a traceback is a fault."""

    def error(self, text: str, *, user: int | None = None) -> None:
        assert "Traceback" not in text, text


class Dispatch:
    """The objects of all services, and what is sent to them."""

    def __init__(self, directory: Path) -> None:
        """`directory` is for profiles."""
        log = Log()
        self.connection = connection = _Unjoined()
        self.callers = Callers(connection)
        for number in (OWNER, STRANGER, ROOT):
            self.callers._known[SENDERS[number]] = Caller(SENDERS[number], _UIDS[number])
        self.dispatcher = Dispatcher(connection, self.callers, service_uid=_SERVICE_UID, log=_Faults())
        signals = Signals(connection)
        (directory / "profiles").mkdir()
        metadata = Metadata(name="work", owner=_UIDS[OWNER], size=len(_PROFILE), imported=1)
        (directory / "profiles" / f"{_PROFILE_ID}.profile").write_bytes(
            msgspec.json.encode(metadata) + b"\n" + _PROFILE
        )
        self.configuration = ConfigurationService(
            ProfileStore(directory, directory / "state"),
            self.dispatcher,
            signals,
            log,
            service_uid=_SERVICE_UID,
            version=_VERSION,
        )
        resolver, self._theirs = resolver_without_process()
        self.context = bare_context(resolver, forwarder=Forwarder(connection, self.dispatcher, signals, log))
        self.manager = SessionManager(
            version=_VERSION,
            engine=directory / "no-engine",
            engine_was_there=False,
            layers_off={},
            context=self.context,
            dispatcher=self.dispatcher,
            signals=signals,
            profiles=self.configuration,
            providers=ListedProviders(()),
        )
        self.resolver = resolver
        self.logs = LogService(connection, self.callers, self.dispatcher, log, version=_VERSION)
        self.sessions = {state: self._session(state) for state in ON_BUS}

    def _session(self, state: State) -> BareSession:
        session = BareSession(state, self.context, self.manager, SESSION_PATHS[state], _UIDS[OWNER])
        self.manager._sessions[session.path] = session
        extensions = {INSPECTION: Inspection(session, {})}
        self.dispatcher.export(
            session.path,
            SESSION,
            SessionObject(session, self.manager.devices),
            bus_name=BUS_NAME,
            extensions=extensions,
        )
        return session

    async def start(self) -> None:
        """Put everything on the bus."""
        await self.configuration.start()
        self.manager.start()
        self.logs.start()
        export_stubs(self.dispatcher, _VERSION)
        self.dispatcher.open()

    def deliver(self, message: Message) -> None:
        """A message arrives, and goes the way that dbus-fast sends it."""
        for handler in self.connection._user_message_handlers:
            if handler(message):
                return
        assert message.message_type is not MessageType.METHOD_CALL, "a call that nobody took"

    async def settled(self) -> None:
        """Wait until all calls have been answered."""
        async with asyncio.timeout(_DEADLINE):
            await self.dispatcher.settled()
        assert self.dispatcher.busy == 0

    def check(self, calls: list[Message], strangers: bool) -> None:
        """The calls have one reply each, and the objects agree with each other."""
        replies = [one for one in self.connection.sent if one.message_type is not MessageType.SIGNAL]
        wanted = [(call.sender, call.serial) for call in calls if expects_reply(call)]
        got = [(reply.destination, reply.reply_serial) for reply in replies]
        if calls and calls[0].sender == SENDERS[VANISHED]:
            assert set(got) <= set(wanted), (got, wanted)
        else:
            assert sorted(got, key=repr) == sorted(wanted, key=repr), (got, wanted)
        exported = set(self.dispatcher.exported)
        forwards = set[str]()
        for session in self.sessions.values():
            there = session.state is not State.GONE
            assert (session.path in exported) is (session.path in self.manager._sessions) is there
            forwards |= set(session.audience.forwards.paths)
            # Owner and root have their own.
            assert len(list(session.audience.watchers)) <= MAX_GUEST_WATCHERS + 2 * MAX_WATCHERS_PER_USER
            assert len(session.audience.forwards.paths) <= MAX_GUEST_FORWARDS + 2 * MAX_FORWARDS_PER_USER
            assert 0 <= session.log.level <= 6
            assert 0 <= session.acl.owner < 2**32 and len(session.acl.granted) <= MAX_GRANTED_USERS
            for text in (session.status[2], session.server.name, session.log.last[2]):
                assert text.replace("\n", "").isprintable(), repr(text)
        assert {path for path in exported if path.startswith("/net/openvpn/v3/log/proxy/")} == forwards
        profiles = self.configuration.store.profiles
        assert {path for path in exported if path.startswith(PATH_PREFIX)} == set(profiles)
        if strangers:
            for state, session in self.sessions.items():
                assert session.state is state, f"a stranger brought {state.name} to {session.state.name}"
                assert session.acl == Acl(_UIDS[OWNER])
            assert PROFILE_PATH in profiles

    async def close(self) -> None:
        """Give up what is left."""
        for session in self.sessions.values():
            session.forget()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        for outcome in await asyncio.gather(*others, return_exceptions=True):
            assert not isinstance(outcome, Exception), repr(outcome)
        self.resolver.close()
        self._theirs.close()


def some_calls(seed: int, count: int) -> bytes:
    """Calls as a client might send them, with right and with wrong arguments."""
    maker = CallMaker(seed, INTERFACES, _PATHS, without=())
    made = bytearray()
    for serial in range(1, count + 1):
        call = maker.call()
        call.serial = serial
        made += call._marshall(False)
    return bytes(made)


_libdbus = ctypes.CDLL("libdbus-1.so.3")
_libdbus.dbus_message_demarshal.restype = ctypes.c_void_p
_libdbus.dbus_message_unref.argtypes = (ctypes.c_void_p,)


def well_formed(data: bytes) -> bytes:
    """The message that `data` begins with, if the bus would deliver it: libdbus is what dbus-daemon checks with."""
    size = _libdbus.dbus_message_demarshal_bytes_needed(data, len(data))
    if not 0 < size <= len(data) or data[1] not in _TYPES:
        return b""
    found = _libdbus.dbus_message_demarshal(data, size, None)
    if not found:
        return b""
    _libdbus.dbus_message_unref(found)
    return data[:size]


def messages_in(data: bytes, sender: str) -> list[Message]:
    """The messages that the bus would deliver of what `sender` sent.

    Raises what dbus-fast does of one: the service would lose the bus by it.
    """
    found = list[Message]()
    while len(found) < _MAX_MESSAGES and (one := well_formed(data)):
        data = data[len(one) :]
        message = Unmarshaller(io.BytesIO(one)).unmarshall()  # type: ignore[arg-type]
        assert message is not None
        message.sender = sender
        found.append(message)
    return found


async def _take(data: bytes) -> None:
    number = (data[:1] or b"\0")[0] % len(SENDERS)
    sent = messages_in(data[1:], SENDERS[number])
    if not sent:
        return
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        await _dispatch(Path(directory), number, sent)


async def _dispatch(directory: Path, number: int, sent: list[Message]) -> None:
    dispatch = Dispatch(directory)
    await dispatch.start()
    dispatch.connection.sent.clear()
    for message in sent:
        dispatch.deliver(message)
    await dispatch.settled()
    calls = [message for message in sent if message.message_type is MessageType.METHOD_CALL]
    dispatch.check(calls, strangers=number == STRANGER)
    await dispatch.close()


_loop: asyncio.AbstractEventLoop | None = None


def bus(data: bytes) -> None:
    """The first byte chooses the sender, the rest is what it sends."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
    _loop.run_until_complete(_take(data))
