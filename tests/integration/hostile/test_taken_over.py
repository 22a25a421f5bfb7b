"""A worker that is somebody else's when the next supervisor takes it over."""

import contextlib
import signal
from collections.abc import Iterator

import psutil

from ....ipc.messages import (
    MAJOR,
    MINOR,
    ApplyNetwork,
    InputNeeded,
    InputSlot,
    ToSupervisor,
    WorkerHello,
    WorkerSnapshot,
)
from ....policy.dbus_numbers import InputGroup
from ....policy.limits import MAX_FRAME, MAX_URL
from ....policy.network import Address, NetworkSettings
from ...lab.auth_server import Pending
from ...lab.hijack import waiting_socket
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.service import Service
from ...support.authentication import answer, questions
from ...support.hostile_workers import send
from ...support.sessions import FAILED, UserSession, begin

_QUESTION = InputSlot("auth_pending", "Code", False)


@contextlib.contextmanager
def taken_over(lab: Lab, service: Service, session: UserSession, *told: ToSupervisor) -> Iterator[Service]:
    """The next service, which is told these in the place of the session's worker, while that stands still."""
    worker: psutil.Process = session.worker
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    with waiting_socket(worker.pid) as waiting:
        later = lab.supervisor("--stopped-grace=0", wait=False)
        channel, _ = waiting.accept()
        with channel:
            send(channel, WorkerHello(MAJOR, MINOR))
            channel.recv(MAX_FRAME)
            send(channel, *told)
            later.wait_ready()
            yield later


def test_a_status_that_is_no_line(lab: Lab) -> None:
    """It is shown as every other: without control characters, and cut."""
    lab.auth_server(lambda login: Pending("CR_TEXT:R,E:Enter the code"))
    service = lab.supervisor("--stopped-grace=0")
    session = begin(lab, more=["auth-user-pass"])
    answer(session, username="alice", password="open sesame")
    session.call("Connect")
    session.user.wait_signal(lambda one: one.member == "StatusChange" and "code" in one.arguments[2])
    assert questions(session)
    text = "\x1b[2J\0" + "x" * 10000
    need = InputNeeded(1, InputGroup.CHALLENGE_AUTH_PENDING, (_QUESTION,), "code", text)
    with taken_over(lab, service, session, need, WorkerSnapshot("running", 1)):
        shown = session.get("status")[2]
        assert shown.startswith("\\x1b[2J\\x00xxx") and shown.isprintable()
        assert len(shown) <= MAX_URL + 6
        session.call("Disconnect")


def test_a_network_before_connect(lab: Lab) -> None:
    """Nobody has asked for it yet."""
    service = lab.supervisor("--stopped-grace=0")
    session = begin(lab)
    settings = NetworkSettings(1400, (Address("198.18.0.2", 24),), (), SERVER_ADDRESS)
    since = session.seen
    with taken_over(lab, service, session, ApplyNetwork(settings), WorkerSnapshot("held", 0)) as later:
        session.wait(FAILED, since)
        later.process.wait_line("is killed: it asks for a network while READY")
        session.call("Disconnect")
