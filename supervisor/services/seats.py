"""Who is active on a local seat: systemd-logind says (org.freedesktop.login1(5)), where there is one."""

import asyncio
from typing import Any

from dbus_fast import Variant

from ...policy.limits import MAX_SEAT_SESSIONS, SEAT_DEADLINE
from ..bus.connection import BusConnection, BusRefused
from ..bus.transport import BusLost
from ..errors import SystemFailure

_LOGIND = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_SESSION = "org.freedesktop.login1.Session"
_PROPERTIES = "org.freedesktop.DBus.Properties"


class Seats:
    """Asks logind each time; one that does not answer in SEAT_DEADLINE is not waited for."""

    def __init__(self, connection: BusConnection) -> None:
        self._connection = connection

    async def active(self, uid: int) -> bool:
        """Whether a session of a user is the active one of a seat of this machine.  Raises SystemFailure."""
        try:
            async with asyncio.timeout(SEAT_DEADLINE):
                return await self._active(uid)
        except TimeoutError:
            raise SystemFailure(f"systemd-logind does not answer in {SEAT_DEADLINE:g} s") from None
        except (BusRefused, BusLost) as error:
            raise SystemFailure(f"systemd-logind: {error}") from error

    async def _active(self, uid: int) -> bool:
        ask = self._connection.ask
        # Asked of the bus first: a call would start it, where the bus can, and wait for that.
        (runs,) = await self._connection.ask_bus("NameHasOwner", "s", _LOGIND)
        if not runs:
            raise SystemFailure("there is no systemd-logind")
        listed = await ask(_LOGIND, _PATH, f"{_LOGIND}.Manager", "ListSessions")
        own = [path for _, owner, _, seat, path in _rows(listed) if owner == uid and seat]
        wanted = [
            ask(_LOGIND, path, _PROPERTIES, "Get", "ss", (_SESSION, name))
            for path in own[:MAX_SEAT_SESSIONS]
            for name in ("Active", "Remote")
        ]
        answers = await asyncio.gather(*wanted, return_exceptions=True)
        values = [_truth(answer) for answer in answers]  # a session may have ended meanwhile: nothing is said of it
        return any(active is True and remote is False for active, remote in zip(values[::2], values[1::2], strict=True))


def _rows(answer: list[Any]) -> list[Any]:
    """The sessions, each as id, user id, user, seat, path.  Raises SystemFailure if it is no such list."""
    match answer:
        case [[*rows]] if all(isinstance(row, list | tuple) and len(row) == 5 for row in rows):
            return rows
    raise SystemFailure("systemd-logind's list of sessions is none")


def _truth(answer: object) -> object:
    """The value of a property; None if it was not told."""
    if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], Variant):
        return answer[0].value
    if isinstance(answer, BusRefused):
        return None
    if isinstance(answer, BaseException):
        raise answer
    return None
