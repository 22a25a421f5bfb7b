"""Sessions that the service starts by itself, as their owner finds them."""

import time
from contextlib import suppress

from ..lab.connection import SESSIONS_PATH, BusClient, BusError, Signal
from ..lab.processes import DEADLINE
from .sessions import CONNECTED, UserSession

LONG = 6 * DEADLINE  # seconds: with pauses of the service's between


def sessions(user: BusClient) -> list[str]:
    found: list[str] = user.session(SESSIONS_PATH, "FetchAvailableSessions")
    return found


def connected(user: BusClient, profile: str, *, but: str = "") -> UserSession:
    """The user's session of a profile, once it is connected, that has another path than `but`.

    It waits for signals: whoever asks all the time takes the processor from the session that is to connect.
    """
    until = time.monotonic() + LONG
    while True:
        seen = len(user.signals())
        for path in sessions(user):
            with suppress(BusError):  # gone meanwhile
                user.session(path, "UserInputQueueGetTypeGroup")  # whoever calls hears of its statuses from then on
                its = user.get(path, "config_path"), user.get(path, "status")[1]
                if path != but and its == (profile, CONNECTED):
                    return UserSession(user, profile, path)
        user.wait_signal(_of_sessions, until - time.monotonic(), since=seen, what="a session that is connected")


def _of_sessions(one: Signal) -> bool:
    return one.member in ("SessionManagerEvent", "StatusChange")
