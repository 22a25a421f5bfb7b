"""Who may start one more session: no few users take all places."""

from collections import Counter

import pytest

from ...policy.limits import FEW_SESSIONS, MAX_SESSIONS, MAX_SESSIONS_PER_USER
from ...policy.session_places import refusal

ROOT = 0


def fill(started: Counter[int], users: range, places: int) -> None:
    """Each of these users in turn starts as many as they may."""
    for user in users:
        while not refusal(user, started, places):
            started[user] += 1


def test_a_user_has_so_many() -> None:
    started = Counter[int]()
    fill(started, range(1000, 1001), MAX_SESSIONS)
    assert started.total() == MAX_SESSIONS_PER_USER
    assert refusal(1000, started, MAX_SESSIONS).startswith(f"You have {MAX_SESSIONS_PER_USER} sessions already")
    assert not refusal(1001, started, MAX_SESSIONS)


@pytest.mark.parametrize("places", [100, MAX_SESSIONS])
def test_a_few_do_not_take_all(places: int) -> None:
    started = Counter[int]()
    fill(started, range(1000, 1005), places)
    assert all(refusal(user, started, places) for user in range(1000, 1005))
    assert "for users with fewer than" in refusal(1004, started, places)
    for newcomer in (2000, 2001):
        assert not refusal(newcomer, started, places)
    fill(started, range(2000, 2500), places)
    assert all(started[user] <= FEW_SESSIONS for user in range(2000, 2500))
    assert "on this machine" in refusal(3000, started, places)
    fill(started, range(1), places)
    assert started[ROOT] == started.total() - sum(started[user] for user in started if user != ROOT) > 0
    assert started.total() == places


def test_what_root_has_is_part_of_what_is_kept_for_it() -> None:
    with_root, without = Counter({ROOT: MAX_SESSIONS // 20}), Counter[int]()
    for started in (with_root, without):
        fill(started, range(1000, 2000), MAX_SESSIONS)
    assert with_root.total() == MAX_SESSIONS
    assert with_root.total() - with_root[ROOT] == without.total()


def test_few_places() -> None:
    started = Counter[int]()
    fill(started, range(1000, 1001), 20)
    assert not refusal(1001, started, 20)
    started.clear()
    fill(started, range(1000, 1001), 1)
    assert started == {1000: 1}
    assert refusal(ROOT, started, 1) == "There are 1 sessions already on this machine"
