"""Our outgoing queue and the end of the bus, on a real dbus-daemon that is made slow, stopped and killed."""

import asyncio
import gc
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType

from ....policy import limits
from ....supervisor.bus import stall
from ....supervisor.bus.connection import BusConnection, BusRefused
from ....supervisor.bus.signals import Signals
from ....supervisor.bus.transport import BusLost
from ...support.bus_fixture import ALICE, NAME, PATH, THING, PrivateBus, client, private_bus, run, service

SIGNALS = 100_000

# Reads numbered signals with nothing but a socket's patience, and says when it is there, and what came.
_SUBSCRIBER = """
import asyncio, sys
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

async def main(address, expected):
    bus = await MessageBus(bus_address=address).connect()
    numbers, done = [], asyncio.Event()

    def received(message):
        if message.message_type is MessageType.SIGNAL and message.member == "Happened":
            numbers.append(message.body[0])
            if numbers[-1] == expected - 1:
                done.set()
        return False

    bus.add_message_handler(received)
    print(bus.unique_name, flush=True)
    await done.wait()
    print(len(numbers), numbers == list(range(expected)), flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def subscriber(bus: PrivateBus) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _SUBSCRIBER, bus.address, str(SIGNALS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_100_000_signals_to_a_slow_reader(bus: PrivateBus, subscriber: subprocess.Popen[str]) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as other:
            output = subscriber.stdout
            assert output is not None
            name = (await asyncio.to_thread(output.readline)).strip()
            signals = Signals(ours.connection)
            # The reader does not read at all for the first half; the daemon is slower than we are all along.
            subscriber.send_signal(signal.SIGSTOP)
            highest = 0
            for number in range(SIGNALS):
                assert signals.emit(PATH, THING, "Happened", (number, "so it goes"), to=name)
                highest = max(highest, ours.connection.backlog)
                if number == SIGNALS // 2:
                    subscriber.send_signal(signal.SIGCONT)
                if number % 1000 == 0:
                    await ours.connection.drain()
                if number % 10_000 == 0:
                    assert (await other.call("Echo", "s", "still there")).body == ["still there"]
            await ours.connection.drain()
            assert await asyncio.to_thread(output.readline) == f"{SIGNALS} True\n"
            assert highest > 0, "the queue was never needed: this test proves nothing"
            assert ours.connection.dropped == 0
            assert (await other.call("Echo", "s", "still there")).body == ["still there"]

    run(test())


def test_a_daemon_that_reads_nothing_for_a_while(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as other:
            signals, connection = Signals(ours.connection), ours.connection
            bus.stop()
            kept, dropped = [], 0
            text = "x" * 1000
            for number in range(4000):
                # Every fourth one must not be lost.
                if signals.emit(PATH, THING, "Happened", (number, text), to=other.name, droppable=bool(number % 4)):
                    kept.append(number)
                else:
                    dropped += 1
            assert connection.dropped == dropped > 0
            assert set(range(0, 4000, 4)) <= set(kept)
            assert limits.BUS_BACKLOG_SOFT < connection.backlog < limits.BUS_BACKLOG_HARD
            draining = asyncio.ensure_future(connection.drain())
            bus.go_on()
            await draining
            assert connection.backlog == 0
            assert [(await other.signals.get()).body[0] for _ in kept] == kept
            # From an empty queue, what may be dropped is sent again.
            assert signals.emit(PATH, THING, "Happened", (1, ""), to=other.name, droppable=True)

    run(test())


def fill(connection: BusConnection) -> int:
    """Send more than there is room for; how many bytes of signals were taken."""
    signals, text, taken = Signals(connection), "x" * 1_000_000, 0
    while signals.emit(PATH, THING, "Happened", (1, text)):
        taken += len(text)
        assert taken < 100_000_000
    return taken


def test_a_daemon_that_reads_nothing_is_waited_for(bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full queue, too: what comes then is lost, and afterwards all is as before."""
    monkeypatch.setattr(stall, "BUS_SLOW", 0.05)
    said: asyncio.Queue[str] = asyncio.Queue()

    async def test() -> None:
        async with service(bus) as ours, client(bus) as other:
            connection = ours.connection
            connection.stall.report = said.put_nowait
            bus.stop()
            taken = fill(connection)
            assert taken > limits.BUS_BACKLOG_HARD * 0.9
            assert connection.backlog <= limits.BUS_BACKLOG_HARD
            assert "The bus has taken nothing for" in await said.get()
            assert not connection.lost.done()
            bus.go_on()
            await connection.drain()
            assert "The bus takes data again" in await said.get()
            assert (await other.call("Echo", "s", "still there")).body == ["still there"]

    run(test())


def test_a_daemon_that_reads_nothing_for_good_is_given_up(bus: PrivateBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall, "BUS_SLOW", 0.05)
    monkeypatch.setattr(stall, "BUS_STALLED", 0.5)

    async def test() -> None:
        async with service(bus) as ours:
            bus.stop()
            waiting = asyncio.ensure_future(ours.connection.round_trip())
            await asyncio.sleep(0)
            fill(ours.connection)
            assert "it has taken nothing" in await ours.connection.lost
            with pytest.raises(BusLost, match="taken nothing"):
                await waiting
            with pytest.raises(BusLost, match="taken nothing"):
                await ours.connection.drain()
            bus.go_on()

    run(test())


def test_the_bus_dies(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours:
            connection = ours.connection
            async with client(bus) as silent:
                silent.bus.add_message_handler(lambda message: message.member == "Never")
                pending = [asyncio.ensure_future(connection.ask(silent.name, "/x", NAME, "Never")) for _ in range(3)]
                await connection.round_trip()
                bus.kill()
                assert "bus" in await connection.lost
                for call in pending:
                    with pytest.raises(BusLost):
                        await call
                with pytest.raises(BusLost):
                    await connection.round_trip()
                with pytest.raises(BusLost):
                    await connection.drain()
                assert not connection.post(
                    Message(path="/a", interface="a.b", member="C", message_type=MessageType.SIGNAL)
                )

    run(test())


def test_handlers_under_way_when_the_bus_dies(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as root:
            root.call_without_reply("Slow", "s", "gate")
            await ours.thing.entered.get()
            bus.kill()
            await ours.connection.lost
            ours.thing.gate("gate").set()
            while ours.dispatcher.busy:
                await asyncio.sleep(0)
            assert ours.thing.noted == ["gate"]
            assert ours.log.lines == []

    run(test())


def test_two_connections_ask_for_the_same_names(bus: PrivateBus) -> None:
    async def test() -> None:
        one, two = await BusConnection(bus.address).connect(), await BusConnection(bus.address).connect()
        names = ["net.example.A", "net.example.B", "net.example.C"]
        first, second = await asyncio.gather(one.request_names(names), two.request_names(reversed(names)))
        assert set(first) == set(second) == set(names)
        for name in names:
            assert first[name] != second[name]
        # Asking again for one's own is a yes; a released name is to be had.
        assert await one.request_names(names) == first
        await one.release_names(names)
        assert await two.request_names(names) == dict.fromkeys(names, True)
        one.close()
        two.close()

    run(test())


def test_names_that_the_policy_denies() -> None:
    policy = """<policy context="default"><allow user="*"/><allow send_destination="*"/><allow receive_sender="*"/>
    </policy>"""

    async def test(bus: PrivateBus) -> None:
        connection = await BusConnection(bus.address).connect()
        with pytest.raises(BusRefused, match=r"not allowed to own|is not allowed") as refused:
            await connection.request_names([NAME])
        assert refused.value.name == "org.freedesktop.DBus.Error.AccessDenied"
        connection.close()

    with private_bus("system", policy) as bus:
        run(test(bus))


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "nonsense:x=y"])
def test_no_bus_there(address: str) -> None:
    async def test() -> None:
        with pytest.raises(BusLost, match="cannot connect to the bus"):
            await BusConnection(address).connect()

    run(test())


def test_a_bus_that_hangs_up_during_the_greeting(tmp_path: Path) -> None:
    async def test() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.close()

        server = await asyncio.start_unix_server(hang_up, tmp_path / "bus")
        with pytest.raises(BusLost, match="cannot connect to the bus"):
            await BusConnection(f"unix:path={tmp_path}/bus").connect()
        server.close()
        await server.wait_closed()

    run(test())


def test_a_service_that_does_not_answer_in_time(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as silent:
            silent.bus.add_message_handler(lambda message: message.member == "Never")
            with pytest.raises(BusRefused, match=r"did not answer Never in 0\.05 s"):
                await ours.connection.ask(silent.name, "/x", NAME, "Never", deadline=0.05)

    run(test())


@pytest.mark.parametrize(
    "body", [(1,), (1, "a\0b"), ("1", "x"), (-1, "x"), (1, "x", 2), (1, "x" * (limits.MAX_BUS_MESSAGE + 1))]
)
def test_signals_that_do_not_fit_are_refused_here(bus: PrivateBus, body: tuple[object, ...]) -> None:
    async def test() -> None:
        async with service(bus) as ours:
            with pytest.raises(ValueError, match="Happened"):
                Signals(ours.connection).emit(PATH, THING, "Happened", body)
            with pytest.raises(KeyError):
                Signals(ours.connection).emit(PATH, THING, "Undeclared", body)
            await ours.connection.round_trip()

    run(test())


def test_broadcast_and_unicast(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as one, client(bus, ALICE) as two:
            for user in (one, two):
                await user.bus_call("AddMatch", "s", f"type='signal',interface='{NAME}'")
            signals = Signals(ours.connection)
            signals.emit(PATH, THING, "Happened", (1, "to one"), to=one.name)
            signals.emit(PATH, THING, "Happened", (2, "to all"))
            assert [(await one.signals.get()).body for _ in range(2)] == [[1, "to one"], [2, "to all"]]
            assert (await two.signals.get()).body == [2, "to all"]

    run(test())


def test_descriptors_are_closed(bus: PrivateBus) -> None:
    async def test() -> None:
        gc.collect()  # what other tests left must not vanish between the two counts
        before = _open_descriptors()
        connections = [await BusConnection(bus.address).connect() for _ in range(5)]
        assert _open_descriptors() == before + 5
        for connection in connections:
            connection.close()
        assert _open_descriptors() == before

    run(test())


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
