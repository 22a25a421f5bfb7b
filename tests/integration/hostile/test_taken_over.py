"""A worker that is somebody else's when the next supervisor takes it over."""

import signal

import psutil

from ....ipc.codec import encode
from ....ipc.messages import MAJOR, MINOR, InputNeeded, InputSlot, WorkerHello, WorkerSnapshot
from ....policy.dbus_numbers import InputGroup
from ....policy.limits import MAX_FRAME, MAX_URL
from ...lab.auth_server import Pending
from ...lab.hijack import waiting_socket
from ...lab.lab import Lab
from ...support.authentication import answer, questions
from ...support.hostile_workers import send
from ...support.sessions import begin

_QUESTION = InputSlot("auth_pending", "Code", False)


def test_a_status_that_is_no_line(lab: Lab) -> None:
    """It is shown as every other: without control characters, and cut."""
    lab.auth_server(lambda login: Pending("CR_TEXT:R,E:Enter the code"))
    service = lab.supervisor("--stopped-grace=0")
    session = begin(lab, more=["auth-user-pass"])
    answer(session, username="alice", password="open sesame")
    session.call("Connect")
    session.user.wait_signal(lambda one: one.member == "StatusChange" and "code" in one.arguments[2])
    assert questions(session)
    worker: psutil.Process = session.worker
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    with waiting_socket(worker.pid) as waiting:
        service = lab.supervisor("--stopped-grace=0", wait=False)
        channel, _ = waiting.accept()
        with channel:
            send(channel, WorkerHello(MAJOR, MINOR))
            channel.recv(MAX_FRAME)
            text = "\x1b[2J\0" + "x" * 10000
            need = InputNeeded(1, InputGroup.CHALLENGE_AUTH_PENDING, (_QUESTION,), "code", text)
            send(channel, need, WorkerSnapshot("running", 1))
            service.wait_ready()
            shown = session.get("status")[2]
            assert shown.startswith("\\x1b[2J\\x00xxx") and shown.isprintable()
            assert len(shown) <= MAX_URL + 6
            session.call("Disconnect")
