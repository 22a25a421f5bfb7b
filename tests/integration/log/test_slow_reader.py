"""Forwards on a real bus that is slow, or to a receiver that does not read: what is lost is counted."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from ....policy.access import Acl, Caller
from ....policy.dbus_numbers import LogCategory, LogGroup
from ....policy.limits import MAX_UNREAD, MAX_UNREAD_SIGNALS
from ....supervisor.bus.callers import Callers
from ....supervisor.bus.connection import BusConnection
from ....supervisor.bus.dispatch import Dispatcher
from ....supervisor.bus.signals import Signals
from ....supervisor.logging.log import Log
from ....supervisor.sessions import forwarding
from ....supervisor.sessions.forwarding import Forward, Forwarder, Forwards
from ...support.bus_fixture import DEADLINE, PrivateBus, private_bus, run
from ...support.log_lines import LogLines

OWNER, OTHER = 1000, 1001
SMALL_QUEUE = """<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_type="signal"/><allow receive_type="error"/><allow receive_type="method_return"/></policy>
<limit name="max_outgoing_bytes">100000</limit>"""
LINE = "x" * 1000
NOTICE = re.compile(r"(\d+) log lines were lost here, faster than they were read")


class Reader:
    """A client with a loop of its own, which can be made to read nothing."""

    def __init__(self, bus: PrivateBus) -> None:
        self._address = bus.address
        self._started = threading.Event()
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop
        self.name = ""
        self.texts: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()))
        self._thread.start()
        assert self._started.wait(DEADLINE)

    async def _read(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(self._received)
        self.name = bus.unique_name or ""
        self._started.set()
        await self._end.wait()
        bus.disconnect()

    def _received(self, message: Message) -> None:
        if message.message_type is MessageType.SIGNAL and message.member in ("Log", "StatusChange"):
            with self._changed:
                self.texts.append(message.body[2])
                self._changed.notify_all()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Read nothing."""
        stopped, go_on = threading.Event(), threading.Event()

        def stand_still() -> None:
            stopped.set()
            go_on.wait(DEADLINE)

        self._loop.call_soon_threadsafe(stand_still)
        assert stopped.wait(DEADLINE)
        try:
            yield
        finally:
            go_on.set()

    async def until(self, text: str) -> list[str]:
        """All that came up to the text that ends so."""

        def wait() -> None:
            with self._changed:
                assert self._changed.wait_for(lambda: any(one.endswith(text) for one in self.texts), DEADLINE)

        await asyncio.to_thread(wait)
        return self.texts

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(DEADLINE)


@pytest.fixture
def short_queue_bus() -> Iterator[PrivateBus]:
    with private_bus("session", SMALL_QUEUE) as made:
        yield made


@pytest.fixture
def readers(short_queue_bus: PrivateBus) -> Iterator[tuple[Reader, Reader]]:
    made = Reader(short_queue_bus), Reader(short_queue_bus)
    yield made
    for reader in made:
        reader.close()


@asynccontextmanager
async def forwards(
    bus: PrivateBus, *readers: Reader, log: Log | None = None
) -> AsyncIterator[tuple[Forwards, BusConnection]]:
    """Forwards of one session to the readers: the first is the owner, the others share it."""
    connection = BusConnection(bus.address)
    await connection.connect()
    dispatcher = Dispatcher(connection, Callers(connection), service_uid=0, log=Log())
    forwarder = Forwarder(connection, dispatcher, Signals(connection), log or Log())
    made = Forwards("/session", Acl(OWNER, {OTHER}), forwarder)
    for reader, uid in zip(readers, (OWNER, OTHER), strict=False):
        made.add(Caller(reader.name, uid))
    yield made, connection
    connection.close()


def say(forwards: Forwards, text: str) -> None:
    forwards.line(LogGroup.CLIENT, LogCategory.INFO, text)


def accounted_for(texts: list[str]) -> tuple[int, int]:
    """How many lines came, in their order, and how many were lost."""
    numbers = [int(text.removeprefix(LINE)) for text in texts if text.startswith(LINE)]
    assert numbers == sorted(set(numbers))
    return len(numbers), sum(int(found[1]) for text in texts if (found := NOTICE.fullmatch(text)))


def test_a_receiver_that_does_not_read(
    short_queue_bus: PrivateBus, readers: tuple[Reader, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_BACK_OFF", 0.0)
    monkeypatch.setattr(forwarding, "MAX_UNREAD", 1000)
    total = 3000
    still, other = readers

    async def test() -> None:
        async with forwards(short_queue_bus, still, other) as (made, connection):
            made.restricted = False
            with still.stopped():
                for number in range(total):
                    say(made, f"{LINE}{number}")
                    if number % 20 == 0:
                        await connection.round_trip()
                await connection.round_trip()
            await other.until(f"{LINE}{total - 1}")
            assert accounted_for(other.texts) == (total, 0)
            await still.until("x0")
            ends = 0  # the first may find the queue still full, and be lost as well
            while not any(NOTICE.fullmatch(text) for text in still.texts):
                say(made, "end")
                ends += 1
                await connection.round_trip()
            came, lost = accounted_for(still.texts)
            assert total <= came + lost <= total + ends
            assert lost > total / 2

    run(test())


def test_it_is_cut_off_in_the_end(
    short_queue_bus: PrivateBus, readers: tuple[Reader, Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_BACK_OFF", 0.0)
    still, other = readers
    lines = LogLines()

    async def test() -> None:
        async with forwards(short_queue_bus, still, other, log=Log(destinations=[lines])) as (made, connection):
            made.restricted = False
            number = 0
            with still.stopped():
                async with asyncio.timeout(DEADLINE):
                    while still.name in made:
                        say(made, f"{LINE}{number}")
                        await connection.round_trip()
                        number += 1
                # What it had not read is kept for it; more does not come.
                say(made, "afterwards")
                await other.until("afterwards")
            assert other.name in made
            assert accounted_for(other.texts) == (number, 0)
            [said] = lines.texts
            whom = f"{still.name} of user {OWNER}, which does not read"
            found = re.fullmatch(rf"The log is no longer forwarded to {whom}: (\d+) lines were lost", said)
            assert found and int(found[1]) >= MAX_UNREAD
            await still.until(f"{LINE}{number - int(found[1]) - 1}")
            came, _ = accounted_for(still.texts)
            assert came + int(found[1]) == number
            made.add(Caller(still.name, OWNER))
            say(made, "again")
            assert "afterwards" not in await still.until("again")

    run(test())


def test_it_is_cut_off_before_the_bus_has_much_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bus usually keeps 127 MiB for a receiver, and reads nothing more of us when it keeps as much of ours."""
    monkeypatch.setattr(forwarding, "_BACK_OFF", 0.0)
    lines = LogLines()

    async def test(bus: PrivateBus, still: Reader, other: Reader) -> None:
        async with forwards(bus, still, other, log=Log(destinations=[lines])) as (made, connection):
            for reader, uid in ((still, OWNER), (other, OTHER)):
                connection.budget.open(reader.name)
                connection.budget.identified(reader.name, uid)
            made.restricted = False
            number = 0
            with still.stopped():
                async with asyncio.timeout(DEADLINE):
                    while still.name in made:
                        say(made, f"{LINE}{number}")
                        await connection.round_trip()
                        number += 1
                assert number * len(LINE) < 2 * MAX_UNREAD_SIGNALS
                say(made, "afterwards")
                await other.until("afterwards")
            assert accounted_for(other.texts) == (number, 0)
            [said] = lines.texts
            assert f"The log is no longer forwarded to {still.name} of user {OWNER}, which does not read" in said

    with private_bus() as bus:
        readers = Reader(bus), Reader(bus)
        run(test(bus, *readers))
        for reader in readers:
            reader.close()


def test_what_arrives_now_and_then_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(forwarding, "time", clock)
    forward = Forward("/session", Caller(":1.1", OWNER), lambda _: None)

    def rejected(lines: int) -> bool:
        forward.rejected(lines)
        return forward.hopeless

    def tried(times: int, *, arrive: bool) -> list[bool]:
        outcomes = []
        for _ in range(times):
            clock.now += 60
            forward.sent()
            forward.sent()
            outcomes += [] if arrive else [rejected(1), rejected(1)]
            forward.sent()  # a status, at once
            outcomes += [] if arrive else [rejected(0)]
        return outcomes

    assert not any(tried(MAX_UNREAD - 1, arrive=False))
    tried(2, arrive=True)
    assert not any(tried(MAX_UNREAD - 1, arrive=False))
    assert tried(1, arrive=False)[0]
    assert forward.lost == 2 * (2 * MAX_UNREAD - 1)


def test_it_is_left_in_peace_for_a_while(short_queue_bus: PrivateBus, readers: tuple[Reader, Reader]) -> None:
    """The bus writes a line to its own log for each signal that it cannot deliver."""
    still, _ = readers

    total = 3000

    async def test() -> None:
        async with forwards(short_queue_bus, still) as (made, connection):
            first = connection.next_serial()
            round_trips = total // 20
            with still.stopped():
                for number in range(total):
                    say(made, f"{LINE}{number}")
                    if number % 20 == 0:
                        await connection.round_trip()
            sent = connection.next_serial() - first - round_trips
            assert 20 < sent < total / 2

    run(test())


def test_a_bus_that_is_slow() -> None:
    total = 5000  # lines, of which not all fit between us and the bus

    async def test(bus: PrivateBus, reader: Reader) -> None:
        async with forwards(bus, reader) as (made, connection):
            bus.stop()
            for number in range(total):
                say(made, f"{LINE}{number}")
            bus.go_on()
            await connection.round_trip()
            say(made, "end")
            texts = await reader.until("end")
            came, lost = accounted_for(texts)
            assert came + lost == total
            assert lost > 0
            notice = next(index for index, text in enumerate(texts) if NOTICE.fullmatch(text))
            assert texts[:notice] == [f"{LINE}{number}" for number in range(notice)]

    with private_bus() as bus:
        reader = Reader(bus)
        run(test(bus, reader))
        reader.close()


def test_who_may_not_read_lines_misses_none(short_queue_bus: PrivateBus, readers: tuple[Reader, Reader]) -> None:
    owner, other = readers

    async def test() -> None:
        async with forwards(short_queue_bus, owner, other) as (made, _):
            say(made, "secret")
            made.status((2, 7, "status"))
            made.status((3, 28, "the manager's own"))
            made.restricted = False
            say(made, "open")
            assert await other.until("open") == ["status", "open"]
            assert await owner.until("open") == ["secret", "status", "open"]

    run(test())
