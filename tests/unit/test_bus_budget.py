"""What receivers have not read: shares, refusals, and what is learned of it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from ...policy.limits import (
    MAX_UNREAD_BYTES,
    MAX_UNREAD_PER_USER,
    MAX_UNREAD_SIGNALS,
    MIN_UNREAD_SHARE,
    UNREAD_HARD,
    UNREAD_LOOK,
)
from ...supervisor.bus.budget import Account, Budget

MIB = 1024 * 1024


class Bus:
    """Tells what connections have not read; it knows what they are said to read."""

    def __init__(self) -> None:
        self.budget = Budget(self.unread)
        self.left: dict[str, int | None] = {}
        self.asked: list[str] = []

    async def unread(self, name: str) -> int | None:
        self.asked.append(name)
        await asyncio.sleep(0)
        return self.left.get(name, 0)

    def connect(self, name: str, uid: int) -> Account:
        account = self.budget.open(name)
        self.budget.identified(name, uid)
        return account


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


def fill(account: Account, size: int = 100_000) -> int:
    """Send until there is no room; how many bytes that were, with what was charged in advance."""
    before = account.held
    while account.take(size):
        pass
    return account.held - before


def test_a_user_may_hold_as_much_as_is_free() -> None:
    async def test() -> None:
        bus = Bus()
        bus.left = dict.fromkeys(map(str, range(100)), 2**40)
        held = [fill(bus.connect(str(uid), uid), 10_000) for uid in range(5)]
        for one, share in zip(held, (1, 1, 1, 1 / 2, 1 / 4), strict=True):
            assert share * 0.98 < one / MAX_UNREAD_PER_USER <= share * 1.002
        # Another connection of the same user has no room besides.
        assert fill(bus.connect("another", 0), 10_000) == 0
        # Small replies find room all the same, and the bus goes on reading us.
        for uid in range(100, 1000):
            newcomer = bus.connect(f"newcomer {uid}", uid)
            assert newcomer.take(1000)
            fill(newcomer, 1000)
            # To a lease.
            assert newcomer.held <= MIN_UNREAD_SHARE + 2048 or bus.budget.held <= MAX_UNREAD_BYTES
        assert bus.budget.held < UNREAD_HARD + 1000 * MIN_UNREAD_SHARE // 2

    run(test())


def test_refusals_find_room_for_a_while() -> None:
    async def test() -> None:
        bus = Bus()
        one, other = bus.connect("one", 1000), bus.connect("other", 1000)
        bus.left["one"] = 2**40
        fill(one, 1000)
        refusals = 0
        while one.takes_refusal(200):
            refusals += 1
        assert 5 < refusals < 100
        # A connection that has read everything is told.
        assert other.takes_refusal(200)

    run(test())


def test_what_has_been_read_is_room_again() -> None:
    async def test() -> None:
        bus = Bus()
        account = bus.connect("one", 1000)
        bus.left["one"] = 2**40
        fill(account)
        assert not await bus.budget.make_room(account, 100_000)
        bus.left["one"] = 3 * MIB
        assert await bus.budget.make_room(account, 100_000)
        assert account.held == account.user.held == bus.budget.held == 3 * MIB + account.lease
        bus.budget.close("one")
        assert bus.budget.held == 0 and not bus.budget.accounts

    run(test())


def test_a_bus_that_does_not_answer_releases_nothing() -> None:
    async def test() -> None:
        bus = Bus()
        account = bus.connect("one", 1000)
        bus.left["one"] = None
        held = fill(account)
        assert not await bus.budget.make_room(account, 100_000)
        assert account.held == held

    run(test())


def test_what_is_sent_during_a_look_stays_charged() -> None:
    async def test() -> None:
        bus = Bus()
        account = bus.connect("one", 1000)
        account.charge(UNREAD_LOOK + 1)  # from which on the bus is asked by itself
        assert account.user.look is not None
        while not bus.asked:
            await asyncio.sleep(0)
        account.charge(1000)
        await account.user.look
        assert account.held == account.user.held == bus.budget.held == 1000
        assert bus.asked == ["one"]

    run(test())


def test_little_is_not_asked_about() -> None:
    async def test() -> None:
        bus = Bus()
        for number in range(100):
            assert bus.connect(str(number), number).take(UNREAD_LOOK // 2)
        await asyncio.sleep(0)
        assert not bus.asked

    run(test())


def test_signals_are_lost_before_replies() -> None:
    async def test() -> None:
        bus = Bus()
        account = bus.connect("one", 1000)
        bus.left["one"] = 2**40
        while account.takes_signal(1000):
            pass
        assert MAX_UNREAD_SIGNALS - 1000 < account.held - account.lease <= MAX_UNREAD_SIGNALS
        assert bus.budget.reads_nothing("one")
        assert account.take(1000)

    run(test())


def test_broadcasts_are_charged_to_who_causes_them() -> None:
    async def test() -> None:
        bus = Bus()
        bus.left[""] = 2**40
        for _ in range(MAX_UNREAD_PER_USER // 1000 + 1):
            bus.budget.broadcast(1000, 1000)
        bob, alice = bus.connect("one", 1000), bus.connect("other", 1001)
        assert not bob.admits(MIN_UNREAD_SHARE)
        assert alice.admits(4 * MIB)
        bus.left[""] = 0
        assert await bus.budget.make_room(bob, 4 * MIB)
        assert bus.budget.held == 0

    run(test())


def test_a_connection_leaves_during_a_look() -> None:
    async def test() -> None:
        bus = Bus()
        account = bus.connect("one", 1000)
        bus.left["one"] = 5
        account.charge(UNREAD_LOOK + 1)
        assert account.user.look is not None
        await asyncio.sleep(0)
        bus.budget.close("one")
        await account.user.look
        assert bus.budget.held == 0

    run(test())
