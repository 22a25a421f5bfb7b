"""User name and password, against a server that checks them."""

import pytest

from ....policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMajor, StatusMinor
from ...lab.auth_server import Accept, Deny, Login, Verdict, knows
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.authentication import (
    ASKED_FOR_PASSWORD,
    AUTH_FAILED,
    MISSING,
    NEED_PASSWORD,
    ODD,
    ON_THE_WAY,
    REFUSED,
    Question,
    answer,
    connect,
    provide,
    questions,
    refusal,
    restart,
    story,
)
from ...support.sessions import CONNECTED, PAUSED, begin

USERNAME = Question(CREDENTIALS, InputGroup.USER_PASSWORD, 0, "username", "Auth User name", hidden=False)
PASSWORD = Question(CREDENTIALS, InputGroup.USER_PASSWORD, 1, "password", "Auth Password", hidden=True)
GOOD = {"username": "alice", "password": "open sesame"}
ASKS = ("auth-user-pass",)


def good(login: Login) -> Verdict:
    return knows(alice="open sesame")(login)


def test_the_right_password(lab: Lab) -> None:
    server = lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    assert story(session) == ASKED_FOR_PASSWORD
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CFG_REQUIRE_USER, NEED_PASSWORD]
    assert refusal(session, "Connect") == REFUSED + "Required user input not provided"
    assert answer(session, **GOOD) == [USERNAME, PASSWORD]
    before = session.seen
    connect(session)
    assert story(session, before) == [*ON_THE_WAY, "CONN_CONNECTED"]
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    [login] = server.logins
    assert (login.username, login.password) == ("alice", "open sesame")
    session.call("Ready")


@pytest.mark.parametrize(
    ("embedded", "typed"), [("alice\n", {"password": "open sesame"}), ("alice\nopen sesame\n", {})]
)
def test_what_the_profile_says_is_not_asked_for(lab: Lab, embedded: str, typed: dict[str, str]) -> None:
    server = lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=[f"<auth-user-pass>\n{embedded}</auth-user-pass>"])
    assert [question.name for question in questions(session)] == [*typed]
    connect(session, **typed)
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    assert [(login.username, login.password) for login in server.logins] == [("alice", "open sesame")]


def test_one_answer_at_a_time(lab: Lab) -> None:
    lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    provide(session, PASSWORD, "open sesame")
    assert refusal(session, "Ready") == MISSING and questions(session) == [USERNAME]
    again = refusal(session, "UserInputProvide", "uuus", 1, 1, 1, "another")
    assert again == REFUSED + "net.openvpn.v3.already-provided: User input already provided"
    unknown = refusal(session, "UserInputProvide", "uuus", 1, 1, 2, "another")
    assert unknown == REFUSED + "net.openvpn.v3.element-not-found: No requires queue element found"
    empty = refusal(session, "UserInputProvide", "uuus", 1, 1, 0, "")
    assert empty == REFUSED + "net.openvpn.v3.error.invalid-input: No value provided for RequiresSlot ID 0"
    provide(session, USERNAME, "alice")
    assert refusal(session, "UserInputProvide", "uuus", 1, 1, 0, "x") == REFUSED + "User input not required"
    connect(session)


def test_the_wrong_password(lab: Lab) -> None:
    lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    before = session.seen
    connect(session, AUTH_FAILED, username="alice", password="wrong")
    assert story(session, before) == [*ON_THE_WAY, "CONN_AUTH_FAILED Authentication failed"]
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_AUTH_FAILED, "Authentication failed"]
    session.call("Connect")  # no effect, no error
    before = session.seen
    session.call("Disconnect")
    assert story(session, before)[:2] == ["CONN_DISCONNECTING", "CONN_DONE"]


def test_the_servers_reason_is_not_lost(lab: Lab) -> None:
    lab.auth_server(lambda login: Deny("Your account is locked"))
    service = lab.supervisor()
    session = begin(lab, more=ASKS)
    _, _, text = connect(session, AUTH_FAILED, **GOOD)
    assert text.startswith("Authentication failed")
    service.process.wait_line("Your account is locked")


@pytest.mark.parametrize("password", ODD)
def test_passwords_reach_the_server_unchanged(lab: Lab, password: str) -> None:
    server = lab.auth_server(lambda login: Accept())
    lab.supervisor()
    connect(begin(lab, more=ASKS), username="alice", password=password)
    assert server.logins[0].password == password


@pytest.mark.parametrize("text", ["x" * 256, "ü" * 128, "x" * 100_000, "a\nsignal SIGTERM", "a\r\nb", "\n"])
def test_answers_that_openvpn_cannot_take(lab: Lab, text: str) -> None:
    server = lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    for question in (USERNAME, PASSWORD):
        number = question.number
        said = refusal(session, "UserInputProvide", "uuus", 1, 1, number, text)
        assert said.startswith(REFUSED + "net.openvpn.v3.error.invalid-input: ")
        assert text.strip()[:8] not in said or not text.strip()
    connect(session, **GOOD)
    assert len(server.logins) == 1


@pytest.mark.parametrize("more", [(), ("auth-nocache",)])
def test_reconnecting_asks_nothing(lab: Lab, more: tuple[str, ...]) -> None:
    server = lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=[*ASKS, *more])
    connect(session, **GOOD)
    before = session.seen
    restart(session)
    assert story(session, before) == ["CONN_RECONNECTING", "CONN_RECONNECTING", "CONN_CONNECTED"]
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)
    assert story(session, before) == ["CONN_RESUMING", "CONN_RECONNECTING", "CONN_CONNECTED"]
    assert [login.password for login in server.logins] == ["open sesame"] * 3


def test_a_lost_connection_comes_back_with_the_same_password(lab: Lab) -> None:
    server = lab.auth_server(good, protocol="tcp")
    lab.supervisor()
    session = begin(lab, more=ASKS, protocol="tcp")
    connect(session, **GOOD)
    before = session.seen
    server.stop()
    session.wait(StatusMinor.CONN_RECONNECTING, before)
    server.start()
    session.wait(CONNECTED, before)
    assert story(session, before)[-1] == "CONN_CONNECTED" and questions(session) == []


def test_a_password_that_is_no_longer_good(lab: Lab) -> None:
    server = lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, **GOOD)
    server.judge = lambda login: Deny()
    before = session.seen
    restart(session, AUTH_FAILED)
    assert story(session, before)[-1] == "CONN_AUTH_FAILED Authentication failed"
    assert lab.client_side.devices() == {"cable"} or "198.18.0.0/24" not in lab.client_side.routes()


TOKEN = 'push "auth-token a-token-of-the-server"'


@pytest.mark.parametrize("more", [(), ("auth-nocache",)])
def test_the_servers_token_takes_the_passwords_place(lab: Lab, more: tuple[str, ...]) -> None:
    def once(login: Login) -> Verdict:
        wanted = "one-time" if len(server.logins) == 1 else "a-token-of-the-server"
        return Accept((TOKEN,)) if login.password == wanted else Deny()

    server = lab.auth_server(once)
    lab.supervisor()
    session = begin(lab, more=[*ASKS, *more])
    connect(session, username="alice", password="one-time")
    before = session.seen
    restart(session)
    assert story(session, before) == ["CONN_RECONNECTING", "CONN_RECONNECTING", "CONN_CONNECTED"]
    assert server.logins[1].password == "a-token-of-the-server"


def test_after_an_expired_token_the_password_is_used_again(lab: Lab) -> None:
    def judge(login: Login) -> Verdict:
        return Accept((TOKEN,)) if login.password == "open sesame" else Deny()

    server = lab.auth_server(judge)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, **GOOD)
    before = session.seen
    restart(session)
    assert set(story(session, before)[:-1]) == {"CONN_RECONNECTING"} and story(session, before)[-1] == "CONN_CONNECTED"
    assert [login.password for login in server.logins] == ["open sesame", "a-token-of-the-server", "open sesame"]


def test_a_server_that_has_no_time_now_is_tried_again(lab: Lab) -> None:
    server = lab.auth_server(lambda login: Accept() if len(server.logins) > 1 else Deny("TEMP[backoff 1]:busy"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    before = session.seen
    connect(session, **GOOD)
    told = "CONN_CONNECTING The server lets nobody in for now: busy"
    assert story(session, before) == [*ON_THE_WAY, told, "CONN_CONNECTED"]
    assert [login.password for login in server.logins] == ["open sesame"] * 2


def test_embedded_credentials_ask_nothing(lab: Lab) -> None:
    lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=["<auth-user-pass>\nalice\nopen sesame\n</auth-user-pass>"])
    assert questions(session) == []
    assert refusal(session, "UserInputProvide", "uuus", 1, 1, 0, "x") == REFUSED + "User input not required"
    connect(session)
    restart(session)


def test_embedded_credentials_that_are_wrong(lab: Lab) -> None:
    lab.auth_server(good)
    lab.supervisor()
    session = begin(lab, more=["<auth-user-pass>\nalice\nwrong\n</auth-user-pass>"])
    connect(session, AUTH_FAILED)


def test_two_sessions_keep_their_passwords_apart(lab: Lab) -> None:
    server = lab.auth_server(knows(one="first", two="second"))
    lab.supervisor()
    first = begin(lab, "first", more=ASKS)
    second = begin(lab, "second", connection=first.user, more=ASKS)
    answer(first, username="one", password="first")
    answer(second, username="two", password="second")
    connect(second)
    connect(first)
    assert [login.username for login in server.logins] == ["two", "one"]
