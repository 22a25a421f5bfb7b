"""Texts that a user typed: put together as the ordinary functions do it."""

import base64
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...worker.session import secret
from ...worker.session.management import ManagementConnection, quote
from ...worker.session.user_input import UserInput

TEXTS = st.binary(max_size=20) | st.text(alphabet='a"\\é', max_size=20).map(str.encode)


@given(TEXTS)
def test_base64_is_base64(text: bytes) -> None:
    assert secret.in_base64(bytearray(text)) == base64.b64encode(text)


@given(st.text(alphabet='a"\\é日 ', max_size=20))
def test_quoting_is_that_of_commands(text: str) -> None:
    assert secret.quoted(bytearray(text.encode())) == quote(text).encode()


@given(st.lists(TEXTS, max_size=4))
def test_joining_joins(parts: list[bytes]) -> None:
    assert secret.joined(*parts) == b"".join(parts)


@given(TEXTS)
def test_nothing_is_left_of_what_is_overwritten(text: bytes) -> None:
    buffer = bytearray(text)
    secret.overwrite(buffer)
    assert buffer == bytes(len(text))


def answers(**typed: str) -> UserInput:
    made = UserInput()
    for name, value in typed.items():
        made.take(name, memoryview(value.encode()))
    return made


@pytest.mark.parametrize("flags", [0, 2])
def test_an_answer_for_one_use_is_overwritten_then(flags: int) -> None:
    user_input = answers(username="alice", password="p", static_challenge="123456")
    typed = user_input._answers["static_challenge"]
    commands = user_input.wanted(f"Need 'Auth' username/password SC:{flags},Code?")
    assert isinstance(commands, list)
    expected = "SCRV1:cA==:MTIzNDU2" if flags == 0 else "p123456"
    assert commands == [bytearray(b'username "Auth" "alice"'), bytearray(f'password "Auth" "{expected}"'.encode())]
    assert typed == bytes(6)
    assert user_input._answers["password"] == b"p"  # a reconnect needs it again
    user_input.forget_all()


def test_all_answers_are_overwritten_at_the_end() -> None:
    user_input = answers(username="alice", password="p")
    kept = list(user_input._answers.values())
    user_input.forget_all()
    assert kept == [bytes(5), bytes(1)]


def test_a_command_is_overwritten_once_it_is_sent() -> None:
    ours, engines = socket.socketpair()
    connection = ManagementConnection(ours)
    command = bytearray(b'password "Auth" "p"')
    connection.send("hold release", command)
    assert engines.recv(100) == b'hold release\npassword "Auth" "p"\n'
    assert command == bytes(19)
    with pytest.raises(ValueError, match="one line"):
        connection.send(command := bytearray(b"a\nb"))
    assert command == bytes(3)
    ours.close()
    engines.close()
