"""Sessions that have the default route, and which routes and rules are to be set for them: pure."""

from collections.abc import Collection

import msgspec

from ....policy.limits import MAX_WAYS_OUT
from ....policy.redirect import EVERYTHING, MARK, Redirect, WhileNotConnected, is_closed, versions
from ..journal import Entry
from ..prefixes import Host, Prefix
from .rules import Numbers, Rule, TableRoute
from .ways_out import WaysOut


class Terms(msgspec.Struct, frozen=True):
    """What the administrator has chosen, and the user ids that engines have."""

    uids: range = range(0)
    numbers: Numbers = Numbers()
    while_not_connected: WhileNotConnected = "open"
    mark: int = MARK


class Closed(msgspec.Struct, frozen=True):
    """What goes nowhere while its session is not connected."""

    networks: frozenset[str] = frozenset()
    local: frozenset[int] = frozenset()  # versions of which networks of the machine are among it

    def __or__(self, other: "Closed") -> "Closed":
        return Closed(self.networks | other.networks, self.local | other.local)


class Holder(msgspec.Struct):
    """A session that has the default route, or its turn will come."""

    entry: Entry  # of its device, which may have gone
    owner: int
    redirect: Redirect
    place: int  # among the tables
    addressed: frozenset[int] = frozenset()  # versions of which its device has an address
    up: bool = False  # its device is, so that it has routes
    ruled: bool = False  # its table is looked at
    closed: Closed = Closed()

    @property
    def local(self) -> frozenset[int]:
        """The versions of which it redirects networks of the machine."""
        return versions(self.redirect) & self.addressed if self.redirect.block_local else frozenset()


def to_close(holder: Holder, terms: Terms) -> Closed:
    """What goes nowhere while it is not connected, by what it redirects now."""
    redirect = holder.redirect
    if not is_closed(redirect.while_not_connected, terms.while_not_connected):
        return Closed()
    networks = {one for one in redirect.networks if not (redirect.block_ipv6 and version_of(one) == 6)}
    return Closed(frozenset(networks | ({EVERYTHING[6]} if redirect.block_ipv6 else set())), holder.local)


def wanted_rules(version: int, holders: Collection[Holder], ways: WaysOut, terms: Terms, mark: int) -> list[Rule]:
    """The rules of a version for these, in order; packets that answer have this mark, if it is not 0."""
    numbers, uids = terms.numbers, terms.uids
    holders = [one for one in holders if one.ruled]
    ruled = [one for one in holders if version in versions(one.redirect)]
    closed = any(version == version_of(network) for one in holders for network in one.closed.networks)
    if not (ruled or closed):
        return []
    answers = tuple(host for host in ways.addresses if host.version == version)[:MAX_WAYS_OUT]
    return [
        *numbers.common(version, (uids[0], uids[-1]), answers, mark),
        *(numbers.of_local(version, one.place) for one in ruled if one.redirect.block_local),
        *([numbers.closed_local(version)] if any(version in one.closed.local for one in holders) else []),
        *(numbers.of_session(version, one.place) for one in ruled),
        *([numbers.closed(version)] if closed else []),
    ]


def wanted_routes(holder: Holder, ways: WaysOut, terms: Terms) -> list[TableRoute]:
    """The routes for one."""
    found = _through(holder, ways, terms.numbers) if holder.up else []
    if holder.up or holder.ruled:
        found += _closed(holder.closed, ways, terms.numbers)
    return found


def _through(holder: Holder, ways: WaysOut, numbers: Numbers) -> list[TableRoute]:
    redirect, device, table = holder.redirect, holder.entry.index, numbers.table_of(holder.place)
    found = []
    for network in redirect.networks:
        version = version_of(network)
        if version == 6 and redirect.block_ipv6:
            continue
        by_device = version in holder.addressed
        found.append(TableRoute(table, network, *((device,) if by_device else (0, "unreachable"))))
    if redirect.block_ipv6:
        found.append(TableRoute(table, EVERYTHING[6], kind="unreachable"))
    return found + _local(numbers.local_table_of(holder.place), holder.local, device, ways)


def _closed(closed: Closed, ways: WaysOut, numbers: Numbers) -> list[TableRoute]:
    found = [TableRoute(numbers.closed_table, network, kind="unreachable") for network in sorted(closed.networks)]
    return found + _local(numbers.closed_local_table, closed.local, 0, ways)


def _local(table: int, of: frozenset[int], device: int, ways: WaysOut) -> list[TableRoute]:
    """Routes to the machine's networks of these versions, by a device or else nowhere, but for gateways."""
    kind = "" if device else "unreachable"
    found = [TableRoute(table, str(one), device, kind) for one in ways.networks if one.version in of]
    return found + [
        TableRoute(table, str(Prefix.alone(gateway)), kind="throw")
        for gateway in ways.gateways
        if gateway.version in of and not _link_local(gateway)
    ]


def version_of(network: str) -> int:
    return 6 if ":" in network else 4


def _link_local(host: Host) -> bool:
    return host.version == 6 and host.number >> 118 == 0xFE80 >> 6
