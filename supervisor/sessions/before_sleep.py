"""Sessions that are paused or ended before the machine sleeps, as their profiles' setting on-resume says."""

import asyncio
from collections.abc import Callable

from ...policy.dbus_numbers import LogCategory, LogGroup
from .session import Session
from .states import TABLE, Event, State

_LIVES = frozenset(State) - {
    *(State.STARTING, State.READY, State.PARKED),
    *(State.AUTH_FAILED, State.FAILED, State.GONE),
}


class BeforeSleep:
    """Knows which sessions have something to do before that; `wanted` hears whether there are any."""

    def __init__(self) -> None:
        self.wanted: Callable[[bool], None] = lambda any_do: None
        self._sessions: dict[str, Session] = {}  # by path
        self._changed = asyncio.Event()

    def follow(self, session: Session) -> None:
        """The session's state has changed."""
        if session.settings.on_resume == "reconnect":
            return
        self._changed.set()
        had = bool(self._sessions)
        if _event(session) is not None or session.state is State.PAUSING:
            self._sessions[session.path] = session
        else:
            self._sessions.pop(session.path, None)
        if bool(self._sessions) is not had:
            self.wanted(not had)

    async def prepare(self) -> None:
        """Pause and end sessions; returns when that is done."""
        sessions = list(self._sessions.values())
        for session in sessions:
            event = _event(session)
            if event is None:
                continue
            what = "paused" if event is Event.PAUSE else "ended"
            session.log.write(LogCategory.INFO, f"The machine sleeps: the session is {what}", LogGroup.SESSIONMGR)
            if event is Event.PAUSE:
                session.happened(event, "the machine sleeps")
            else:
                session.happened(event)
                session.lock.let_go(session.ended)
        while any(session.state is State.PAUSING for session in sessions):
            self._changed.clear()
            await self._changed.wait()
        for session in sessions:
            if session.state is State.GONE:
                await session.ended.wait()


def _event(session: Session) -> Event | None:
    """What is to happen to a session before the machine sleeps."""
    if session.state not in _LIVES:
        return None
    if session.settings.on_resume == "disconnect":
        return Event.DISCONNECT
    return Event.PAUSE if (session.state, Event.PAUSE) in TABLE else None
