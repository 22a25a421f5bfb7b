"""Sessions that need something from their user: the queue, its errors, and what follows the answers."""

from collections.abc import Iterator

import pytest

from ...policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMajor, StatusMinor
from ..lab.connection import SESSIONS, BusClient
from ..lab.lab import Lab
from ..lab.openvpn import Server
from . import statuses
from .subject import READY, REQUEST, SUBJECT, Begin, Session, error_of, gdbus_error

USER, PASSWORD = (1, 1, 0), (1, 1, 1)
NEEDED = "Username/password credentials needed"


@pytest.fixture
def asking(begin: Begin) -> Session:
    """A session whose profile says auth-user-pass; there is no server."""
    return begin(more=["auth-user-pass"])


@pytest.fixture
def trusting(served_lab: Lab) -> Iterator[Server]:
    """A server that asks for a user's name and password and takes any."""
    yield from _checking(served_lab, "/bin/true")


@pytest.fixture
def refusing(served_lab: Lab) -> Iterator[Server]:
    """A server that refuses every password."""
    yield from _checking(served_lab, "/bin/false")


def _checking(served_lab: Lab, program: str) -> Iterator[Server]:
    made = served_lab.server(port=1196, more=["script-security 3", f"auth-user-pass-verify {program} via-env"])
    yield made
    made.stop()


def _answer(session: Session, name: str = "alice", password: str = "good") -> None:
    session.call("UserInputProvide", "uuus", *USER, name)
    session.call("UserInputProvide", "uuus", *PASSWORD, password)


def test_what_is_asked_for(asking: Session) -> None:
    assert asking.begun(StatusMinor.CFG_REQUIRE_USER) == [StatusMajor.CONNECTION, StatusMinor.CFG_REQUIRE_USER, NEEDED]
    assert asking.call("UserInputQueueGetTypeGroup") == [[1, 1]]
    assert asking.call("UserInputQueueCheck", "uu", 1, 1) == [0, 1]
    assert asking.call("UserInputQueueFetch", "uuu", *USER) == [*USER, "username", "Auth User name", False]
    assert asking.call("UserInputQueueFetch", "uuu", *PASSWORD) == [*PASSWORD, "password", "Auth Password", True]
    assert asking.call("UserInputQueueCheck", "uu", 1, 2) == []


def test_nothing_goes_on_without_the_answers(asking: Session) -> None:
    alice = asking.user
    assert error_of(alice, asking.path, "Ready") == gdbus_error(READY, "Missing user credentials")
    assert error_of(alice, asking.path, "Connect") == gdbus_error(REQUEST, "Required user input not provided")


def test_answers_are_taken_once(asking: Session) -> None:
    alice = asking.user
    asking.call("UserInputProvide", "uuus", *USER, "alice")
    assert asking.call("UserInputQueueCheck", "uu", 1, 1) == [1]
    assert error_of(alice, asking.path, "Ready") == gdbus_error(READY, "Missing user credentials")
    expected = gdbus_error(REQUEST, "net.openvpn.v3.already-provided: User input already provided")
    assert error_of(alice, asking.path, "UserInputQueueFetch", "uuu", *USER) == expected
    asking.call("UserInputProvide", "uuus", *PASSWORD, "good")
    assert asking.call("UserInputQueueGetTypeGroup") == []
    asking.call("Ready")


def test_an_empty_answer(asking: Session) -> None:
    expected = gdbus_error(REQUEST, "net.openvpn.v3.error.invalid-input: No value provided for RequiresSlot ID 0")
    assert error_of(asking.user, asking.path, "UserInputProvide", "uuus", *USER, "") == expected
    assert asking.call("UserInputQueueCheck", "uu", 1, 1) == [0, 1]


def test_questions_that_are_not_asked(asking: Session) -> None:
    expected = gdbus_error(REQUEST, "net.openvpn.v3.element-not-found: No requires queue element found")
    for slot in ((1, 1, 7), (1, 2, 0), (9, 9, 9)):
        assert error_of(asking.user, asking.path, "UserInputQueueFetch", "uuu", *slot) == expected


def test_a_session_that_asks_for_nothing(session: Session) -> None:
    assert session.call("UserInputQueueGetTypeGroup") == []
    assert session.call("UserInputQueueCheck", "uu", 1, 1) == []
    expected = gdbus_error(REQUEST, "net.openvpn.v3.element-not-found: No requires queue element found")
    assert error_of(session.user, session.path, "UserInputQueueFetch", "uuu", *USER) == expected
    expected = gdbus_error(REQUEST, "User input not required")
    assert error_of(session.user, session.path, "UserInputProvide", "uuus", *USER, "x") == expected


def test_attention_is_drawn(asking: Session, bob: BusClient) -> None:
    signal = asking.user.wait_signal(lambda one: one.member == "AttentionRequired")
    assert (signal.path, signal.interface) == (asking.path, SESSIONS)
    assert signal.arguments == [CREDENTIALS, InputGroup.USER_PASSWORD, NEEDED]


def test_the_answers_let_it_connect(trusting: Server, begin: Begin) -> None:
    assert trusting
    session = begin(remotes=["198.51.100.1 1196"], more=["auth-user-pass"])
    session.watch()
    _answer(session)
    session.call("Ready")
    before = session.seen
    session.call("Connect")
    session.wait(StatusMinor.CONN_CONNECTED, before)
    assert session.statuses(before) == [
        statuses.CONFIGURED,
        statuses.CONNECTING,
        statuses.CONNECTING,
        statuses.CONNECTED,
    ]
    before = session.seen
    session.call("Restart")
    session.wait(StatusMinor.CONN_CONNECTED, before)


def test_wrong_answers(refusing: Server, begin: Begin) -> None:
    assert refusing
    session = begin(remotes=["198.51.100.1 1196"], more=["auth-user-pass"])
    session.watch()
    _answer(session, password="bad")
    before = session.seen
    session.call("Connect")
    assert session.wait(StatusMinor.CONN_AUTH_FAILED, before) == (
        StatusMajor.CONNECTION,
        StatusMinor.CONN_AUTH_FAILED,
        "Authentication failed",
    )
    assert session.statuses(before) == [
        statuses.CONFIGURED,
        statuses.CONNECTING,
        statuses.CONNECTING,
        statuses.AUTH_FAILED,
    ]
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_AUTH_FAILED, "Authentication failed"]
    before = session.seen
    session.call("Disconnect")
    session.user.wait_signal(lambda one: one.member == "SessionManagerEvent" and one.arguments[1] == 2)
    assert session.statuses(before)[:2] == [statuses.DISCONNECTING, statuses.DONE]


def test_a_static_challenge(begin: Begin) -> None:
    session = begin(more=["auth-user-pass", 'static-challenge "What is the token?" 1'])
    assert session.begun(StatusMinor.CFG_REQUIRE_USER) == [StatusMajor.CONNECTION, StatusMinor.CFG_REQUIRE_USER, NEEDED]
    assert session.call("UserInputQueueGetTypeGroup") == [[1, 1], [1, 4]]
    fetched = session.call("UserInputQueueFetch", "uuu", 1, 4, 0)
    assert fetched == [CREDENTIALS, InputGroup.CHALLENGE_STATIC, 0, "static_challenge", "What is the token?", False]


def test_an_encrypted_key(served_lab: Lab, begin: Begin) -> None:
    session = begin(identity=served_lab.pki.authority.issue("locked", passphrase="open sesame"))
    assert session.begun(StatusMinor.CFG_REQUIRE_USER) == [
        StatusMajor.CONNECTION,
        StatusMinor.CFG_REQUIRE_USER,
        "Private key passphrase needed to connect",
    ]
    assert session.call("UserInputQueueGetTypeGroup") == [[1, 3]]
    fetched = session.call("UserInputQueueFetch", "uuu", 1, 3, 0)
    assert fetched == [CREDENTIALS, InputGroup.PK_PASSPHRASE, 0, "pk_passphrase", "Private key passphrase", True]


def test_the_answer_reaches_nobodys_signals(asking: Session, bob: BusClient) -> None:
    _answer(asking, password="a very secret word")
    for user in (asking.user, bob):
        assert "a very secret word" not in str(user.signals())
    assert "a very secret word" not in str(asking.user.get_all(asking.path))
    assert SUBJECT
