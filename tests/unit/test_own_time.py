"""Deadlines of processes' own time, on real processes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ...supervisor.workers.own_time import OwnTime, within

SPIN = "while True: pass"
# Says that it has begun, then uses a processor for so many seconds of its own.
WORK = """
import sys, time
print(flush=True)
while time.process_time() < float(sys.argv[1]):
    pass
"""


@pytest.fixture
def processor() -> Iterator[int]:
    """One that has so much to do that each process gets a small part of it."""
    [number, *_] = os.sched_getaffinity(0)
    with ExitStack() as stack:
        for _ in range(8):
            spinning = subprocess.Popen(
                [sys.executable, "-c", SPIN], preexec_fn=lambda: os.sched_setaffinity(0, [number])
            )
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        yield number


def test_a_process_that_waits_for_a_processor_has_its_time(processor: int) -> None:
    async def course() -> None:
        work = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORK, "0.5", stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, [processor]),
        )  # fmt: skip
        assert work.stdout is not None
        await work.stdout.readline()
        ended = asyncio.ensure_future(work.wait())
        assert await within(2.0, ended, lambda: [work.pid]) == 0

    asyncio.run(course())


def test_one_that_sleeps_has_no_more(processor: int) -> None:
    async def course() -> None:
        with subprocess.Popen(["sleep", "1000"]) as sleeping:
            never = asyncio.get_running_loop().create_future()
            with pytest.raises(TimeoutError):
                await within(0.1, never, lambda: [sleeping.pid, 2**22 + 1])
            assert not never.cancelled()
            sleeping.kill()

    asyncio.run(course())


def test_it_is_put_off_so_far(processor: int) -> None:
    """Also by one that waits for ever."""

    async def course() -> None:
        work = [
            subprocess.Popen([sys.executable, "-c", SPIN], preexec_fn=lambda: os.sched_setaffinity(0, [processor]))
            for _ in range(4)
        ]
        time = OwnTime(0.1, lambda: [one.pid for one in work])
        never = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            await within(0.1, never, lambda: [one.pid for one in work])
        assert time.left <= 0
        for one in work:
            one.kill()
            one.wait()

    asyncio.run(course())


def test_what_it_waits_for_is_raised() -> None:
    async def course() -> None:
        refused = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(refused.set_exception, ValueError("refused"))
        with pytest.raises(ValueError, match="refused"):
            await within(10, refused, list)

    asyncio.run(course())
