"""What a worker makes of its user's answers: what the engine is told, what is asked anew, what is kept how long."""

import base64

import pytest

from ...ipc.messages import InputSlot
from ...policy.dbus_numbers import InputGroup
from ...worker.profile.compiler import compile_profile
from ...worker.session.questions import CannotAnswer, Commands, Questions
from ...worker.session.user_input import UserInput

LOGIN, STATIC = "Need 'Auth' username/password", "Need 'Auth' username/password SC:%d,Your code"
KEY = "Need 'Private Key' password"
PROXIES = ["HTTP Proxy", "SOCKS Proxy"]


def user_with(**answers: str) -> UserInput:
    user = UserInput()
    give(user, **answers)
    return user


def give(user: UserInput, **answers: str) -> None:
    for name, value in answers.items():
        user.take(name, memoryview(value.encode()))


def told(reply: Commands | Questions) -> list[str]:
    """The commands that a reply is."""
    assert isinstance(reply, list)
    return [command if isinstance(command, str) else command.decode() for command in reply]


def asked(reply: Commands | Questions | None) -> tuple[InputGroup, list[str]]:
    """The questions that a reply is: their group and names."""
    assert isinstance(reply, Questions)
    return reply.group, [slot.name for slot in reply.slots]


@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_that_asks_again_did_not_like_the_answers(kind: str) -> None:
    query = f"Need '{kind}' username/password"
    questions = (InputGroup.HTTP_PROXY_CREDS, ["http_proxy_user", "http_proxy_pass"])
    user = UserInput()
    assert asked(user.wanted(query)) == questions and user.query == query
    for password in ("first", "second"):
        give(user, http_proxy_user="me")
        assert asked(user.wanted(query)) == questions
        give(user, http_proxy_pass=password)
        assert told(user.wanted(query)) == [f'username "{kind}" "me"', f'password "{kind}" "{password}"']
        assert user.query == ""
        assert asked(user.wanted(query)) == questions


def test_only_what_is_missing_of_a_login_is_asked_for() -> None:
    user = UserInput()
    assert asked(user.wanted(LOGIN)) == (InputGroup.USER_PASSWORD, ["username", "password"])
    give(user, username="alice")
    assert asked(user.wanted(LOGIN)) == (InputGroup.USER_PASSWORD, ["password"])
    give(user, password="secret")
    for _ in range(2):  # it is kept: a server may want it again
        assert told(user.wanted(LOGIN)) == ['username "Auth" "alice"', 'password "Auth" "secret"']
        user.login_accepted()
        assert user.before_attempt() == []
    user.forget_all()
    assert asked(user.wanted(LOGIN)) == (InputGroup.USER_PASSWORD, ["username", "password"])


PROFILE = "client\ndev tun\nremote vpn.example\n<ca>\nCA\n</ca>\n<auth-user-pass>\nalice\n{}</auth-user-pass>\n{}\n"


def test_what_the_profile_says_of_a_login_is_not_asked_for() -> None:
    user = UserInput()
    [login] = user.before_connecting(compile_profile(PROFILE.format("", "")))
    assert asked(login) == (InputGroup.USER_PASSWORD, ["password"])
    give(user, password="secret")
    assert told(user.wanted(LOGIN)) == ['username "Auth" "alice"', 'password "Auth" "secret"']


@pytest.mark.parametrize(("form", "sent"), [("scrv1", "SCRV1:c2VjcmV0:MTIz"), ("concat", "secret123")])
def test_the_answer_to_a_static_challenge_goes_with_a_password_of_the_profile(form: str, sent: str) -> None:
    user = UserInput()
    profile = compile_profile(PROFILE.format("secret\n", f"static-challenge 'Your code' 1 {form}"))
    [challenge] = user.before_connecting(profile)
    assert asked(challenge) == (InputGroup.CHALLENGE_STATIC, ["static_challenge"])
    give(user, static_challenge="123")
    assert told(user.wanted(STATIC % 1)) == ['username "Auth" "alice"', f'password "Auth" "{sent}"']


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_the_answer_to_a_static_challenge_is_for_one_login(flags: int) -> None:
    user, query = user_with(username="alice", password="secret"), STATIC % flags
    reply = user.wanted(query)
    hidden = not flags & 1
    assert isinstance(reply, Questions)
    assert reply.slots == (InputSlot("static_challenge", "Your code", hidden),)
    assert (reply.group, reply.attention, reply.status) == (
        InputGroup.CHALLENGE_STATIC, "Your code", "Static Challenge",
    )  # fmt: skip
    give(user, static_challenge="123")
    encoded = [base64.b64encode(part).decode() for part in (b"secret", b"123")]
    password = "secret123" if flags & 2 else f"SCRV1:{encoded[0]}:{encoded[1]}"
    assert told(user.wanted(query)) == ['username "Auth" "alice"', f'password "Auth" "{password}"']
    assert asked(user.wanted(query)) == (InputGroup.CHALLENGE_STATIC, ["static_challenge"])


@pytest.mark.parametrize("token", [False, True])
def test_the_engine_forgets_a_login_that_counts_once_unless_it_has_a_token(token: bool) -> None:
    user = user_with(username="alice", password="secret", static_challenge="123")
    user.wanted(STATIC % 0)
    assert user.before_attempt() == []  # it was not accepted: the engine asks again by itself
    if token:
        user.auth_token_received()
    user.login_accepted()
    assert user.before_attempt() == ([] if token else ["forget-passwords"])
    assert user.before_attempt() == []


def challenge(flags: str, text: str = "Enter: code", user: str = "alice") -> str:
    return f"CRV1:{flags}:state7:{base64.b64encode(user.encode()).decode()}:{text}"


@pytest.mark.parametrize(("flags", "hidden"), [("R", True), ("R,E", False), ("E,R", False)])
def test_a_dynamic_challenge_that_wants_a_response(flags: str, hidden: bool) -> None:
    user = user_with(username="alice", password="secret")
    questions, text = user.refused_with(challenge(flags))
    assert text == "Enter: code" and user.challenged
    assert questions is not None and questions.slots == (InputSlot("dynamic_challenge", "Enter: code", hidden),)
    assert (questions.group, questions.status) == (InputGroup.CHALLENGE_DYNAMIC, "Dynamic Challenge")
    give(user, dynamic_challenge="42")
    assert told(user.wanted(LOGIN)) == ['username "Auth" "alice"', 'password "Auth" "CRV1::state7::42"']
    assert not user.challenged
    user.login_accepted()
    assert user.before_attempt() == ["forget-passwords"]
    assert told(user.wanted(LOGIN))[1] == 'password "Auth" "secret"'


def test_a_dynamic_challenge_that_only_says_something() -> None:
    user = user_with(dynamic_challenge="not for this one")
    assert user.refused_with(challenge("E")) == (None, "Enter: code") and user.challenged
    assert told(user.wanted(LOGIN)) == ['username "Auth" "alice"', 'password "Auth" "CRV1::state7::"']


@pytest.mark.parametrize(
    ("text", "reason"),
    [("CRV1:R:state:YQ==", "is malformed"), ("CRV1:R:state:?:text", "contains no valid user name"),
     ("CRV1:R:state:/w==:text", "contains no valid user name")],
)  # fmt: skip
def test_a_challenge_that_is_none(text: str, reason: str) -> None:
    user = UserInput()
    with pytest.raises(CannotAnswer, match=f"^the server's challenge {reason}$"):
        user.refused_with(text)
    assert not user.challenged


def test_the_passphrase_of_a_key_is_kept() -> None:
    user = UserInput()
    assert asked(user.wanted(KEY)) == (InputGroup.PK_PASSPHRASE, ["pk_passphrase"]) and not user.passphrase_given
    give(user, pk_passphrase='a "b" \\')
    assert user.passphrase_given
    for _ in range(2):
        assert told(user.wanted(KEY)) == ['password "Private Key" "a \\"b\\" \\\\"']


@pytest.mark.parametrize(("flags", "hidden"), [("R", True), ("R,E", False)])
def test_a_question_while_a_login_is_under_way(flags: str, hidden: bool) -> None:
    user = UserInput()
    question = user.pending(flags, "code,\nplease")
    assert question.slots == (InputSlot("auth_pending", "code, please", hidden),)
    assert (question.group, question.attention, question.status) == (
        InputGroup.CHALLENGE_AUTH_PENDING, "code, please", "code, please",
    )  # fmt: skip
    give(user, auth_pending="42")
    assert user.pending_response() == b"cr-response NDI="
    assert user.pending_response() == b"cr-response "


@pytest.mark.parametrize("length", [255, 256])
def test_an_answer_is_as_long_as_a_command_takes(length: int) -> None:
    user = user_with(pk_passphrase="x" * length)
    if length == 255:
        assert told(user.wanted(KEY)) == [f'password "Private Key" "{"x" * 255}"']
    else:
        with pytest.raises(CannotAnswer, match="more than the 255 bytes"):
            user.wanted(KEY)
