"""A worker that is somebody else's: on the real channel of a real session, against the real supervisor.

The worker stands still, and the test speaks in its place.  Whatever it says, the supervisor goes on serving others,
and a worker that breaks the rules is killed and named.
"""

import array
import contextlib
import fcntl
import socket
import sys
import termios
import time
from collections.abc import Iterator

import psutil
import pytest

from openvpn3_sessionmgr.ipc import messages
from openvpn3_sessionmgr.ipc.codec import encode
from openvpn3_sessionmgr.policy.dbus_numbers import LogCategory
from openvpn3_sessionmgr.policy.limits import LOG_CREDIT, MAX_FRAME, MAX_WORKER_FRAMES, MAX_WORKER_REPORTS
from openvpn3_sessionmgr.supervisor.sessions.states import State
from openvpn3_sessionmgr.supervisor.workers.requests import PERMITS
from openvpn3_sessionmgr.tests.fuzz.frames import FrameMaker, examples
from openvpn3_sessionmgr.tests.lab.connection import SESSIONS_PATH, BusClient
from openvpn3_sessionmgr.tests.lab.hijack import worker_channel
from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.processes import DEADLINE
from openvpn3_sessionmgr.tests.lab.service import Service

from ...support.sessions import CONNECTED, FAILED, PAUSED, UserSession, begin, wait_gone

FRAMES = 1000
OVER = (State.AUTH_FAILED, State.FAILED, State.GONE)


class Stage:
    """A service, a session of bob's that must not notice anything, and alice, whose workers are hostile."""

    def __init__(self, lab: Lab) -> None:
        lab.server(pushes=())
        self.service: Service = lab.supervisor()
        self.bystander = begin(lab, "quiet", "bob")
        self.bystander.connect()
        self.alice: BusClient = lab.connection("alice")
        self.profile = self.alice.import_profile("hostile", lab.profile())
        self.told = self.bystander.seen

    def session(self, state: State = State.READY) -> UserSession:
        """A new session of alice's, in this state."""
        made = UserSession(self.alice, self.profile, self.alice.new_tunnel(self.profile))
        if state in (State.CONNECTED, State.PAUSED):
            made.connect()
        if state is State.PAUSED:
            before = made.seen
            made.call("Pause", "s", "")
            made.wait(PAUSED, before)
        return made

    def assert_undisturbed(self) -> None:
        assert self.bystander.get("status") == [2, CONNECTED, ""]
        assert self.bystander.user.statuses(self.bystander.path, self.told) == []
        for trouble in ("Internal error", "could not be handled", "Traceback"):
            assert trouble not in self.service.log

    def names(self, worker: psutil.Process) -> str:
        """Why the worker was killed, by the log; "" if it was not."""
        lines = [line for line in self.service.process.lines if f"Worker {worker.pid} is killed: " in line]
        return lines[-1].partition(" is killed: ")[2] if lines else ""


@pytest.fixture
def stage(lab: Lab) -> Iterator[Stage]:
    made = Stage(lab)
    yield made
    made.assert_undisturbed()


def send(channel: socket.socket, *frames: bytes) -> int:
    """How many of the frames were sent before the supervisor closed its end."""
    for number, frame in enumerate(frames):
        try:
            channel.sendmsg([frame], [], socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return number
    return len(frames)


def unread(channel: socket.socket) -> int:
    """Bytes that were sent and have not been read yet (SIOCOUTQ, unix(7))."""
    answer = fcntl.ioctl(channel, termios.TIOCOUTQ, b"\0" * 4)
    return int.from_bytes(answer, sys.byteorder)


def say(stage: Stage, session: UserSession, *frames: bytes) -> str:
    """Send these in the worker's place, and wait for the verdict; why the worker was killed."""
    worker, since = session.worker, session.seen
    log = len(stage.service.process.lines)
    with worker_channel(worker.pid) as channel:
        send(channel, *frames)
        stage.service.process.wait_line(f"Worker {worker.pid} is killed: ", since=log)
    session.wait(FAILED, since)
    wait_gone([worker])
    session.call("Disconnect")
    return stage.names(worker)


def test_a_thousand_fuzzed_frames(stage: Stage) -> None:
    """Each worker sends until it is killed; every one that is not is asked for, so that all frames have been read."""
    sent = killed = number = 0
    while sent < FRAMES:
        number += 1
        state = (State.READY, State.CONNECTED)[number % 2]
        maker = FrameMaker(number, turn=0 if state is State.READY else 1)
        session = stage.session(state)
        worker = session.worker
        with worker_channel(worker.pid) as channel:
            # Few are broken, for otherwise the first would be the last.
            count = send(channel, *(maker.frame(broken=0.1) for _ in range(40)))
            sent += count
            until = time.monotonic() + DEADLINE
            while unread(channel) and not stage.names(worker):
                stage.alice.session(SESSIONS_PATH, "FetchAvailableSessions")
                assert time.monotonic() < until, "its frames are not read"
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
        wait_gone([worker])
        killed += bool(stage.names(worker))
        with contextlib.suppress(Exception):  # it may have ended by itself, in order
            session.call("Disconnect")
    assert killed > number / 2
    stage.assert_undisturbed()


@pytest.mark.parametrize("state", [State.READY, State.CONNECTED, State.PAUSED])
def test_every_message_where_it_has_no_place(stage: Stage, state: State) -> None:
    turn = {State.READY: 0, State.CONNECTED: 1, State.PAUSED: 2}[state]
    wrong = [message for message in examples(turn) if state not in PERMITS[type(message)].states]
    assert len(wrong) > 3
    for message in wrong:
        reason = say(stage, stage.session(state), encode(message))
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
def test_too_much(stage: Stage, frames: list[bytes], reason: str) -> None:
    assert reason in say(stage, stage.session(State.CONNECTED), *frames)


def test_a_worker_may_log_as_much_as_its_credit_allows(stage: Stage) -> None:
    """Whoever waits for credit and uses all of it, again and again, is not at fault."""
    session = stage.session(State.CONNECTED)
    worker = session.worker
    with worker_channel(worker.pid) as channel:
        channel.settimeout(10)
        for _ in range(3):
            credit = 0
            send(channel, *[encode(messages.LogLine(LogCategory.DEBUG, "much to say"))] * (LOG_CREDIT // 2))
            while credit < LOG_CREDIT // 2:
                said = channel.recv(MAX_FRAME)
                assert b"LogCredit" in said
                credit += LOG_CREDIT // 2
    assert not stage.names(worker)
    assert session.get("status") == [2, CONNECTED, ""]
    session.call("Disconnect")
    wait_gone([worker])


def test_descriptors_do_not_arrive(stage: Stage) -> None:
    session = stage.session()
    worker = session.worker
    descriptors = psutil.Process(stage.service.pid).num_fds()
    with worker_channel(worker.pid) as channel:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [channel.fileno()] * 50))]
        try:
            channel.sendmsg([encode(messages.Traffic(1, 1))], ancillary, socket.MSG_NOSIGNAL)
        except PermissionError:
            pass  # a newer kernel keeps them off the socket
        else:
            stage.service.process.wait_line(f"Worker {worker.pid} is killed: it sent 50 descriptors")
    session.get("status")
    assert psutil.Process(stage.service.pid).num_fds() <= descriptors
    worker.kill()
    wait_gone([worker])
    session.call("Disconnect")
