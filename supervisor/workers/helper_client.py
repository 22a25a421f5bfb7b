"""What the supervisor's ends of the two helpers, spawner and resolver, have in common."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from ...ipc.channel import BadFrame, Channel, ChannelClosed, Packet
from ...policy.limits import ANSWER_DEADLINE


class HelperClient(ABC):
    """Reads a helper's answers until it ends; what a subclass makes of them is its own.

    One that answers nothing for ANSWER_DEADLINE while somebody waits is replaced: its keeper forks another.
    """

    def __init__(self, channel: Channel, replace: Callable[[], None] = lambda: None) -> None:
        """`replace` kills the process that serves."""
        self.ended = False  # the helper has closed its end: nothing can be asked of it any more
        self._channel = channel
        self._replace = replace
        self._answer_due: asyncio.TimerHandle | None = None
        self._answers = 0  # so far
        self._answers_when_busy = -1  # when it was last seen to be busy

    def start(self) -> None:
        """Listen for answers.  Needs a running loop."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)

    def close(self) -> None:
        """Close the channel: the helper ends when it sees this."""
        self._stop_clock()
        if not self.ended:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()

    def found_busy(self) -> None:
        """It has used a processor all the time: if it has not answered anything meanwhile, it is replaced."""
        if self._answers == self._answers_when_busy:
            self._replace()
        self._answers_when_busy = self._answers

    def _send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Ask something.  Raises BlockingIOError, ChannelClosed."""
        self._channel.send(data, descriptors)
        if self._answer_due is None:
            self._start_clock()

    def _start_clock(self) -> None:
        self._answer_due = asyncio.get_running_loop().call_later(ANSWER_DEADLINE, self._silent)

    def _stop_clock(self) -> None:
        if self._answer_due is not None:
            self._answer_due.cancel()
            self._answer_due = None

    def _silent(self) -> None:
        self._answer_due = None
        if self._awaited():
            self._replace()

    def _readable(self) -> None:
        try:
            packet = self._channel.receive()
        except BlockingIOError:
            return
        except ChannelClosed:
            self.ended = True
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._stop_clock()
            self._helper_ended()
            return
        self._answers += 1
        self._stop_clock()
        try:
            self._answered(packet)
        except BadFrame:
            pass  # no answer at all
        finally:
            packet.close()
        if self._awaited():
            self._start_clock()

    @abstractmethod
    def _awaited(self) -> bool:
        """Whether an answer is still to come."""

    @abstractmethod
    def _answered(self, packet: Packet[bytes]) -> None:
        """Take an answer; descriptors that are not taken are closed.  Raises BadFrame."""

    @abstractmethod
    def _helper_ended(self) -> None:
        """Settle what still waits for an answer."""
