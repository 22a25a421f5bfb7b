"""The supervisor's end of the resolver: names to addresses, on behalf of sessions."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import count

from ...ipc import helpers
from ...ipc.channel import Channel, ChannelClosed
from ...ipc.codec import BadFrame
from ...policy.limits import MAX_LOOKUPS_PER_SESSION, RESOLVE_DEADLINE

_GRACE = 2.0  # seconds beyond the resolver's own deadline
_MAX_NAME = 253  # characters of a host name (RFC 1035)


class ResolverClient:
    """Asks for addresses; a look-up whose awaiting task is cancelled is cancelled in the resolver too."""

    def __init__(self, channel: Channel, ended: Callable[[], None]) -> None:
        """`ended` is called when the resolver ends without having been told to."""
        self._channel = channel
        self._ended = ended
        self._waiting: dict[int, asyncio.Future[helpers.LookupResult]] = {}
        self._numbers = count(1)
        self._per_session: Counter[str] = Counter()
        self.gone = False

    def start(self) -> None:
        """Listen for answers.  Needs a running loop."""
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)

    def close(self) -> None:
        """The resolver ends when it sees this."""
        if not self.gone:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
        self._channel.close()

    async def resolve(self, session: str, host: str) -> tuple[tuple[str, ...], str]:
        """The addresses of `host` in the order to try them, or none and the reason; never raises for a bad name."""
        if self.gone:
            return (), "the resolver has ended; restart the service"
        if not host or len(host) > _MAX_NAME or not host.isprintable():
            return (), "this is no host name"
        if self._per_session[session] >= MAX_LOOKUPS_PER_SESSION:
            return (), "too many names are being resolved for this session"
        number = next(self._numbers)
        self._per_session[session] += 1
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(helpers.Lookup(number, host))
            async with asyncio.timeout(RESOLVE_DEADLINE + _GRACE):
                found = await answer
        except (TimeoutError, BlockingIOError, ChannelClosed):
            return (), "the resolver does not answer"
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            del self._waiting[number]
            self._per_session[session] -= 1
            if not self._per_session[session]:
                del self._per_session[session]
        return found.addresses, found.error

    def _send(self, message: helpers.ToResolver) -> None:
        self._channel.send(helpers.encode(message))

    def _cancel(self, number: int) -> None:
        try:
            self._send(helpers.Cancel(number))
        except (BlockingIOError, ChannelClosed):
            pass  # it ends by itself at its deadline

    def _readable(self) -> None:
        try:
            packet = self._channel.receive()
            packet.close()
            answer = helpers.decode_lookup_result(packet.data)
        except (BlockingIOError, BadFrame):
            return
        except ChannelClosed:
            self.gone = True
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._ended()
            for future in self._waiting.values():
                if not future.done():
                    future.set_result(helpers.LookupResult(0, (), "the resolver has ended; restart the service"))
            return
        waiting = self._waiting.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
