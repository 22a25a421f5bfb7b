"""The supervisor's end of one worker: frames in and out, its death."""

import asyncio
import os
import select
import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from ...ipc import messages
from ...ipc.channel import BadFrame, Channel, ChannelClosed
from ...ipc.codec import decode_to_supervisor, encode
from ...policy.limits import ANSWER_DEADLINE, CLOSED_GRACE, LOG_CREDIT, MAX_WORKER_FRAMES
from ..closing import close_elsewhere
from ..errors import ProtocolViolation
from .reap import NoChild, Reaper

_FRAMES_AT_ONCE = 16  # read before others get the loop
_LAST_FRAMES = LOG_CREDIT + 64  # read of a worker that has ended
_LAST_WORDS = (
    messages.WorkerHello,  # without which it may say nothing; on a busy machine it has not been read by then
    messages.WorkerSnapshot,
    messages.LogLine,
    messages.Traffic,
    messages.Refused,
    messages.AuthenticationFailed,
    messages.Failed,
    messages.EngineDied,
    messages.Ended,
)


class WorkerListener(ABC):
    """Who hears what a worker process says, and of its end."""

    @abstractmethod
    def received(self, message: messages.ToSupervisor) -> Awaitable[None] | None:
        """Handle one message; an awaitable result holds back the frames that follow it.  Raises ProtocolViolation."""

    @abstractmethod
    def rules_broken(self, reason: str) -> None:
        """The worker broke the rules and has been killed."""

    @abstractmethod
    def not_handled(self, reason: str) -> None:
        """This process failed to handle a message of the worker, which has been killed though it broke no rule."""

    @abstractmethod
    def process_ended(self, how: str) -> None:
        """The process has been reaped, or is stuck and has been killed; `how` as in "was killed by SIGKILL"."""


class _Nobody(WorkerListener):
    """The listener of a worker that does not concern anybody any more."""

    def received(self, message: messages.ToSupervisor) -> None:
        pass

    def rules_broken(self, reason: str) -> None:
        pass

    def not_handled(self, reason: str) -> None:
        pass

    def process_ended(self, how: str) -> None:
        pass


class WorkerProcess:
    """A running worker process.

    Frames are handled strictly in order: while one takes time, no more is read, and a worker that goes on sending
    waits in its own send call.
    """

    def __init__(
        self,
        pid: int,
        pidfd: int,
        channel: Channel,
        reaper: Reaper | NoChild,
        listener: WorkerListener,
        *,
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Owns `pidfd` and `channel` from now on; `first` is awaited as if it were the answer to a frame."""
        self.pid = pid
        self.alive = True
        self.ended = asyncio.Event()
        self._pidfd = pidfd
        self._channel = channel
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._reading = False
        self._busy: asyncio.Future[None] | None = None
        self._failed = False  # it broke the rules or is stuck, and has been killed
        self._end_told = False
        self._answer_due: asyncio.TimerHandle | None = None  # while it is asked for a sign of life
        self._second = 0.0  # when the second began that frames are counted in
        self._frames = 0
        reaper.watch(pid, self._reaped, self._stays_stopped)
        self._first: asyncio.Future[None] | None = None
        if first is None:
            self._resume_reading()
        else:
            self._first = self._be_busy(first())

    def send(self, message: messages.ToWorker, *descriptors: int) -> None:
        """Send a message; a worker that does not read breaks the rules, one that has ended is left to its end."""
        if not self.alive:
            return
        try:
            self._channel.send(encode(message), descriptors)
        except BlockingIOError:
            self._violated("it does not read what it is sent")
        except ChannelClosed:
            pass

    @property
    def congested(self) -> bool:
        """Whether a good part of what fits has been sent and not read yet (unix(7): no longer writable to poll(2))."""
        if not self.alive:
            return False
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLOUT)
        return not poll.poll(0)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the process a signal; by pidfd, so that it cannot hit a stranger."""
        if self.alive:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    def ask_for_answer(self) -> None:
        """Ask for a sign of life, as of one that seems to be stuck; without an answer it is killed.

        It asks its engine in turn.
        """
        if self._answer_due is None and not self._failed:
            self.send(messages.Ping())
            self._answer_due = self._loop.call_later(ANSWER_DEADLINE, self._not_answered)

    def answered(self) -> None:
        """It gives a sign of life.  Raises ProtocolViolation if it was not asked."""
        if self._answer_due is None:
            raise ProtocolViolation("it answered what it was not asked")
        self._answer_due.cancel()
        self._answer_due = None

    def _not_answered(self) -> None:
        if self._busy is not None:  # the answer may wait behind what we are still doing for it
            self._answer_due = self._loop.call_later(ANSWER_DEADLINE, self._not_answered)
        else:
            self._stuck(f"does not answer within {ANSWER_DEADLINE:g} s, and is killed")

    def _stays_stopped(self, how: str) -> None:
        self._stuck(f"{how}, and is killed")

    def _stuck(self, how: str) -> None:
        """Kill it; who listens is told at once, since one that waits in the kernel may end much later."""
        if self.alive and not self._failed:
            self._failed = self._end_told = True
            self._stop_reading()
            self.kill()
            self._loop.call_soon(self._tell_end, how)

    def dismiss(self) -> None:
        """Kill it; its listener hears nothing more, only `ended` is set in the end."""
        self._listener = _Nobody()
        self.kill()
        self.cancel_busy()

    def cancel_busy(self) -> None:
        """Give up the frame being handled, if any, and go on with the next."""
        if self._busy is not None:
            self._busy.cancel()

    def _resume_reading(self) -> None:
        if not self._reading and self.alive and not self._failed:
            self._reading = True
            self._loop.add_reader(self._channel.fileno(), self._readable)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._channel.fileno())

    def _readable(self) -> None:
        now = self._loop.time()
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        for _ in range(_FRAMES_AT_ONCE):
            try:
                message = self._receive()
                self._frames += 1
                if self._frames > MAX_WORKER_FRAMES:
                    raise ProtocolViolation(f"it sent more than {MAX_WORKER_FRAMES} messages in a second")
                pending = self._listener.received(message)
            except BlockingIOError:
                return
            except ChannelClosed:
                # It is about to end; one that only closed its channel is not.
                self._stop_reading()
                self._loop.call_later(CLOSED_GRACE, self.kill)
                return
            except Exception as error:
                self._failed_with(error)
                return
            if pending is not None:
                self._stop_reading()
                self._be_busy(pending)
                return

    def _be_busy(self, pending: Awaitable[None]) -> asyncio.Future[None]:
        self._busy = busy = asyncio.ensure_future(pending)
        busy.add_done_callback(self._handled)
        return busy

    def _receive(self) -> messages.ToSupervisor:
        packet = self._channel.receive()
        if packet.descriptors:
            violation = ProtocolViolation(f"it sent {len(packet.descriptors)} descriptors")
            close_elsewhere(packet.descriptors)
            raise violation
        return decode_to_supervisor(packet.data, 0)

    def _handled(self, busy: asyncio.Future[None]) -> None:
        self._busy = None
        if not busy.cancelled() and (error := busy.exception()) is not None:
            self._failed_with(error)
        self._resume_reading()

    def _failed_with(self, error: BaseException) -> None:
        if isinstance(error, (BadFrame, ProtocolViolation)):
            self._violated(str(error))
        else:
            # Whatever it is, it must not outlive the session that it showed in; what this process lacks is no fault of
            # the worker's.
            reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
            self._give_up(self._tell_not_handled, reason)

    def _violated(self, reason: str) -> None:
        self._give_up(self._tell_violation, reason)

    def _give_up(self, tell: Callable[[str], None], reason: str) -> None:
        if self.alive and not self._failed:
            self._failed = True
            self._stop_reading()
            self.kill()
            # Not now: this may be called in the middle of a change of the session's state.
            self._loop.call_soon(tell, reason)

    def _reaped(self, how: str) -> None:
        if self._first is not None and not self._first.done():
            # It has told why before.
            self._first.add_done_callback(lambda _: self._reaped(how))
            return
        try:
            self.cancel_busy()
            self._stop_reading()
            if not self._failed:
                self._read_last_words()
        finally:
            self.alive = False
            if self._answer_due is not None:
                self._answer_due.cancel()
            self._channel.close()
            os.close(self._pidfd)
            self.ended.set()
            if not self._end_told:
                self._loop.call_soon(self._tell_end, how)

    # The listener is looked up when it is told: it may have dismissed the worker meanwhile.

    def _tell_violation(self, reason: str) -> None:
        self._listener.rules_broken(reason)

    def _tell_not_handled(self, reason: str) -> None:
        self._listener.not_handled(reason)

    def _tell_end(self, how: str) -> None:
        self._listener.process_ended(how)

    def _read_last_words(self) -> None:
        """What it said before it died explains its death; nothing else counts any more."""
        try:
            for _ in range(_LAST_FRAMES):
                message = self._receive()
                if isinstance(message, _LAST_WORDS):
                    self._listener.received(message)
        except (BlockingIOError, ChannelClosed, BadFrame, ProtocolViolation):
            return
