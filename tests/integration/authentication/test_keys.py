"""Private keys that need a passphrase."""

from collections.abc import Callable

import pytest

from ....policy.dbus_numbers import CREDENTIALS, InputGroup, StatusMajor, StatusMinor
from ...lab.auth_server import knows
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.authentication import BEGUN, ON_THE_WAY, Question, answer, connect, questions, restart, story
from ...support.sessions import CONNECTED, FAILED, PAUSED, UserSession, begin

PASSPHRASE = Question(CREDENTIALS, InputGroup.PK_PASSPHRASE, 0, "pk_passphrase", "Private key passphrase", hidden=True)
ASKED = [
    *BEGUN,
    "attention PK_PASSPHRASE Private key passphrase needed",
    "CFG_REQUIRE_USER Private key passphrase needed to connect",
]
ODD = ("open sesame", 'say "friend"', "C:\\new\\", "schlüssel", "#;'`$(id)`", "x" * 255)


def pkcs8(lab: Lab, passphrase: str) -> UserSession:
    return begin(lab, identity=lab.pki.client.encrypted(passphrase))


def traditional(lab: Lab, passphrase: str) -> UserSession:
    return begin(lab, identity=lab.pki.client.encrypted(passphrase, traditional=True))


def pkcs12(lab: Lab, passphrase: str) -> UserSession:
    return begin(lab, certified=False, more=[f"<pkcs12>\n{lab.pki.client.pkcs12(passphrase)}</pkcs12>"])


Kind = Callable[[Lab, str], UserSession]
KINDS = pytest.mark.parametrize("kind", [pkcs8, traditional, pkcs12])


@KINDS
def test_the_right_passphrase(lab: Lab, kind: Kind) -> None:
    lab.server()
    lab.supervisor()
    session = kind(lab, "open sesame")
    assert story(session) == ASKED
    assert answer(session, pk_passphrase="open sesame") == [PASSPHRASE]
    before = session.seen
    connect(session)
    assert story(session, before) == [*ON_THE_WAY, "CONN_CONNECTED"]
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    before = session.seen
    restart(session)
    assert story(session, before) == ["CONN_RECONNECTING", "CONN_RECONNECTING", "CONN_CONNECTED"]


@KINDS
def test_the_wrong_passphrase(lab: Lab, kind: Kind) -> None:
    lab.server()
    lab.supervisor()
    session = kind(lab, "open sesame")
    before = session.seen
    _, _, text = connect(session, FAILED, pk_passphrase="close sesame")
    assert text.startswith("PEM_PASSWORD_FAIL"), "what front-ends look for"
    # The original says so twice before it reads the key; the engine reads the key first.
    assert story(session, before)[:2] == ["CFG_OK config_path=PROFILE", "CONN_CONNECTING"]
    assert session.get("status") == [StatusMajor.CONNECTION, StatusMinor.CONN_FAILED, text]
    before = session.seen
    session.call("Disconnect")
    assert story(session, before)[:2] == ["CONN_DISCONNECTING", "CONN_DONE"]


@pytest.mark.parametrize("passphrase", ODD)
def test_passphrases_of_all_kinds(lab: Lab, passphrase: str) -> None:
    lab.server()
    lab.supervisor()
    connect(pkcs8(lab, passphrase), pk_passphrase=passphrase)


def test_with_nocache_a_passphrase_is_remembered_all_the_same(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab, identity=lab.pki.client.encrypted("open sesame"), more=["auth-nocache"])
    connect(session, pk_passphrase="open sesame")
    restart(session)
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)


def test_passphrase_and_password(lab: Lab) -> None:
    lab.auth_server(knows(alice="secret"))
    lab.supervisor()
    session = begin(lab, identity=lab.pki.client.encrypted("open sesame"), more=["auth-user-pass"])
    assert {question.name for question in questions(session)} == {"username", "password", "pk_passphrase"}
    connect(session, pk_passphrase="open sesame", username="alice", password="secret")


def test_askpass_alone_asks_nothing(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab, more=["askpass"])
    session.call("Ready")
    connect(session)
