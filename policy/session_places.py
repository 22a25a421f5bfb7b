"""Who may start one more session.  Users are charged for what they start; a few of them never have all places."""

from collections.abc import Mapping

from .limits import FEW_SESSIONS, LAST_SESSIONS, MAX_SESSIONS, MAX_SESSIONS_PER_USER, ROOT_SESSIONS

_ROOT = 0


def refusal(uid: int, started: Mapping[int, int], places: int) -> str:
    """Why user `uid` may not start a session, "" if they may.

    `started` is how many sessions there are by who started them, `places` how many there may be.
    """
    own, everybodys = started.get(uid, 0), sum(started.values())
    if own >= MAX_SESSIONS_PER_USER:
        return f"You have {MAX_SESSIONS_PER_USER} sessions already; disconnect one first"
    free, last = places - everybodys, 0
    if uid != _ROOT:
        kept = places * ROOT_SESSIONS // MAX_SESSIONS  # of fewer places, as large a part
        free -= max(0, kept - started.get(_ROOT, 0))
        last = -(-(places - kept) * LAST_SESSIONS // MAX_SESSIONS)
    if free <= 0:
        return f"There are {everybodys} sessions already on this machine"
    if own >= FEW_SESSIONS and free <= last:
        return (
            f"There are {everybodys} sessions already on this machine; the places that are left are for users with "
            f"fewer than {FEW_SESSIONS}"
        )
    return ""
