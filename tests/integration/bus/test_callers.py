"""Callers as a real dbus-daemon vouches for them, coming and going."""

import asyncio
import select
import socket
import time

import pytest
from dbus_fast import Message

from ....policy.access import Caller
from ....policy.limits import MAX_CALLERS_ASKED
from ....supervisor.bus.callers import CallerGone, Callers
from ....supervisor.bus.connection import BusConnection
from ...support.bus_fixture import ALICE, BOB, PrivateBus, Service, client, run, service


class Counting(BusConnection):
    """Counts the questions to the bus."""

    asked = 0

    async def call(self, msg):  # type: ignore[no-untyped-def]
        self.asked += msg.member == "GetConnectionUnixUser"
        return await super().call(msg)


def test_one_question_for_each_caller(bus: PrivateBus) -> None:
    async def test() -> None:
        connection = Counting(bus.address)
        await connection.connect()
        callers = Callers(connection)
        await callers.start()
        async with client(bus, ALICE) as one, client(bus, BOB) as two:
            assert callers.known(one.name) is None
            found = await asyncio.gather(*(callers.identify(user.name) for user in (one, two) for _ in range(50)))
            assert found == [Caller(one.name, ALICE)] * 50 + [Caller(two.name, BOB)] * 50
            assert connection.asked == 2
            assert callers.known(one.name) == Caller(one.name, ALICE)
            assert await callers.identify(one.name) == Caller(one.name, ALICE)
            assert connection.asked == 2
        connection.close()

    run(test())


def test_many_at_once(bus: PrivateBus) -> None:
    """So many as are permitted are asked for before there is an answer; the others then."""

    async def test() -> None:
        connection = Counting(bus.address)
        await connection.connect()
        callers = Callers(connection)
        await callers.start()
        async with client(bus, ALICE) as one, client(bus, BOB) as two:
            gone = [f":1.{number}" for number in range(10_000, 10_000 + MAX_CALLERS_ASKED)]
            bus.stop()
            asking = asyncio.ensure_future(callers.identify_all([*gone, one.name, two.name]))
            try:
                while connection.asked < MAX_CALLERS_ASKED:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert connection.asked == MAX_CALLERS_ASKED
            finally:
                bus.go_on()
            assert await asking == {one.name: Caller(one.name, ALICE), two.name: Caller(two.name, BOB)}
            bus.stop()
            asking = asyncio.ensure_future(callers.identify_all([gone[0]]))
            await asyncio.sleep(0)
            bus.kill()
            assert await asking == {}
        connection.close()

    run(test())


def test_forgotten_when_the_name_vanishes(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours:
            vanished: asyncio.Queue[str] = asyncio.Queue()
            ours.callers.vanished(vanished.put_nowait)
            async with client(bus, ALICE) as alice:
                await alice.bus_call("RequestName", "su", "net.example.Alice", 4)
                await ours.callers.identify(alice.name)
            # The well-known name vanished too: callbacks are about connections.
            assert await vanished.get() == alice.name
            assert ours.callers.known(alice.name) is None
            with pytest.raises(CallerGone):
                await ours.callers.identify(alice.name)

    run(test())


def test_vanishing_while_being_asked_about(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours:
            for _ in range(100):
                async with client(bus, ALICE) as alice:
                    asking = asyncio.ensure_future(ours.callers.identify(alice.name))
                    await asyncio.sleep(0)
                # The bus answers the question and reports the leaving in either order.
                try:
                    assert (await asking).uid == ALICE
                except CallerGone:
                    pass
                await _reported_gone(ours, bus)
                assert ours.callers.known(alice.name) is None

    run(test())


def test_vanishing_right_after_the_answer(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours:
            async with client(bus, ALICE) as alice:
                asking = asyncio.ensure_future(ours.callers.identify(alice.name))
                while not ours.callers._asked:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                # The loop stands still, so that it finds the answer and the report of the leaving together.
                _wait_for(ours.connection, b"g\0\1u\0")  # the header field that says: a number follows
                alice.leave()
                _wait_for(ours.connection, b"NameOwnerChanged")
            assert (await asking).uid == ALICE
            assert ours.callers.known(alice.name) is None

    run(test())


def _wait_for(connection: BusConnection, text: bytes) -> None:
    """Wait until `text` is among what the connection could read, leaving it there."""
    assert connection._sock is not None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        select.select([connection._sock], [], [], 10)
        if text in connection._sock.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            return
    raise AssertionError(f"{text!r} did not arrive")


async def _reported_gone(ours: Service, bus: PrivateBus) -> None:
    """Wait until all that left so far has been reported."""
    gone: asyncio.Queue[str] = asyncio.Queue()
    ours.callers.vanished(gone.put_nowait)
    async with client(bus, BOB) as last:
        pass
    while await gone.get() != last.name:
        pass


def test_one_waiter_giving_up_does_not_disturb_another(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, ALICE) as alice:
            one = asyncio.ensure_future(ours.callers.identify(alice.name))
            two = asyncio.ensure_future(ours.callers.identify(alice.name))
            await asyncio.sleep(0)
            one.cancel()
            assert (await two).uid == ALICE

    run(test())


def test_a_forged_report_is_not_believed(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, ALICE) as alice, client(bus, BOB) as mallory:
            await ours.callers.identify(alice.name)
            forged = Message.new_signal(
                "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", "sss", [alice.name, alice.name, ""]
            )
            forged.destination = ours.connection.unique_name
            await mallory.bus.send(forged)
            await mallory.bus_call("GetId")
            await ours.connection.round_trip()
            assert ours.callers.known(alice.name) is not None

    run(test())
