"""Questions to a session's user, in the form that the parts of a worker exchange."""

import msgspec

from ...ipc.messages import InputSlot
from ...policy.dbus_numbers import InputGroup

_MAX_LINE = 255  # characters
_NO_TEXT = "Please answer the server's question"


class Questions(msgspec.Struct, frozen=True):
    """Questions of one group, and the texts that go with them."""

    group: InputGroup
    slots: tuple[InputSlot, ...]
    attention: str
    status: str


# Commands for the engine; those in a bytearray are overwritten when they are sent.
Commands = list[str | bytearray]


class CannotAnswer(Exception):
    """The engine asks for something that there is no way to answer; the text says why."""


def one_line(text: str) -> str:
    """Untrusted text as one printable line."""
    line = "".join(character if character.isprintable() else " " for character in text)[:_MAX_LINE]
    return line.strip() or _NO_TEXT
