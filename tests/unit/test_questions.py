"""The supervisor's questions to a user: how many, in which order, and which answers it passes on."""

from collections.abc import Callable

import pytest

from ...ipc.messages import InputSlot
from ...policy.dbus_numbers import CREDENTIALS, InputGroup
from ...policy.limits import MAX_INPUT, MAX_PENDING_INPUT, MAX_SLOTS
from ...supervisor.errors import RequestRefused
from ...supervisor.sessions.user_input import TooManyQuestions, UserInput

LOGIN = (InputSlot("username", "User", False), InputSlot("password", "Password", True))
CODE = (InputSlot("code", "Code", True),)
USER, PENDING = InputGroup.USER_PASSWORD, InputGroup.CHALLENGE_AUTH_PENDING


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(RequestRefused) as raised:
        call()
    return str(raised.value)


def answered(asked: UserInput, group: InputGroup, number: int, value: str) -> str:
    """The name with which an answer is passed on."""
    passed_on: list[str] = []
    asked.answer(CREDENTIALS, group, number, value, passed_on.append)
    [name] = passed_on
    return name


def test_questions_are_answered_once_each() -> None:
    asked = UserInput()
    assert not asked.missing and asked.groups() == []
    asked.ask(USER, LOGIN)
    assert asked.missing and asked.groups() == [(CREDENTIALS, USER)]
    assert asked.open_numbers(CREDENTIALS, USER) == [0, 1]
    assert asked.question(CREDENTIALS, USER, 1) == (CREDENTIALS, USER, 1, "password", "Password", True)
    assert answered(asked, USER, 1, "secret") == "password"
    assert asked.open_numbers(CREDENTIALS, USER) == [0] and asked.missing
    for call in (
        lambda: answered(asked, USER, 1, "secret"),
        lambda: asked.question(CREDENTIALS, USER, 1),
    ):
        assert refusal(call) == "net.openvpn.v3.already-provided: User input already provided"
    assert answered(asked, USER, 0, "alice") == "username"
    assert not asked.missing and asked.groups() == [] and asked.open_numbers(CREDENTIALS, USER) == []
    assert refusal(lambda: answered(asked, USER, 0, "alice")) == "User input not required"


@pytest.mark.parametrize(
    ("kind", "group", "number"),
    [(CREDENTIALS, USER, 2), (CREDENTIALS, USER, 3), (CREDENTIALS, PENDING, 0), (CREDENTIALS + 1, USER, 0),
     (CREDENTIALS, 9999, 0)],
)  # fmt: skip
def test_what_is_not_asked(kind: int, group: int, number: int) -> None:
    asked = UserInput()
    asked.ask(USER, LOGIN)
    text = "net.openvpn.v3.element-not-found: No requires queue element found"
    assert refusal(lambda: asked.question(kind, group, number)) == text
    assert refusal(lambda: asked.answer(kind, group, number, "x", lambda name: None)) == text
    if number != 2:
        assert asked.open_numbers(kind, group) == [] or group == USER


@pytest.mark.parametrize(("group", "limit"), [(USER, MAX_INPUT), (PENDING, MAX_PENDING_INPUT)])
def test_how_long_an_answer_may_be(group: InputGroup, limit: int) -> None:
    assert (MAX_INPUT, MAX_PENDING_INPUT) == (255, 189)  # what the engine takes; the latter in base64
    asked = UserInput()
    asked.ask(group, CODE)
    text = f"net.openvpn.v3.error.invalid-input: The value is longer than the {limit} bytes that OpenVPN takes"
    assert refusal(lambda: answered(asked, group, 0, "x" * (limit + 1))) == text
    assert refusal(lambda: answered(asked, group, 0, "é" * (limit // 2) + "xy")) == text
    assert asked.open_numbers(CREDENTIALS, group) == [0]
    assert answered(asked, group, 0, "é" * (limit // 2) + "x") == "code"


@pytest.mark.parametrize("value", ["", "a\nb", "a\r", "\n"])
def test_an_answer_is_one_line(value: str) -> None:
    asked = UserInput()
    asked.ask(USER, CODE)
    assert refusal(lambda: answered(asked, USER, 0, value)).startswith("net.openvpn.v3.error.invalid-input: ")
    assert asked.open_numbers(CREDENTIALS, USER) == [0]


def test_the_same_question_again_takes_the_place_of_the_first() -> None:
    asked = UserInput()
    asked.ask(USER, LOGIN)
    asked.ask(USER, LOGIN[1:])
    assert asked.open_numbers(CREDENTIALS, USER) == [0, 2]
    assert answered(asked, USER, 2, "secret") == "password"


def test_what_nobody_waits_for_any_more() -> None:
    asked = UserInput()
    asked.ask(USER, LOGIN)
    asked.ask(PENDING, CODE)
    asked.withdraw(PENDING, InputGroup.CHALLENGE_STATIC)
    assert asked.groups() == [(CREDENTIALS, USER)]
    asked.withdraw()
    assert asked.groups() == [] and not asked.missing


def test_a_worker_asks_so_much_and_no_more() -> None:
    asked = UserInput()
    for _ in range(MAX_SLOTS - 2):
        asked.ask(USER, CODE)
    asked.ask(PENDING, CODE)  # counts for itself
    asked.ask(USER, LOGIN)
    with pytest.raises(TooManyQuestions, match=f"^The session asks more than {MAX_SLOTS} questions$"):
        asked.ask(USER, CODE)
    assert asked.open_numbers(CREDENTIALS, USER) == [MAX_SLOTS - 2, MAX_SLOTS - 1]
