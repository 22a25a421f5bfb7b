"""The loop of one worker: supervisor, engine, signals and deadlines, in one thread."""

import mmap
import os
import selectors
import signal
import socket
import traceback
from collections.abc import Callable

import msgspec

from ...ipc import messages
from ...ipc.channel import BadFrame, Channel, ChannelClosed
from ...ipc.codec import encode
from ...kernel.privileges import ConfinementError
from ...kernel.signals import open_signalfd, take_signals
from ...policy.dbus_numbers import LogCategory
from ...policy.exit_status import ExitStatus
from ...policy.limits import COUNT_INTERVAL, MAX_FRAME, MAX_LOG_LINE
from ..sandbox.confine import Confinement, confine_serving
from . import events, requests
from .phases import Event, Phase
from .session import WorkerSession
from .takeover import Takeover
from .timers import Timers

# Signals that end a session.  The first process of a pid namespace gets only those it handles.
ENDING = (signal.SIGTERM, signal.SIGINT)

_GREETING = ("state on", "log on")  # first commands to the engine


class WorkerEnds(msgspec.Struct, frozen=True):
    """A worker's ends of what leads to supervisors."""

    supervisor: Channel
    later: socket.socket | None = None  # bound: where the next one can connect


def run(ends: WorkerEnds, confinement: Confinement) -> None:
    """Serve one session until it has ended, then end the process."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    loop = _Loop(ends, confinement)
    try:
        loop.run()
        status = ExitStatus.OK
    except BadFrame as error:
        loop.last_words(f"The supervisor broke the protocol: {error}")
        status = ExitStatus.PROTOCOL
    except ConfinementError as error:
        loop.last_words(f"The worker cannot be confined: {error}")
        status = ExitStatus.CONFINEMENT
    except BaseException:
        loop.last_words(f"The worker failed: {traceback.format_exc(limit=-5)}")
        status = ExitStatus.INTERNAL
    os._exit(status)


class _Loop:
    def __init__(self, ends: WorkerEnds, confinement: Confinement) -> None:
        self._supervisor = ends.supervisor
        # Pages that take no memory before they are used; overwritten after each packet.
        self._received = memoryview(mmap.mmap(-1, MAX_FRAME + 1))
        self._timers = Timers()
        self._session = WorkerSession(ends.supervisor, self._timers, confinement)
        self._takeover = Takeover(self._session, ends.later, ends.supervisor.peer[1])
        self._selector = selectors.DefaultSelector()
        self._engine_watched = self._engine_gone = False

    def run(self) -> None:
        self._watch_signals()
        self._watch(self._supervisor.fileno(), self._read_supervisor)
        self._session.uplink.tell(messages.WorkerHello(messages.MAJOR, messages.MINOR))
        self._session.uplink.tell(messages.WorkerSnapshot(self._session.phase.name.lower(), 0))
        while not self._finished():
            left = [one for one in (self._timers.time_left(), self._takeover.timers.time_left()) if one is not None]
            for key, _ in self._selector.select(min(left, default=None)):
                key.data()
            self._timers.run_due()
            self._takeover.timers.run_due()
            self._watch_engine()

    def _finished(self) -> bool:
        over = self._session.phase is Phase.STOPPING and (self._session.engine is None or self._engine_gone)
        return over and not self._takeover.has_to_wait

    def last_words(self, text: str) -> None:
        """Say why the worker ends by its own fault."""
        try:
            self._supervisor.send(encode(messages.LogLine(LogCategory.CRIT, text[-MAX_LOG_LINE:])))
        except (ChannelClosed, OSError):
            pass

    def _watch(self, descriptor: int, action: Callable[[], object]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, action)

    def _watch_signals(self) -> None:
        """The signals in ENDING, which the spawner has given a handler, mean Disconnect."""
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end)

        def terminated() -> None:
            number = signal.Signals(os.read(read_end, 1)[0])
            self._session.machine.happened(Event.ENDED, f"The worker was asked to end ({number.name})")

        self._watch(read_end, terminated)
        # As in the supervisor a signal without a handler: it leaves no registers on a stack.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        children = open_signalfd({signal.SIGCHLD})

        def child_changed() -> None:
            take_signals(children)
            self._session.watchdog.stopped_or_goes_on()

        self._watch(children, child_changed)

    def _read_supervisor(self) -> None:
        try:
            packet = self._supervisor.receive_into(self._received)
        except (ChannelClosed, TimeoutError):
            self._supervisor_gone()
            return
        try:
            requests.handle(self._session, packet)
            if self._takeover.under_way:
                self._takeover.complete()
        except (BadFrame, ChannelClosed, TimeoutError) as error:
            if isinstance(error, BadFrame) and not self._takeover.under_way:
                raise
            self._supervisor_gone()
        finally:
            packet.close()

    def _supervisor_gone(self) -> None:
        """It has ended, or does not speak our language: wait for another one, which says hello first."""
        self._selector.unregister(self._supervisor.fileno())
        if self._takeover.under_way:
            self._takeover.refuse()
        else:
            self._supervisor.close()
            self._takeover.begin()
        if self._takeover.socket is not None:
            self._watch(self._takeover.socket.fileno(), self._accept_supervisor)

    def _accept_supervisor(self) -> None:
        channel = self._takeover.accept()
        if channel is not None and self._takeover.socket is not None:
            self._selector.unregister(self._takeover.socket.fileno())
            self._supervisor = channel
            self._watch(channel.fileno(), self._read_supervisor)
            self._takeover.set_deadline(self._supervisor_gone)

    def _watch_engine(self) -> None:
        engine = self._session.engine
        if engine is not None and not self._engine_watched:
            self._engine_watched = True
            self._watch(engine.pidfd, self._engine_ended)
            self._watch(engine.output, self._read_output)
            self._watch(engine.listener.fileno(), self._accept_management)

    def _accept_management(self) -> None:
        assert self._session.engine is not None
        self._selector.unregister(self._session.engine.listener.fileno())
        self._session.downlink.connection = management = self._session.engine.accept()
        # From here on there is nothing to open, start or connect; and what has come from the engine is not read yet.
        confine_serving(self._session.confinement)
        layers = tuple(sorted(self._session.confinement.layers))
        self._session.uplink.tell(messages.Confined(layers, self._session.attempts.remotes.local))
        self._watch(management.fileno(), self._read_management)
        self._session.downlink.command(*_GREETING)
        # Unasked now and then, lest all that it has counted is lost with it.
        self._session.counting.watch(COUNT_INTERVAL)

    def _read_output(self) -> None:
        assert self._session.engine is not None
        lines, at_end = self._session.engine.read_output()
        for line in lines:
            events.printed(self._session, line)
        if at_end:
            self._selector.unregister(self._session.engine.output)

    def _read_management(self) -> bool:
        """Handle what the engine said; whether it said anything."""
        management = self._session.downlink.connection
        if management is None:
            return False  # closed by an event of the same round
        received, at_end = management.read()
        for event in received:
            events.handle(self._session, event)
        if at_end:
            self._selector.unregister(management.fileno())
            management.close()
            self._session.downlink.connection = None
        return bool(received)

    def _engine_ended(self) -> None:
        engine = self._session.engine
        assert engine is not None
        pidfd = engine.pidfd
        how = engine.reap()
        if how is None:
            return
        self._selector.unregister(pidfd)
        while self._read_management():
            pass  # what it said last explains its end
        self._engine_gone = True
        events.engine_ended(self._session, how)
