"""Who may do what: every rule for every kind of caller."""

import pytest

from ...policy.access import Acl, Caller, Who, permitted

ROOT, OWNER, GRANTED, SERVICE, STRANGER = 0, 1000, 1001, 990, 1002

PRIVATE = {
    Who.ANYBODY: {ROOT, OWNER, GRANTED, SERVICE, STRANGER},
    Who.READERS: {ROOT, OWNER, GRANTED, SERVICE},
    Who.USERS: {ROOT, OWNER, GRANTED},
    Who.HOLDERS: {OWNER, GRANTED, SERVICE},
    Who.OWNER: {OWNER},
    Who.ROOT: {ROOT},
    Who.SERVICE: {SERVICE},
}
PUBLIC = {**PRIVATE, Who.READERS: {ROOT, OWNER, GRANTED, SERVICE, STRANGER}}
NOBODYS = {who: PRIVATE[who] if who in (Who.ANYBODY, Who.ROOT, Who.SERVICE) else set() for who in Who}


@pytest.mark.parametrize("who", Who)
@pytest.mark.parametrize("uid", [ROOT, OWNER, GRANTED, SERVICE, STRANGER])
def test_rules(who: Who, uid: int) -> None:
    caller = Caller(":1.1", uid)
    private = Acl(OWNER, {GRANTED})
    public = Acl(OWNER, {GRANTED}, public=True)
    assert permitted(who, caller, private, SERVICE) == (uid in PRIVATE[who])
    assert permitted(who, caller, public, SERVICE) == (uid in PUBLIC[who])
    assert permitted(who, caller, None, SERVICE) == (uid in NOBODYS[who])


def test_the_granted_in_order() -> None:
    assert Acl(OWNER, {30, 10, 20}).granted_uids == [10, 20, 30]
