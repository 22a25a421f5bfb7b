"""By which way the kernel sends to the servers of sessions, and whether that changes.

Looked at after a quiet moment, in the network's thread and in steps.  For IPv4 the kernel does not say which routes go
with a link or an address, so whatever changes, all ways are asked for and compared with the last answer: once for all
sessions with the same servers whose users no routing rule tells apart.
"""

import asyncio
import socket
from collections.abc import Callable, Hashable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from ...kernel.netlink.netlink_socket import NetlinkSocket
from ...policy.limits import MAX_ROUTING_PAUSE, ROAMING_QUIET, ROAMING_UNHURRIED
from ...policy.network import server_address
from . import dumps
from .dumps import WayTo
from .serial_executor import SerialExecutor
from .told_apart import Kind, ToldApart

_FORGOTTEN = 60.0  # seconds without a change, after which the next one is the first again
_STEPS_AT_ONCE = 64  # questions to the kernel, of some microseconds each, before another session's turn

# Of servers whose names nobody could look up: hosts to which nothing leads but a default route (RFC 7535).
_ANYWHERE = (ip_address("192.31.196.1"), ip_address("2620:4f:8000::1"))

_Address = IPv4Address | IPv6Address
Told = Callable[[bool, bool], None]
_Ways = dict[_Address, WayTo | None]
_Key = tuple[tuple[_Address, ...], Kind]  # of those whose packets go the same way


class _Followed(msgspec.Struct):
    """Whose servers are followed, and what is known of the ways to them."""

    uid: int
    told: Told
    key: _Key
    ways: _Ways = {}  # the last one that there was to each, as far as there was one
    there: bool = True  # there is one to any
    slept: bool = False  # the machine has, while there was none
    asking: bool = False  # because of `follow`
    stale: bool = False  # and what is asked for has changed since

    @property
    def addresses(self) -> tuple[_Address, ...]:
        return self.key[0]


class _Alike(msgspec.Struct):
    """Those whose packets go the same way."""

    members: dict[Hashable, _Followed] = {}
    ways: _Ways | None = None  # as all were asked for last
    unsettled: set[Hashable] = set()  # members of which something else is known than this


_Question = tuple[int, tuple[_Address, ...]]  # of a user, the ways to these


class _Answer(msgspec.Struct):
    """What the kernel says."""

    told_apart: ToldApart  # by its rules
    ways: list[_Ways]  # for each question


class Roaming:
    """The ways to the servers of all sessions.  To be used on the loop."""

    def __init__(self, executor: SerialExecutor) -> None:
        self._executor = executor
        self._followed: dict[Hashable, _Followed] = {}
        self._told_apart = ToldApart()
        self._alike: dict[_Key, _Alike] = {}
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
        key = (addresses, self._told_apart.kind(uid))
        followed = self._followed.get(who)
        if followed is None:
            followed = self._followed[who] = _Followed(uid, told, key)
        elif addresses == followed.addresses:
            return
        else:
            self._part(who, followed)
        self._join(who, followed, key)
        followed.ways = {one: way for one, way in followed.ways.items() if one in addresses}
        if followed.asking:  # once at a time, however often a worker wants it
            followed.stale = True
        else:
            self._ask_for(who, followed)

    def _ask_for(self, who: Hashable, followed: _Followed) -> None:
        followed.asking = True

        def answered(answer: _Answer | None) -> None:
            followed.asking = False
            if self._followed.get(who) is not followed:
                return
            if followed.stale:
                followed.stale = False
                self._ask_for(who, followed)
            elif answer is not None:
                self._learned(followed, answer.ways[0])

        self._ask([(followed.uid, followed.addresses)], answered)

    def _join(self, who: Hashable, followed: _Followed, key: _Key) -> None:
        followed.key = key
        alike = self._alike.setdefault(key, _Alike())
        alike.members[who] = followed
        alike.unsettled.add(who)

    def _part(self, who: Hashable, followed: _Followed) -> None:
        alike = self._alike[followed.key]
        del alike.members[who]
        alike.unsettled.discard(who)
        if not alike.members:
            del self._alike[followed.key]

    def forget(self, who: Hashable) -> None:
        """Follow no longer."""
        if (followed := self._followed.pop(who, None)) is not None:
            self._part(who, followed)

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
        self._alike.clear()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look_at_all(self) -> None:
        self._looking = None
        if self._under_way:
            self._again = True
            return
        self._under_way = True
        self._look_at(list(self._alike), set())

    def _look_at(self, left: list[_Key], looked: set[_Key]) -> None:
        """Ask for the ways of these, some of them at a time; `looked` are those that have been asked for."""
        batch: list[_Key] = []
        questions: list[_Question] = []
        asked = 0
        while left and asked < _STEPS_AT_ONCE:
            if alike := self._alike.get(key := left.pop()):
                batch.append(key)
                questions.append((next(iter(alike.members.values())).uid, key[0]))
                asked += len(key[0] or _ANYWHERE)
        if not batch:
            self._looked_at_all()
            return

        def answered(answer: _Answer | None) -> None:
            if answer is not None and answer.told_apart.ranges != self._told_apart.ranges:
                self._tell_apart(answer.told_apart)
                self._look_at([key for key in self._alike if key not in looked], looked)
                return
            looked.update(batch)
            for key, ways in zip(batch, answer.ways, strict=True) if answer is not None else ():
                self._all_learned(key, ways)
            self._look_at(left, looked)

        self._ask(questions, answered)

    def _looked_at_all(self) -> None:
        self._under_way = False
        if self._again:
            self._again = False
            self.changed()

    def _tell_apart(self, told_apart: ToldApart) -> None:
        """From now on, rules tell these users apart."""
        self._told_apart = told_apart
        for who, followed in self._followed.items():
            key = (followed.addresses, told_apart.kind(followed.uid))
            if key != followed.key:
                self._part(who, followed)
                self._join(who, followed, key)

    def _ask(self, questions: list[_Question], answered: Callable[[_Answer | None], None]) -> None:
        job = asyncio.wrap_future(self._executor.submit(_ask, questions))

        def done(job: asyncio.Future[_Answer | None]) -> None:
            if not job.cancelled():
                answered(job.result())

        job.add_done_callback(done)

    def _all_learned(self, key: _Key, ways: _Ways) -> None:
        alike = self._alike.get(key)
        if alike is None:
            return
        if alike.ways != ways:
            alike.ways = ways
            alike.unsettled.update(alike.members)
        for who in list(alike.unsettled):
            followed = alike.members.get(who)
            # One that is asked for by itself gets that answer, which is newer.
            if followed is not None and not followed.asking and self._learned(followed, ways):
                alike.unsettled.discard(who)

    def _learned(self, followed: _Followed, ways: _Ways) -> bool:
        """What the kernel says of somebody's ways; whether the same said once more changes nothing."""
        moved, settled = False, True
        for address, way in ways.items():
            before = followed.ways.get(address)
            if way is not None and before != way:
                if before is not None and _goes_on(before, way):
                    settled = False  # up to when its address goes
                else:
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
        return settled


def _ask(questions: Sequence[_Question]) -> _Answer | None:
    """The ways of each; None if the kernel does not say.  In the network's thread.

    It is asked once for all users whom no routing rule tells apart.
    """
    found = list[_Ways]()
    try:
        with NetlinkSocket() as link:
            told_apart = ToldApart(dumps.users_told_apart(link))
            known = dict[tuple[_Address, Kind], WayTo | None]()
            for uid, addresses in questions:
                ways: _Ways = {}
                kind = told_apart.kind(uid)
                for one in addresses or _ANYWHERE:
                    if (one, kind) not in known:
                        known[one, kind] = dumps.way_to(link, one, uid)
                    ways[one] = known[one, kind]
                found.append(ways)
    except OSError:
        return None
    return _Answer(told_apart, found)


def _goes_on(before: WayTo, now: WayTo) -> bool:
    """Whether what goes by the one way goes on by another: an address that is replaced stays for what uses it."""
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
