"""Many connected sessions at once, of as many users as it takes."""

from collections.abc import Iterator, Sequence
from itertools import count

from ..policy.limits import DEFAULT_SESSIONS_PER_USER
from ..tests.lab.lab import Lab
from ..tests.lab.surroundings import ALICE, BOB, MORE_USERS, ROOT
from .meter import Meter

AMPLE = "--max-sessions=1000"  # of the service: the last places are kept from users with several sessions
_USERS = (ALICE, BOB, MORE_USERS[0], ROOT)  # root has the last places, which others with many do not get


def connected(lab: Lab, profiles: Sequence[str], first: int = 0) -> Iterator[str]:
    """Connect a session with each of these profiles, one after the other; their paths.

    `first` is how many there are already.
    """
    for user, begin in zip(_USERS, count(0, DEFAULT_SESSIONS_PER_USER), strict=False):
        numbers = range(max(begin, first), min(begin + DEFAULT_SESSIONS_PER_USER, first + len(profiles)))
        if not numbers:
            continue
        with Meter(lab, user.name) as meter:
            for number in numbers:
                _, path = meter.new_tunnel(meter.import_profile(f"profile {number}", profiles[number - first]))
                meter.connect(path)
                yield path
