"""What a session of a profile would ask its user, found out by a worker that is never asked to connect."""

import msgspec

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


class Question(msgspec.Struct, frozen=True):
    """A question that has no answer yet; `kind`, `group` and `number` tell it from the others of its session."""

    kind: int
    group: int
    number: int
    name: str
    label: str


def questions(session: Session) -> list[Question]:
    """What a session asks now."""
    asked = session.user_input
    return [
        Question(*asked.question(kind, group, number)[:5])
        for kind, group in asked.groups()
        for number in asked.open_numbers(kind, group)
    ]
