"""The machine's default route, as sessions have it: by rules that tell engines by their user ids, and a table each.

To be used in the network's thread.  Whoever comes first keeps it: a session of another user that wants it too fails, or
waits for it by its own choice; one of the same user gets its turn when the first ends.
"""

from collections.abc import Callable, Iterator

import msgspec

from ...policy.access import WhoseSessions
from ...policy.dbus_numbers import LogGroup
from ...policy.limits import MAX_REDIRECTING, MAX_WAYS_OUT
from ...policy.redirect import EVERYTHING, Redirect, versions
from ..errors import SystemFailure
from ..logging.log import Log
from . import rule_requests, ways_out
from .claims import Conflict
from .journal import DeviceJournal, Entry, RulesEntry
from .policy_routing import PolicyRouting
from .prefixes import Host, Prefix
from .rules import Numbers, Rule, TableRoute
from .ways_out import WaysOut


class Terms(msgspec.Struct, frozen=True):
    """What the administrator has chosen, and the user ids that engines have."""

    uids: range = range(0)
    who: WhoseSessions = "any"
    numbers: Numbers = Numbers()


class _Holder(msgspec.Struct):
    """A session that has the default route, or its turn will come."""

    entry: Entry
    owner: int
    redirect: Redirect
    place: int  # among the tables
    addressed: frozenset[int] = frozenset()  # versions of which its device has an address
    up: bool = False  # its device is, so that it has routes
    ruled: bool = False  # its table is looked at


class Redirecting:
    """Who has the default route, who waits for it, and the rules and tables that there are for that."""

    def __init__(
        self,
        journal: DeviceJournal,
        log: Log,
        terms: Terms,
        devices: Callable[[], set[int]],
        *,
        public_networks: bool,
    ) -> None:
        """`devices` has the indices of all sessions' devices; without `public_networks` nobody gets it."""
        self._log = log
        self._terms = terms
        self._devices = devices
        self._public_networks = public_networks
        self._holders: dict[str, _Holder] = {}  # by device, whoever came first before the others
        self._waiting: dict[str, _Holder] = {}
        self._routing = PolicyRouting(journal, log, terms.numbers)
        self._ways = WaysOut()
        self._changes_of_wishes = 0  # so far
        self._places: dict[int, int] = {}  # by device, of sessions that an earlier instance had
        self._spares = False  # what nobody wants: it may be of one that has not asked again yet

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    @property
    def sessions(self) -> list[str]:
        """Whose traffic it is about."""
        return [holder.entry.session for holder in self._holders.values()]

    # What an earlier instance has set

    def take_over(self, entry: RulesEntry) -> bool:
        """Spare it until `inherited`, if it has the same numbers; whether that is so.  Raises SystemFailure."""
        numbers = self._terms.numbers
        if entry.numbers != numbers:
            return False
        for route in self._routing.take_over(entry):
            if route.device and route.table - numbers.table < MAX_REDIRECTING:
                self._places[route.device] = route.table - numbers.table
        self._spares = True
        return True

    def inherited(self) -> None:
        """Whoever wants any of it has asked for it again."""
        self._places.clear()
        if self._spares:
            self._spares = False
            self._changes_of_wishes += 1
            self._remove()

    # Who gets it

    def check(self, entry: Entry, owner: int, redirect: Redirect) -> str:
        """Why the session has to wait; "" if it need not.  Raises Conflict if it does not want to wait."""
        reason, note = self._obstacle(entry.name, owner, redirect)
        if reason and not redirect.optional:
            raise Conflict(f"the default route: {reason}", note)
        return reason

    def claim(self, entry: Entry, owner: int, redirect: Redirect) -> None:
        """Note that a session wants this, in place of what it wanted before; it gets it, unless `check` has a reason.

        `apply` sets it.
        """
        name = entry.name
        self._changes_of_wishes += 1
        if self._obstacle(name, owner, redirect)[0]:
            self.release(name)
            self._waiting[name] = _Holder(entry, owner, redirect, -1)
        elif name in self._holders:
            self._holders[name].redirect = redirect
        else:
            self._waiting.pop(name, None)
            taken = {holder.place for holder in self._holders.values()} | {*self._places.values()}
            free = (place for place in range(MAX_REDIRECTING) if place not in taken)
            had = self._places.pop(entry.index, None)
            self._holders[name] = _Holder(entry, owner, redirect, next(free) if had is None else had)

    def _obstacle(self, name: str, owner: int, redirect: Redirect) -> tuple[str, str]:
        """Why a session cannot have it now, and for root, whose session is in the way; "" if it can."""
        if not self._public_networks:
            return "this service makes tunnels to private networks only (--public-networks refuse)", ""
        who = self._terms.who
        if who == "refuse":
            return "no session may have it on this machine (--redirect refuse)", ""
        if who == "root" and owner != 0:
            return "only sessions of root may have it on this machine (--redirect root)", ""
        for other, holder in self._holders.items():
            if other != name and holder.owner != owner and versions(holder.redirect) & versions(redirect):
                note = f"the default route belongs to session {holder.entry.session} of user {holder.owner}"
                return "another user's session has it", note
        if name not in self._holders and len(self._holders) >= MAX_REDIRECTING:
            return f"{MAX_REDIRECTING} sessions have it already", ""
        return "", ""

    def tables(self, name: str) -> tuple[int, ...]:
        """The numbers of the tables of a device's session, those of its default route first."""
        holder, numbers = self._holders.get(name), self._terms.numbers
        return () if holder is None else (numbers.table_of(holder.place), numbers.local_table_of(holder.place))

    def lacks(self, name: str) -> str:
        """Why a session that wants the default route does not have it; "" if it has it, or does not want it."""
        if waiting := self._waiting.get(name):
            return self._obstacle(name, waiting.owner, waiting.redirect)[0] or "it is about to be set"
        wanted = self._holders.get(name)
        for other, holder in self._holders.items():
            if wanted is None or other == name:
                return ""
            if versions(holder.redirect) & versions(wanted.redirect):
                return "another session of the same user has it"
        return ""

    # What is set

    def apply(self, name: str, addressed: frozenset[int], warnings: list[str]) -> Iterator[None]:
        """Set what its session has, request by request, once its device is up with addresses of these versions.

        Raises SystemFailure if it cannot be set, and its session does not want to do without.
        """
        holder = self._holders.get(name)
        if holder is None:
            return
        try:
            yield from self._apply(holder, addressed, warnings)
        except SystemFailure as error:
            if not holder.redirect.optional:
                raise
            self.release(name)
            warnings.append(f"the default route does not lead through the tunnel: {error}")

    def _apply(self, holder: _Holder, addressed: frozenset[int], warnings: list[str]) -> Iterator[None]:
        holder.addressed, holder.up = addressed, True
        self._ways = ways_out.look(self._devices())
        self._changes_of_wishes += 1
        yield
        rule_requests.ignore_when_dead(holder.entry.index)
        for version in sorted({6 if ":" in one else 4 for one in holder.redirect.networks} - addressed):
            if version == 4 or not holder.redirect.block_ipv6:
                warnings.append(
                    f"the tunnel has no IPv{version} address: while it is up, IPv{version} leads nowhere but to "
                    "networks with a route of their own"
                )
        yield
        yield from self._changes(holder)

    def settle(self) -> Iterator[str]:
        """Give it to those that waited and need not any more; the device of each."""
        for name, waiting in list(self._waiting.items()):
            if self._waiting.get(name) is waiting and not self._obstacle(name, waiting.owner, waiting.redirect)[0]:
                self.claim(waiting.entry, waiting.owner, waiting.redirect)
                yield name

    def down(self, name: str) -> None:
        """Its device has been switched off, and the kernel has removed the routes by it; it will ask again."""
        if holder := self._holders.get(name):
            holder.up = False
            self._changes_of_wishes += 1
            self._routing.forget_routes(holder.entry.index)
            self._remove()

    def release(self, name: str) -> None:
        """Its session no longer has it, nor waits for it."""
        self._waiting.pop(name, None)
        if name in self._holders:
            del self._holders[name]
            self._changes_of_wishes += 1
            self._remove()

    def look_again(self) -> Iterator[bool]:
        """Follow what has changed on the machine, request by request; yields whether something was missing."""
        if not self._holders:
            return
        self._ways = ways_out.look(self._devices())
        self._changes_of_wishes += 1
        missing = self._routing.forget_missing()
        yield missing
        for holder in list(self._holders.values()):
            try:
                for _ in self._changes(holder):
                    yield missing
            except SystemFailure as error:
                text = f"The default route does not follow the machine's: {error}"
                self._log.error(text, group=LogGroup.NETCFG, session=holder.entry.session)

    def undo(self, entry: RulesEntry) -> None:
        """Remove what an earlier instance left behind.  Raises SystemFailure."""
        self._routing.undo(entry)

    def _remove(self) -> None:
        """Remove what is not to be."""
        for _ in self._changes(None):
            pass

    def _changes(self, holder: _Holder | None) -> Iterator[None]:
        """Make what is set what is to be, request by request; between two, others may change what that is.

        Of missing routes it adds this session's alone, so that no other's become its failure.  Raises SystemFailure.
        """
        planned = True
        while planned:
            planned = False
            for change in self._plan(holder):
                change()
                planned, state = True, self._state
                yield
                if self._state != state:
                    break  # others have changed what is to be
        self._routing.end()

    @property
    def _state(self) -> tuple[int, int]:
        """Another one after each change of what is to be, or is set."""
        return self._changes_of_wishes, self._routing.changes

    def _plan(self, holder: _Holder | None) -> Iterator[Callable[[], None]]:
        """The requests that make what is set what is to be; they hold as long as nothing else changes either."""
        if not self._spares:
            kept = [route for one in self._holders.values() for route in self._wanted_routes(one)]
            yield from self._routing.removals(self._wanted_rules(), kept)
        if holder is None:
            return
        ipv6 = any(host.version == 6 for host in self._ways.addresses)
        yield from self._routing.additions_of_routes(self._wanted_routes(holder), ipv6=ipv6)
        if holder.up and self._holders.get(holder.entry.name) is holder:
            holder.ruled = True
        yield from self._routing.additions_of_rules(self._wanted_rules())

    def _wanted_rules(self) -> list[Rule]:
        return [rule for version in (4, 6) for rule in self._wanted_rules_of(version)]

    def _wanted_rules_of(self, version: int) -> list[Rule]:
        if version == 6 and self._routing.without_ipv6:
            return []
        numbers, uids = self._terms.numbers, self._terms.uids
        ruled = [one for one in self._holders.values() if one.ruled and version in versions(one.redirect)]
        if not ruled:
            return []
        answers = tuple(host for host in self._ways.addresses if host.version == version)[:MAX_WAYS_OUT]
        return [
            *numbers.common(version, (uids[0], uids[-1]), answers),
            *(numbers.of_local(version, one.place) for one in ruled if one.redirect.block_local),
            *(numbers.of_session(version, one.place) for one in ruled),
        ]

    def _wanted_routes(self, holder: _Holder) -> list[TableRoute]:
        if not holder.up or self._holders.get(holder.entry.name) is not holder:
            return []
        numbers, redirect, device = self._terms.numbers, holder.redirect, holder.entry.index
        table, local = numbers.table_of(holder.place), numbers.local_table_of(holder.place)
        found = []
        for network in redirect.networks:
            version = 6 if ":" in network else 4
            if version == 6 and redirect.block_ipv6:
                continue
            by_device = version in holder.addressed
            found.append(TableRoute(table, network, *((device,) if by_device else (0, "unreachable"))))
        if redirect.block_ipv6:
            found.append(TableRoute(table, EVERYTHING[6], kind="unreachable"))
        if redirect.block_local:
            changed = versions(redirect) & holder.addressed
            found += [TableRoute(local, str(one), device) for one in self._ways.networks if one.version in changed]
            found += [
                TableRoute(local, str(Prefix.alone(gateway)), kind="throw")
                for gateway in self._ways.gateways
                if gateway.version in changed and not _link_local(gateway)
            ]
        return [route for route in found if route.version == 4 or not self._routing.without_ipv6]


def _link_local(host: Host) -> bool:
    return host.version == 6 and host.number >> 118 == 0xFE80 >> 6
