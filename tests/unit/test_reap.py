"""Children that end: who is told, also of one whose process id was not known yet, and for how long that is kept."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import prctl
import pytest

from ...supervisor.workers import reap
from ...supervisor.workers.reap import Reaper
from ..support.forked import run_forked
from ..support.waiting import until

DEADLINE = 20.0  # seconds
ENDED = "exited with 3"


def run(body: Callable[[Reaper], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        reaper = Reaper()
        async with asyncio.timeout(DEADLINE):
            await body(reaper)
        reaper.stop()

    run_forked(main)


def child_that_ended() -> int:
    child = os.fork()
    if child == 0:
        os._exit(3)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    return child


def test_who_watches_is_told_once() -> None:
    async def body(reaper: Reaper) -> None:
        told: list[str] = []
        reaper.start()
        children = [child_that_ended() for _ in range(2)]
        for child in children:
            reaper.watch(child, told.append)
        await until(lambda: len(told) == 2)
        assert told == [ENDED] * 2
        third = child_that_ended()
        reaper.watch(third, told.append)
        await until(lambda: len(told) == 3)
        assert reaper._unclaimed == {} and reaper._watched == {}

    run(body)


def test_what_ended_before_the_start_is_collected_then() -> None:
    async def body(reaper: Reaper) -> None:
        told: list[str] = []
        reaper.watch(child_that_ended(), told.append)
        reaper.start()
        assert told == [ENDED]

    run(body)


def test_the_end_of_one_whose_number_is_not_known_yet_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reap, "_UNCLAIMED_KEPT", 0.0)

    async def body(reaper: Reaper) -> None:
        told: list[str] = []
        reaper.start()
        reaper.expect()
        reaper.expect()
        child = child_that_ended()
        await until(lambda: child in reaper._unclaimed)
        reaper.expect_no_more()
        reaper.expect_no_more()
        reaper.expect()  # another one is expected when it would be forgotten
        for _ in range(10):
            await asyncio.sleep(0)
        reaper.watch(child, told.append)
        assert told == []  # not in the middle of something
        await until(lambda: bool(told))
        assert told == [ENDED] and reaper._unclaimed == {}

    run(body)


def test_it_is_forgotten_when_nobody_can_ask_for_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives the number to another process some day."""
    monkeypatch.setattr(reap, "_UNCLAIMED_KEPT", 0.0)

    async def body(reaper: Reaper) -> None:
        reaper.start()
        reaper.expect()
        child = child_that_ended()
        await until(lambda: child in reaper._unclaimed)
        reaper.expect_no_more()
        await until(lambda: child not in reaper._unclaimed)
        another = child_that_ended()  # of nobody's
        await until(lambda: not Path(f"/proc/{another}").exists())
        await until(lambda: not reaper._unclaimed)

    run(body)


def test_one_that_asks_late_is_told_all_the_same() -> None:
    async def body(reaper: Reaper) -> None:
        told: list[str] = []
        reaper.start()
        reaper.expect()
        reaper.expect_no_more()
        child = child_that_ended()
        await until(lambda: child in reaper._unclaimed)
        reaper.watch(child, told.append)
        await until(lambda: bool(told))

    run(body)


def test_nothing_is_collected_after_the_end() -> None:
    async def body(reaper: Reaper) -> None:
        reaper.start()
        descriptor = reaper._changes
        reaper.stop()
        reaper.stop()
        assert not asyncio.get_running_loop().remove_reader(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    run(body)


def waiting_child() -> int:
    child = os.fork()
    if child == 0:
        try:
            prctl.set_pdeathsig(signal.SIGKILL)
            while True:
                signal.pause()
        finally:
            os._exit(0)
    return child


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def with_grace(seconds: float, body: Callable[[Reaper, list[str]], Coroutine[Any, Any, None]]) -> None:
    """`body` gets what was told of children that are made to go on."""

    async def main() -> None:
        made_to_go_on: list[str] = []
        reaper = Reaper(seconds, lambda pid, how: made_to_go_on.append(how))
        reaper.start()
        async with asyncio.timeout(DEADLINE):
            await body(reaper, made_to_go_on)
        reaper.stop()

    run_forked(main)


def test_who_watches_is_told_of_one_that_stays_stopped() -> None:
    async def body(reaper: Reaper, made_to_go_on: list[str]) -> None:
        told: list[str] = []
        child = waiting_child()
        reaper.watch(child, told.append, told.append)
        os.kill(child, signal.SIGSTOP)
        await until(lambda: bool(told))
        assert told == ["is stopped (SIGSTOP)"] and state(child) == "T"
        os.kill(child, signal.SIGKILL)
        await until(lambda: len(told) == 2)
        assert told[1] == "was killed by SIGKILL" and made_to_go_on == []
        assert reaper._stopped == reaper._watched_stops == {}

    with_grace(0.01, body)


def test_one_that_nobody_watches_is_made_to_go_on_each_time() -> None:
    async def body(reaper: Reaper, made_to_go_on: list[str]) -> None:
        child = waiting_child()
        for number in range(1, 3):
            os.kill(child, signal.SIGSTOP)
            await until(lambda number=number: len(made_to_go_on) == number)  # type: ignore[misc]
            await until(lambda: state(child) != "T")
        os.kill(child, signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{child}").exists())

    with_grace(0.01, body)


@pytest.mark.parametrize("grace", [0.0, 1000.0])
def test_one_that_goes_on_in_time_is_left_alone(grace: float) -> None:
    async def body(reaper: Reaper, made_to_go_on: list[str]) -> None:
        told: list[str] = []
        child = waiting_child()
        reaper.watch(child, told.append, told.append)
        os.kill(child, signal.SIGSTOP)
        if grace:
            await until(lambda: child in reaper._stopped)
        else:
            await until(lambda: state(child) == "T")
        os.kill(child, signal.SIGCONT)
        await until(lambda: not reaper._stopped and state(child) != "T")
        os.kill(child, signal.SIGKILL)
        await until(lambda: bool(told))
        assert told == ["was killed by SIGKILL"] and made_to_go_on == []

    with_grace(grace, body)
