"""Who has locked the machine by the kill switch, as JSON and as text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .exits import CommandError, CommandExit, sanitize
from .services import LOCK, SESSIONS
from .show import local_time, user_name

if TYPE_CHECKING:
    from .bus import Bus


async def read_lock(bus: "Bus") -> dict[str, Any] | None:
    """The lock as JSON; None if this session manager has none."""
    try:
        reply = await bus.call(SESSIONS, "GetLock", interface=LOCK)
    except CommandError as error:
        if error.status != CommandExit.REFUSED:
            raise
        return None
    holders, lifted = reply.body
    return {
        "holders": [
            {
                "user": user_name(uid),
                "uid": uid,
                "since": since,
                "session_there": there,
                "session": path if path != "/" else None,
                "profile": profile or None,
            }
            for uid, since, there, path, profile in holders
        ],
        "lifted_for": lifted,
    }


def lock_text(lock: Mapping[str, Any] | None) -> str:
    """The lock in some lines; nothing if the machine is not locked."""
    if not lock or not lock["holders"]:
        return ""
    lines = ["This machine is locked by a kill switch: nothing leaves it but by tunnels"]
    if lock["lifted_for"]:
        lines = [f"This machine is locked by a kill switch, which is lifted for another {lock['lifted_for']} s"]
    for one in lock["holders"]:
        profile = f", profile {sanitize(one['profile'])}" if one["profile"] else ""
        gone = "" if one["session_there"] else "; the session is gone"
        lines.append(f"  {sanitize(one['user'])}{profile}, since {local_time(one['since'])}{gone}")
    who = ", ".join(dict.fromkeys(sanitize(one["user"]) for one in lock["holders"] if one["uid"] != 0))
    lines.append(f"  `ovpnctl unlock` ends it, called by {f'{who} or root' if who else 'root'}")
    return "\n".join(lines)
