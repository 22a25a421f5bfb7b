"""What a user types, and what only the user is to see: refused or kept where it belongs."""

import pytest

from ...lab.auth_server import Accept, Pending
from ...lab.lab import Lab
from ...support.authentication import OPEN_URL, REFUSED, REQUIRE_USER, connect, provide, questions, refusal
from ...support.sessions import CONNECTED, begin

LOGIN = {"username": "alice", "password": "open sesame"}
SECRET = "only-for-alice-7d10"


@pytest.mark.parametrize("text", ["two\rlines", "two\nlines", "\r", "ends\r", "\rbegins", "two\r\nlines"])
def test_an_answer_is_one_line(lab: Lab, text: str) -> None:
    lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    asked = questions(session)
    for question in asked:
        said = refusal(session, "UserInputProvide", "uuus", question.kind, question.group, question.number, text)
        assert said == REFUSED + "net.openvpn.v3.error.invalid-input: The value is more than one line"
    assert questions(session) == asked
    session.call("Disconnect")


@pytest.mark.parametrize(
    ("extra", "until"),
    [
        (f"WEB_AUTH::https://login.example/?token={SECRET}", OPEN_URL),
        (f"OPEN_URL:https://login.example/?token={SECRET}", OPEN_URL),
        (f"CR_TEXT:R,E:The code for {SECRET}", REQUIRE_USER),
    ],
)
def test_what_the_server_says_to_its_user_alone_is_not_logged(lab: Lab, extra: str, until: int) -> None:
    server = lab.auth_server(lambda login: Pending(extra))
    service = lab.supervisor(log_level=6)
    session = begin(lab, more=["auth-user-pass"])
    session.call("LogForward", "b", True)
    assert SECRET in connect(session, until, **LOGIN)[2]
    before = session.seen
    if until == REQUIRE_USER:
        [question] = questions(session)
        provide(session, question, "123456")
    server.decide(server.logins[0], Accept())
    session.wait(CONNECTED, before)
    session.call("Disconnect")
    assert SECRET not in service.log
    lines = [one.arguments[2] for one in session.user.signals() if one.member == "Log"]
    assert lines and not [line for line in lines if SECRET in line]
