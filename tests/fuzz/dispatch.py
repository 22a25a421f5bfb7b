"""Fuzz target `bus`: messages of any form, as bytes, through their judgement and the dispatch of calls, in process.

Behind it are the real objects of all services and a session in each state, which have no worker and no device.  What
the bus does not deliver (what is not well-formed) is left out; whatever it delivers is answered, once, and nothing of
it is counted any more in the end.
"""

import asyncio
import random
import tempfile
from collections import Counter, deque
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
from dbus_fast import Message, MessageType

from ...policy.access import Acl, Caller
from ...policy.limits import (
    MAX_FORWARDS_PER_USER,
    MAX_GRANTED_USERS,
    MAX_GUEST_FORWARDS,
    MAX_GUEST_WATCHERS,
    MAX_WATCHERS_PER_USER,
)
from ...policy.quotas import BY_DEFAULT
from ...supervisor.bus import inbound as judgement
from ...supervisor.bus.budget import Budget
from ...supervisor.bus.callers import Callers
from ...supervisor.bus.configuration_api import ROOT_PATH as CONFIGURATION_PATH
from ...supervisor.bus.connection import BUS_PATH, BusConnection, BusRefused
from ...supervisor.bus.dispatch import Dispatcher
from ...supervisor.bus.inbound import BUS, Inbound
from ...supervisor.bus.inspection_api import INSPECTION
from ...supervisor.bus.interface import Interface
from ...supervisor.bus.log_api import ROOT_PATH as LOG_PATH
from ...supervisor.bus.manager_api import BUS_NAME, ROOT_PATH
from ...supervisor.bus.objects import Target
from ...supervisor.bus.session_api import SESSION
from ...supervisor.bus.signals import Signals
from ...supervisor.bus.status_api import STATUS
from ...supervisor.logging.log import Log
from ...supervisor.sandbox.pkcs11_providers import ListedProviders
from ...supervisor.services.configuration import ConfigurationService
from ...supervisor.services.log_service import LogService
from ...supervisor.services.profile_files import Metadata
from ...supervisor.services.profile_settings import SettingsStore
from ...supervisor.services.profile_store import PATH_PREFIX, ProfileStore
from ...supervisor.services.stubs import export_stubs
from ...supervisor.sessions.failures import Failures
from ...supervisor.sessions.forwarding import Forwarder
from ...supervisor.sessions.in_force import SessionInForce
from ...supervisor.sessions.inspection import Inspection
from ...supervisor.sessions.manager import SessionManager
from ...supervisor.sessions.session_object import SessionObject
from ...supervisor.sessions.states import State
from ..support.bare import BareSession, bare_context, resolver_without_process
from .stream import Delivered, Stream, from_sender, messages_in
from .way import Way

OWNER, STRANGER, ROOT, NEWCOMER, VANISHED = range(5)
_UIDS = {OWNER: 1000, STRANGER: 1001, ROOT: 0, NEWCOMER: 1000}
SENDERS = tuple(f":1.{number + 7}" for number in range(5))
_WITNESS = ":1.99"  # who calls after the others
_WITNESS_UID = 1002
ON_BUS: tuple[State, ...] = tuple(state for state in State if state not in (State.STARTING, State.GONE))
SESSION_PATHS = {state: f"{ROOT_PATH}/{state.name.lower()}" for state in ON_BUS}
_PROFILE_ID = "0b2f1d3e-9c58-4a7e-8a31-6f2d5c4b7a90"
PROFILE_PATH = PATH_PREFIX + _PROFILE_ID.replace("-", "x")
PATHS = (ROOT_PATH, *SESSION_PATHS.values(), CONFIGURATION_PATH, PROFILE_PATH, LOG_PATH)
_PROFILE = b"client\ndev tun\nremote 192.0.2.1\n<ca>\nx\n</ca>\n"
_SERVICE_UID = 999
_VERSION = "v27"
_MAX_MESSAGES = 8  # of one input
_DEADLINE = 10.0  # seconds in which everything is answered
_UNREAD = 2**30  # bytes that somebody has not read who reads nothing


class _Unjoined(BusConnection):
    """A connection that has no bus: it keeps what is sent, and answers what is asked of the bus."""

    def __init__(self, unread: int) -> None:
        """Everybody has `unread` bytes left to read."""
        self._loop = asyncio.get_running_loop()
        self._user_message_handlers = []
        self._handlers = []
        self._queue = deque()
        self._flush_due = True  # nothing is written
        self._watched = False
        self._serial = 0
        self.unique_name = ":1.1"
        self.backlog = 0
        self.dropped = 0
        self.lost = self._loop.create_future()
        self.sent: list[Message] = []
        self.budget = Budget(self._unread)
        self.inbound = Inbound(lambda serial: serial % 2 == 1)
        self._bytes_unread = unread

    def next_serial(self) -> int:
        self._serial += 1
        return self._serial

    async def _unread(self, name: str) -> int | None:
        return self._bytes_unread

    def post(self, message: Message, *, droppable: bool = False, of: int | None = None) -> bool:
        posted = super().post(message, droppable=droppable, of=of)
        if posted:
            self.sent.append(message)
            self._queue.clear()
            self.backlog = 0
        return posted

    def congest(self, congested: bool) -> None:
        """The bus takes nothing, or all again."""
        self._watched = congested
        if not congested:
            self.taken()

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

    def __init__(self, directory: Path, unread: int) -> None:
        """`directory` is for profiles; everybody has `unread` bytes left to read."""
        log = Log()
        self.connection = connection = _Unjoined(unread)
        self.callers = Callers(connection)
        for name, uid in [(_WITNESS, _WITNESS_UID), *((SENDERS[n], _UIDS[n]) for n in (OWNER, STRANGER, ROOT))]:
            self.callers._known[name] = Caller(name, uid)
            connection.budget.open(name)
            connection.budget.identified(name, uid)
        self._users = set[Any]()  # whose calls have waited
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
        self.settings = SettingsStore(directory, directory / "state", self.configuration, log)
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
            settings=self.settings,
            providers=ListedProviders(()),
            failures=Failures(directory / "failures", self.dispatcher, log),
            quotas=BY_DEFAULT,
        )
        self.resolver = resolver
        self.logs = LogService(connection, self.callers, self.dispatcher, log, version=_VERSION)
        self.sessions = {state: self._session(state) for state in ON_BUS}

    def _session(self, state: State) -> BareSession:
        session = BareSession(state, self.context, self.manager, SESSION_PATHS[state], _UIDS[OWNER])
        self.manager._register.add(session)
        network, names = self.context.network, self.context.names
        extensions: dict[Interface, Target] = {
            INSPECTION: Inspection(session, {}, names, []),
            STATUS: SessionInForce(session, network, names),
        }
        self.dispatcher.export(
            session.path,
            SESSION,
            SessionObject(session, self.manager.on_bus.devices),
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

    def deliver(self, message: Message) -> None:
        """A message arrives, and goes the way that dbus-fast sends it."""
        for handler in self.connection._user_message_handlers:
            if handler(message):
                return
        assert message.message_type is not MessageType.METHOD_CALL, "a call that nobody took"

    async def receive(self, stream: Stream, messages: list[Delivered], turns: random.Random | None) -> None:
        """Messages arrive on the stream, with turns of the loop between their pieces by chance, if there is any."""
        for _ in stream.arrive(messages):
            self._users |= {sender.user for sender in self.dispatcher._turns._senders.values()}
            if turns and turns.random() < 0.3:
                await asyncio.sleep(0)

    async def settled(self) -> None:
        """Wait until all calls have been answered."""
        async with asyncio.timeout(_DEADLINE):
            await self.dispatcher.settled()
        assert self.dispatcher.busy == 0

    def check_replies(self, sent: list[Delivered], *, all_answered: bool) -> None:
        """The witness has its answer, and the calls have one reply each, or not all of them any.

        Those with a header that is too large to be looked at, or has fields that D-Bus does not know, need not have.
        """
        replies = [one for one in self.connection.sent if one.message_type is not MessageType.SIGNAL]
        answers = [one.message_type for one in replies if one.destination == _WITNESS]
        assert answers == [MessageType.METHOD_RETURN], f"{answers} for {_WITNESS}"
        got = Counter((one.destination, one.reply_serial) for one in replies if one.destination != _WITNESS)
        largest = vars(judgement)["MAX_HEADER"]
        wanted = Counter(
            (one.sender, one.serial)
            for one in sent
            if one.kind is MessageType.METHOD_CALL and one.expects_reply and one.fields <= largest
        )
        assert got <= wanted, (got, wanted)
        if all_answered and not any(one.unknown for one in sent):
            assert got == wanted, (got, wanted)

    def check(self, strangers: bool) -> None:
        """The objects agree with each other."""
        exported = set(self.dispatcher.exported)
        forwards = set[str]()
        for session in self.sessions.values():
            there = session.state is not State.GONE
            assert (session.path in exported) is (session.path in self.manager._register.present) is there
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

    def check_rest(self) -> None:
        """Nothing is counted any more of messages that are over, and of connections that have left."""
        turns, large, budget = self.dispatcher._turns, self.dispatcher._large, self.connection.budget
        left = (turns._senders, turns._users, list(turns._ready), [task for task in turns._tasks if not task.done()])
        assert not any(left), left
        for one in self._users:
            if one.uid is None:
                continue  # what stood for a connection until its user was known
            assert (one.senders, one.waiting, one.under_way) == (0, 0, 0), one.uid
            assert not (one.ready or one.unstarted), one.uid
        assert not self.connection.inbound.full
        assert not (large._coming or large._read or large._all or any(large._of_user.values())), vars(large)
        assert not budget.accounts, f"accounts {list(budget.accounts)}"
        held = 0
        for user in budget._users.values():
            assert user.accounts.keys() <= {""} and user.large == 0, user.uid  # broadcasts are kept
            assert user.held == sum(account.held for account in user.accounts.values()), user.uid
            held += user.held
        assert budget.held == held

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


async def _take(data: bytes) -> None:
    number, way = (data[:1] or b"\0")[0] % len(SENDERS), Way.of((data[1:2] or b"\0")[0])
    sent = messages_in(data[2:], SENDERS[number], _MAX_MESSAGES)
    if not sent:
        return
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory, way.limits():
        await _dispatch(Path(directory), number, way, sent)


async def _dispatch(directory: Path, number: int, way: Way, sent: list[Delivered]) -> None:
    dispatch = Dispatch(directory, _UNREAD if way.reads_nothing else 0)
    await dispatch.start()
    dispatch.connection.sent.clear()
    chance = random.Random(way.cuts) if way.cuts else None
    stream = Stream(dispatch.connection.inbound, dispatch.deliver, chance)
    if not way.early:
        dispatch.dispatcher.open()
    dispatch.connection.congest(way.congested)
    await dispatch.receive(stream, sent, chance)
    if way.leaves:
        await dispatch.receive(stream, [_left(SENDERS[number])], chance)
    if way.early:
        dispatch.dispatcher.open()
    ping = Message(BUS_NAME, ROOT_PATH, "org.freedesktop.DBus.Peer", "Ping", serial=1)
    await dispatch.receive(stream, [from_sender(ping, _WITNESS)], chance)
    dispatch.connection.congest(False)
    await dispatch.settled()
    dispatch.check_replies(sent, all_answered=number != VANISHED and not way.reads_nothing)
    dispatch.check(strangers=number == STRANGER)
    await dispatch.receive(stream, [_left(name) for name in (*SENDERS, _WITNESS)], chance)
    stream.close()
    dispatch.check_rest()
    await dispatch.close()


def _left(name: str) -> Delivered:
    """What the bus says when a connection leaves it."""
    signal = Message(
        path=BUS_PATH,
        interface=BUS,
        member="NameOwnerChanged",
        message_type=MessageType.SIGNAL,
        signature="sss",
        body=[name, name, ""],
        serial=1,
    )
    return from_sender(signal, BUS)


_loop: asyncio.AbstractEventLoop | None = None


def bus(data: bytes) -> None:
    """The first byte chooses the sender, the second one the way, and the rest is what it sends."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
    _loop.run_until_complete(_take(data))
