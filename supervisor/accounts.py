"""Looking up users' names and numbers, without waiting for a directory service that does not answer.

Sources: getpwnam(3), nsswitch.conf(5).
"""

import asyncio
import pwd
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ..policy.limits import ACCOUNT_DEADLINE, MAX_ACCOUNT_LOOKUPS, MAX_ACCOUNT_LOOKUPS_PER_USER, MAX_NAMES_KEPT

T = TypeVar("T")

_names: dict[int, str] = {}  # found so far: most sessions are somebody's who had one before, and take no thread then


async def account_name(uid: int) -> str:
    """The name of an account, for itself; its number if it has none, or none within ACCOUNT_DEADLINE."""
    if uid in _names:
        return _names[uid]
    try:
        name = await look_up(lambda: pwd.getpwuid(uid).pw_name, uid)
    except (KeyError, TimeoutError):
        return str(uid)
    if len(_names) < MAX_NAMES_KEPT:
        _names[uid] = name
    return name


async def account_id(name: str, user: int) -> int:
    """The id of an account, for a user.  Raises KeyError, or TimeoutError after ACCOUNT_DEADLINE."""
    return await look_up(lambda: pwd.getpwnam(name).pw_uid, user)


_under_way: Counter[int] = Counter()  # threads by the user they ask for
_counting = threading.Lock()
_waiting = set[asyncio.Future[None]]()  # for one of these threads to end


def _begin(user: int) -> bool:
    with _counting:
        free = _under_way.total() < MAX_ACCOUNT_LOOKUPS and _under_way[user] < MAX_ACCOUNT_LOOKUPS_PER_USER
        if free:
            _under_way[user] += 1
        return free


def _end(user: int) -> None:
    with _counting:
        _under_way[user] -= 1
        if not _under_way[user]:
            del _under_way[user]


async def _begin_in_turn(user: int) -> None:
    while not _begin(user):
        ended = asyncio.get_running_loop().create_future()
        _waiting.add(ended)
        try:
            await ended
        finally:
            _waiting.discard(ended)


def _tell_waiting() -> None:
    for ended in _waiting:
        if not ended.done():
            ended.set_result(None)


async def look_up(ask: Callable[[], T], user: int) -> T:
    """The result of `ask`, run in a thread of its own: one that hangs does not delay other work or the service's end.

    Raises what it raises; TimeoutError after ACCOUNT_DEADLINE, in which it may have waited for other look-ups, of all
    users or of this one.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[T] = loop.create_future()

    def settle(outcome: Callable[[], None]) -> None:
        _tell_waiting()
        if not found.done():
            outcome()

    def run() -> None:
        try:
            result = ask()
        except Exception as error:
            outcome = partial(found.set_exception, error)
        else:
            outcome = partial(found.set_result, result)
        finally:
            _end(user)
        with suppress(RuntimeError):  # the service has ended meanwhile
            loop.call_soon_threadsafe(settle, outcome)

    async with asyncio.timeout(ACCOUNT_DEADLINE):
        await _begin_in_turn(user)
        threading.Thread(target=run, name="account look-up", daemon=True).start()
        return await found
