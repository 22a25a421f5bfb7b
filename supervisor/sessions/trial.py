"""What a session of a profile would ask its user, found out by a worker that is never asked to connect."""

from ...policy.dbus_numbers import InputGroup
from .session import Session, SessionListener
from .states import Event


class Trial(SessionListener):
    """Whoever would put the session on the bus; nobody is told of it."""

    def accepted(self, session: Session) -> None:
        session.happened(Event.ACCEPTED)

    def state_changed(self, session: Session) -> None:
        pass

    def status_changed(self, session: Session) -> None:
        pass

    def attention_required(self, session: Session, group: InputGroup, text: str) -> None:
        pass

    def removed(self, session: Session) -> None:
        pass

    def ended(self, session: Session) -> None:
        pass


def questions(session: Session) -> list[str]:
    """What a session asks now, as its user would read it."""
    asked = session.user_input
    return [
        asked.question(kind, group, number)[4]
        for kind, group in asked.groups()
        for number in asked.open_numbers(kind, group)
    ]
