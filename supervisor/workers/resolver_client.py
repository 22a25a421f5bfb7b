"""The supervisor's end of the resolver: names to addresses, on behalf of sessions."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import count

from ...ipc import helpers
from ...ipc.channel import Channel, ChannelClosed, Packet
from ...policy.limits import MAX_LOOKUPS_PER_SESSION, RESOLVE_DEADLINE
from .helper_client import HelperClient

_GRACE = 2.0  # seconds beyond the resolver's own deadline
_ENDED = "the resolver has ended; names can be looked up again when the service is restarted"
_MAX_NAME = 253  # characters of a host name (RFC 1035)


class ResolverClient(HelperClient):
    """Asks for addresses; a look-up whose awaiting task is cancelled is cancelled in the resolver too."""

    def __init__(
        self, channel: Channel, on_end: Callable[[], None], replace: Callable[[], None] = lambda: None
    ) -> None:
        """`on_end` is called when the resolver ends without having been told to; `replace` as in HelperClient."""
        super().__init__(channel, replace)
        self._on_end = on_end
        self._waiting: dict[int, tuple[helpers.Lookup, asyncio.Future[helpers.LookupResult]]] = {}
        self._numbers = count(1)
        self._per_session: Counter[str] = Counter()

    async def resolve(
        self, session: str, host: str, servers: tuple[str, ...] | None = None, search: tuple[str, ...] = ()
    ) -> tuple[tuple[str, ...], str]:
        """The addresses of `host` in the order to try them, or none and the reason; never raises for a bad name.

        With `servers` these are asked in place of the machine's name servers, and these domains searched.
        """
        if self.ended:
            return (), _ENDED
        if not host or len(host) > _MAX_NAME or not host.isprintable():
            return (), "this is no host name"
        if self._per_session[session] >= MAX_LOOKUPS_PER_SESSION:
            return (), "too many names are being resolved for this session"
        number = next(self._numbers)
        self._per_session[session] += 1
        lookup = helpers.Lookup(number, host, servers, search)
        answer: asyncio.Future[helpers.LookupResult] = asyncio.get_running_loop().create_future()
        self._waiting[number] = lookup, answer
        try:
            self._send(helpers.encode(lookup))
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

    def _cancel(self, number: int) -> None:
        try:
            self._channel.send(helpers.encode(helpers.Cancel(number)))
        except (BlockingIOError, ChannelClosed):
            pass  # it ends by itself at its deadline

    def _answered(self, packet: Packet[bytes]) -> None:
        answer = helpers.decode_from_resolver(packet.data)
        if isinstance(answer, helpers.ServesAnew):
            self._ask_again()
        elif answer.number in self._waiting:
            _, waiting = self._waiting[answer.number]
            if not waiting.done():
                waiting.set_result(answer)

    def _ask_again(self) -> None:
        try:
            for lookup, answer in self._waiting.values():
                if not answer.done():
                    self._channel.send(helpers.encode(lookup))
        except (BlockingIOError, ChannelClosed):
            pass  # the others end at their deadlines

    def _awaited(self) -> bool:
        return any(not answer.done() for _, answer in self._waiting.values())

    def _helper_ended(self) -> None:
        self._on_end()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_result(helpers.LookupResult(0, (), _ENDED))
