"""What a session asks its user for: the questions, never the answers.

An answer goes straight on to the worker; here it is only noted that there was one.
"""

from collections.abc import Callable, Mapping

import msgspec

from ...ipc.messages import InputSlot
from ...policy.dbus_numbers import CREDENTIALS, InputGroup
from ...policy.limits import MAX_INPUT, MAX_PENDING_INPUT, MAX_SLOTS
from ..errors import RequestRefused


class TooManyQuestions(Exception):
    """The session has asked all that it may ask; the text is for its user."""


class _Slot(msgspec.Struct):
    number: int  # counts up for each group, over the session's life
    question: InputSlot
    answered: bool = False


class UserInput:
    """The questions of one session, in the order they were asked."""

    def __init__(self) -> None:
        self._slots: dict[InputGroup, list[_Slot]] = {}

    @property
    def missing(self) -> bool:
        """Whether a question has no answer yet."""
        return any(not slot.answered for slots in self._slots.values() for slot in slots)

    def ask(self, group: InputGroup, questions: tuple[InputSlot, ...]) -> None:
        """Add questions of a group; an unanswered one of the same name is asked no more.

        Raises TooManyQuestions.
        """
        slots = self._slots.setdefault(group, [])
        names = {question.name for question in questions}
        for slot in slots:
            slot.answered = slot.answered or slot.question.name in names
        if len(slots) + len(questions) > MAX_SLOTS:
            raise TooManyQuestions(f"The session asks more than {MAX_SLOTS} questions")
        slots += [_Slot(len(slots) + number, question) for number, question in enumerate(questions)]

    @property
    def kept(self) -> dict[InputGroup, list[tuple[str, bool]]]:
        """Name, and whether it has an answer, of each question."""
        return {group: [(one.question.name, one.answered) for one in slots] for group, slots in self._slots.items()}

    def restore(
        self, kept: dict[InputGroup, list[tuple[str, bool]]], asked: Mapping[InputGroup, tuple[InputSlot, ...]]
    ) -> dict[InputGroup, tuple[InputSlot, ...]]:
        """Have what was kept, with the words of what the worker still asks; what it asks that is not among these.

        What it does not ask, it has an answer to.
        """
        new = {}
        for group, questions in kept.items():
            slots = [_Slot(number, InputSlot(name, "", False), True) for number, (name, _) in enumerate(questions)]
            open_ones = {name: number for number, (name, answered) in enumerate(questions) if not answered}
            for question in asked.get(group, ()):
                if question.name in open_ones:
                    number = open_ones[question.name]
                    slots[number] = _Slot(number, question)
            self._slots[group] = slots
        for group, questions_of in asked.items():
            there = {slot.question.name for slot in self._slots.get(group, ()) if not slot.answered}
            if missing := tuple(one for one in questions_of if one.name not in there):
                new[group] = missing
        return new

    def withdraw(self, *groups: InputGroup) -> None:
        """Ask nothing any more of `groups`, or of any, that has no answer yet: nobody waits for one."""
        for group in groups or self._slots:
            for slot in self._slots.get(group, ()):
                slot.answered = True

    # D-Bus methods of the session object; `kind` is their `type` argument.

    def groups(self) -> list[tuple[int, int]]:
        """Type and group of each group with an unanswered question."""
        open_groups = [group for group, slots in self._slots.items() if any(not slot.answered for slot in slots)]
        return [(CREDENTIALS, group) for group in open_groups]

    def open_numbers(self, kind: int, group: int) -> list[int]:
        """The numbers of the unanswered questions of a group."""
        return [slot.number for slot in self._of(kind, group) if not slot.answered]

    def question(self, kind: int, group: int, number: int) -> tuple[int, int, int, str, str, bool]:
        """One question: type, group, number, name, label, hidden.

        Raises RequestRefused if there is none, or it has been answered.
        """
        slot = self._find(kind, group, number)
        return kind, group, number, slot.question.name, slot.question.label, slot.question.hidden

    def answer(self, kind: int, group: int, number: int, value: str, forward: Callable[[str], None]) -> None:
        """Take the answer to a question and `forward` it, with the question's name.

        Raises RequestRefused, and the question stays open.
        """
        if not self.missing:
            raise RequestRefused("User input not required")
        slot = self._find(kind, group, number)
        if not value:
            raise RequestRefused(f"net.openvpn.v3.error.invalid-input: No value provided for RequiresSlot ID {number}")
        limit = MAX_PENDING_INPUT if group == InputGroup.CHALLENGE_AUTH_PENDING else MAX_INPUT
        if len(value.encode()) > limit:
            raise RequestRefused(
                f"net.openvpn.v3.error.invalid-input: The value is longer than the {limit} bytes that OpenVPN takes"
            )
        if "\n" in value or "\r" in value:
            raise RequestRefused("net.openvpn.v3.error.invalid-input: The value is more than one line")
        slot.answered = True
        forward(slot.question.name)

    def _of(self, kind: int, group: int) -> list[_Slot]:
        return self._slots.get(InputGroup(group), []) if kind == CREDENTIALS and group in list(InputGroup) else []

    def _find(self, kind: int, group: int, number: int) -> _Slot:
        slots = self._of(kind, group)
        if number >= len(slots):
            raise RequestRefused("net.openvpn.v3.element-not-found: No requires queue element found")
        if slots[number].answered:
            raise RequestRefused("net.openvpn.v3.already-provided: User input already provided")
        return slots[number]
