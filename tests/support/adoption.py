"""A service that is killed, and the next one that takes over its sessions."""

import signal
from typing import Any

from ..lab.connection import SESSIONS_PATH
from ..lab.lab import Lab
from ..lab.service import Service
from .sessions import UserSession

_CHANGING = {"statistics", "last_log"}
_MEMBERS = ("SessionManagerEvent", "StatusChange", "AttentionRequired")


def kill(service: Service) -> None:
    """End it without a chance to do anything."""
    service.process.signal(signal.SIGKILL)
    service.process.wait()


def taken_over(lab: Lab, *options: str, sessions: int = 1) -> Service:
    """The next one, which has taken over so many."""
    service = lab.supervisor(*options)
    if sessions:
        service.process.wait_line(f"Took over {sessions} session")
    lab.watcher.get(SESSIONS_PATH, "version")  # it answers
    return service


def replaced(lab: Lab, service: Service) -> Service:
    """Kill it, and have the next one take over."""
    kill(service)
    return taken_over(lab)


def lasting(session: UserSession) -> dict[str, Any]:
    """The properties that do not change by themselves."""
    found = session.user.get_all(session.path)
    return {name: value for name, value in found.items() if name not in _CHANGING}


def told(session: UserSession, since: int) -> list[str]:
    """What the session's user has been told."""
    return [one.member for one in session.user.signals(since) if one.member in _MEMBERS]
