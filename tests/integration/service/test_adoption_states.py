"""A service that is killed while sessions are not connected, or become so."""

from collections.abc import Callable

from ...lab.auth_server import Accept, Deny, Login, Pending, Verdict, knows
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.adoption import kill, lasting, replaced, taken_over, told
from ...support.authentication import OPEN_URL, answer, provide, questions, refusal
from ...support.sessions import (
    CONNECTED,
    CONNECTING,
    PAUSED,
    RECONNECTING,
    begin,
    until,
)

LOGIN = {"username": "alice", "password": "open sesame"}
URL = "https://idp.example/login?token=abc"


def test_held_before_connect(lab: Lab) -> None:
    lab.auth_server(knows(alice=LOGIN["password"]))
    service = lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    [user, password] = questions(session)
    provide(session, user, LOGIN["username"])
    before, since = lasting(session), session.seen
    service = replaced(lab, service)
    assert lasting(session) == before and told(session, since) == []
    assert questions(session) == [password]
    provide(session, password, LOGIN["password"])
    service = replaced(lab, service)
    assert questions(session) == []
    session.connect()
    replaced(lab, service)
    assert session.get("status")[1] == CONNECTED


def test_on_its_way(lab: Lab) -> None:
    """Nobody answers; the server comes when there is another service."""
    service = lab.supervisor()
    session = begin(lab)
    session.call("Connect")
    until(lambda: "refused" in session.get("status")[2])  # which is told once
    before, since = lasting(session), session.seen
    replaced(lab, service)
    assert lasting(session) == before and told(session, since) == []
    lab.server()
    session.wait(CONNECTED, since, deadline=30)
    assert lab.echo(TUNNEL_ADDRESS, b"there") == b"there"


def test_connected_while_nobody_looked(lab: Lab) -> None:
    service = lab.supervisor()
    session = begin(lab, remotes=[f"{SERVER_ADDRESS} 1194 udp"])
    session.call("Connect")
    session.wait(CONNECTING)
    since = session.seen
    kill(service)
    server = lab.server()
    server.process.wait_line("Initiation Sequence|PUSH_REPLY|SENT CONTROL", deadline=40)
    taken_over(lab)
    session.wait(CONNECTED, since, deadline=30)
    assert lab.echo(TUNNEL_ADDRESS, b"there") == b"there"


def test_lost_while_nobody_looked(lab: Lab) -> None:
    server = lab.server(protocol="tcp")
    service = lab.supervisor()
    session = begin(lab, protocol="tcp")
    session.connect()
    since, engine = session.seen, session.engine
    kill(service)
    server.stop()
    server = lab.server(protocol="tcp")
    server.process.wait_line("SENT CONTROL", deadline=40)
    taken_over(lab)
    assert session.get("status")[1] in (CONNECTED, RECONNECTING)
    if session.get("status")[1] != CONNECTED:
        session.wait(CONNECTED, since, deadline=30)
    assert session.engine == engine
    assert lab.echo(TUNNEL_ADDRESS, b"there") == b"there"


def test_paused(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    before, since = lasting(session), session.seen
    replaced(lab, service)
    assert lasting(session) == before and told(session, since) == []
    session.call("Resume")
    session.wait(CONNECTED, since)
    assert lab.echo(TUNNEL_ADDRESS, b"there") == b"there"


def asking(first: Verdict) -> Callable[[Login], Verdict]:
    """A judge who lets nobody in before there is an answer to `first`."""

    def judge(login: Login) -> Verdict:
        if login.response is None:
            return first
        return Accept() if login.response == "123456" else Deny()

    return judge


def test_waiting_for_a_code(lab: Lab) -> None:
    lab.auth_server(asking(Pending("CR_TEXT:R,E:Enter the code")))
    service = lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    answer(session, **LOGIN)
    session.call("Connect")
    session.user.wait_signal(lambda one: one.member == "AttentionRequired" and "code" in one.arguments[2])
    session.user.wait_signal(lambda one: one.member == "StatusChange" and "code" in one.arguments[2])
    [code], before, since = questions(session), lasting(session), session.seen
    replaced(lab, service)
    assert lasting(session) == before and told(session, since) == []
    assert questions(session) == [code]
    provide(session, code, "123456")
    session.wait(CONNECTED, since)


def test_waiting_for_a_page(lab: Lab) -> None:
    lab.auth_server(lambda login: Pending(f"WEB_AUTH::{URL}"))
    service = lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    answer(session, **LOGIN)
    session.call("Connect")
    session.wait(OPEN_URL)
    before, since = lasting(session), session.seen
    assert before["status"][2] == URL
    kept = [one.read_text() for one in (lab.service_directory / "runtime" / "sessions").glob("*.session")]
    assert len(kept) == 1 and "token" not in kept[0] and LOGIN["password"] not in kept[0]
    replaced(lab, service)
    assert lasting(session) == before and told(session, since) == []
    assert "Pending web authentication" in refusal(session, "Ready")
