"""The dialogue between the engine, which asks, and the session's user, who answers."""

from ...ipc import messages
from ...policy.causes import Cause
from ...policy.dbus_numbers import InputGroup
from . import secret
from .attempts import Attempts
from .downlink import Downlink
from .phases import Event, PhaseMachine
from .pkcs11_prompts import WrongPin
from .questions import CannotAnswer, Commands, Questions
from .uplink import Uplink
from .user_input import UserInput


class Dialogue:
    """The questions of one session's engine, and the answers to them."""

    def __init__(
        self, uplink: Uplink, downlink: Downlink, machine: PhaseMachine, attempts: Attempts, user_input: UserInput
    ) -> None:
        self._uplink = uplink
        self._downlink = downlink
        self._machine = machine
        self._attempts = attempts
        self._user_input = user_input

    def tell(self, asked: Questions) -> None:
        """Have the supervisor put questions to the user."""
        self._uplink.tell(
            messages.InputNeeded(self._uplink.request_number, asked.group, asked.slots, asked.attention, asked.status)
        )

    def ask(self, asked: Questions) -> None:
        """Put questions to the user; Connect goes on when they are answered."""
        if self._machine.happened(Event.INPUT_NEEDED):
            self.tell(asked)

    def input_wanted(self, query: str) -> None:
        """The engine asks for something a user types: answer from memory, or ask the user."""
        try:
            self.reply(self._user_input.wanted(query))
        except WrongPin as error:
            self._machine.failed(str(error), Cause.TOKEN_UNUSABLE)
        except CannotAnswer as error:
            self._machine.failed(f"The session cannot go on: {error}", Cause.SERVER_DEMANDS)

    def reply(self, reply: Commands | Questions) -> None:
        """Give the engine the commands that answer it, or ask the user."""
        if isinstance(reply, Questions):
            self.ask(reply)
        else:
            self._downlink.command(*reply)

    def answered(self, answer: messages.UserAnswer) -> None:
        """The user typed something."""
        if answer.group is not InputGroup.CHALLENGE_AUTH_PENDING:
            self._user_input.take(answer.name, answer.value)
        elif self._machine.happened(Event.ANSWERED):  # otherwise the login that it is for is over
            self._user_input.take(answer.name, answer.value)
            response = self._user_input.pending_response()
            if self._attempts.engine_holds:
                secret.overwrite(response)  # the server has given up that login; it asks anew in the next
                self._attempts.allow()
            else:
                self._downlink.command_unlogged(response)

    def open_url(self, url: str) -> None:
        """The user has to open a URL; the server goes on when that is done."""
        if self._machine.happened(Event.URL_NEEDED):
            self._user_input.asked_at_login = True
            self._uplink.tell(messages.UrlNeeded(self._uplink.request_number, url))
