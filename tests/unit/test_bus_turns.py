"""Whose call is answered next."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from dbus_fast import Message

from ...policy.access import Caller
from ...policy.limits import (
    MAX_CALLS_PER_SENDER,
    MAX_CALLS_PER_USER,
    MAX_UNDER_WAY,
    MIN_CALLS_PER_SENDER,
)
from ...supervisor.bus.turns import Turns

ALICE, BOB = 1000, 1001


class Run:
    """Turns whose calls are noted; those named "slow …" take until `go` is set."""

    def __init__(self) -> None:
        self.answered: list[str] = []
        self.begun: list[str] = []
        self.refused: list[str] = []
        self.go = asyncio.Event()
        self.may_run = True
        self.full = set[bytes]()
        self.done: list[str] = []
        self.turns = Turns(
            self._answer,
            lambda call, text: self.refused.append(text),
            lambda: self.may_run,
            self.full,
            lambda call: self.done.append(str(call.member)),
        )

    def put(self, uid: int, connection: int, *names: str) -> None:
        caller = Caller(f":{uid}.{connection}", uid)
        for name in names:
            call = Message("net.example", "/", "net.example", name)
            self.turns.put(call, caller.name, caller)

    def _answer(self, call: Message, caller: Caller | None) -> Coroutine[Any, Any, None] | None:
        assert call.member is not None
        if call.member.startswith("Slow"):
            return self._take_time(call.member)
        self.answered.append(call.member)
        return None

    async def _take_time(self, name: str) -> None:
        self.begun.append(name)
        await self.go.wait()
        self.answered.append(name)


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test

    asyncio.run(bounded())


def test_users_are_answered_in_turn_and_each_connection_in_order() -> None:
    async def test() -> None:
        calls = Run()
        for number in range(100):
            calls.put(BOB, number % 10, f"Bob{number}")
        calls.put(ALICE, 0, "Alice0", "Alice1")
        await calls.turns.settled()
        assert len(calls.answered) == 102
        assert calls.answered.index("Alice0") <= 3
        assert calls.answered.index("Alice1") <= 5
        for connection in range(10):
            of_one = [int(name[3:]) for name in calls.answered if name[-1] == str(connection) and name[:3] == "Bob"]
            assert of_one == sorted(of_one)

    run(test())


def test_one_that_comes_alone_is_answered_at_once() -> None:
    async def test() -> None:
        calls = Run()
        calls.put(BOB, 0, "One")
        assert calls.answered == ["One"]
        assert calls.turns.busy == 0

    run(test())


def test_nothing_is_answered_while_the_bus_takes_nothing() -> None:
    async def test() -> None:
        calls = Run()
        calls.may_run = False
        calls.put(BOB, 0, "One", "Two")
        await asyncio.sleep(0)
        assert (calls.answered, calls.turns.busy) == ([], 2)
        calls.may_run = True
        calls.turns.go_on()
        await calls.turns.settled()
        assert calls.answered == ["One", "Two"]

    run(test())


def test_a_user_has_few_calls_under_way_and_others_do_not_wait_for_them() -> None:
    async def test() -> None:
        calls = Run()
        for number in range(10):
            calls.put(BOB, number, f"Slow{number}", f"After{number}")
        calls.put(BOB, 10, "Quick")
        calls.put(ALICE, 0, "SlowAlice")
        while len(calls.begun) <= MAX_UNDER_WAY or "Quick" not in calls.answered:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert sorted(calls.begun) == [*(f"Slow{number}" for number in range(MAX_UNDER_WAY)), "SlowAlice"]
        assert calls.answered == ["Quick"]
        calls.go.set()
        await calls.turns.settled()
        assert len(calls.answered) == 22
        assert sorted(calls.done) == sorted(calls.answered)
        for number in range(10):
            assert calls.answered.index(f"Slow{number}") < calls.answered.index(f"After{number}")

    run(test())


def test_what_may_wait() -> None:
    async def test() -> None:
        calls = Run()
        calls.may_run = False
        calls.put(BOB, 0, *["Call"] * (MAX_CALLS_PER_SENDER + 1))
        assert calls.refused == [f"{MAX_CALLS_PER_SENDER} of your calls are waiting already"]
        calls.put(BOB, 1, *["Call"] * (MAX_CALLS_PER_USER - MAX_CALLS_PER_SENDER))
        calls.put(BOB, 2, *["Call"] * (MIN_CALLS_PER_SENDER + 1))
        assert calls.full == {f":{BOB}.{connection}".encode() for connection in (0, 2)}
        assert calls.refused[1:] == [f"{MAX_CALLS_PER_USER} calls of your connections are waiting already"]
        calls.put(ALICE, 0, "Call")
        assert len(calls.refused) == 2
        calls.may_run = True
        calls.turns.go_on()
        await calls.turns.settled()
        assert len(calls.answered) == MAX_CALLS_PER_USER + MIN_CALLS_PER_SENDER + 1
        assert calls.full == set()

    run(test())


def test_a_connection_that_is_identified_joins_its_user() -> None:
    async def test() -> None:
        calls = Run()
        stranger = Caller(":1.1", BOB)
        first = Message("net.example", "/", "net.example", "First")

        async def identify(call: Message) -> None:
            await calls.go.wait()
            calls.turns.identified(stranger.name, stranger, call)

        calls.turns = Turns(
            lambda call, caller: identify(call) if caller is None else calls._answer(call, caller),
            lambda call, text: calls.refused.append(text),
            lambda: True,
            calls.full,
            lambda call: calls.done.append(str(call.member)),
        )
        for call in (first, Message("net.example", "/", "net.example", "Second")):
            calls.turns.put(call, stranger.name, None)
        assert calls.turns.busy == 2
        calls.go.set()
        await calls.turns.settled()
        assert calls.answered == calls.done == ["First", "Second"]

    run(test())


def test_closing_cancels_what_is_under_way_and_begins_nothing() -> None:
    async def test() -> None:
        calls = Run()
        for number in range(MAX_UNDER_WAY + 2):
            calls.put(BOB, number, f"Slow{number}")
        while len(calls.begun) < MAX_UNDER_WAY:
            await asyncio.sleep(0)
        calls.turns.close()
        await calls.turns.settled()
        assert (len(calls.begun), calls.answered) == (MAX_UNDER_WAY, [])

    run(test())
