"""Processes that spin are noticed, those that wait are not, and nobody looks while there is nothing to look at."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import prctl

from ...supervisor.workers.lookout import Lookout
from ..support.forked import run_forked
from ..support.waiting import until

DEADLINE = 60.0  # seconds
INTERVAL = 0.3


def run(body: Callable[[Lookout], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        lookout = Lookout(INTERVAL)
        async with asyncio.timeout(DEADLINE):
            await body(lookout)
        lookout.stop()
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run_forked(main)


@contextmanager
def child(*, spins: bool) -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        try:
            prctl.set_pdeathsig(signal.SIGKILL)
            while True:
                if not spins:
                    signal.pause()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_one_that_spins_is_told_of_and_one_that_waits_is_not() -> None:
    async def body(lookout: Lookout) -> None:
        told: list[str] = []
        with child(spins=True) as spinning, child(spins=False) as waiting:
            lookout.follow("waits", lambda: [waiting], lambda: told.append("waits"))
            lookout.follow("spins", lambda: [2**22, waiting, spinning], lambda: told.append("spins"))
            lookout.add_helper(lambda: [spinning], lambda: told.append("helper"))
            await until(lambda: told.count("spins") >= 2 and "helper" in told)
            assert "waits" not in told

    run(body)


def test_nobody_looks_while_there_is_no_session() -> None:
    async def body(lookout: Lookout) -> None:
        looks: list[str] = []

        def pids() -> list[int]:
            looks.append("")
            return []

        lookout.add_helper(pids, lambda: None)
        assert len(asyncio.all_tasks()) == 1
        lookout.follow(1, list, lambda: None)
        lookout.follow(2, list, lambda: None)
        await until(lambda: bool(looks))
        lookout.forget(1)
        assert len(asyncio.all_tasks()) == 2
        lookout.forget(2)
        lookout.forget(2)
        await until(lambda: len(asyncio.all_tasks()) == 1)
        lookout.follow(3, list, lambda: None)
        before = len(looks)
        await until(lambda: len(looks) > before)

    run(body)
