"""What the service itself does with sessions for a user, as if that user had called it over the bus."""

from ...policy.access import Caller
from ..errors import SystemFailure
from .manager import SessionManager
from .session import Session
from .session_object import SessionObject
from .trial import questions


async def start_for(manager: SessionManager, user: int, config_path: str) -> Session:
    """As NewTunnel of that user.  Raises SupervisorError, OSError."""
    path = await manager.new_tunnel(Caller("", user), config_path)
    for session in manager.sessions:
        if session.path == path:
            return session
    raise SystemFailure("The session ended at once")


def answer_for(manager: SessionManager, user: int, session: Session, answers: dict[str, str]) -> None:
    """As UserInputProvide of that user, for each question that has one of the answers.  Raises CallerError."""
    shown = SessionObject(session, manager.on_bus.devices)
    for question in questions(session):
        if question.name in answers:
            which = question.kind, question.group, question.number
            shown.user_input_provide(Caller("", user), *which, answers[question.name])


async def connect_for(manager: SessionManager, user: int, session: Session) -> None:
    """As Connect of that user.  Raises CallerError."""
    locking = SessionObject(session, manager.on_bus.devices).connect(Caller("", user))
    if locking is not None:
        await locking
