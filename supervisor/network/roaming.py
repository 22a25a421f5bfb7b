"""By which way the kernel sends to the servers of sessions, and whether that changes.

Looked at after a quiet moment, in the network's thread and in steps.  For IPv4 the kernel does not say which routes go
with a link or an address, so whatever changes, all ways are asked for and compared with the last answer.
"""

import asyncio
import socket
from collections.abc import Callable, Hashable
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from ...kernel.netlink.netlink_socket import NetlinkSocket
from ...policy.limits import MAX_ROUTING_PAUSE, ROAMING_QUIET, ROAMING_UNHURRIED
from ...policy.network import server_address
from . import dumps
from .dumps import WayTo
from .serial_executor import SerialExecutor

_FORGOTTEN = 60.0  # seconds without a change, after which the next one is the first again
_STEPS_AT_ONCE = 64  # questions to the kernel, of some microseconds each, before another session's turn

# Of servers whose names nobody could look up: hosts to which nothing leads but a default route (RFC 7535).
_ANYWHERE = (ip_address("192.31.196.1"), ip_address("2620:4f:8000::1"))

_Address = IPv4Address | IPv6Address
Told = Callable[[bool, bool], None]
_Ways = dict[_Address, WayTo | None]


class _Followed(msgspec.Struct):
    """Whose servers are followed, and what is known of the ways to them."""

    uid: int
    told: Told
    addresses: tuple[_Address, ...] = ()
    ways: _Ways = {}  # the last one that there was to each, as far as there was one
    there: bool = True  # there is one to any
    slept: bool = False  # the machine has, while there was none
    asking: bool = False  # because of `follow`
    stale: bool = False  # and what is asked for has changed since


class Roaming:
    """The ways to the servers of all sessions.  To be used on the loop."""

    def __init__(self, executor: SerialExecutor) -> None:
        self._executor = executor
        self._followed: dict[Hashable, _Followed] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._under_way = False
        self._again = False  # something changed while that was under way
        self._changes = 0  # since it was last quiet for long
        self._last_change = 0.0  # the loop's time

    def follow(self, who: Hashable, uid: int, servers: tuple[str, ...], told: Told) -> None:
        """From now on, follow the ways of a user's packets to these addresses, in place of those before.

        `told` is called with whether there is a way to any of them, when that changes (at first there is), and whether
        one has become another.  Without addresses, which nobody knows yet, it is called when default routes change.
        """
        addresses = tuple(dict.fromkeys(map(server_address, servers)))
        followed = self._followed.get(who)
        if followed is None:
            followed = self._followed[who] = _Followed(uid, told)
        elif addresses == followed.addresses:
            return
        followed.addresses = addresses
        followed.ways = {one: way for one, way in followed.ways.items() if one in addresses}
        if followed.asking:  # once at a time, however often a worker wants it
            followed.stale = True
        else:
            self._ask_for(who, followed)

    def _ask_for(self, who: Hashable, followed: _Followed) -> None:
        followed.asking = True

        def answered() -> None:
            followed.asking = False
            if followed.stale and self._followed.get(who) is followed:
                followed.stale = False
                self._ask_for(who, followed)

        self._look([who], answered)

    def forget(self, who: Hashable) -> None:
        """Follow no longer."""
        self._followed.pop(who, None)

    def changed(self) -> None:
        """Something that the kernel routes by has changed."""
        loop = asyncio.get_running_loop()
        if self._looking is not None or not self._followed:
            return
        if loop.time() - self._last_change > _FORGOTTEN:
            self._changes = 0
        hurry = 2 ** min(max(0, self._changes - ROAMING_UNHURRIED), 10)
        self._looking = loop.call_later(min(ROAMING_QUIET * hurry, MAX_ROUTING_PAUSE), self._look_at_all)

    def resumed(self) -> None:
        """The machine has slept: whatever the ways are, nothing that was sent before is on them any more."""
        for followed in list(self._followed.values()):
            if followed.there:
                followed.told(True, True)
            else:
                followed.slept = True

    def stop(self) -> None:
        """Look no more."""
        self._followed.clear()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look_at_all(self) -> None:
        self._looking = None
        if self._under_way:
            self._again = True
            return
        self._under_way = True
        self._look(list(self._followed), self._looked_at_all)

    def _looked_at_all(self) -> None:
        self._under_way = False
        if self._again:
            self._again = False
            self.changed()

    def _look(self, who: list[Hashable], then: Callable[[], None] | None = None) -> None:
        """Ask for the ways of these, some of them at a time."""
        batch: list[tuple[Hashable, int, tuple[_Address, ...]]] = []
        asked = 0
        while who and asked < _STEPS_AT_ONCE:
            one = who.pop()
            if followed := self._followed.get(one):
                batch.append((one, followed.uid, followed.addresses or _ANYWHERE))
                asked += len(batch[-1][2])
        job = asyncio.wrap_future(self._executor.submit(_ask, batch))

        def done(job: "asyncio.Future[list[tuple[Hashable, _Ways]]]") -> None:
            if job.cancelled():
                return
            for one, ways in job.result():
                self._learned(one, ways)
            if who:
                self._look(who, then)
            elif then is not None:
                then()

        job.add_done_callback(done)

    def _learned(self, who: Hashable, ways: _Ways) -> None:
        followed = self._followed.get(who)
        if followed is None or set(ways) != set(followed.addresses or _ANYWHERE):
            return  # they are asked for anew
        moved = False
        for address, way in ways.items():
            before = followed.ways.get(address)
            if way is not None and not (before is not None and _goes_on(before, way)):
                moved = moved or address in followed.ways
                followed.ways[address] = way
            elif way is None and not followed.addresses:
                followed.ways[address] = None
        there = not followed.addresses or any(ways.values())
        if there and followed.slept:
            moved, followed.slept = True, False
        if moved or there is not followed.there:
            followed.there = there
            self._changes += 1
            self._last_change = asyncio.get_running_loop().time()
            followed.told(there, moved)


def _ask(batch: list[tuple[Hashable, int, tuple[_Address, ...]]]) -> list[tuple[Hashable, _Ways]]:
    """The ways to these addresses; of nobody if the kernel does not say.  In the network's thread.

    It is asked once for all users whom no routing rule tells apart.
    """
    found = list[tuple[Hashable, _Ways]]()
    try:
        with NetlinkSocket() as link:
            ranges = dumps.users_told_apart(link)
            known = dict[tuple[_Address, tuple[bool, ...]], WayTo | None]()
            for who, uid, addresses in batch:
                alike = tuple(first <= uid <= last for first, last in ranges)
                for one in addresses:
                    if (one, alike) not in known:
                        known[one, alike] = dumps.way_to(link, one, uid)
                found.append((who, {one: known[one, alike] for one in addresses}))
    except OSError:
        return []
    return found


def _goes_on(before: WayTo, now: WayTo) -> bool:
    """Whether what goes by the one way goes on by the other: an address that is replaced stays for what uses it."""
    if now == before:
        return True
    return (now.device, now.gateway) == (before.device, before.gateway) and _is_there(before.source)


def _is_there(source: bytes) -> bool:
    """Whether this machine has an address."""
    if not source:
        return False
    address = ip_address(source)
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
