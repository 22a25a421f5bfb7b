"""A worker that is somebody else's: on the real channel of a real session, against the real supervisor.

The worker stands still, and the test speaks in its place.  Whatever it says, the supervisor goes on serving others,
and a worker that breaks the rules is killed and named.
"""

import array
import contextlib
import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from ....ipc import messages
from ....ipc.codec import decode_to_worker, encode
from ....policy.dbus_numbers import LogCategory
from ....policy.limits import LOG_CREDIT, MAX_FRAME, MAX_WORKER_FRAMES, MAX_WORKER_REPORTS
from ....supervisor.sessions.states import State
from ...lab.connection import SESSIONS_PATH
from ...lab.hijack import worker_channel
from ...lab.lab import Lab
from ...lab.processes import DEADLINE
from ...support.descriptors import kernel_refuses_descriptors
from ...support.frames import FrameMaker, examples
from ...support.hostile_workers import HostileWorkers, send, unread
from ...support.permits import PERMITTED
from ...support.sessions import CONNECTED, wait_gone

FRAMES = 1000


@pytest.fixture
def hostile(lab: Lab) -> Iterator[HostileWorkers]:
    made = HostileWorkers(lab)
    yield made
    made.assert_undisturbed()


def test_a_thousand_fuzzed_frames(hostile: HostileWorkers) -> None:
    """Each worker sends until it is killed; every one that is not is asked for, so that all frames have been read."""
    sent = killed = number = 0
    while sent < FRAMES:
        number += 1
        state = (State.READY, State.CONNECTED)[number % 2]
        maker = FrameMaker(number, request_number=0 if state is State.READY else 1)
        session = hostile.session(state)
        worker = session.worker
        with worker_channel(worker.pid) as channel:
            # Few are broken, for otherwise the first would be the last.
            count = send(channel, *(maker.frame(broken=0.1) for _ in range(40)))
            sent += count
            until = time.monotonic() + DEADLINE
            while unread(channel) and not hostile.names(worker):
                hostile.alice.session(SESSIONS_PATH, "FetchAvailableSessions")
                assert time.monotonic() < until, "its frames are not read"
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
        wait_gone([worker])
        killed += bool(hostile.names(worker))
        with contextlib.suppress(Exception):  # it may have ended by itself, in order
            session.call("Disconnect")
    assert killed > number / 2
    hostile.assert_undisturbed()


@pytest.mark.parametrize("state", [State.READY, State.CONNECTED, State.PAUSED])
def test_every_message_where_it_has_no_place(hostile: HostileWorkers, state: State) -> None:
    turn = {State.READY: 0, State.CONNECTED: 1, State.PAUSED: 2}[state]
    wrong = [
        message
        for message in examples(turn)
        if state not in PERMITTED[type(message)] and type(message) not in messages.DESCRIPTORS
    ]
    assert len(wrong) > 3
    for message in wrong:
        reason = hostile.verdict(hostile.session(state), encode(message))
        assert reason.startswith(f"it sent {type(message).__name__} while {state.name}"), (message, reason)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([encode(messages.LogLine(LogCategory.DEBUG, "x"))] * (LOG_CREDIT + 1), "log lines beyond its credit"),
        ([encode(messages.Traffic(2**40, 2**40 + n)) for n in range(1, MAX_WORKER_FRAMES + 2)], "messages in a second"),
        ([encode(messages.Resolve("a.example"))] * 50, "names at once"),
        (
            [encode(messages.Reconnecting(1, "x")), *[encode(messages.Connecting(1))] * MAX_WORKER_REPORTS],
            "events in a second",
        ),
        ([b"\0" * (MAX_FRAME + 1)], "exceed a frame"),
        ([b"\x91" * MAX_FRAME], "are not a message"),
        ([encode(messages.Paused(7))], "answered request 7 of 1"),
    ],
    ids=["log", "flood", "names", "events", "long", "deep", "future"],
)
def test_too_much(hostile: HostileWorkers, frames: list[bytes], reason: str) -> None:
    assert reason in hostile.verdict(hostile.session(State.CONNECTED), *frames)


def test_a_worker_may_log_as_much_as_its_credit_allows(hostile: HostileWorkers) -> None:
    """Whoever waits for credit and uses all of it, again and again, is not at fault."""
    session = hostile.session(State.CONNECTED)
    worker = session.worker
    with worker_channel(worker.pid) as channel:
        channel.settimeout(10)
        for number in range(3):
            credit = 0
            send(channel, *[encode(messages.LogLine(LogCategory.DEBUG, "much to say"))] * (LOG_CREDIT // 2))
            while credit < LOG_CREDIT // 2:
                given = decode_to_worker(channel.recv(MAX_FRAME), 0)
                assert isinstance(given, messages.LogCredit)
                credit += given.lines
            # What the worker itself had logged comes back with the first.
            assert credit <= LOG_CREDIT and (credit == LOG_CREDIT // 2 or not number)
    assert not hostile.names(worker)
    assert session.get("status") == [2, CONNECTED, ""]
    session.call("Disconnect")
    wait_gone([worker])


def test_descriptors_do_not_arrive(hostile: HostileWorkers) -> None:
    session = hostile.session()
    worker = session.worker
    descriptors = psutil.Process(hostile.service.pid).num_fds()
    with worker_channel(worker.pid) as channel:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [channel.fileno()] * 50))]
        if kernel_refuses_descriptors():
            with pytest.raises(PermissionError):
                channel.sendmsg([encode(messages.Traffic(1, 1))], ancillary, socket.MSG_NOSIGNAL)
        else:
            channel.sendmsg([encode(messages.Traffic(1, 1))], ancillary, socket.MSG_NOSIGNAL)
            hostile.service.process.wait_line(f"Worker {worker.pid} is killed: it sent 50 descriptors")
    session.get("status")
    assert psutil.Process(hostile.service.pid).num_fds() <= descriptors
    worker.kill()
    wait_gone([worker])
    session.call("Disconnect")
