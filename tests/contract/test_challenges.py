"""What a server asks for on the way: one more answer, a text, a web page."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ...policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMajor, StatusMinor
from ..lab.auth_server import (
    Accept,
    AuthServer,
    Deny,
    Judge,
    Login,
    Pending,
    Verdict,
    dynamic_challenge,
)
from ..lab.connection import BusClient
from ..lab.lab import Lab
from . import statuses
from .subject import READY, SUBJECT, Begin, Session, error_of, gdbus_error

_PORT = 1197
_PAGE = "https://idp.example/login?x=1"
_ON_THE_WAY = [statuses.CONFIGURED, statuses.CONNECTING, statuses.CONNECTING]


@contextmanager
def _server(served_lab: Lab, judge: Judge) -> Iterator[AuthServer]:
    made = served_lab.auth_server(judge, port=_PORT)
    try:
        yield made
    finally:
        made.stop()


Ask = Callable[[], Session]


@pytest.fixture
def asked(begin: Begin) -> Ask:
    """Makes a session that knows name and password."""

    def make() -> Session:
        session = begin(remotes=[f"198.51.100.1 {_PORT}"], more=["auth-user-pass"])
        session.watch()
        session.call("UserInputProvide", "uuus", 1, 1, 0, "alice")
        session.call("UserInputProvide", "uuus", 1, 1, 1, "good")
        session.call("Ready")
        return session

    return make


def _attention(session: Session, group: int) -> list[object]:
    signal = session.user.wait_signal(lambda one: one.member == "AttentionRequired" and one.arguments[1] == group)
    return list(signal.arguments)


def test_a_dynamic_challenge(served_lab: Lab, asked: Ask) -> None:
    def judge(login: Login) -> Verdict:
        if login.password.startswith("CRV1"):
            return Accept() if login.password == "CRV1::state::123456" else Deny()
        return dynamic_challenge("state", "alice", "The number on the card?")

    with _server(served_lab, judge):
        session = asked()
        before = session.seen
        session.call("Connect")
        assert session.wait(StatusMinor.CFG_REQUIRE_USER, before) == (
            StatusMajor.CONNECTION,
            StatusMinor.CFG_REQUIRE_USER,
            "Dynamic Challenge",
        )
        assert session.statuses(before) == [*_ON_THE_WAY, statuses.INPUT_NEEDED]
        assert _attention(session, InputGroup.CHALLENGE_DYNAMIC) == [
            CREDENTIALS,
            InputGroup.CHALLENGE_DYNAMIC,
            "The number on the card?",
        ]
        assert error_of(session.user, session.path, "Ready") == gdbus_error(READY, "Missing user credentials")
        assert session.call("UserInputQueueGetTypeGroup") == [[1, 5]]
        [number] = session.call("UserInputQueueCheck", "uu", 1, 5)
        question = session.call("UserInputQueueFetch", "uuu", 1, 5, number)
        assert question == [
            CREDENTIALS,
            InputGroup.CHALLENGE_DYNAMIC,
            number,
            "dynamic_challenge",
            "The number on the card?",
            False,
        ]
        session.call("UserInputProvide", "uuus", 1, 5, number, "123456")
        session.call("Ready")
        before = session.seen
        session.call("Connect")
        session.wait(StatusMinor.CONN_CONNECTED, before)
        assert session.statuses(before) == [*_ON_THE_WAY, statuses.CONNECTED]


def test_a_web_page(served_lab: Lab, asked: Ask) -> None:
    with _server(served_lab, lambda login: Pending(f"WEB_AUTH::{_PAGE}")) as server:
        session = asked()
        before = session.seen
        session.call("Connect")
        assert session.wait(StatusMinor.SESS_AUTH_URL, before) == (
            StatusMajor.SESSION,
            StatusMinor.SESS_AUTH_URL,
            _PAGE,
        )
        assert session.statuses(before) == [*_ON_THE_WAY, statuses.WEB_PAGE]
        assert session.get("status") == [StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL, _PAGE]
        assert _attention(session, InputGroup.OPEN_URL) == [CREDENTIALS, InputGroup.OPEN_URL, _PAGE]
        assert error_of(session.user, session.path, "Ready") == gdbus_error(READY, "Pending web authentication")
        session.call("Connect")
        before = session.seen
        server.decide(server.wait_login(), Accept())
        session.wait(StatusMinor.CONN_CONNECTED, before)
        assert session.statuses(before) == [statuses.CONNECTED]


def test_no_device_is_shown_while_a_page_is_waited_for(served_lab: Lab, asked: Ask) -> None:
    with _server(served_lab, lambda login: Pending(f"WEB_AUTH::{_PAGE}")):
        session = asked()
        session.call("Connect")
        session.wait(StatusMinor.SESS_AUTH_URL)
        assert session.get("device_name") == ""


def test_a_text(served_lab: Lab, asked: Ask) -> None:
    def judge(login: Login) -> Verdict:
        if login.response is None:
            return Pending("CR_TEXT:R,E:Enter the code")
        return Accept() if login.response == "424242" else Deny()

    with _server(served_lab, judge):
        session = asked()
        before = session.seen
        session.call("Connect")
        assert session.wait(StatusMinor.CFG_REQUIRE_USER, before) == (
            StatusMajor.CONNECTION,
            StatusMinor.CFG_REQUIRE_USER,
            "Enter the code",
        )
        assert _attention(session, InputGroup.CHALLENGE_AUTH_PENDING) == [
            CREDENTIALS,
            InputGroup.CHALLENGE_AUTH_PENDING,
            "Enter the code",
        ]
        assert session.call("UserInputQueueGetTypeGroup") == [[1, 6]]
        [number] = session.call("UserInputQueueCheck", "uu", 1, 6)
        question = session.call("UserInputQueueFetch", "uuu", 1, 6, number)
        assert question == [
            CREDENTIALS,
            InputGroup.CHALLENGE_AUTH_PENDING,
            number,
            "auth_pending",
            "Enter the code",
            False,
        ]
        before = session.seen
        session.call("UserInputProvide", "uuus", 1, 6, number, "424242")
        session.call("Ready")
        session.call("Connect")
        session.wait(StatusMinor.CONN_CONNECTED, before)
        # Ours shows at once that it goes on, so that pollers calm down.
        assert session.statuses(before) == [*([statuses.CONNECTING] if SUBJECT.ours else []), statuses.CONNECTED]


def test_who_hears_of_pages_and_challenges(served_lab: Lab, asked: Ask, bob: BusClient) -> None:
    """The original broadcasts them."""
    with _server(served_lab, lambda login: Pending(f"WEB_AUTH::{_PAGE}")):
        session = asked()
        session.call("Connect")
        session.wait(StatusMinor.SESS_AUTH_URL)
        _attention(session, InputGroup.OPEN_URL)
        session.call("Disconnect")
        assert (_PAGE in str(bob.signals())) is not SUBJECT.ours


def test_an_answer_with_everything_in_it(served_lab: Lab, begin: Begin) -> None:
    """Quotes, backslashes and letters beyond ASCII reach the server as typed."""
    password = "ein \"Paßwort\" mit \\ und 'x' "
    arrives = password
    if not SUBJECT.ours:
        arrives = password.replace("ß", "")  # the original loses letters beyond ASCII
    with _server(served_lab, lambda login: Accept() if login.password == arrives else Deny()):
        session = begin(remotes=[f"198.51.100.1 {_PORT}"], more=["auth-user-pass"])
        session.watch()
        session.call("UserInputProvide", "uuus", 1, 1, 0, "alice")
        session.call("UserInputProvide", "uuus", 1, 1, 1, password)
        session.call("Connect")
        session.wait(StatusMinor.CONN_CONNECTED)


def test_a_static_challenges_answer_reaches_the_server(served_lab: Lab, begin: Begin) -> None:
    expected = "SCRV1:" + ":".join(base64.b64encode(one).decode() for one in (b"good", b"123456"))
    with _server(served_lab, lambda login: Accept() if login.password == expected else Deny()):
        more = ["auth-user-pass", 'static-challenge "Token?" 0']
        session = begin(remotes=[f"198.51.100.1 {_PORT}"], more=more)
        session.watch()
        assert session.call("UserInputQueueFetch", "uuu", 1, 4, 0)[4:] == ["Token?", True]
        session.call("UserInputProvide", "uuus", 1, 1, 0, "alice")
        session.call("UserInputProvide", "uuus", 1, 1, 1, "good")
        session.call("UserInputProvide", "uuus", 1, 4, 0, "123456")
        session.call("Connect")
        session.wait(StatusMinor.CONN_CONNECTED)
