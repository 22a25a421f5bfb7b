"""Taking over a worker: it has to be the process that was noted, to speak our language, and to come to an end."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...ipc import messages
from ...ipc.channel import Channel
from ...ipc.codec import encode
from ...policy.dbus_numbers import InputGroup
from ...policy.limits import MAX_TOLD_ANEW
from ...supervisor.errors import ProtocolViolation, SystemFailure
from ...supervisor.sessions import reconcile
from ...supervisor.sessions.journal import SessionJournal
from ...supervisor.sessions.states import State
from ...supervisor.workers import takeover
from ...supervisor.workers.takeover import AnotherVersion, TakenWorker, take_over
from ..support.bare import REQUEST_NUMBER, session_in
from ..support.sessions import until

HELLO = messages.WorkerHello(messages.MAJOR, messages.MINOR)
SNAPSHOT = messages.WorkerSnapshot("running", 3)
TRAFFIC = messages.Traffic(1, 2)
DEADLINE = 20.0  # seconds


def says(*told: messages.ToSupervisor, profiles: int = 0) -> Callable[[Channel], None]:
    """A worker that says hello, waits for an answer, and says this; with so many descriptors of profiles."""

    def life(supervisor: Channel) -> None:
        supervisor.send(encode(HELLO))
        supervisor.receive()
        for _ in range(profiles):
            supervisor.send(encode(messages.KeptProfile()), [os.memfd_create("profile")])
        for message in told:
            supervisor.send(encode(message))
        supervisor.receive()  # until it is closed

    return life


@contextmanager
def waiting(journal: SessionJournal, life: Callable[[Channel], None]) -> Iterator[int]:
    """A process that waits for a supervisor; its process id."""
    place = journal.place_to_wait("session")
    ready, began = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            place.listen(1)
            os.write(began, b"x")
            connection, _ = place.accept()
            life(Channel(connection))
        finally:
            os._exit(0)
    place.close()
    os.read(ready, 1)
    for one in (ready, began):
        os.close(one)
    try:
        yield child
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def taken(directory: Path, life: Callable[[Channel], None], *, pid: int = 0, uid: int = -1) -> TakenWorker:
    """Take one over that lives like this; `pid` and `uid` are what was noted, if that is not true."""
    journal = SessionJournal(directory)

    async def main(child: int) -> TakenWorker:
        pidfd = os.pidfd_open(child)
        try:
            async with asyncio.timeout(DEADLINE):
                noted = os.getuid() if uid < 0 else uid
                return await take_over(journal.connect("session"), pid or child, pidfd, noted)
        finally:
            os.close(pidfd)

    with waiting(journal, life) as child:
        return asyncio.run(main(child))


def test_what_it_tells(tmp_path: Path) -> None:
    found = taken(tmp_path, says(TRAFFIC, SNAPSHOT, profiles=1))
    assert (found.told[-1], found.snapshot) == (TRAFFIC, SNAPSHOT) and os.fstat(found.profile).st_size == 0
    os.close(found.profile)
    found.channel.close()


@pytest.mark.parametrize(
    ("life", "reason"),
    [
        (lambda supervisor: None, "it closes the connection"),
        (lambda supervisor: supervisor.send(b"\xff"), "it breaks the protocol: 1 bytes are not a message"),
        (lambda supervisor: supervisor.send(encode(SNAPSHOT)), "it breaks the protocol: it begins with WorkerSnapshot"),
        (says(profiles=2), "it breaks the protocol: it sends its profile twice"),
        (says(*[TRAFFIC] * (MAX_TOLD_ANEW + 1)), "it breaks the protocol: it goes on and on"),
        (
            lambda supervisor: supervisor.send(encode(HELLO), [0]),
            "it breaks the protocol: WorkerHello came with 1 ",
        ),
        (lambda supervisor: supervisor.receive(), "it does not answer within 0.2 s"),
        (says(), "it does not answer within 0.2 s"),
    ],
    ids=["silent", "noise", "order", "profiles", "endless", "descriptors", "no hello", "no end"],
)
def test_one_that_does_something_else(
    tmp_path: Path, life: Callable[[Channel], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "does not answer" in reason:
        monkeypatch.setattr(takeover, "TAKEOVER_DEADLINE", 0.2)
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(SystemFailure, match=f"^{reason}"):
        taken(tmp_path, life)
    # What is left is the journal's file; what was sent is closed in a thread.
    until(lambda: len(set(Path("/proc/self/fd").iterdir())) <= len(before) + 1)


@pytest.mark.parametrize(
    "version", [(messages.MAJOR + 1, 0), (messages.MAJOR - 1, 9), (messages.MAJOR, messages.MINOR + 1)]
)
def test_another_version(tmp_path: Path, version: tuple[int, int]) -> None:
    with pytest.raises(AnotherVersion, match=rf"^it speaks protocol {version[0]}\.{version[1]}, this service "):
        taken(tmp_path, lambda supervisor: supervisor.send(encode(messages.WorkerHello(*version))))


def test_another_process_in_its_place(tmp_path: Path) -> None:
    for wrong in ({"pid": os.getpid()}, {"uid": os.getuid() + 1}):
        with pytest.raises(SystemFailure, match=r"^another process waits in its place"):
            taken(tmp_path, says(SNAPSHOT), **wrong)


def test_nobody_in_its_place(tmp_path: Path) -> None:
    journal = SessionJournal(tmp_path)
    with pytest.raises(FileNotFoundError):
        journal.connect("session")
    with journal.place_to_wait("session"), pytest.raises(ConnectionRefusedError):  # nobody listens
        journal.connect("session")


# --- what it says of its session is its word only ---


def worker(*told: messages.ToSupervisor, snapshot: messages.WorkerSnapshot = SNAPSHOT) -> TakenWorker:
    ours, theirs = socket.socketpair()
    theirs.close()
    return TakenWorker(1, -1, Channel(ours), list(told), snapshot, messages.MINOR, -1)


@pytest.mark.parametrize(
    "told",
    [
        messages.InputNeeded(0, InputGroup.USER_PASSWORD, (messages.InputSlot("a\nb", "label", False),), "", ""),
        messages.UrlNeeded(0, "file:///etc/passwd"),
    ],
)
def test_questions_that_cannot_be_shown(told: messages.ToSupervisor) -> None:
    with pytest.raises(ProtocolViolation):
        reconcile.questions(worker(told))


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ((), REQUEST_NUMBER + 1),
        ((messages.Traffic(-1, 0),), REQUEST_NUMBER),
        ((messages.Servers(("no address",)),), REQUEST_NUMBER),
    ],
)
def test_what_it_may_not_say(told: tuple[messages.ToSupervisor, ...], number: int) -> None:
    async def main() -> None:
        with session_in(State.CONNECTED) as session:
            one = worker(*told, snapshot=messages.WorkerSnapshot("running", number))
            with pytest.raises(ProtocolViolation):
                await reconcile.reconcile(session, session.bare_run, one, [])
            session.forget()

    asyncio.run(main())
