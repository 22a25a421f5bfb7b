"""When the service counts as idle: by its work, with regard to calls under way."""

import asyncio

from ...supervisor.idle import IdleTimer

DEADLINE = 5.0  # seconds


class Surroundings:
    """Amount of work and calls, set by the tests; `expired` is set each time the timer has looked at the calls."""

    def __init__(self, seconds: float) -> None:
        self.work = 0
        self.calls = 0
        self.called_at = 0.0
        self.looked = asyncio.Event()
        self.timer = IdleTimer(seconds, lambda: self.work, self._count_calls, lambda: self.called_at)

    def _count_calls(self) -> int:
        self.looked.set()
        return self.calls

    async def idle(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.timer.idle.wait()

    async def look(self) -> None:
        self.looked.clear()
        async with asyncio.timeout(DEADLINE):
            await self.looked.wait()


def test_idle_without_work() -> None:
    async def main() -> None:
        around = Surroundings(0.01)
        around.timer.look()
        await around.idle()

    asyncio.run(main())


def test_work_stops_the_clock_and_its_end_starts_it() -> None:
    async def main() -> None:
        around = Surroundings(0.01)
        around.timer.look()
        around.work = 1
        around.timer.look()
        await _pass(0.02)
        assert not around.timer.idle.is_set()
        around.work = 0
        around.timer.look()
        await around.idle()

    asyncio.run(main())


def test_a_child_that_nobody_announced_is_seen_at_the_end() -> None:
    async def main() -> None:
        around = Surroundings(0.01)
        around.timer.look()
        around.work = 1
        await _pass(0.02)
        assert not around.timer.idle.is_set()
        around.work = 0
        around.timer.look()
        await around.idle()

    asyncio.run(main())


def test_a_call_under_way_delays() -> None:
    async def main() -> None:
        around = Surroundings(0.01)
        around.calls = 1
        around.timer.look()
        await around.look()
        assert not around.timer.idle.is_set()
        around.calls = 0
        await around.idle()

    asyncio.run(main())


def test_a_call_starts_the_clock_again() -> None:
    async def main() -> None:
        around = Surroundings(0.02)
        around.timer.look()
        for _ in range(5):
            around.called_at = asyncio.get_running_loop().time() + 1000
            await around.look()
            assert not around.timer.idle.is_set()
            around.timer.restart()
        around.called_at = 0.0
        around.timer.restart()
        await around.idle()
        assert not around.timer.called_since
        around.called_at = asyncio.get_running_loop().time()
        assert around.timer.called_since

    asyncio.run(main())


def test_looking_again_does_not_start_the_clock_again() -> None:
    async def main() -> None:
        around = Surroundings(0.02)
        began = asyncio.get_running_loop().time()
        around.timer.look()
        while not around.timer.idle.is_set():
            assert asyncio.get_running_loop().time() - began < DEADLINE
            around.timer.look()
            await asyncio.sleep(0)

    asyncio.run(main())


def test_zero_means_never() -> None:
    async def main() -> None:
        around = Surroundings(0)
        around.timer.look()
        await _pass(0.02)
        assert not around.timer.idle.is_set()
        assert not around.looked.is_set()

    asyncio.run(main())


def test_restarting_counts_from_now() -> None:
    async def main() -> None:
        around = Surroundings(0.01)
        around.timer.look()
        await around.idle()
        around.timer.restart()
        assert not around.timer.idle.is_set()
        await around.idle()

    asyncio.run(main())


async def _pass(seconds: float) -> None:
    """Let a timer of the loop run that was set after ours would have: no matter how slow the machine is."""
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, passed.set)
    await passed.wait()
