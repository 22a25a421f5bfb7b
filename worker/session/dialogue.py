"""What passes between the engine, which asks, and the session's user, who answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ipc import messages
from ...policy.dbus_numbers import InputGroup
from . import secret
from .phase import Phase
from .pkcs11_prompts import WrongPin
from .questions import CannotAnswer, Commands, Questions

if TYPE_CHECKING:
    from .session import Session


class Dialogue:
    """The questions of one session's engine, and the answers to them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def tell(self, asked: Questions) -> None:
        """Have the supervisor put questions to the user."""
        self._session.tell(
            messages.InputNeeded(self._session.request_number, asked.group, asked.slots, asked.attention, asked.status)
        )

    def ask(self, asked: Questions) -> None:
        """Put questions to the user; Connect goes on when they are answered."""
        session = self._session
        if not session.connecting:
            return  # what the engine said just before it was paused; it asks again when it goes on
        session.timers.cancel("connect")
        session.attempts.put_off()
        session.phase = Phase.WAITING
        self.tell(asked)

    def input_wanted(self, query: str) -> None:
        """The engine asks for something a user types: answer from memory, or ask the user."""
        try:
            self.reply(self._session.user_input.wanted(query))
        except WrongPin as error:
            self._session.fail(str(error))
        except CannotAnswer as error:
            self._session.fail(f"The session cannot go on: {error}")

    def reply(self, reply: Commands | Questions) -> None:
        """Give the engine the commands that answer it, or ask the user."""
        if isinstance(reply, Questions):
            self.ask(reply)
        else:
            self._session.command(*reply)

    def answered(self, answer: messages.Answer) -> None:
        """The user typed something."""
        session = self._session
        pending = answer.group is InputGroup.CHALLENGE_AUTH_PENDING
        if pending and session.phase != Phase.WAITING:
            return  # the login that it is for is over
        session.user_input.take(answer.name, answer.value)
        if pending:
            response = session.user_input.pending_response()
            session.phase = Phase.RUNNING
            session.await_connection()
            if session.attempts.engine_holds:
                secret.overwrite(response)  # the server has given up that login; it asks anew in the next
                session.attempts.begin()
            else:
                session.command_unlogged(response)

    def open_url(self, url: str) -> None:
        """The user has to open a URL; the server goes on when that is done."""
        if not self._session.connecting:
            return  # as with questions
        self._session.timers.cancel("connect")
        self._session.tell(messages.UrlNeeded(self._session.request_number, url))
