"""Connections that do not come about, with real servers: what is said to be the cause, and what is tried again."""

import contextlib
import ssl
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from ....policy.causes import CAUSES, Cause
from ....policy.dbus_numbers import StatusMinor
from ...lab.auth_server import Accept, Deny, Login, Verdict
from ...lab.lab import ECHO_PORT, Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import PORT
from ...lab.pki import Identity, weak_identity
from ...support.sessions import CONNECTED, CONNECTING, FAILED, RECONNECTING, UserSession, begin
from ...support.skipping import cannot_run_here

INSPECT = "net.openvpn.v3.sessions.inspect"
DEADLINE = 60.0
LOGIN = "<auth-user-pass>\nalice\nopen sesame\n</auth-user-pass>"
WORDS = "Account locked until Monday; call 555 \x1b[2J"
NOBODY = "203.0.113.77"  # there is no way to it

Profile = dict[str, Any]  # options of Lab.profile


def inline(tag: str, text: str) -> str:
    return f"<{tag}>\n{text.strip()}\n</{tag}>"


def key(lab: Lab, name: str) -> str:
    file = lab.directory / name
    subprocess.run(["openvpn", "--genkey", "tls-auth", str(file)], check=True)
    return file.read_text()


def told(session: UserSession, minor: int, cause: Cause, *fragments: str) -> str:
    """Wait for a status that tells a cause; its text."""
    status = session.user.wait_signal(
        lambda one: (
            one.member == "StatusChange"
            and one.path == session.path
            and (one.arguments[1] == FAILED or (one.arguments[1] == minor and one.arguments[2]))
        ),
        DEADLINE,
    ).arguments
    assert status[1] == minor, status
    text = str(status[2])
    found, latest, hint = session.user.get(session.path, "last_error", INSPECT)
    # Of the same cause there may be more to say by now: that there is no way to the server.
    assert found == cause and (latest == text or cause is Cause.UNREACHABLE) and hint == CAUSES[cause].hint
    for fragment in fragments:
        assert fragment in text
    return text


def start(lab: Lab, profile: Profile) -> UserSession:
    lab.supervisor()
    session = begin(lab, **profile)
    session.call("Connect")
    return session


def served(**server: Any) -> Callable[..., Callable[[Lab], Profile]]:
    """A scene with a server of these options, and with a profile of those."""

    def scene(*lines: str, **options: Any) -> Callable[[Lab], Profile]:
        def put_up(lab: Lab) -> Profile:
            lab.server(**server)
            return {"more": lines, **options}

        return put_up

    return scene


def with_papers(lab: Lab, server: Identity | None = None, *lines: str, **options: Any) -> Profile:
    lab.server(identity=server)
    return {"more": lines, **options}


def mismatched(lab: Lab) -> Profile:
    return with_papers(lab, identity=Identity(lab.pki.client.certificate, lab.pki.expired_client.key))


def weak_digest(lab: Lab) -> Profile:
    identity = weak_identity(lab.directory, digest="md5")
    with contextlib.suppress(ssl.SSLError):
        ssl.create_default_context().load_cert_chain(lab.directory / "weak.crt", lab.directory / "weak.key")
        cannot_run_here("OpenSSL takes a certificate signed with MD5")
    return with_papers(lab, identity=identity)


HOPELESS: dict[str, tuple[Callable[[Lab], Profile], Cause, tuple[str, ...]]] = {
    "name": (
        served()("verify-x509-name other.example name"),
        Cause.SERVER_NAME,
        ("is for CN=server, not for other.example",),
    ),
    "eku": (lambda lab: with_papers(lab, lab.pki.client), Cause.SERVER_USAGE, ("remote-cert-tls", "CN=client")),
    "ku": (served()("remote-cert-ku f8"), Cause.SERVER_USAGE, ("key usage 0088", "remote-cert-ku")),
    "fingerprint": (
        served()("peer-fingerprint " + ":".join(["aa"] * 32)),
        Cause.SERVER_FINGERPRINT,
        ("fingerprint", "profile does not list"),
    ),
    "compression": (served(pushes=["compress lz4"])(), Cause.COMPRESSION, ("wants compression",)),
    "older compression": (served(pushes=["comp-lzo yes"])(), Cause.COMPRESSION, ("wants compression",)),
    "cipher": (served(more=["data-ciphers AES-256-CBC"])(), Cause.DATA_CIPHER, ("no shared cipher",)),
    "expired": (
        lambda lab: with_papers(lab, lab.pki.expired_server),
        Cause.SERVER_DATES,
        ("has expired", "CN=expired-server"),
    ),
    "expired list": (
        lambda lab: with_papers(lab, None, inline("crl-verify", lab.pki.authority.revoked(expired=True))),
        Cause.REVOCATION_LIST,
        ("crl-verify", "has expired"),
    ),
    "list of others": (
        lambda lab: with_papers(lab, None, inline("crl-verify", lab.pki.stranger.revoked())),
        Cause.REVOCATION_LIST,
        ("crl-verify", "not that of the server's authority"),
    ),
    "revoked": (
        lambda lab: with_papers(lab, None, inline("crl-verify", lab.pki.authority.revoked(lab.pki.server))),
        Cause.SERVER_REVOKED,
        ("revoked", "CN=server"),
    ),
    "authority": (
        lambda lab: with_papers(lab, authority=lab.pki.stranger),
        Cause.SERVER_AUTHORITY,
        ("not from the profile's authority", "CN=server"),
    ),
    "weak digest": (
        weak_digest,
        Cause.CERTIFICATE_WEAK,
        ("too weak", "md too weak"),
    ),
    "small key": (
        lambda lab: with_papers(lab, identity=weak_identity(lab.directory, bits=512)),
        Cause.CERTIFICATE_WEAK,
        ("too weak", "key too small"),
    ),
    "another's key": (mismatched, Cause.CERTIFICATE_UNUSABLE, ("do not belong together",)),
    "unknown cipher": (served()("cipher NONSENSE"), Cause.DATA_CIPHER, ("NONSENSE",)),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_is_hopeless_ends_the_session_with_its_cause(lab: Lab, name: str) -> None:
    scene, cause, fragments = HOPELESS[name]
    session = start(lab, scene(lab))
    told(session, FAILED, cause, *fragments)
    session.call("Disconnect")


def keys(lab: Lab, tag: str, protocol: str) -> Profile:
    lab.server(protocol=protocol, more=[inline(tag, key(lab, "theirs"))])
    return {"protocol": protocol, "more": [inline(tag, key(lab, "mine"))]}


def no_server(remote: str = f"{SERVER_ADDRESS} {PORT}", protocol: str = "udp") -> Callable[[Lab], Profile]:
    return lambda lab: {"remotes": [remote], "protocol": protocol}


def no_name(lab: Lab) -> Profile:
    lab.dns({})
    return {"remotes": ["vpn.example 1194"]}


def no_vpn(lab: Lab) -> Profile:
    assert lab.echo(SERVER_ADDRESS, b"hello") == b"hello"
    return {"remotes": [f"{SERVER_ADDRESS} {ECHO_PORT}"], "protocol": "tcp"}


def foreign_client(lab: Lab) -> Profile:
    return with_papers(lab, identity=lab.pki.stranger.issue("client"))


HOPEFUL: dict[str, tuple[Callable[[Lab], Profile], Cause, tuple[str, ...]]] = {
    "tls-auth": (lambda lab: keys(lab, "tls-auth", "udp"), Cause.NO_ANSWER, ("No answer from 198.51.100.1",)),
    "tls-crypt": (lambda lab: keys(lab, "tls-crypt", "udp"), Cause.NO_ANSWER, ("No answer from 198.51.100.1",)),
    "tls-crypt over TCP": (lambda lab: keys(lab, "tls-crypt", "tcp"), Cause.CONNECTION_LOST, ("closed",)),
    "refused": (no_server(), Cause.CONNECTION_REFUSED, ("Connection refused by 198.51.100.1",)),
    "refused over TCP": (no_server(protocol="tcp"), Cause.CONNECTION_REFUSED, ("Connection refused by 198.51.100.1",)),
    "unreachable": (no_server(f"{NOBODY} 1194"), Cause.UNREACHABLE, (NOBODY, "Network is unreachable")),
    "unreachable over TCP": (no_server(f"{NOBODY} 1194", "tcp"), Cause.UNREACHABLE, (NOBODY, "is unreachable")),
    "no name": (no_name, Cause.NAME_UNKNOWN, ("Cannot resolve vpn.example: Name or service not known",)),
    "no VPN": (no_vpn, Cause.CONNECTION_LOST, ("198.51.100.1 is no OpenVPN server",)),
    "foreign client": (foreign_client, Cause.HANDSHAKE_FAILED, ("198.51.100.1",)),
}


@pytest.mark.parametrize("name", HOPEFUL)
def test_what_may_pass_is_told_and_tried_again(lab: Lab, name: str) -> None:
    scene, cause, fragments = HOPEFUL[name]
    session = start(lab, scene(lab))
    told(session, CONNECTING, cause, *fragments)
    session.call("Disconnect")


def test_an_expired_certificate_of_ones_own_ends_the_session_soon(lab: Lab) -> None:
    session = start(lab, with_papers(lab, identity=lab.pki.expired_client))
    text = session.wait(FAILED, deadline=DEADLINE)[2]
    assert "Your certificate has expired" in text
    assert session.user.get(session.path, "last_error", INSPECT)[:2] == [Cause.CERTIFICATE_DATES, text]
    session.call("Disconnect")


# Logins.


@pytest.mark.parametrize(
    ("said", "cause", "text"),
    [
        ("", Cause.CREDENTIALS_REFUSED, "Authentication failed"),
        (
            WORDS,
            Cause.LOGIN_REFUSED,
            "Authentication failed: Account locked until Monday; call 555 ",
        ),
        ("Your password has expired", Cause.LOGIN_REFUSED, "Authentication failed: Your password has expired"),
        ("x" * 200, Cause.LOGIN_REFUSED, f"Authentication failed: {'x' * 200}"),
    ],
    ids=["silent", "reason", "password", "long"],
)
def test_the_words_of_a_server_that_refuses_a_login(lab: Lab, said: str, cause: Cause, text: str) -> None:
    lab.auth_server(lambda login: Deny(said))
    session = start(lab, {"more": [LOGIN]})
    bob = lab.connection("bob")
    refused = session.wait(StatusMinor.CONN_AUTH_FAILED, deadline=DEADLINE)[2]
    assert refused.startswith(text) and refused.isprintable() and len(refused) <= 600
    assert session.get("status")[2] == refused
    assert session.user.get(session.path, "last_error", INSPECT)[0] == cause
    assert "last_error" not in bob.get_all(session.path, INSPECT)
    assert [one for one in bob.signals() if one.member == "StatusChange"] == []
    session.call("Disconnect")


def test_a_server_that_lets_nobody_in_for_now(lab: Lab) -> None:
    def judge(login: Login) -> Verdict:
        return Accept() if len(server.logins) > 1 else Deny("TEMP[backoff 1]:moving house")

    server = lab.auth_server(judge)
    session = start(lab, {"more": [LOGIN]})
    told(session, CONNECTING, Cause.SERVER_ENDED, "lets nobody in for now: moving house")
    session.wait(CONNECTED, deadline=DEADLINE)
    assert session.user.get(session.path, "last_error", INSPECT) == ["", "", ""]


# Several servers, and captive portals.


def test_the_next_server_is_tried_where_the_first_will_not_do(lab: Lab) -> None:
    lab.server(identity=lab.pki.expired_server, port=1195)
    lab.server(more=["data-ciphers AES-256-CBC"], port=1196)
    lab.server()
    session = start(lab, {"remotes": [f"{SERVER_ADDRESS} {port}" for port in (1195, 1196, PORT)], "more": [LOGIN]})
    session.wait(CONNECTED, deadline=DEADLINE)
    texts = [text for _, minor, text in session.user.statuses(session.path) if minor == CONNECTING and text]
    assert len(texts) == 2 and "has expired" in texts[0] and "no shared cipher" in texts[1]


def test_the_session_ends_when_no_server_will_do(lab: Lab) -> None:
    lab.server(identity=lab.pki.expired_server, port=1195)
    lab.server(more=["data-ciphers AES-256-CBC"])
    session = start(lab, {"remotes": [f"{SERVER_ADDRESS} {port}" for port in (1195, PORT)]})
    session.wait(FAILED, deadline=DEADLINE)
    minors = session.minors
    assert minors.count(CONNECTING) == 3  # twice as always, and once with the cause of the first
    session.call("Disconnect")


def test_once_connected_it_goes_on_whatever_certificate_is_shown(lab: Lab) -> None:
    server = lab.server(more=["keepalive 1 3"])
    session = start(lab, {})
    session.wait(CONNECTED, deadline=DEADLINE)
    server.stop()
    portal = lab.server(authority=lab.pki.stranger, identity=lab.pki.stranger.issue("server", server=True))
    told(session, RECONNECTING, Cause.SERVER_AUTHORITY, "not from the profile's authority")
    portal.stop()
    before = session.seen
    server.start()
    session.wait(CONNECTED, before, DEADLINE)
