"""The schedule of automatic-restart: the numbers of OpenVPN 3 Linux."""

import pytest

from ...supervisor.sessions.restarts import Restarts, pause_before

LONG = 90.0


def test_the_pauses_double_up_to_a_longest() -> None:
    assert [pause_before(attempt) for attempt in range(1, 11)] == [3, 6, 12, 24, 48, 96, 192, 384, 768, 768]


def test_there_are_ten_tries() -> None:
    restarts = Restarts(wanted=True)
    assert not restarts.used_up
    assert [restarts.another() for _ in range(11)] == [True] * 10 + [False]
    assert restarts.used_up and restarts.tries == 10


def test_none_is_granted_that_is_not_wanted() -> None:
    restarts = Restarts(wanted=False)
    assert not restarts.another()
    assert not restarts.used_up


@pytest.mark.parametrize(("seconds", "tries"), [(LONG - 0.1, 2), (LONG, 1)])
def test_after_a_long_connection_earlier_tries_do_not_count(seconds: float, tries: int) -> None:
    restarts = Restarts(wanted=True)
    restarts.another()
    restarts.follow(True, 1000.0)
    restarts.follow(True, 1000.0 + seconds)  # what happens meanwhile
    restarts.follow(False, 1000.0 + seconds)
    assert restarts.another()
    assert restarts.tries == tries
    assert restarts.pause == pause_before(tries)


def test_short_connections_do_not_add_up() -> None:
    restarts = Restarts(wanted=True)
    restarts.another()
    for moment in (0.0, 100.0, 200.0):
        restarts.follow(True, moment)
        restarts.follow(False, moment + LONG / 2)
    assert restarts.another()
    assert restarts.tries == 2
