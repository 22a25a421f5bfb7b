"""HTTP proxies that ask for a user name and a password."""

import pytest

from ....policy.dbus_numbers import CREDENTIALS, InputGroup
from ...lab.auth_server import knows
from ...lab.lab import PROXY_PORT, Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import PORT, TUNNEL_ADDRESS
from ...support.authentication import BEGUN, ON_THE_WAY, REQUIRE_USER, Question, answer, connect, restart, story
from ...support.sessions import FAILED, UserSession, begin

USER = Question(CREDENTIALS, InputGroup.HTTP_PROXY_CREDS, 0, "http_proxy_user", "HTTP proxy username", hidden=False)
PASSWORD = Question(CREDENTIALS, InputGroup.HTTP_PROXY_CREDS, 1, "http_proxy_pass", "HTTP proxy password", hidden=True)
ASKED = ["attention HTTP_PROXY_CREDS", "CFG_REQUIRE_USER HTTP proxy credentials"]
GOOD = {"http_proxy_user": "alice", "http_proxy_pass": "open: sesame"}
BAD = {"http_proxy_user": "alice", "http_proxy_pass": "wrong"}


def behind(lab: Lab, how: str = "auto", *more: str) -> UserSession:
    through = f"http-proxy {SERVER_ADDRESS} {PROXY_PORT} {how}"
    return begin(lab, protocol="tcp", more=[through, *more])


@pytest.mark.parametrize(("scheme", "how"), [("Basic", "auto"), ("Digest", "auto"), ("Digest", "auto-nct")])
def test_a_proxy_that_asks(lab: Lab, scheme: str, how: str) -> None:
    proxy = lab.proxy(scheme, alice="open: sesame")
    lab.server(protocol="tcp")
    service = lab.supervisor()
    session = behind(lab, how, "verb 6")
    session.call("Ready")
    before = session.seen
    connect(session, REQUIRE_USER)
    assert story(session, before) == [*ON_THE_WAY, *ASKED]
    before = session.seen
    assert answer(session, **GOOD) == [USER, PASSWORD]
    connect(session)
    assert story(session, before) == [*ON_THE_WAY, "CONN_CONNECTED"]
    assert "alice: connected" in proxy.lines
    assert "Send to HTTP proxy" in service.log and "Proxy-Authorization" not in service.log
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    before = session.seen
    restart(session)
    assert story(session, before) == ["CONN_RECONNECTING", "CONN_RECONNECTING", "CONN_CONNECTED"]


def test_credentials_that_are_wanted_before(lab: Lab) -> None:
    lab.proxy("Basic", alice="open: sesame")
    lab.server(protocol="tcp")
    lab.supervisor()
    session = behind(lab, "stdin basic")
    assert story(session) == [*BEGUN, *ASKED]
    connect(session, **GOOD)


@pytest.mark.parametrize("how", ["auto", "stdin basic"])
def test_wrong_credentials_are_not_tried_for_ever(lab: Lab, how: str) -> None:
    proxy = lab.proxy("Basic", alice="open: sesame")
    lab.server(protocol="tcp")
    lab.supervisor()
    session = behind(lab, how)
    if how == "auto":
        connect(session, REQUIRE_USER)
    for _ in range(3):
        before = session.seen
        answer(session, **BAD)
        session.call("Connect")
        ended = session.user.wait_signal(
            lambda one: one.member == "StatusChange" and one.arguments[1] in (REQUIRE_USER, FAILED),
            since=before,
            what="the next question, or the end",
        )
        if ended.arguments[1] == FAILED:
            break
    assert ended.arguments[1] == FAILED and "proxy" in ended.arguments[2].lower()
    assert proxy.lines.count("alice: refused") <= 10, "tried again and again"


def test_embedded_credentials_ask_nothing(lab: Lab) -> None:
    lab.proxy("Basic", alice="open: sesame")
    lab.server(protocol="tcp")
    lab.supervisor()
    session = behind(lab, "auto", "<http-proxy-user-pass>\nalice\nopen: sesame\n</http-proxy-user-pass>")
    session.call("Ready")
    connect(session)
    # Not the proxy's.
    assert session.get("connected_to") == ["tcpv4-via-http", SERVER_ADDRESS, PORT]


def test_a_password_for_the_proxy_and_one_for_the_server(lab: Lab) -> None:
    lab.proxy("Basic", alice="open: sesame")
    lab.auth_server(knows(bob="secret"), protocol="tcp")
    lab.supervisor()
    session = behind(lab, "auto", "auth-user-pass")
    connect(session, REQUIRE_USER, username="bob", password="secret")
    connect(session, **GOOD)
