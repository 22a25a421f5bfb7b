"""A worker's session without a process: the supervisor's and the engine's ends are the test's."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ...ipc import messages
from ...ipc.channel import Channel, Packet, channel_pair
from ...ipc.codec import decode_to_supervisor, encode
from ...worker.session import events
from ...worker.session.engine import Engine
from ...worker.session.management import ManagementConnection, Parser
from ...worker.session.phases import Phase
from ...worker.session.requests import handle
from ...worker.session.session import WorkerSession
from ...worker.session.timers import Timers


def session_in(phase: Phase, worker: Channel) -> WorkerSession:
    """One in this phase; it waits for a name to be looked up, so that its engine is not let go."""
    session = WorkerSession(worker, Timers())
    session.machine.phase = phase
    session.handshake_done = True
    session.attempts.engine_holds = phase in (Phase.HELD, Phase.PAUSED)
    session.attempts.looking_up.add("vpn.example")
    return session


def packet(message: messages.ToWorker) -> Packet[memoryview]:
    """The message as it arrives; a snapshot comes with an empty profile."""
    descriptors = [os.memfd_create("profile") for _ in range(messages.DESCRIPTORS.get(type(message), 0))]
    return Packet(memoryview(bytearray(encode(message))), descriptors)


def said(supervisor: Channel) -> list[messages.ToSupervisor]:
    """What has arrived at the supervisor's end, which does not block."""
    found = []
    while True:
        try:
            found.append(decode_to_supervisor(supervisor.receive().data, 0))
        except BlockingIOError:
            return found


class BareWorker:
    """A session, and whoever it talks to."""

    def __init__(self, session: WorkerSession, supervisor: Channel, engine: socket.socket) -> None:
        self.session = session
        self._supervisor = supervisor
        self._engine = engine

    def phase(self) -> Phase:
        """How far the engine is, asked anew."""
        return self.session.phase

    def tell(self, message: messages.ToWorker) -> None:
        """Say something in the supervisor's place."""
        arrived = packet(message)
        try:
            handle(self.session, arrived)
        finally:
            arrived.close()

    def engine_says(self, line: str) -> None:
        """Have the session hear one line of the management interface."""
        event = Parser().parse(line)
        assert event is not None
        events.handle(self.session, event)

    def said(self) -> list[messages.ToSupervisor]:
        """What the supervisor has been told since the last call."""
        return said(self._supervisor)

    def time_passes(self) -> None:
        """Every deadline that is set comes to its end."""
        timers = self.session.timers
        timers._timers = {name: (0.0, action) for name, (_, action) in timers._timers.items()}
        timers.run_due()

    def commands(self) -> list[str]:
        """The commands that the engine has been given since the last call."""
        try:
            return self._engine.recv(1 << 16).decode().splitlines()
        except BlockingIOError:
            return []


@contextmanager
def bare_worker(phase: Phase, *, connect_deadline: float = 120.0) -> Iterator[BareWorker]:
    """One in this phase, whose engine listens to commands."""
    supervisor, worker = channel_pair()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for end in (supervisor.socket, ours):
            end.setblocking(False)
        session = session_in(phase, worker)
        session.attempts.connect_deadline = connect_deadline
        session.engine = Engine.__new__(Engine)
        session.engine.pidfd = -1
        session.downlink.connection = ManagementConnection(theirs)
        try:
            yield BareWorker(session, supervisor, ours)
        finally:
            supervisor.close()
            worker.close()
