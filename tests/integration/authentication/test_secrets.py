"""What a user types reaches the server, and nobody and nothing else."""

from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ....policy.dbus_numbers import StatusMajor, StatusMinor
from ...lab.auth_server import Accept, Deny, Login, Pending, Verdict, dynamic_challenge
from ...lab.connection import BusError
from ...lab.lab import PROXY_PORT, Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.service import Service
from ...support.authentication import OPEN_URL, REQUIRE_USER, connect, heard_nothing, provide, questions, restart
from ...support.files import files_of
from ...support.sessions import CONNECTED, PAUSED, begin, processes_of_sessions, wait_gone

TOKEN = "token-6f1d"
URL = "https://idp.example/login?secret=url-31c7"
SECRETS = {
    "pk_passphrase": "passphrase-8c55",
    "http_proxy_pass": "proxy-4b0e",
    "password": "password-77a9",
    "static_challenge": "static-e012",
    "dynamic_challenge": "dynamic-d5d3",
    "auth_pending": "pending-02fc",
}
ANSWERS = {"username": "alice", "http_proxy_user": "alice", **SECRETS}


def judge(login: Login) -> Verdict:
    """Wants everything there is, one after the other."""
    if login.response is not None:
        return Accept((f'push "auth-token {TOKEN}"',)) if login.response == SECRETS["auth_pending"] else Deny()
    if login.password == TOKEN:
        return Accept()
    if login.password.startswith("SCRV1"):
        good = login.static_challenge == (SECRETS["password"], SECRETS["static_challenge"])
        return dynamic_challenge("state", "alice", "And now?") if good else Deny()
    good = login.password == f"CRV1::state::{SECRETS['dynamic_challenge']}"
    return Pending("CR_TEXT:R:And at last?") if good else Deny()


def test_secrets_are_nowhere_to_be_found(lab: Lab) -> None:
    """All kinds of secrets in one session, the most talkative of logs, and a look at all there is."""
    lab.proxy("Basic", alice=SECRETS["http_proxy_pass"])
    lab.auth_server(judge, protocol="tcp")
    service = lab.supervisor(log_level=6)
    session = begin(
        lab,
        protocol="tcp",
        identity=lab.pki.client.encrypted(SECRETS["pk_passphrase"]),
        more=[
            "auth-user-pass",
            'static-challenge "And what else?" 0',
            f"http-proxy {SERVER_ADDRESS} {PROXY_PORT} auto",
            "verb 6",
        ],
    )
    alice, before = session.user, session.seen
    answered = set()
    while (2, CONNECTED, "") not in alice.statuses(session.path):
        for question in questions(session):
            provide(session, question, ANSWERS[question.name])
            answered.add(question.name)
            assert_nowhere(lab, service)
        session.call("Connect")
        known = session.seen
        alice.wait_signal(
            lambda one: one.member == "StatusChange" and one.arguments[1] in (REQUIRE_USER, CONNECTED),
            since=before,
            what="the next question, or the connection",
        )
        before = known
    assert answered == set(ANSWERS), "not everything was asked for"
    restart(session)
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    assert_nowhere(lab, service)
    for one in alice.signals():
        assert not found_in(str(one.arguments).encode()), one
    assert not found_in(str(alice.get_all(session.path)).encode())
    processes = [session.worker, session.engine]
    session.call("Disconnect")
    wait_gone(processes)
    assert_nowhere(lab, service)


def forms_of(secret: str) -> list[bytes]:
    """A secret as it is typed, and as it travels: alone, or behind a user name, in base64."""
    return [secret.encode(), b64encode(secret.encode()), b64encode(f"alice:{secret}".encode())]


def found_in(text: bytes) -> list[str]:
    """The secrets that are in `text`, in any form."""
    return [secret for secret in (*SECRETS.values(), TOKEN) if any(form in text for form in forms_of(secret))]


def assert_nowhere(lab: Lab, service: Service) -> None:
    assert not found_in(service.log.encode())
    ours = {psutil.Process(service.pid), *psutil.Process(service.pid).children(recursive=True)}
    assert ours.issuperset(processes_of_sessions())
    for process in ours:
        place = Path(f"/proc/{process.pid}")
        for name in ("cmdline", "environ", "comm"):
            assert not found_in((place / name).read_bytes()), f"{name} of {process}"
    files = {file for process in ours for file in files_of(process.pid)}
    assert files, "the engine's own directory is not seen"
    for file in files:
        with suppress(FileNotFoundError):  # the service takes away meanwhile what an ended session had
            assert not found_in(file.read_bytes()), file


def test_no_core_of_what_knows_secrets(lab: Lab) -> None:
    lab.auth_server(lambda login: Accept())
    service = lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    connect(session, username="alice", password="x")
    for pid in (service.pid, session.worker.pid, session.engine.pid):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        [core] = [line for line in limits if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"], f"core limit of {pid}"


def test_others_learn_nothing_and_may_answer_nothing(lab: Lab) -> None:
    lab.auth_server(lambda login: Pending(f"WEB_AUTH::{URL}"))
    lab.supervisor()
    bob = lab.connection("bob")
    again = lab.connection("alice")
    session = begin(lab, more=["auth-user-pass"])
    calls: dict[str, tuple[Any, ...]] = {
        "UserInputQueueGetTypeGroup": (),
        "UserInputQueueCheck": ("uu", 1, 1),
        "UserInputQueueFetch": ("uuu", 1, 1, 0),
        "UserInputProvide": ("uuus", 1, 1, 0, "mallory"),
        "Ready": (),
    }
    for member, arguments in calls.items():
        with pytest.raises(BusError, match="Access denied"):
            bob.session(session.path, member, *arguments)
    assert [question.number for question in questions(session)] == [0, 1]
    connect(session, OPEN_URL, username="alice", password="x")
    with pytest.raises(BusError, match="Access denied"):
        bob.get(session.path, "status")
    assert bob.get_all(session.path) == {}
    assert heard_nothing(bob, session.path)
    # The same user may look, but hears only what they asked to hear.
    assert again.get(session.path, "status") == [StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL, URL]


def test_another_front_end_of_the_same_user_may_answer(lab: Lab) -> None:
    lab.auth_server(lambda login: dynamic_challenge("s", "alice", "Code?") if login.password == "x" else Accept())
    lab.supervisor()
    session = begin(lab, more=["auth-user-pass"])
    connect(session, REQUIRE_USER, username="alice", password="x")
    again = lab.connection("alice")
    assert again.session(session.path, "UserInputQueueCheck", "uu", 1, 5) == [0]
    again.session(session.path, "UserInputProvide", "uuus", 1, 5, 0, "123")
    before = session.seen
    again.session(session.path, "Connect")
    session.wait(CONNECTED, before)
