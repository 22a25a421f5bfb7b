"""What is in force of a session's network settings, as the kernel says when it is asked.

To be used in the network's thread.
"""

from collections.abc import Generator

import msgspec

from ...kernel.netlink import rtnetlink
from ...policy.limits import MAX_SHOWN_ROUTES
from . import dumps
from .claims import Claims
from .default_route import rule_requests
from .default_route.redirecting import Redirecting
from .default_route.rules import Rule
from .journal import Entry
from .prefixes import Prefix

_KINDS = {rtnetlink.RTN_UNREACHABLE: "unreachable", rtnetlink.RTN_THROW: "throw"}


class RouteInForce(msgspec.Struct, frozen=True):
    """A route of a session."""

    destination: str
    way: str  # "tunnel", "past" (by a gateway of the machine), "several", "unreachable", "throw"
    metric: int
    table: int


class InForce(msgspec.Struct):
    """What the kernel has of a session, and what its session waits for."""

    addresses: list[str] = []
    routes: list[RouteInForce] = []
    more_routes: int = 0  # that are not listed
    rules: list[str] = []
    default_route: list[str] = []  # versions of IP of which the machine's default route is the tunnel
    pending: list[tuple[str, str]] = []  # what it waits for, and why
    more_pending: int = 0


def look(entry: Entry, redirecting: Redirecting, claims: Claims, found: InForce) -> Generator[None, None, None]:
    """Fill in `found`, a few rows at a step.  Raises SystemFailure."""
    with dumps.questions() as link:
        for _, local, network in dumps.addresses(link, entry.index):
            found.addresses.append(f"{local}/{network.length}")
        yield
        tables = redirecting.tables(entry.session)
        for table in (*tables, rtnetlink.RT_TABLE_MAIN):
            # Of a table for the default route all is the session's, also what leads nowhere.
            device = entry.index if table == rtnetlink.RT_TABLE_MAIN else 0
            for route in dumps.routes(link, table=table, device=device):
                _add(found, RouteInForce(str(route.destination), _way(route, entry.index), route.metric, table))
                yield
        if entry.ways:
            for route in dumps.routes(link, protocol=dumps.PAST):
                if route.protocol == dumps.PAST and route.way in entry.ways:
                    _add(found, RouteInForce(str(route.destination), "past", route.metric, rtnetlink.RT_TABLE_MAIN))
                yield
    for version in (4, 6) if tables else ():
        rules = [rule for rule in rule_requests.rules(version) if rule.table in tables]
        found.rules += [_described(rule) for rule in rules]
        yield
    if reason := redirecting.lacks(entry.session):
        found.pending.append(("default route", reason))
    elif tables:
        found.default_route = [f"IPv{version}" for version in (4, 6) if _is_default(found, version, tables[0])]
    for prefix, reason in claims.waits(entry.name):
        if len(found.pending) < MAX_SHOWN_ROUTES:
            found.pending.append((f"route {prefix}", reason))
        else:
            found.more_pending += 1
        yield


def _way(route: dumps.FoundRoute, device: int) -> str:
    if route.kind != rtnetlink.RTN_UNICAST:
        return _KINDS.get(route.kind, f"type {route.kind}")
    if route.way is None:
        return "several"
    return "tunnel" if route.way.device == device else "past"


def _add(found: InForce, route: RouteInForce) -> None:
    if len(found.routes) < MAX_SHOWN_ROUTES:
        found.routes.append(route)
    else:
        found.more_routes += 1


def _is_default(found: InForce, version: int, table: int) -> bool:
    """Whether a table that is looked at leads everything into the tunnel, in one or more parts."""
    if not any(rule.startswith(f"IPv{version} ") and rule.endswith(f" {table}") for rule in found.rules):
        return False
    parts = {one.destination for one in found.routes if one.table == table and one.way == "tunnel"}
    everything = Prefix(version, 0, 0)
    halves = {str(Prefix(version, 0, 1)), str(Prefix(version, 1 << ((32, 128)[version == 6] - 1), 1))}
    return str(everything) in parts or halves <= parts


def _described(rule: Rule) -> str:
    """As ip-rule(8) has it, but for the version of IP."""
    return f"IPv{rule.version} {rule.priority}: lookup {rule.table}"
