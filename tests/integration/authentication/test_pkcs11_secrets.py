"""The PIN of a PKCS#11 token: where it is, and that it is nowhere else."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from ...lab.connection import BusError
from ...lab.lab import Lab
from ...lab.service import Service
from ...lab.tokens import Token
from ...support.authentication import answer, connect, heard_nothing, provide, questions, refusal, restart
from ...support.files import files_of
from ...support.sessions import begin
from ...support.token_sessions import PIN, question, started_with_tokens, with_token

OTHER_PIN = "pin-77b2-bob"


def test_the_pin_is_nowhere_to_be_found(lab: Lab, token: Token) -> None:
    made = started_with_tokens(lab)
    session = begin(
        lab, certified=False, more=["pkcs11-providers soft", f"pkcs11-id '{token.identities[0]}'", "verb 6"]
    )
    provide(session, questions(session)[0], PIN)
    assert_nowhere(made)
    connect(session)
    restart(session)
    assert_nowhere(made)
    for one in session.user.signals():
        assert PIN not in str(one.arguments), one
    assert PIN not in str(session.user.get_all(session.path))


def assert_nowhere(made: Service) -> None:
    """The PIN is in no log, argument, environment or file."""
    assert PIN not in made.log
    files = set[Path]()
    for process in (psutil.Process(made.pid), *psutil.Process(made.pid).children(recursive=True)):
        for name in ("cmdline", "environ", "comm"):
            assert PIN.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes(), f"{name} of {process}"
        files.update(files_of(process.pid))
    assert any(file.name == "profile" for file in files), "the engine's own directory is not seen"
    for file in files:
        assert PIN.encode() not in file.read_bytes(), file


def test_another_sessions_pin_is_out_of_sight(lab: Lab, token: Token) -> None:
    others = lab.tokens.add("bob", OTHER_PIN, lab.pki.authority.issue("bob"))
    started_with_tokens(lab)
    session = with_token(lab, token.identities[0])
    other = with_token(lab, others.identities[0], "bob")
    assert questions(session) == [question()]
    assert questions(other) == [question(label="bob")]
    calls: dict[str, tuple[Any, ...]] = {
        "UserInputQueueFetch": ("uuu", 1, 3, 0),
        "UserInputProvide": ("uuus", 1, 3, 0, OTHER_PIN),
    }
    for member, arguments in calls.items():
        with pytest.raises(BusError, match="Access denied"):
            other.user.session(session.path, member, *arguments)
    answer(session, pkcs11_pin=PIN)
    answer(other, pkcs11_pin=OTHER_PIN)
    assert PIN.encode() in memory_of(session.worker), "where it waits to be used"
    for one in (session, other):
        connect(one)
    assert heard_nothing(other.user, session.path)
    for process in (other.worker, other.engine):
        assert PIN.encode() not in memory_of(process), process
    assert refusal(session, "UserInputProvide", "uuus", 1, 3, 0, PIN), "it was answered"


def memory_of(process: psutil.Process) -> bytes:
    """All that a process can write to."""
    content = b""
    with Path(f"/proc/{process.pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
            addresses, access, *_ = line.split()
            if access.startswith("rw"):
                first, _, last = addresses.partition("-")
                memory.seek(int(first, 16))
                content += memory.read(int(last, 16) - int(first, 16)) or b""
    return content
