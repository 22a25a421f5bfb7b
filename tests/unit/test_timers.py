"""Named deadlines."""

import select
import time

from ...worker.session.timers import Timers


def run_until_idle(timers: Timers) -> None:
    """As the worker's loop does it."""
    while (left := timers.time_left()) is not None:
        select.select([], [], [], left)
        timers.run_due()


def test_actions_run_once_in_time_and_not_before() -> None:
    timers = Timers()
    ran: list[tuple[str, float]] = []
    begin = time.monotonic()
    for name, seconds in (("late", 0.04), ("soon", 0.02), ("now", 0.0)):
        timers.set(name, seconds, lambda name=name: ran.append((name, time.monotonic() - begin)))  # type: ignore[misc]  # mypy types no defaults of lambdas
    run_until_idle(timers)
    assert [name for name, _ in ran] == ["now", "soon", "late"]
    assert all(at >= wanted for (_, at), wanted in zip(ran, (0.0, 0.02, 0.04), strict=True))


def test_setting_again_replaces_and_cancelling_forgets() -> None:
    timers = Timers()
    ran: list[int] = []
    timers.set("a", 0, lambda: ran.append(1))
    timers.set("a", 0, lambda: ran.append(2))
    timers.set("b", 0, lambda: ran.append(3))
    timers.set("c", 1000, lambda: ran.append(4))
    timers.cancel("b")
    timers.cancel("b")
    assert timers.time_left() == 0
    timers.run_due()
    assert ran == [2]
    left = timers.time_left()
    assert left is not None and 999 < left <= 1000
    timers.clear()
    assert timers.time_left() is None
    timers.run_due()
    assert ran == [2]


def test_an_action_may_change_the_others() -> None:
    timers = Timers()
    ran: list[str] = []

    def first() -> None:
        ran.append("first")
        timers.cancel("cancelled")
        timers.set("postponed", 1000, lambda: ran.append("too early"))
        timers.set("first", 0, lambda: ran.append("again"))

    timers.set("first", 0, first)
    timers.set("cancelled", 0, lambda: ran.append("cancelled"))
    timers.set("postponed", 0, lambda: ran.append("postponed"))
    timers.run_due()
    assert ran == ["first"]
    timers.run_due()
    assert ran == ["first", "again"]
    assert timers.time_left() is not None
