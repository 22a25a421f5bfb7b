"""What the tests of authentication have in common: asking and answering as the openvpn3 command line does."""

from dataclasses import dataclass

import pytest

from ...policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMajor, StatusMinor
from ..lab.connection import BusClient, BusError, Signal
from .sessions import CONNECTED, UserSession

REQUIRE_USER = StatusMinor.CFG_REQUIRE_USER
AUTH_FAILED = StatusMinor.CONN_AUTH_FAILED
OPEN_URL = StatusMinor.SESS_AUTH_URL

NEED_PASSWORD = "Username/password credentials needed"
MISSING = "GDBus.Error:net.openvpn.v3.error.ready: Missing user credentials"
REFUSED = "GDBus.Error:net.openvpn.gdbuspp.request:  "

# Passwords that could be cut short, split or misread on their way; what the server gets is the same text.
ODD = (
    'say "friend"',
    "C:\\new\\temp",
    " both ends ",
    "#;'`$(id)`",
    '\\"',
    "<END>",
    "x" * 255,
    "\\" * 255,
    "grün",
    "日本語",
)


@dataclass(frozen=True)
class Question:
    """Something that a session asks its user for."""

    kind: int
    group: int
    number: int
    name: str
    label: str
    hidden: bool


def questions(session: UserSession) -> list[Question]:
    """Everything that the session asks for now."""
    user, path = session.user, session.path
    found = []
    for kind, group in user.session(path, "UserInputQueueGetTypeGroup"):
        for number in user.session(path, "UserInputQueueCheck", "uu", kind, group):
            found.append(Question(*user.session(path, "UserInputQueueFetch", "uuu", kind, group, number)))
    return found


def provide(session: UserSession, question: Question, text: str) -> None:
    """Answer one question."""
    session.call("UserInputProvide", "uuus", question.kind, question.group, question.number, text)


def answer(session: UserSession, **answers: str) -> list[Question]:
    """Answer everything that is asked, by name; returns the questions.  KeyError for one without an answer."""
    assert refusal(session, "Ready") == MISSING
    asked = questions(session)
    for question in asked:
        provide(session, question, answers[question.name])
    assert questions(session) == []
    session.call("Ready")
    return asked


def connect(session: UserSession, until: int = CONNECTED, /, **answers: str) -> tuple[int, int, str]:
    """Answer everything that is asked, connect, and wait for a status; returns it."""
    before = session.seen
    if answers:
        answer(session, **answers)
    session.call("Connect")
    return session.wait(until, before)


def restart(session: UserSession, until: int = CONNECTED) -> tuple[int, int, str]:
    """Restart the session, and wait for a status; returns it."""
    before = session.seen
    session.call("Restart")
    return session.wait(until, before)


def refusal(session: UserSession, member: str, signature: str = "", *arguments: object) -> str:
    """The text of the error that a method gives, or a failed test."""
    with pytest.raises(BusError) as error:
        session.user.session(session.path, member, signature, *arguments)
    return error.value.text


def story(session: UserSession, since: int = 0) -> list[str]:
    """What the session's user was told so far, in order: "CONN_CONNECTED text", and "attention USER_PASSWORD text".

    A status of another group than CONNECTION has the group's name in front.
    """
    told = [one for one in session.user.signals(since) if _told(one, session.path)]
    lines = [f"{_numbers(one)} {one.arguments[2]}" for one in told]
    return [line.replace(session.profile, "PROFILE").rstrip() for line in lines]


def _numbers(signal: Signal) -> str:
    first, second, _ = signal.arguments
    if signal.member == "AttentionRequired":
        assert first == CREDENTIALS
        return f"attention {InputGroup(second).name}"
    minor = StatusMinor(second).name
    return minor if first == StatusMajor.CONNECTION else f"{StatusMajor(first).name} {minor}"


def _told(signal: Signal, path: str) -> bool:
    if signal.member == "AttentionRequired" and signal.path == path:
        assert signal.interface == "net.openvpn.v3.sessions"
    return signal.path == path and signal.member in ("StatusChange", "AttentionRequired")


def heard_nothing(other: BusClient, path: str) -> bool:
    """Whether somebody else's connection got no signal of the session."""
    return not [one for one in other.signals() if one.path == path]


BEGUN = ["CFG_OK config_path=PROFILE"]
ASKED_FOR_PASSWORD = [*BEGUN, f"attention USER_PASSWORD {NEED_PASSWORD}", f"CFG_REQUIRE_USER {NEED_PASSWORD}"]
ON_THE_WAY = [*BEGUN, "CONN_CONNECTING", "CONN_CONNECTING"]
