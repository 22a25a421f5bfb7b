"""The supervisor's end of the name setter: requests one after the other, each answered."""

import asyncio
from collections.abc import Callable
from itertools import count

from ...ipc import helpers
from ...ipc.channel import Channel, ChannelClosed, Packet
from ...policy.dns import DnsSettings
from ...policy.limits import DNS_DEADLINE
from ..errors import SystemFailure
from .helper_client import HelperClient

_ENDED = "the process that sets them has ended; they can be set again when the service is restarted"
_GRACE = 1.0  # seconds beyond the name setter's own deadline


class NameSetterClient(HelperClient):
    """Asks for name servers to be set, or for what was there before."""

    def __init__(self, channel: Channel, on_end: Callable[[], None] = lambda: None) -> None:
        """`on_end` is called when the name setter ends without having been told to."""
        super().__init__(channel)
        self._on_end = on_end
        self._numbers = count(1)
        self._waiting: dict[int, tuple[helpers.ToNameSetter, asyncio.Future[str]]] = {}

    async def set(self, device: str, settings: DnsSettings) -> None:
        """Have all names looked up with these name servers.  Raises SystemFailure."""
        await self._request(helpers.SetNames(next(self._numbers), device, settings))

    async def unset(self, device: str) -> None:
        """Put back what was there before.  Raises SystemFailure."""
        await self._request(helpers.UnsetNames(next(self._numbers), device))

    async def _request(self, request: helpers.ToNameSetter) -> None:
        if self.ended:
            raise SystemFailure(_ENDED)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = request, answer
        try:
            self._send(helpers.encode(request))
            async with asyncio.timeout(DNS_DEADLINE + _GRACE):
                error = await answer
        except (TimeoutError, BlockingIOError, ChannelClosed):
            raise SystemFailure("the process that sets them does not answer") from None
        finally:
            del self._waiting[request.number]
        if error:
            raise SystemFailure(error)

    def _answered(self, packet: Packet[bytes]) -> None:
        answer = helpers.decode_from_name_setter(packet.data)
        if isinstance(answer, helpers.NamesDone):
            if answer.number in self._waiting and not (future := self._waiting[answer.number][1]).done():
                future.set_result(answer.error)
            return
        # Another one serves: nothing that is asked for is done twice by being done again.
        try:
            for request, future in self._waiting.values():
                if not future.done():
                    self._channel.send(helpers.encode(request))
        except (BlockingIOError, ChannelClosed):
            pass  # the others end at their deadlines

    def _awaited(self) -> bool:
        return any(not future.done() for _, future in self._waiting.values())

    def _helper_ended(self) -> None:
        self._on_end()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_result(_ENDED)
