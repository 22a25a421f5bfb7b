"""A service that is killed while sessions are not connected, or become so."""

from collections.abc import Callable

import pytest

from ....policy.limits import FAILED_READABLE
from ...lab.auth_server import Accept, Deny, Login, Pending, Verdict, knows
from ...lab.connection import SESSIONS_PATH
from ...lab.lab import Lab
from ...lab.network import CABLE, SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.surroundings import BOB
from ...support.adoption import kill, lasting, replaced, taken_over, told
from ...support.authentication import AUTH_FAILED, OPEN_URL, answer, provide, questions, refusal
from ...support.sessions import (
    CONNECTED,
    CONNECTING,
    FAILED,
    PAUSED,
    RECONNECTING,
    UserSession,
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


def refused_login(lab: Lab) -> UserSession:
    """Alice's session whose login the server has refused."""
    lab.auth_server(lambda login: Deny())
    session = begin(lab, more=["auth-user-pass"])
    answer(session, **LOGIN)
    session.call("Connect")
    session.wait(AUTH_FAILED)
    return session


def killed_worker(lab: Lab) -> UserSession:
    """Alice's session whose worker was killed."""
    lab.server()
    session = begin(lab)
    session.connect()
    session.call("AccessGrant", "u", BOB.uid)
    session.worker.kill()
    session.wait(FAILED)
    return session


def of_one_failed(session: UserSession) -> dict[str, object]:
    """What lasts of it: its worker's process is gone, or is about to be."""
    return {name: value for name, value in lasting(session).items() if name != "backend_pid"}


@pytest.mark.parametrize("fails", [refused_login, killed_worker])
def test_failed(lab: Lab, fails: Callable[[Lab], UserSession]) -> None:
    """It can be looked at, and disconnected."""
    service = lab.supervisor()
    session = fails(lab)
    before, since = of_one_failed(session), session.seen
    for _ in range(2):
        service = replaced(lab, service)
        assert of_one_failed(session) == before and told(session, since) == []
    assert lab.client_side.devices() == {CABLE}
    session.call("Disconnect")
    session.user.wait_signal(lambda one: one.member == "SessionManagerEvent", since=since)
    assert told(session, since).count("SessionManagerEvent") == 1
    assert service.stop() == 0 and "Traceback" not in service.log
    assert [one.name for one in (lab.service_directory / "runtime" / "sessions").iterdir()] == ["records"]


def test_failed_and_left_alone(lab: Lab) -> None:
    """It is removed when it was readable long enough."""
    service = lab.supervisor()
    session = killed_worker(lab)
    since = session.seen
    replaced(lab, service)
    assert session.get("status")[1] == FAILED
    session.user.wait_signal(lambda one: one.member == "SessionManagerEvent", 2 * FAILED_READABLE, since=since)
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []
