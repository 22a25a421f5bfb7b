"""Who may start one more session: no few users take all places."""

from collections import Counter

import pytest

from ...policy.limits import DEFAULT_SESSIONS, DEFAULT_SESSIONS_PER_USER, FEW_SESSIONS, MAX_SESSIONS
from ...policy.quotas import Quotas
from ...policy.session_places import Places, places, refusal

ROOT = 0
ALL = Places(DEFAULT_SESSIONS)


def fill(started: Counter[int], users: range, where: Places) -> None:
    """Each of these users in turn starts as many as they may."""
    for user in users:
        while not refusal(user, started, where):
            started[user] += 1


def test_a_user_has_so_many() -> None:
    started = Counter[int]()
    fill(started, range(1000, 1001), ALL)
    assert started.total() == DEFAULT_SESSIONS_PER_USER
    assert refusal(1000, started, ALL).startswith(f"You have {DEFAULT_SESSIONS_PER_USER} sessions already")
    assert not refusal(1001, started, ALL)


@pytest.mark.parametrize("count", [100, DEFAULT_SESSIONS])
def test_a_few_do_not_take_all(count: int) -> None:
    where = Places(count)
    started = Counter[int]()
    fill(started, range(1000, 1005), where)
    assert all(refusal(user, started, where) for user in range(1000, 1005))
    assert "for users with fewer than" in refusal(1004, started, where)
    for newcomer in (2000, 2001):
        assert not refusal(newcomer, started, where)
    fill(started, range(2000, 2500), where)
    assert all(started[user] <= FEW_SESSIONS for user in range(2000, 2500))
    assert "on this machine" in refusal(3000, started, where)
    fill(started, range(1), where)
    assert started[ROOT] == started.total() - sum(started[user] for user in started if user != ROOT) > 0
    assert started.total() == count


def test_what_root_has_is_part_of_what_is_kept_for_it() -> None:
    with_root, without = Counter({ROOT: DEFAULT_SESSIONS // 20}), Counter[int]()
    for started in (with_root, without):
        fill(started, range(1000, 2000), ALL)
    assert with_root.total() == DEFAULT_SESSIONS
    assert with_root.total() - with_root[ROOT] == without.total()


def test_few_places() -> None:
    started = Counter[int]()
    fill(started, range(1000, 1001), Places(20))
    assert not refusal(1001, started, Places(20))
    started.clear()
    fill(started, range(1000, 1001), Places(1))
    assert started == {1000: 1}
    assert refusal(ROOT, started, Places(1)) == "There are 1 sessions already on this machine"


def test_what_bounds_their_number() -> None:
    assert places(1000, 4096) == (DEFAULT_SESSIONS, "; the administrator allows no more (max-sessions)")
    assert places(477, 8192, Quotas(sessions=MAX_SESSIONS)) == (477, "; user ids for them: 477 (--session-uids)")
    assert places(7, 4096) == (7, "; user ids for them: 7 (--session-uids)")
    few = places(1000, 64)
    started = Counter[int]()
    fill(started, range(1000, 1001), few)
    assert 0 < started.total() < few.most
    assert refusal(1000, started, few).endswith("; the service may have 64 files open (LimitNOFILE=)")
    fill(started, range(1000, 1003), few)
    assert started.total() == few.most and refusal(1009, started, few).endswith("files open (LimitNOFILE=)")
