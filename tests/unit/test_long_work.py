"""LongWork at long work: one thing at a time for each user, a piece of one at a time on the loop."""

import asyncio
import time

import pytest

from ...policy import limits
from ...policy.pieces import Pieces, whole
from ...supervisor.services.long_work import LongWork

ALICE, BOB = 1000, 1001


def spinning(seconds: float, done: list[str], name: str) -> Pieces[str]:
    """Work of so many seconds of the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        yield
    done.append(name)
    return name


def test_what_one_user_has_waiting_delays_none_of_another() -> None:
    async def run() -> None:
        long_work, done = LongWork(), list[str]()
        bobs = [asyncio.create_task(long_work.in_pieces(BOB, spinning(0.02, done, "bob"))) for _ in range(20)]
        while not done:
            await asyncio.sleep(0)
        assert await long_work.in_pieces(ALICE, spinning(0.002, done, "alice")) == "alice"
        assert done.count("bob") < 5
        for task in bobs:
            task.cancel()

    asyncio.run(run())


def test_one_thing_at_a_time_of_a_user() -> None:
    async def run() -> None:
        long_work = LongWork()
        under_way = most = 0

        def work() -> Pieces[None]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            for _ in range(3):
                yield
                time.sleep(limits.WORK_PIECE)  # as long as a piece may be
            under_way -= 1

        await asyncio.gather(*(long_work.in_pieces(BOB, work()) for _ in range(10)))
        assert most == 1
        await asyncio.gather(*(long_work.in_pieces(uid, work()) for uid in range(5)))
        assert most == 5

    asyncio.run(run())


def test_others_are_served_between_two_pieces() -> None:
    async def run() -> None:
        long_work, served = LongWork(), 0

        def work() -> Pieces[list[int]]:
            seen = []
            for _ in range(5):
                yield
                time.sleep(limits.WORK_PIECE)
                seen.append(served)
            return seen

        task = asyncio.create_task(long_work.in_pieces(BOB, work()))
        while not task.done():
            served += 1
            await asyncio.sleep(0)
        seen = await task
        assert len(set(seen)) == 5 and seen == sorted(seen)

    asyncio.run(run())


def test_an_error_ends_the_turn() -> None:
    def failing() -> Pieces[None]:
        yield
        raise ValueError("of the work")

    async def run() -> None:
        long_work = LongWork()
        for _ in range(2):
            with pytest.raises(ValueError, match="of the work"):
                await long_work.in_pieces(BOB, failing())
            with pytest.raises(ZeroDivisionError):
                await long_work.in_thread(BOB, lambda: 1 / 0)
        assert await long_work.in_thread(BOB, int, "5") == 5

    asyncio.run(run())


def test_whoever_gives_up_waiting_leaves_the_turn_to_the_next() -> None:
    async def run() -> None:
        long_work, done = LongWork(), list[str]()
        tasks = [
            asyncio.create_task(long_work.in_pieces(BOB, spinning(0.01, done, str(number)))) for number in range(4)
        ]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert done == ["1", "3"]

    asyncio.run(run())


def test_pace() -> None:
    """The first of a user's large things does not wait, nor do small ones or another user's."""

    async def run() -> None:
        long_work = LongWork()
        await long_work.keep_pace(BOB, limits.MAX_PROFILE)
        second = asyncio.create_task(long_work.keep_pace(BOB, limits.MAX_PROFILE))
        await long_work.keep_pace(BOB, 1000)
        await long_work.keep_pace(ALICE, limits.MAX_PROFILE)
        assert not second.done()
        await second

    asyncio.run(run())


def test_whole() -> None:
    assert whole(spinning(0, [], "all")) == "all"
