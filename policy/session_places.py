"""Who may start one more session.  Users are charged for what they start; a few of them never have all places."""

from collections.abc import Mapping
from typing import NamedTuple

from .limits import DESCRIPTORS_OF_SERVICE, DESCRIPTORS_PER_SESSION, FEW_SESSIONS, LAST_PART, ROOT_PART
from .quotas import BY_DEFAULT, Quotas

_ROOT = 0


class Places(NamedTuple):
    """How many sessions there may be, and what would have to be changed for more (part of a sentence, or empty)."""

    most: int
    bound: str = ""


def places(user_ids: int, descriptors: int, quotas: Quotas = BY_DEFAULT) -> Places:
    """The places for sessions, where there are ids for so many and the service may have so many files open."""
    by_descriptors = (descriptors - DESCRIPTORS_OF_SERVICE) // DESCRIPTORS_PER_SESSION
    return min(
        Places(quotas.sessions, "; the administrator allows no more (max-sessions)"),
        Places(user_ids, f"; user ids for them: {user_ids} (--session-uids)"),
        Places(by_descriptors, f"; the service may have {descriptors} files open (LimitNOFILE=)"),
    )


def refusal(uid: int, started: Mapping[int, int], places: Places, quotas: Quotas = BY_DEFAULT) -> str:
    """Why user `uid` may not start a session, "" if they may; `started` is how many there are by who started them."""
    own, everybodys = started.get(uid, 0), sum(started.values())
    if own >= quotas.of(uid).sessions_per_user:
        sessions = f"You have {own} session{'s' if own > 1 else ''} already"
        return f"{sessions}; disconnect one first (the administrator allows no more: max-sessions-per-user)"
    free, last = places.most - everybodys, 0
    if uid != _ROOT:
        kept = places.most // ROOT_PART
        free -= max(0, kept - started.get(_ROOT, 0))
        last = -(-(places.most - kept) // LAST_PART)
    there = f"There are {everybodys} sessions already on this machine"
    if free <= 0:
        return f"{there}{places.bound}"
    if own >= FEW_SESSIONS and free <= last:
        return f"{there}; the places that are left are for users with fewer than {FEW_SESSIONS}{places.bound}"
    return ""
