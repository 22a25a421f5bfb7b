"""Where secrets are while a session lives: in its worker and engine, and in no other process's memory.

Any part of one that a vector register could hold counts: whatever saves the registers of a thread, the dynamic linker
or the kernel before a handler of signals, leaves them on its stack.
"""

import itertools
import os
import signal
import stat
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from ...lab.auth_server import Accept, Deny, Login, Pending, Verdict, dynamic_challenge
from ...lab.connection import SESSIONS_PATH, BusError
from ...lab.lab import PROXY_PORT, Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.process_memory import found_in_memory
from ...lab.service import Service
from ...lab.surroundings import SERVICE
from ...support.authentication import REQUIRE_USER, connect, provide, questions
from ...support.files import files_of
from ...support.sessions import CONNECTED, UserSession, begin, wait_gone
from ...support.token_sessions import started_with_tokens, with_token

MOMENT = 2.0  # seconds
BETWEEN_SIGNALS = 0.0003  # seconds


def long_secret(start: str) -> str:
    """As long as the largest vector register, or longer, and nothing in it twice."""
    return start + sha256(start.encode()).hexdigest()


TYPED = {
    "pk_passphrase": long_secret("passphrase-"),
    "http_proxy_pass": long_secret("proxy-"),
    "password": long_secret("Geheim-日本-"),
    # Longer: memory of the usual sizes is used again at once, and would hide what is not overwritten.
    "static_challenge": "otp-" + "".join(f"{number:x}," for number in range(57, 90)),
    "dynamic_challenge": long_secret("dynamic-"),
    "auth_pending": long_secret("pending-"),
}
USED_ONCE = {"static_challenge", "dynamic_challenge", "auth_pending"}
PIN = long_secret("pin-")


def judge(login: Login) -> Verdict:
    """Wants everything there is, one after the other."""
    if login.response is not None:
        return Accept() if login.response == TYPED["auth_pending"] else Deny()
    if login.password.startswith("SCRV1"):
        good = login.static_challenge == (TYPED["password"], TYPED["static_challenge"])
        return dynamic_challenge("state", "alice", "And now?") if good else Deny()
    good = login.password == f"CRV1::state::{TYPED['dynamic_challenge']}"
    return Pending("CR_TEXT:R:And at last?") if good else Deny()


def forms_of(secret: str) -> list[bytes]:
    """A text as it travels, as Python keeps it, and as it goes to servers in base64."""
    plain = secret.encode()
    wide = [] if secret.isascii() else [secret.encode("utf-16-le"), secret.encode("utf-32-le")]
    in_base64 = [b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return [plain, *wide, *in_base64]


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
    """Which secrets, or parts of them, are in the memory of a process, and where; none if it has ended."""
    try:
        found = found_in_memory(process.pid, wanted)
    except (FileNotFoundError, ProcessLookupError):
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, process
        return {}
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
        if answered == set(answers):
            session.wait(CONNECTED, 0)  # the last answer has gone to the server at once
        else:
            session.wait(REQUIRE_USER, before)
    in_worker = secrets_in(session.worker, wanted)
    assert {"password", "pk_passphrase", "http_proxy_pass"} <= set(in_worker), "the search finds nothing"
    assert not USED_ONCE & set(in_worker), "what is used once is overwritten then"
    assert_in_none(elsewhere, wanted)
    processes = [session.worker, session.engine]
    session.call("Disconnect")
    wait_gone(processes)
    assert_in_none(elsewhere, wanted)


def test_a_pin_is_in_worker_and_engine_only(lab: Lab) -> None:
    token = lab.tokens.add("alice", PIN, lab.pki.client)
    service = started_with_tokens(lab)
    session = with_token(lab, token.identities[0])
    wanted = dict.fromkeys(forms_of(PIN), "PIN")
    elsewhere = service_processes(service, session)
    provide(session, questions(session)[0], PIN)
    assert_in_none(elsewhere, wanted)
    assert secrets_in(session.worker, wanted), "the search finds nothing"
    connect(session)
    assert_in_none([*elsewhere, session.worker], wanted)


@contextmanager
def signals_to(pid: int) -> Iterator[None]:
    """Send SIGCHLD again and again, as if other users' sessions ended, and SIGHUP, as an administrator may."""
    enough = threading.Event()
    numbers = itertools.cycle((signal.SIGCHLD, signal.SIGHUP))

    def send() -> None:
        while not enough.wait(BETWEEN_SIGNALS):
            os.kill(pid, next(numbers))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        enough.set()
        sender.join()


def test_signals_meanwhile_leave_nothing(lab: Lab) -> None:
    """Nor a signal that comes when there is a part of a secret in the registers."""
    lab.auth_server(lambda login: Accept())
    service = lab.supervisor()
    key = lab.pki.authority.issue("passing")
    text = lab.profile(identity=key, more=["auth-user-pass"])
    wanted = {**key_forms(key.key), **dict.fromkeys(forms_of(TYPED["password"]), "password")}
    alice = lab.connection("alice")
    for number in range(8):
        with signals_to(service.pid):
            profile = alice.import_profile(f"profile {number}", text)
            alice.call(profile, "net.openvpn.v3.configuration", "Fetch")
        assert_in_none([psutil.Process(service.pid)], wanted)
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    for question in questions(session):
        with signals_to(service.pid):
            provide(session, question, TYPED["password"])
        assert_in_none(service_processes(service, session), wanted)


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
        alice.import_profile("broken", text + "verb '\n")
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
