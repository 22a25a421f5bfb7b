"""What still holds of all that a worker has told, so that it can tell another supervisor that takes it over."""

from collections.abc import Iterator

from msgspec.structs import replace

from ...ipc import messages
from ...policy.dbus_numbers import InputGroup
from ...policy.reports import About

# Of these the latest holds, whatever else happens.
_LATEST = (messages.Servers, messages.Negotiated, messages.Traffic)


class Standing:
    """The messages that hold, each kind once; of answers only that they were given."""

    def __init__(self) -> None:
        self.last_words: messages.ToSupervisor | None = None  # why the session is over
        self._latest: dict[type[messages.ToSupervisor], messages.ToSupervisor] = {}
        self._notices: dict[About, messages.Notices] = {}
        self._questions: dict[InputGroup, messages.InputNeeded] = {}
        self._settings: messages.ApplyNetwork | messages.ClearNetwork | None = None
        self._course: messages.ToSupervisor | None = None  # connected, or why not any more
        self._url: messages.UrlNeeded | None = None
        self.said_connected = False  # and not since that it is so no more

    def told(self, message: messages.ToSupervisor) -> None:
        """Take note of what is being told."""
        if isinstance(message, _LATEST):
            self._latest[type(message)] = message
        elif isinstance(message, messages.Notices):
            self._notices[message.about] = message
        elif isinstance(message, messages.ApplyNetwork | messages.ClearNetwork):
            self._settings = message
        elif isinstance(message, messages.InputNeeded):
            self._questions[message.group] = message
        elif isinstance(message, messages.UrlNeeded):
            self._url = message
        elif isinstance(message, messages.Connected):
            self._course, self._url, self.said_connected = message, None, True
            self._questions.clear()
        elif isinstance(message, messages.Reconnecting | messages.AttemptFailed | messages.Paused):
            self.interrupted()
            if not isinstance(message, messages.AttemptFailed):
                self.said_connected = False
                self._course = message if isinstance(message, messages.Reconnecting) else None
        elif isinstance(message, messages.LAST_WORDS):
            self.last_words = message

    def answered(self, group: InputGroup, name: str) -> None:
        """The user has answered this question."""
        asked = self._questions.pop(group, None)
        if asked is not None and (slots := tuple(slot for slot in asked.slots if slot.name != name)):
            self._questions[group] = replace(asked, slots=slots)

    def interrupted(self) -> None:
        """What was asked about the login that is under way concerns nobody any more."""
        self._questions.pop(InputGroup.CHALLENGE_AUTH_PENDING, None)
        self._url = None

    def given_up(self) -> None:
        """The connection is lost, or about to be: nobody who asks later is to take it for one."""
        if isinstance(self._course, messages.Connected):
            self._course = None

    def all(self) -> Iterator[messages.ToSupervisor]:
        """What holds, in an order in which it could have been told."""
        yield from self._latest.values()
        yield from self._notices.values()
        yield from self._questions.values()
        for one in (self._settings, self._url, self._course, self.last_words):
            if one is not None:
                yield one
