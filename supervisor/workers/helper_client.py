"""What the supervisor's ends of the two helpers, spawner and resolver, have in common."""

import asyncio
from abc import ABC, abstractmethod

from ...ipc.channel import Channel, ChannelClosed, Packet
from ...ipc.codec import BadFrame


class HelperClient(ABC):
    """Reads a helper's answers until it ends; what a subclass makes of them is its own."""

    def __init__(self, channel: Channel) -> None:
        self.ended = False  # the helper has closed its end: nothing can be asked of it any more
        self._channel = channel

    def start(self) -> None:
        """Listen for answers.  Needs a running loop."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)

    def close(self) -> None:
        """Close the channel: the helper ends when it sees this."""
        if not self.ended:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()

    def _readable(self) -> None:
        try:
            packet = self._channel.receive()
        except BlockingIOError:
            return
        except ChannelClosed:
            self.ended = True
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._helper_ended()
            return
        try:
            self._answered(packet)
        except BadFrame:
            pass  # no answer at all
        finally:
            packet.close()

    @abstractmethod
    def _answered(self, packet: Packet[bytes]) -> None:
        """Take an answer; descriptors that are not taken are closed.  Raises BadFrame."""

    @abstractmethod
    def _helper_ended(self) -> None:
        """Settle what still waits for an answer."""
