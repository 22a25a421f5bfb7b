"""Where secrets are while a session lives: in its worker and engine, and in no other process's memory."""

import itertools
import stat
import time
from base64 import b64encode
from pathlib import Path

import psutil
import pytest

from ...lab.auth_server import Accept, Deny, Login, Verdict
from ...lab.connection import SESSIONS_PATH, BusError
from ...lab.lab import PROXY_PORT, Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.process_memory import found_in_memory
from ...lab.service import Service
from ...lab.surroundings import SERVICE
from ...support.authentication import REQUIRE_USER, provide, questions
from ...support.files import files_of
from ...support.sessions import CONNECTED, UserSession, begin, wait_gone

MOMENT = 2.0  # seconds

TYPED = {
    "pk_passphrase": "passphrase-8c55e1-and-4d11f0",
    "http_proxy_pass": "proxy-4b0e77-and-90ce13-and-1f",
    "password": "Geheim-日本-77a9d2-und-5530be",
    # Long: memory of the usual sizes is used again at once, and would hide what is not overwritten.
    "static_challenge": "otp-" + "".join(f"{number:x}," for number in range(57, 90)),
}


def judge(login: Login) -> Verdict:
    good = login.static_challenge == (TYPED["password"], TYPED["static_challenge"])
    return Accept() if good else Deny()


def forms_of(secret: str) -> list[bytes]:
    """A text as it travels, as Python keeps it, and as it goes to servers in base64."""
    plain = secret.encode()
    wide = [] if secret.isascii() else [secret.encode("utf-16-le"), secret.encode("utf-32-le")]
    in_base64 = [b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    # The end of each: where memory is free, its first bytes are the allocator's.
    return [form[len(form) // 3 :] for form in (plain, *wide, *in_base64)]


def key_forms(pem: str) -> dict[bytes, str]:
    """The lines of a key's text."""
    lines = [line for line in pem.splitlines() if not line.startswith("-")]
    assert len(lines) > 2
    return {line.encode(): "private key" for line in lines[:-1]}


def typed_forms() -> dict[bytes, str]:
    return {form: name for name, secret in TYPED.items() for form in forms_of(secret)}


def service_processes(service: Service, *sessions: UserSession) -> list[psutil.Process]:
    """The service's processes without those of sessions."""
    of_sessions = {process for one in sessions for process in (one.worker, one.engine)}
    supervisor = psutil.Process(service.pid)
    return [one for one in (supervisor, *supervisor.children(recursive=True)) if one not in of_sessions]


def secrets_in(process: psutil.Process, wanted: dict[bytes, str]) -> dict[str, list[str]]:
    """Which secrets are in the memory of a process, and where."""
    found = found_in_memory(process.pid, wanted)
    return {wanted[form]: places for form, places in found.items()}


def assert_in_none(processes: list[psutil.Process], wanted: dict[bytes, str]) -> None:
    """Nothing is left a moment later: who has the answer may be quicker than the service is at letting go."""
    assert processes
    until = time.monotonic() + MOMENT
    for process in processes:
        found = secrets_in(process, wanted)
        while found and time.monotonic() < until:
            found = secrets_in(process, wanted)
        assert found == {}, process


def test_what_was_typed_is_in_worker_and_engine_only(lab: Lab) -> None:
    lab.proxy("Basic", alice=TYPED["http_proxy_pass"])
    lab.auth_server(judge, protocol="tcp")
    service = lab.supervisor()
    other = begin(lab, "other", "bob", more=["auth-user-pass"])
    key = lab.pki.client.encrypted(TYPED["pk_passphrase"])
    session = begin(
        lab,
        protocol="tcp",
        identity=key,
        more=[
            "auth-user-pass",
            'static-challenge "And what else?" 0',
            f"http-proxy {SERVER_ADDRESS} {PROXY_PORT} auto",
        ],
    )
    wanted = {**typed_forms(), **key_forms(key.key)}
    elsewhere = service_processes(service, session)
    assert {other.worker, other.engine} <= set(elsewhere)
    assert_in_none(elsewhere, wanted)
    answers = {"username": "alice", "http_proxy_user": "alice", **TYPED}
    answered = set[str]()
    while answered != set(answers):
        # Each is looked for as soon as it has been typed, before anything else is said to the service.
        for question in questions(session):
            provide(session, question, answers[question.name])
            answered.add(question.name)
            assert_in_none(elsewhere, wanted)
        before = session.seen
        session.call("Connect")
        session.wait(CONNECTED if answered == set(answers) else REQUIRE_USER, before)
    in_worker = secrets_in(session.worker, wanted)
    assert {"password", "pk_passphrase", "http_proxy_pass"} <= set(in_worker), "the search finds nothing"
    assert "static_challenge" not in in_worker, "what is used once is overwritten then"
    assert_in_none(elsewhere, wanted)
    processes = [session.worker, session.engine]
    session.call("Disconnect")
    wait_gone(processes)
    assert_in_none(elsewhere, wanted)


def test_a_private_key_passes_through(lab: Lab) -> None:
    """The profile is imported, read back, used, and refused: the key stays in none of the service's processes."""
    lab.server()
    service = lab.supervisor()
    alice = lab.connection("alice")
    counter = itertools.count()

    def look(text_key: str) -> None:
        assert_in_none(service_processes(service, *sessions), key_forms(text_key))

    sessions: list[UserSession] = []
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []  # a first call makes the service ask the bus
    key = lab.pki.authority.issue("passing")
    text = lab.profile(identity=key)
    profile = alice.import_profile(f"profile {next(counter)}", text)
    look(key.key)
    for member in ("Fetch", "FetchJSON"):
        assert key.key.splitlines()[1] in alice.call(profile, "net.openvpn.v3.configuration", member)
        look(key.key)
    alice.call(profile, "net.openvpn.v3.configuration", "AddTag", "s", "tag")
    look(key.key)
    sessions.append(UserSession(alice, profile, alice.new_tunnel(profile)))
    look(key.key)
    sessions[0].connect()
    look(key.key)
    assert secrets_in(sessions[0].worker, key_forms(key.key)), "the search finds nothing"
    processes = [sessions[0].worker, sessions[0].engine]
    sessions.pop().call("Disconnect")
    wait_gone(processes)
    look(key.key)
    # One that a session refuses; one that is no profile at all.
    refused = alice.import_profile("refused", text + "plugin /tmp/x.so\n")
    with pytest.raises(BusError, match="plugin"):
        alice.new_tunnel(refused)
    look(key.key)
    with pytest.raises(BusError, match="closing quote"):
        alice.import_profile("broken", text + "x '\n")
    look(key.key)
    with pytest.raises(BusError):
        alice.import_profile("", text)
    look(key.key)


def test_a_private_key_is_in_two_files_and_nothing_that_can_be_read(lab: Lab) -> None:
    """In the store's file of the service's account, and in the engine's own; not in logs, arguments, environments."""
    lab.server()
    service = lab.supervisor(log_level=6)
    key = lab.pki.authority.issue("kept")
    wanted = key_forms(key.key)
    session = begin(lab, identity=key, more=["verb 6"])
    session.connect()
    supervisor = psutil.Process(service.pid)
    processes = [supervisor, *supervisor.children(recursive=True)]
    assert not [line for line in wanted if line in service.log.encode()]
    holders = set[tuple[str, int, int]]()
    for process in processes:
        for name in ("cmdline", "environ", "comm"):
            assert not [line for line in wanted if line in Path(f"/proc/{process.pid}", name).read_bytes()]
        for file in files_of(process.pid):
            if any(line in file.read_bytes() for line in wanted):
                found = file.stat()
                holders.add((file.suffix or file.name, found.st_uid, stat.S_IMODE(found.st_mode)))
    worker_uid = session.worker.uids().real
    assert holders == {(".profile", SERVICE.uid, 0o600), ("profile", worker_uid, 0o400)}
