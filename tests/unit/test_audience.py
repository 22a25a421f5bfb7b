"""Who hears of a session, and who does no more when there are many."""

from collections import Counter

from ...policy.access import Acl, Caller
from ...policy.limits import MAX_GUEST_WATCHERS, MAX_WATCHERS_PER_USER
from ...supervisor.sessions.audience import Audience
from ...supervisor.sessions.forwarding import Forwarder

ROOT, OWNER = 0, 1000


def connections(user: int, count: int) -> list[Caller]:
    return [Caller(f":{user}.{number}", user) for number in range(count)]


def audience(*callers: Caller) -> Audience:
    made = Audience("/s", Acl(OWNER), Forwarder.__new__(Forwarder))
    for caller in callers:
        made.watch(caller)
    return made


def test_the_oldest_of_a_user_goes_for_the_same_users_next() -> None:
    mine, roots = connections(OWNER, MAX_WATCHERS_PER_USER + 2), connections(ROOT, 1)
    made = audience(*roots, *mine, mine[-1])
    assert list(made.watchers) == [caller.name for caller in (*roots, *mine[2:])]


def test_guests_together() -> None:
    """Who has most loses one, also when it is another's that comes; owner and root lose none."""
    kept = [*connections(OWNER, MAX_WATCHERS_PER_USER), *connections(ROOT, MAX_WATCHERS_PER_USER)]
    guests = [one for user in range(2000, 2004) for one in connections(user, MAX_WATCHERS_PER_USER)]
    assert len(guests) == MAX_GUEST_WATCHERS
    newcomer = Caller(":9.9", 3000)
    made = audience(*kept, *guests, newcomer)
    watchers = list(made.watchers)
    assert {caller.name for caller in kept} <= set(watchers)
    assert newcomer.name in watchers and guests[0].name not in watchers
    assert len(watchers) == len(kept) + MAX_GUEST_WATCHERS
    for user in range(4000, 4100):
        made.watch(Caller(f":{user}.0", user))
    users = Counter(name.partition(".")[0] for name in made.watchers)
    assert users[f":{OWNER}"] == users[f":{ROOT}"] == MAX_WATCHERS_PER_USER
    assert users.total() == 2 * MAX_WATCHERS_PER_USER + MAX_GUEST_WATCHERS
