"""Something more than the password: challenges that the profile, and that the server, ask."""

import pytest

from ....policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMajor, StatusMinor
from ...lab.auth_server import Accept, Deny, Login, Verdict, dynamic_challenge, knows
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.authentication import (
    ASKED_FOR_PASSWORD,
    AUTH_FAILED,
    BEGUN,
    ON_THE_WAY,
    REFUSED,
    REQUIRE_USER,
    Question,
    answer,
    connect,
    provide,
    questions,
    refusal,
    restart,
    story,
)
from ...support.sessions import CONNECTED, FAILED, PAUSED, begin

ASKS = ("auth-user-pass",)
STATIC = ("auth-user-pass", 'static-challenge "Enter PIN" 1')
GOOD = {"username": "alice", "password": "open sesame"}
CODE = Question(
    CREDENTIALS, InputGroup.CHALLENGE_DYNAMIC, 0, "dynamic_challenge", "Enter the code: 6 digits", hidden=False
)
CHALLENGED = ["attention CHALLENGE_DYNAMIC Enter the code: 6 digits", "CFG_REQUIRE_USER Dynamic Challenge"]


class OneTime:
    """A judge who takes each code only once, in this order."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)

    def __call__(self, login: Login) -> Verdict:
        password, response = login.static_challenge
        if (login.username, password) != ("alice", "open sesame") or not self.codes or response != self.codes[0]:
            return Deny()
        self.codes.pop(0)
        return Accept()


def test_a_static_challenge_beside_a_password_of_the_profile(lab: Lab) -> None:
    lab.auth_server(OneTime("1234"))
    lab.supervisor()
    login = "<auth-user-pass>\nalice\nopen sesame\n</auth-user-pass>"
    session = begin(lab, more=[login, 'static-challenge "Enter PIN" 1'])
    assert [question.name for question in questions(session)] == ["static_challenge"]
    connect(session, static_challenge="1234")
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


def test_an_answer_that_is_appended_to_the_password(lab: Lab) -> None:
    lab.auth_server(knows(alice="open sesame1234"))
    lab.supervisor()
    session = begin(lab, more=["auth-user-pass", 'static-challenge "Enter PIN" 1 concat'])
    connect(session, **GOOD, static_challenge="1234")
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


@pytest.mark.parametrize(("echo", "hidden"), [("0", True), ("1", False)])
def test_a_static_challenge(lab: Lab, echo: str, hidden: bool) -> None:
    lab.auth_server(OneTime("1234"))
    lab.supervisor()
    session = begin(lab, more=["auth-user-pass", f'static-challenge "Enter PIN" {echo}'])
    assert story(session) == ASKED_FOR_PASSWORD
    asked = answer(session, **GOOD, static_challenge="1234")
    assert [one.name for one in asked] == ["username", "password", "static_challenge"]
    assert asked[2] == Question(CREDENTIALS, InputGroup.CHALLENGE_STATIC, 0, "static_challenge", "Enter PIN", hidden)
    before = session.seen
    connect(session)
    assert story(session, before) == [*ON_THE_WAY, "CONN_CONNECTED"]
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


@pytest.mark.parametrize("text", ['"12"', "\\n", "schlüssel", "a:b", "tab\there", "x" * 60])
def test_responses_reach_the_server_unchanged(lab: Lab, text: str) -> None:
    server = lab.auth_server(lambda login: Accept())
    lab.supervisor()
    connect(begin(lab, more=STATIC), username="alice", password=text[::-1], static_challenge=text)
    assert server.logins[0].static_challenge == (text[::-1], text)


def test_password_and_response_too_long_together(lab: Lab) -> None:
    server = lab.auth_server(lambda login: Accept())
    lab.supervisor()
    session = begin(lab, more=STATIC)
    username, password, response = questions(session)
    provide(session, username, "alice")
    provide(session, password, "x" * 200)
    provide(session, response, "y" * 100)
    _, _, text = connect(session, FAILED)
    assert "255 bytes" in text
    assert server.logins == [], "a password cut short reached the server"


def test_the_wrong_response(lab: Lab) -> None:
    lab.auth_server(OneTime("1234"))
    lab.supervisor()
    session = begin(lab, more=STATIC)
    connect(session, AUTH_FAILED, **GOOD, static_challenge="4321")
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_AUTH_FAILED, "Authentication failed"]


@pytest.mark.parametrize("more", [(), ("auth-nocache",)])
def test_a_static_challenge_is_asked_again_when_reconnecting(lab: Lab, more: tuple[str, ...]) -> None:
    server = lab.auth_server(OneTime("1111", "2222", "3333"))
    lab.supervisor()
    session = begin(lab, more=[*STATIC, *more])
    connect(session, **GOOD, static_challenge="1111")
    restart(session, REQUIRE_USER)
    asked = answer(session, static_challenge="2222")
    assert [one.name for one in asked] == ["static_challenge"], "the password is still known"
    assert asked[0].number == 1, "numbers go on"
    connect(session)
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    before = session.seen
    session.call("Resume")
    session.wait(REQUIRE_USER, before)
    connect(session, static_challenge="3333")
    assert len(server.logins) == 3, "no used code was sent again"


def test_with_the_servers_token_no_challenge_is_asked_again(lab: Lab) -> None:
    def judge(login: Login) -> Verdict:
        if login.password == "a-token" or login.static_challenge == ("open sesame", "1111"):
            return Accept(('push "auth-token a-token"',))
        return Deny()

    lab.auth_server(judge)
    lab.supervisor()
    session = begin(lab, more=STATIC)
    connect(session, **GOOD, static_challenge="1111")
    before = session.seen
    restart(session)
    assert story(session, before) == ["CONN_RECONNECTING", "CONN_RECONNECTING", "CONN_CONNECTED"]


class Challenging:
    """A judge who answers the right password with challenges, one after the other, and the last code with a yes."""

    def __init__(self, *codes: str, flags: str = "R,E", text: str = "Enter the code: 6 digits") -> None:
        self.codes = codes
        self.flags = flags
        self.text = text

    def __call__(self, login: Login) -> Verdict:
        if login.password == "open sesame":
            return self._challenge(0)
        kind, _, state, _, response = login.password.split(":")
        number = int(state.removeprefix("state"))
        if kind != "CRV1" or login.username != "alice" or response != self.codes[number]:
            return Deny()
        return self._challenge(number + 1) if number + 1 < len(self.codes) else Accept()

    def _challenge(self, number: int) -> Verdict:
        return dynamic_challenge(f"state{number}", "alice", self.text, self.flags)


def test_a_dynamic_challenge(lab: Lab) -> None:
    server = lab.auth_server(Challenging("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    before = session.seen
    connect(session, REQUIRE_USER, **GOOD)
    assert story(session, before) == [*ON_THE_WAY, *CHALLENGED]
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CFG_REQUIRE_USER, "Dynamic Challenge"]
    assert refusal(session, "Connect") == REFUSED + "Required user input not provided"
    before = session.seen
    assert answer(session, dynamic_challenge="123456") == [CODE]
    connect(session)
    assert story(session, before) == [*ON_THE_WAY, "CONN_CONNECTED"]
    assert [login.password for login in server.logins] == ["open sesame", "CRV1::state0::123456"]
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


def test_two_dynamic_challenges_in_a_row(lab: Lab) -> None:
    lab.auth_server(Challenging("111111", "222222"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    connect(session, REQUIRE_USER, dynamic_challenge="111111")
    [second] = answer(session, dynamic_challenge="222222")
    assert second.number > CODE.number
    connect(session)


@pytest.mark.parametrize(("flags", "hidden"), [("R", True), ("E,R", False)])
def test_whether_a_response_is_shown(lab: Lab, flags: str, hidden: bool) -> None:
    lab.auth_server(Challenging("1", flags=flags, text="Wie heißt du?"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    [asked] = questions(session)
    assert (asked.hidden, asked.name) == (hidden, "dynamic_challenge")


def test_a_challenge_that_wants_no_response(lab: Lab) -> None:
    lab.auth_server(Challenging("", flags="", text="Confirm on your phone"))
    service = lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, **GOOD)
    service.process.wait_line("Confirm on your phone")
    assert questions(session) == []


def test_the_wrong_response_to_a_dynamic_challenge(lab: Lab) -> None:
    lab.auth_server(Challenging("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    connect(session, AUTH_FAILED, dynamic_challenge="654321")
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_AUTH_FAILED, "Authentication failed"]


@pytest.mark.parametrize("response", ['"quoted"', "back\\slash", " two  spaces "])
def test_odd_responses_to_a_dynamic_challenge(lab: Lab, response: str) -> None:
    lab.auth_server(Challenging(response))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    connect(session, dynamic_challenge=response)


def test_ending_a_session_that_waits_for_an_answer(lab: Lab) -> None:
    lab.auth_server(Challenging("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    before = session.seen
    session.call("Disconnect")
    assert story(session, before)[0] == "CONN_DISCONNECTING"
    assert story(session, before)[-1].startswith("SESSION PROC_STOPPED")


def test_a_dynamic_challenge_at_every_connection(lab: Lab) -> None:
    lab.auth_server(Challenging("123456"))
    lab.supervisor()
    session = begin(lab, more=ASKS)
    connect(session, REQUIRE_USER, **GOOD)
    connect(session, dynamic_challenge="123456")
    restart(session, REQUIRE_USER)
    assert [one.name for one in questions(session)] == ["dynamic_challenge"]
    before = session.seen
    connect(session, dynamic_challenge="123456")
    assert story(session, before)[:1] == BEGUN and story(session, before)[-1] == "CONN_CONNECTED"


def test_password_and_both_challenges(lab: Lab) -> None:
    challenging = Challenging("123456")

    def judge(login: Login) -> Verdict:
        if login.password.startswith("SCRV1"):
            good = login.static_challenge == ("open sesame", "1234")
            return dynamic_challenge("state0", "alice", "And now?") if good else Deny()
        return challenging(login)

    lab.auth_server(judge)
    lab.supervisor()
    session = begin(lab, more=STATIC)
    connect(session, REQUIRE_USER, **GOOD, static_challenge="1234")
    connect(session, CONNECTED, dynamic_challenge="123456")
