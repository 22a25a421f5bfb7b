"""The machine's default route, as sessions have it: by rules that tell engines by their user ids, and a table each.

To be used in the network's thread.  Whoever comes first keeps it: a session of another user that wants it too fails, or
waits for it by its own choice; one of the same user gets its turn when the first ends.
"""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from ....policy.dbus_numbers import LogGroup
from ....policy.limits import MAX_REDIRECTING
from ....policy.redirect import Redirect, WhileNotConnected, versions
from ...errors import SystemFailure
from ...logging.log import Log
from ..answers import Answers
from ..claims import Conflict
from ..journal import DeviceJournal, Entry, RulesEntry
from . import ipv6_settings, rule_requests, ways_out
from .policy_routing import PolicyRouting
from .redirections import Closed, Holder, Terms, to_close, version_of, wanted_routes, wanted_rules
from .rules import Rule, TableRoute
from .ways_out import WaysOut


class Redirecting:
    """Who has the default route, who waits for it, and the rules and tables that there are for that."""

    def __init__(
        self,
        journal: DeviceJournal,
        log: Log,
        terms: Terms,
        devices: Callable[[], set[int]],
        answers: Answers,
        *,
        public_networks: bool,
        ipv6_settings: int | None,
    ) -> None:
        """`devices` has the indices of all sessions' devices; without `public_networks` nobody gets it."""
        self._log = log
        self._terms = terms
        self._devices = devices
        self._answers = answers
        self.public_networks = public_networks  # may be changed at any time
        self._ipv6_settings = ipv6_settings
        self._holders: dict[str, Holder] = {}  # by session, whoever came first before the others
        self._waiting: dict[str, Holder] = {}
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

    def change(self, while_not_connected: WhileNotConnected) -> None:
        """What becomes of traffic of sessions that ask for it from now on, where they do not choose."""
        self._terms = replace(self._terms, while_not_connected=while_not_connected)

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

    def go_on(self, entry: Entry, owner: int, redirect: Redirect, addressed: frozenset[int]) -> None:
        """A session of an earlier instance has what it has, though nobody asks for it again."""
        if entry.index in self._places:
            holder = Holder(entry, owner, redirect, self._place(entry), addressed, up=True, ruled=True)
            holder.closed = to_close(holder, self._terms)
            self._holders[entry.session] = holder
            self._ways = ways_out.look(self._devices())

    def stay_closed(self, entry: Entry, owner: int, redirect: Redirect) -> None:
        """A session of an earlier instance that is not connected keeps closed what it has closed, as in `rest`."""
        if entry.index in self._places or self._spares:
            holder = Holder(entry, owner, redirect, self._place(entry), ruled=True)
            holder.closed = to_close(holder, self._terms)
            if holder.closed != Closed():
                self._holders[entry.session] = holder

    def inherited(self) -> None:
        """Whoever wants any of it has asked for it again.  Raises SystemFailure."""
        if self._holders:
            self._ways = ways_out.look(self._devices())
            self._answers.begin(self._devices(), self._ways.devices)
        self._places.clear()
        if self._spares:
            self._spares = False
            self._changes_of_wishes += 1
            self._remove()

    # Who gets it

    def check(self, entry: Entry, owner: int, redirect: Redirect) -> str:
        """Why the session has to wait; "" if it need not.  Raises Conflict if it does not want to wait."""
        reason, note = self._obstacle(entry.session, owner, redirect)
        if reason and not redirect.optional:
            raise Conflict(redirect.refused or f"the default route: {reason}", note)
        return reason

    def claim(self, entry: Entry, owner: int, redirect: Redirect) -> None:
        """Note that a session wants this, in place of what it wanted before; it gets it, unless `check` has a reason.

        `apply` sets it.
        """
        session = entry.session
        self._changes_of_wishes += 1
        if self._obstacle(session, owner, redirect)[0]:
            self.release(session)
            self._waiting[session] = Holder(entry, owner, redirect, -1)
            return
        holder = self._holders.get(session)
        if holder is None:
            self._waiting.pop(session, None)
            holder = self._holders[session] = Holder(entry, owner, redirect, self._place(entry))
        holder.entry, holder.redirect = entry, redirect
        holder.closed |= to_close(holder, self._terms)  # what was closed before stays so until this is

    def _place(self, entry: Entry) -> int:
        """The one that the session of this device had, or a free one."""
        had = self._places.pop(entry.index, None)
        taken = {one.place for one in self._holders.values()} | {*self._places.values()}
        return next(place for place in range(MAX_REDIRECTING) if place not in taken) if had is None else had

    def _obstacle(self, session: str, owner: int, redirect: Redirect) -> tuple[str, str]:
        """Why a session cannot have it now, and for root, whose session is in the way; "" if it can."""
        if not self.public_networks:
            return "this service makes tunnels to private networks only (--public-networks refuse)", ""
        if redirect.refused:
            return redirect.refused, ""
        for other, holder in self._holders.items():
            if other != session and holder.owner != owner and versions(holder.redirect) & versions(redirect):
                note = f"the default route belongs to session {holder.entry.session} of user {holder.owner}"
                return "another user's session has it", note
        if session not in self._holders and len(self._holders) >= MAX_REDIRECTING:
            return f"{MAX_REDIRECTING} sessions have it already", ""
        return "", ""

    def tables(self, session: str) -> tuple[int, ...]:
        """The numbers of a session's tables, those of its default route first."""
        holder, numbers = self._holders.get(session), self._terms.numbers
        return () if holder is None else (numbers.table_of(holder.place), numbers.local_table_of(holder.place))

    def lacks(self, session: str) -> str:
        """Why a session that wants the default route does not have it; "" if it has it, or does not want it."""
        if waiting := self._waiting.get(session):
            return self._obstacle(session, waiting.owner, waiting.redirect)[0] or "it is about to be set"
        wanted = self._holders.get(session)
        for other, holder in self._holders.items():
            if wanted is None or other == session:
                return ""
            if holder.up and versions(holder.redirect) & versions(wanted.redirect):
                return "another session of the same user has it"
        return ""

    # What is set

    def apply(self, session: str, addressed: frozenset[int], warnings: list[str]) -> Iterator[None]:
        """Set what a session has, request by request, once its device is up with addresses of these versions.

        Raises SystemFailure if it cannot be set, and its session does not want to do without.
        """
        holder = self._holders.get(session)
        if holder is None:
            return
        try:
            yield from self._apply(holder, addressed, warnings)
        except SystemFailure as error:
            if not holder.redirect.optional:
                raise
            self.release(session)
            warnings.append(f"the default route does not lead through the tunnel: {error}")

    def _apply(self, holder: Holder, addressed: frozenset[int], warnings: list[str]) -> Iterator[None]:
        holder.addressed, holder.up = addressed, True
        holder.closed |= to_close(holder, self._terms)
        self._ways = ways_out.look(self._devices())
        self._answers.begin(self._devices(), self._ways.devices)
        self._changes_of_wishes += 1
        yield
        rule_requests.ignore_when_dead(holder.entry.index)
        self._ignore_when_dead6(holder.entry.name)
        for version in sorted(set(map(version_of, holder.redirect.networks)) - addressed):
            if version == 4 or not holder.redirect.block_ipv6:
                warnings.append(
                    f"the tunnel has no IPv{version} address: while it is up, IPv{version} leads nowhere but to "
                    "networks with a route of their own"
                )
        yield
        yield from self._changes(holder)

    def _ignore_when_dead6(self, device: str) -> None:
        """As for IPv4; where it cannot be set, what a dead engine's device gets of IPv6 is lost until it is removed."""
        try:
            ipv6_settings.ignore_when_dead(device, self._ipv6_settings)
        except SystemFailure as error:
            self._log.debug(str(error), group=LogGroup.NETCFG)

    def settle(self) -> Iterator[str]:
        """Give it to those that waited and need not any more; the device of each."""
        for session, waiting in list(self._waiting.items()):
            free = not self._obstacle(session, waiting.owner, waiting.redirect)[0]
            if free and self._waiting.get(session) is waiting:
                self.claim(waiting.entry, waiting.owner, waiting.redirect)
                yield waiting.entry.name

    def down(self, session: str) -> None:
        """Its device has been switched off, and the kernel has removed the routes by it; it will ask again."""
        if holder := self._holders.get(session):
            holder.up = False
            self._changes_of_wishes += 1
            self._routing.forget_routes(holder.entry.index)
            self._remove()

    def rest(self, session: str) -> None:
        """A session no longer has it, nor waits for it, for now: what it has closed stays so until `release`."""
        holder = self._holders.get(session)
        if holder is None or not (holder.ruled and holder.closed != Closed()):
            self.release(session)

    def release(self, session: str) -> None:
        """A session no longer has it, nor waits for it."""
        self._waiting.pop(session, None)
        if session in self._holders:
            del self._holders[session]
            self._changes_of_wishes += 1
            self._remove()

    def look_again(self) -> Iterator[bool]:
        """Follow what has changed on the machine, request by request; yields whether something was missing."""
        if not self._holders:
            return
        self._ways = ways_out.look(self._devices())
        self._answers.begin(self._devices(), self._ways.devices)
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
        self._answers.undo()

    def devices_changed(self) -> None:
        """There are other devices of sessions."""
        self._answers.follow(self._devices())

    def _remove(self) -> None:
        """Remove what is not to be."""
        for _ in self._changes(None):
            pass
        if not self._spares and not any(holder.ruled for holder in self._holders.values()):
            self._answers.end()

    def _changes(self, holder: Holder | None) -> Iterator[None]:
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

    def _plan(self, holder: Holder | None) -> Iterator[Callable[[], None]]:
        """The requests that make what is set what is to be; they hold as long as nothing else changes either."""
        if holder is not None:
            ipv6 = any(host.version == 6 for host in self._ways.addresses)
            yield from self._routing.additions_of_routes(self._wanted_routes(holder), ipv6=ipv6)
            if holder.up and self._is_in(holder):
                holder.ruled = True
                holder.closed = to_close(holder, self._terms)
            yield from self._routing.additions_of_rules(self._wanted_rules())
        # Last, so that at no moment anything goes past the tunnel that did not before and will not after.
        if not self._spares:
            kept = [route for one in self._holders.values() for route in self._wanted_routes(one)]
            yield from self._routing.removals(self._wanted_rules(), kept)

    def _is_in(self, holder: Holder) -> bool:
        """Whether it has not been released."""
        return self._holders.get(holder.entry.session) is holder

    def _wanted_rules(self) -> list[Rule]:
        found = (4,) if self._routing.without_ipv6 else (4, 6)
        holders, mark = self._holders.values(), self._answers.mark
        return [rule for one in found for rule in wanted_rules(one, holders, self._ways, self._terms, mark)]

    def _wanted_routes(self, holder: Holder) -> list[TableRoute]:
        if not self._is_in(holder):
            return []
        found = wanted_routes(holder, self._ways, self._terms)
        return [route for route in found if route.version == 4 or not self._routing.without_ipv6]
