"""A private dbus-daemon, clients of any user id, and a small service to call, for the tests of the bus layer."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.auth import AuthExternal

from ...policy.access import Acl, Caller, Who
from ...supervisor import errors
from ...supervisor.bus.callers import Callers
from ...supervisor.bus.connection import BusConnection
from ...supervisor.bus.dispatch import Dispatcher
from ...supervisor.bus.interface import Interface, Method, Property, Signal
from ..lab import surroundings

T = TypeVar("T")

ALICE, BOB, SERVICE = surroundings.ALICE.uid, surroundings.BOB.uid, surroundings.SERVICE.uid
DEADLINE = 30.0
NAME = "net.example.Thing"
PATH = "/net/example/things/one"
PROPERTIES = "org.freedesktop.DBus.Properties"

_ALLOW_ALL = """<policy context="default">
<allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
</policy>"""
_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus PrivateBus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>{kind}</type><listen>unix:path={directory}/bus</listen><auth>EXTERNAL</auth>
{policy}
<limit name="max_replies_per_connection">50000</limit></busconfig>
"""


@dataclass
class PrivateBus:
    """A running dbus-daemon."""

    address: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Have it read and write nothing until `go_on`."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def private_bus(kind: str = "session", policy: str = _ALLOW_ALL) -> Iterator[PrivateBus]:
    """A dbus-daemon of its own that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="bus-test-") as directory:
        Path(directory).chmod(0o755)
        config = Path(directory, "bus.conf")
        config.write_text(_CONFIG.format(kind=kind, directory=directory, policy=policy))
        process = subprocess.Popen(
            ["dbus-daemon", "--nofork", "--print-address=1", f"--config-file={config}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().decode().strip()
            Path(directory, "bus").chmod(0o777)
            yield PrivateBus(address.partition(",")[0], process)
        finally:
            process.kill()
            process.send_signal(signal.SIGCONT)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, with a deadline."""

    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE):
            return await test

    return asyncio.run(bounded())


class Client:
    """A client by dbus-fast's own code, as `uid`."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self.name = bus.unique_name or ""
        self.signals: asyncio.Queue[Message] = asyncio.Queue()
        bus.add_message_handler(self._received)

    def _received(self, message: Message) -> bool:
        if message.message_type is MessageType.SIGNAL and message.sender != "org.freedesktop.DBus":
            self.signals.put_nowait(message)
        return False

    async def call(
        self,
        member: str,
        signature: str = "",
        *body: Any,
        interface: str | None = NAME,
        path: str = PATH,
        to: str = NAME,
    ) -> Message:
        """The reply to a call, which may be an error."""
        reply = await self.bus.call(Message(to, path, interface, member, signature=signature, body=list(body)))
        assert reply is not None
        return reply

    def call_without_reply(self, member: str, signature: str = "", *body: Any, to: str = NAME) -> None:
        self.bus.send(
            Message(to, PATH, NAME, member, flags=MessageFlag.NO_REPLY_EXPECTED, signature=signature, body=list(body))
        )

    async def get(self, name: str, interface: str = NAME) -> Message:
        return await self.call("Get", "ss", interface, name, interface=PROPERTIES)

    async def get_all(self, interface: str = NAME) -> dict[str, Any]:
        reply = await self.call("GetAll", "s", interface, interface=PROPERTIES)
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
        return {name: value.value for name, value in reply.body[0].items()}

    async def set(self, name: str, value: Any) -> Message:
        return await self.call("Set", "ssv", NAME, name, value, interface=PROPERTIES)

    async def bus_call(self, member: str, signature: str = "", *body: Any) -> Message:
        """A call to the bus itself."""
        bus = "org.freedesktop.DBus"
        return await self.call(member, signature, *body, interface=bus, path="/org/freedesktop/DBus", to=bus)

    def leave(self) -> None:
        self.bus.disconnect()


@asynccontextmanager
async def client(bus: PrivateBus, uid: int = 0) -> AsyncIterator[Client]:
    """A client as user `uid`: the bus takes a connection's user from the moment it connects."""
    os.seteuid(uid)
    try:
        connection = await MessageBus(bus_address=bus.address, auth=AuthExternal(uid=uid)).connect()
    finally:
        os.seteuid(0)
    try:
        yield Client(connection)
    finally:
        connection.disconnect()


@asynccontextmanager
async def patient_client(address: str, uid: int) -> AsyncIterator[Client]:
    """A client as user `uid` that may send more than its socket takes at once: dbus-fast's own gives up then."""
    os.seteuid(uid)
    try:
        connection = BusConnection(address)
        connection._auth = AuthExternal(uid=uid)
        await connection.connect()
    finally:
        os.seteuid(0)
    try:
        yield Client(connection)
    finally:
        connection.close()


def error(reply: Message) -> tuple[str, str]:
    """Name and text of an error reply."""
    assert reply.message_type is MessageType.ERROR, reply
    return reply.error_name or "", reply.body[0]


THING = Interface(
    name=NAME,
    title="Thing",
    methods=(
        Method("Echo", "text:s", "text:s", Who.ANYBODY, "Give back."),
        Method("Slow", "tag:s", "tag:s", Who.ANYBODY, "Give back when told to."),
        Method("Note", "tag:s", "", Who.ANYBODY, "Remember."),
        Method("Several", "", "number:u text:s pair:(us)", Who.ANYBODY, "Three results."),
        Method("Fail", "", "", Who.ANYBODY, "Have a fault."),
        Method("FailLater", "", "", Who.ANYBODY, "Have a fault after a while."),
        Method("Cancelled", "", "", Who.ANYBODY, "Wait for something that is cancelled."),
        Method("Refuse", "kind:s text:s", "", Who.ANYBODY, "Raise one of our errors."),
        Method("WrongType", "", "number:u", Who.ANYBODY, "Give what does not fit."),
        Method("Nul", "", "text:s", Who.ANYBODY, "Give what the bus would hang up on."),
        Method("OwnersOnly", "", "", Who.OWNER, "For the owner."),
        Method("RootOnly", "", "", Who.ROOT, "For root."),
        Method("Later", "", "", Who.ANYBODY, "Not yet.", supported=False),
    ),
    properties=(
        Property("owner", "u", Who.READERS, "Owner.", attribute="acl.owner"),
        Property("label", "s", Who.READERS, "Set at once.", writable_by=Who.USERS),
        Property("level", "u", Who.ANYBODY, "Set after a while.", writable_by=Who.ANYBODY),
        Property("state", "(uus)", Who.ANYBODY, "A structure."),
        Property("device", "s", Who.ANYBODY, "Sent as another type.", wire_signature="o"),
        Property("fixed", "u", Who.ANYBODY, "Cannot be set yet.", writable_by=Who.ANYBODY, settable=False),
        Property("later", "u", Who.ANYBODY, "Not yet.", supported=False),
        Property("broken", "s", Who.ANYBODY, "Cannot be read."),
        Property("bad_path", "o", Who.ANYBODY, "Is not an object path."),
    ),
    signals=(Signal("Happened", "number:u text:s", "To whoever."),),
)


@dataclass
class Thing:
    """The object that the tests call."""

    acl: Acl | None = field(default_factory=lambda: Acl(owner=ALICE))
    label: str = "first"
    level: int = 3
    state: tuple[int, int, str] = (2, 7, "connected")
    device: str = "/"
    fixed: int = 7
    bad_path: str = "no path"
    noted: list[str] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    entered: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    @property
    def broken(self) -> str:
        raise RuntimeError("cannot be read")

    def gate(self, tag: str) -> asyncio.Event:
        return self.gates.setdefault(tag, asyncio.Event())

    def echo(self, caller: Caller, text: str) -> str:
        self.noted.append(text)
        return text

    async def slow(self, caller: Caller, tag: str) -> str:
        self.entered.put_nowait(tag)
        await self.gate(tag).wait()
        self.noted.append(tag)
        return tag

    def note(self, caller: Caller, tag: str) -> None:
        self.noted.append(tag)
        self.entered.put_nowait(tag)

    def several(self, caller: Caller) -> tuple[int, str, tuple[int, str]]:
        return 1, "two", (3, "four")

    def fail(self, caller: Caller) -> None:
        raise RuntimeError("an inner secret")

    async def fail_later(self, caller: Caller) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("an inner secret")

    async def cancelled(self, caller: Caller) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    def refuse(self, caller: Caller, kind: str, text: str) -> None:
        raise getattr(errors, kind)(text)

    def wrong_type(self, caller: Caller) -> Any:
        return "no number"

    def nul(self, caller: Caller) -> str:
        return "a\0b"

    def owners_only(self, caller: Caller) -> None: ...

    def root_only(self, caller: Caller) -> None: ...

    def set_label(self, caller: Caller, value: str) -> None:
        self.label = value

    async def set_level(self, caller: Caller, value: int) -> None:
        await asyncio.sleep(0)
        if value > 6:
            raise errors.InvalidValue("Incorrect log level")
        self.level = value


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, text: str, *, user: int | None = None) -> None:
        self.lines.append(text)


@dataclass
class Service:
    """A service on the bus, with a Thing at PATH."""

    connection: BusConnection
    callers: Callers
    dispatcher: Dispatcher
    thing: Thing
    log: Log


@asynccontextmanager
async def service(bus: PrivateBus, *, opened: bool = True, service_uid: int = SERVICE) -> AsyncIterator[Service]:
    connection = await BusConnection(bus.address).connect()
    callers = Callers(connection)
    await callers.start()
    log, thing = Log(), Thing()
    dispatcher = Dispatcher(connection, callers, service_uid=service_uid, log=log)
    dispatcher.export(PATH, THING, thing)
    if opened:
        dispatcher.open()
    assert (await connection.request_names([NAME]))[NAME]
    try:
        yield Service(connection, callers, dispatcher, thing, log)
    finally:
        dispatcher.close()
        connection.close()


async def gather(*calls: Awaitable[Message]) -> list[Message]:
    return list(await asyncio.gather(*calls))


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own running `code`, its output to be read."""
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
