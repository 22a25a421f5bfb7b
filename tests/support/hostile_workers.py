"""Workers that are somebody else's: on the real channel of a real session, against the real supervisor.

The worker stands still, and the test speaks in its place.
"""

import fcntl
import socket
import sys
import termios

import psutil

from ...ipc.codec import encode
from ...ipc.messages import ToSupervisor
from ...supervisor.sessions.states import State
from ..lab.connection import BusClient
from ..lab.hijack import worker_channel
from ..lab.lab import Lab
from ..lab.service import Service
from .sessions import CONNECTED, FAILED, PAUSED, UserSession, begin, wait_gone


class HostileWorkers:
    """A service, a session of bob's that must not notice anything, and alice, whose workers are hostile."""

    def __init__(self, lab: Lab) -> None:
        lab.server(pushes=())
        self.service: Service = lab.supervisor("--stopped-grace=0")
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
        for trouble in ("Internal error", "could not do what", "Traceback"):
            assert trouble not in self.service.log

    def names(self, worker: psutil.Process) -> str:
        """Why the worker was killed, by the log; "" if it was not."""
        lines = [line for line in self.service.process.lines if f"Worker {worker.pid} is killed: " in line]
        return lines[-1].partition(" is killed: ")[2] if lines else ""

    def verdict(self, session: UserSession, *said: ToSupervisor | bytes) -> str:
        """Say these in the worker's place, messages or frames, until it is killed; why it was."""
        worker, since = session.worker, session.seen
        log = len(self.service.process.lines)
        with worker_channel(worker.pid) as channel:
            send(channel, *said)
            self.service.process.wait_line(f"Worker {worker.pid} is killed: ", since=log)
        session.wait(FAILED, since)
        wait_gone([worker])
        session.call("Disconnect")
        return self.names(worker)


def send(channel: socket.socket, *said: ToSupervisor | bytes) -> int:
    """How many of the messages or frames were sent before the supervisor closed its end."""
    for number, one in enumerate(said):
        frame = one if isinstance(one, bytes) else encode(one)
        try:
            channel.sendmsg([frame], [], socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return number
    return len(said)


def unread(channel: socket.socket) -> int:
    """Bytes that were sent and have not been read yet (SIOCOUTQ, unix(7))."""
    answer = fcntl.ioctl(channel, termios.TIOCOUTQ, b"\0" * 4)
    return int.from_bytes(answer, sys.byteorder)
