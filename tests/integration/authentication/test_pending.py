"""What a server asks for once the password is right: opening a URL, or a text."""

import base64
import signal

import pytest

from ....policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMajor, StatusMinor
from ...lab.auth_server import Accept, AuthServer, Deny, Login, Pending, Verdict
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.authentication import (
    AUTH_FAILED,
    MISSING,
    ON_THE_WAY,
    OPEN_URL,
    REFUSED,
    REQUIRE_USER,
    Question,
    connect,
    provide,
    questions,
    refusal,
    restart,
    story,
)
from ...support.sessions import CONNECTED, FAILED, PAUSED, RECONNECTING, UserSession, begin

ASKS = ("auth-user-pass",)
GOOD = {"username": "alice", "password": "open sesame"}
URL = "https://idp.example/login?x=1&y=a:b"
CODE = Question(
    CREDENTIALS, InputGroup.CHALLENGE_AUTH_PENDING, 0, "auth_pending", "Enter the code: 6 digits", hidden=False
)


class Asking:
    """A judge who asks for a text once the password is right."""

    def __init__(self, code: str, extra: str = "CR_TEXT:R,E:Enter the code: 6 digits") -> None:
        self.code = code
        self.extra = extra
        self.responses: list[str] = []

    def __call__(self, login: Login) -> Verdict:
        if login.response is None:
            return Pending(self.extra)
        self.responses.append(login.response)
        return Accept() if login.response == self.code else Deny()


def pending(lab: Lab, extra: str) -> tuple[AuthServer, UserSession, int]:
    """A server that sends `extra`, a session about to hear it, and the number of its next signal."""
    server = lab.auth_server(lambda login: Pending(extra))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    before = session.seen
    for question in questions(session):
        provide(session, question, GOOD[question.name])
    session.call("Connect")
    return server, session, before


@pytest.mark.parametrize("form", ["WEB_AUTH::{}", "WEB_AUTH:external,hidden:{}", "OPEN_URL:{}"])
def test_a_url_to_open(lab: Lab, form: str) -> None:
    server, session, before = pending(lab, form.format(URL))
    session.wait(OPEN_URL, before)
    assert story(session, before) == [*ON_THE_WAY, f"attention OPEN_URL {URL}", f"SESSION SESS_AUTH_URL {URL}"]
    assert session.get("status") == [StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL, URL]
    assert refusal(session, "Ready") == "GDBus.Error:net.openvpn.v3.error.ready: Pending web authentication"
    assert questions(session) == []
    assert refusal(session, "UserInputProvide", "uuus", 1, 9, 0, "x") == REFUSED + "User input not required"
    session.call("Connect")  # no effect, no error
    before = session.seen
    server.decide(server.logins[0], Accept())
    session.wait(CONNECTED, before)
    assert story(session, before) == ["CONN_CONNECTED"]
    session.call("Ready")
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


def test_web_authentication_that_fails(lab: Lab) -> None:
    server, session, before = pending(lab, f"WEB_AUTH::{URL}")
    session.wait(OPEN_URL, before)
    server.decide(server.logins[0], Deny("not you"))
    session.wait(AUTH_FAILED, before)


def test_ending_a_session_while_the_browser_is_open(lab: Lab) -> None:
    _, session, before = pending(lab, f"WEB_AUTH::{URL}")
    session.wait(OPEN_URL, before)
    session.call("Disconnect")
    assert story(session, before)[-1].startswith("SESSION PROC_STOPPED")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "--help", "https://a b", "", "http:///x"])
def test_what_no_browser_should_open(lab: Lab, url: str) -> None:
    server, session, before = pending(lab, f"WEB_AUTH::{url}")
    _, _, text = session.wait(FAILED, before)
    assert "not a web page" in text
    assert not [line for line in story(session, before) if line.startswith(("SESSION SESS_AUTH_URL", "attention"))]
    assert len(server.logins) == 1


def test_the_url_again_at_the_next_connection(lab: Lab) -> None:
    server, session, before = pending(lab, f"WEB_AUTH::{URL}")
    session.wait(OPEN_URL, before)
    server.decide(server.logins[0], Accept())
    session.wait(CONNECTED, before)
    before = session.seen
    restart(session, OPEN_URL)
    assert story(session, before)[-2:] == [f"attention OPEN_URL {URL}", f"SESSION SESS_AUTH_URL {URL}"]
    server.decide(server.logins[1], Accept())
    session.wait(CONNECTED, before)


def test_a_text_to_type(lab: Lab) -> None:
    asking = Asking("123456")
    server = lab.auth_server(asking)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    before = session.seen
    connect(session, REQUIRE_USER, **GOOD)
    text = CODE.label
    assert story(session, before) == [
        *ON_THE_WAY,
        f"attention CHALLENGE_AUTH_PENDING {text}",
        f"CFG_REQUIRE_USER {text}",
    ]
    assert refusal(session, "Ready") == MISSING
    assert questions(session) == [CODE]
    before = session.seen
    provide(session, CODE, "123456")  # goes to the server at once
    session.wait(CONNECTED, before)
    session.call("Connect")  # as front-ends do all the same
    assert story(session, before) in (["CONN_CONNECTING", "CONN_CONNECTED"], ["CONN_CONNECTED"])
    assert asking.responses == ["123456"] and len(server.logins) == 2


def test_a_text_that_is_wrong(lab: Lab) -> None:
    lab.auth_server(Asking("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    before = session.seen
    provide(session, CODE, "654321")
    session.wait(AUTH_FAILED, before)


@pytest.mark.parametrize("text", ['say "friend"', "\\", "schlüssel", " x ", "y" * 150])
def test_texts_reach_the_server_unchanged(lab: Lab, text: str) -> None:
    asking = Asking(text)
    lab.auth_server(asking)
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    before = session.seen
    provide(session, CODE, text)
    session.wait(CONNECTED, before)
    assert asking.responses == [text]


def test_a_text_that_is_too_long_stays_asked(lab: Lab) -> None:
    lab.auth_server(Asking("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    # As base64 it does not fit into a command of the engine's.
    for text in ("z" * 255, "z" * 256):
        said = refusal(session, "UserInputProvide", "uuus", 1, 6, 0, text)
        assert said.startswith(REFUSED + "net.openvpn.v3.error.invalid-input: ")
    before = session.seen
    provide(session, CODE, "123456")
    session.wait(CONNECTED, before)


def test_a_hidden_text(lab: Lab) -> None:
    lab.auth_server(Asking("x", "CR_TEXT:R:Secret?"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    assert questions(session) == [
        Question(CREDENTIALS, InputGroup.CHALLENGE_AUTH_PENDING, 0, "auth_pending", "Secret?", hidden=True)
    ]


def test_a_text_that_wants_no_answer_is_logged(lab: Lab) -> None:
    server = lab.auth_server(lambda login: Pending("CR_TEXT::Confirm on your phone"))
    service = lab.supervisor()
    session = begin(lab, more=ASKS)
    before = session.seen
    for question in questions(session):
        provide(session, question, GOOD[question.name])
    session.call("Connect")
    service.process.wait_line("Confirm on your phone")
    assert questions(session) == []
    server.decide(server.logins[0], Accept())
    session.wait(CONNECTED, before)
    assert story(session, before) == [*ON_THE_WAY, "CONN_CONNECTED"]


def test_asked_although_the_profile_asks_for_nothing(lab: Lab) -> None:
    lab.auth_server(Asking("123456"), more=["auth-user-pass-optional"])
    lab.supervisor()
    session = begin(lab)
    session.call("Ready")
    connect(session, REQUIRE_USER)
    before = session.seen
    provide(session, CODE, "123456")
    session.wait(CONNECTED, before)


def test_the_text_again_at_the_next_connection(lab: Lab) -> None:
    lab.auth_server(Asking("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    for _ in range(2):
        before = session.seen
        if session.get("status") == [2, CONNECTED, ""]:
            restart(session, REQUIRE_USER)
        else:
            connect(session, REQUIRE_USER, **GOOD)
        [question] = questions(session)
        provide(session, question, "123456")
        session.wait(CONNECTED, before)


def test_a_server_that_does_not_wait_for_the_answer(lab: Lab) -> None:
    server = lab.auth_server(lambda login: Pending("CR_TEXT:R,E:The code, or tap on your phone"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    before = session.seen
    server.decide(server.logins[0], Accept())
    session.wait(CONNECTED, before)
    assert questions(session) == []
    session.call("Ready")
    # The session follows what its engine does as any other.
    before = session.seen
    session.engine.send_signal(signal.SIGUSR1)
    session.wait(RECONNECTING, before)
    session.wait(REQUIRE_USER, before)
    server.decide(server.logins[1], Accept())
    session.wait(CONNECTED, before)
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


def test_an_answer_after_the_server_has_given_up(lab: Lab) -> None:
    def judge(login: Login) -> Verdict:
        if login.response is None:
            return Pending("CR_TEXT:R,E:Enter the code", timeout=4)
        return Accept() if login.response == "2" else Deny()

    lab.auth_server(judge)
    service = lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    service.process.wait_line("Not connected|SIGUSR1.*received", 30.0)
    [question] = questions(session)
    before = session.seen
    provide(session, question, "1")
    session.wait(REQUIRE_USER, before)
    [question] = questions(session)
    provide(session, question, "2")
    session.wait(CONNECTED, before)


def test_the_question_of_a_login_that_is_given_up(lab: Lab) -> None:
    lab.auth_server(Asking("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    before = session.seen
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED, before)
    assert questions(session) == []
    assert refusal(session, "UserInputProvide", "uuus", 1, 6, 0, "123456") == REFUSED + "User input not required"
    before = session.seen
    session.call("Resume")
    session.wait(REQUIRE_USER, before)
    [question] = questions(session)
    provide(session, question, "123456")
    session.wait(CONNECTED, before)


def test_a_url_of_the_greatest_length(lab: Lab) -> None:
    url = "https://idp.example/" + base64.b32encode(b"x" * 120).decode()
    _, session, before = pending(lab, f"WEB_AUTH::{url}")
    assert session.wait(OPEN_URL, before) == (StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL, url)
