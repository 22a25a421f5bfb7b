"""Routing rules and tables as they are set for the default routes of sessions, and what remembers them.

To be used in the network's thread.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ....kernel.netlink import rtnetlink
from ....policy.dbus_numbers import LogGroup
from ...errors import SystemFailure
from ...logging.log import Log
from .. import dumps
from ..journal import DeviceJournal, RulesEntry, current_namespace
from ..requests import IPv6Off
from . import rule_requests
from .rules import Numbers, Rule, TableRoute

_KINDS = {rtnetlink.RTN_UNREACHABLE: "unreachable", rtnetlink.RTN_THROW: "throw"}


class PolicyRouting:
    """The rules and routes of one set of numbers, in the kernel and in the journal."""

    def __init__(self, journal: DeviceJournal, log: Log, numbers: Numbers) -> None:
        self._journal = journal
        self._log = log
        self._numbers = numbers
        self._rules: list[Rule] = []  # that are set, in order
        self._routes: dict[tuple[int, str], TableRoute] = {}  # by their keys
        self._impossible = set[TableRoute]()  # for want of IPv6, which nothing needs then
        self._noted: RulesEntry | None = None
        self.without_ipv6 = False  # this machine has no IPv6
        self.changes = 0  # so far, of what is set

    def take_over(self, entry: RulesEntry) -> Iterable[TableRoute]:
        """Have what an earlier instance has set with these numbers; its routes.  Raises SystemFailure."""
        self._noted = entry
        self._rules = [rule for version in (4, 6) for rule in rule_requests.rules(version) if entry.numbers.ours(rule)]
        self._routes = {route.key: route for route in self._found_routes(entry.numbers.tables)}
        return self._routes.values()

    def removals(self, rules: Iterable[Rule], routes: Iterable[TableRoute]) -> Iterator[Callable[[], None]]:
        """The requests that remove what is not among these, rules first, the last one first."""
        wanted, kept = {*rules}, {*routes}
        for rule in [one for one in reversed(self._rules) if one not in wanted]:
            yield partial(self._remove_rule, rule)
        for route in [one for one in self._routes.values() if one not in kept]:
            yield partial(self._remove_route, route)

    def additions_of_routes(self, routes: Iterable[TableRoute], *, ipv6: bool) -> Iterator[Callable[[], None]]:
        """The requests that set those of these that are not; `ipv6`: the machine has another way for IPv6.

        They raise SystemFailure.
        """
        for route in [one for one in routes if self._routes.get(one.key) != one and one not in self._impossible]:
            yield partial(self._add_route, route, ipv6)

    def additions_of_rules(self, rules: Iterable[Rule]) -> Iterator[Callable[[], None]]:
        """The requests that add those of these that are not set.  They raise SystemFailure."""
        there = {*self._rules}
        for rule in [one for one in rules if one not in there]:
            yield partial(self._add_rule, rule)

    def end(self) -> None:
        """Forget the numbers if nothing is set any more."""
        if self._noted is not None and not self._rules and not self._routes:
            self._journal.remove(self._noted)
            self._name_others(self._noted.numbers)
            self._noted = None
            self._impossible.clear()

    def forget_routes(self, device: int) -> None:
        """The kernel has removed the routes by this device."""
        self.changes += 1
        for route in [one for one in self._routes.values() if one.device == device]:
            del self._routes[route.key]

    def forget_missing(self) -> bool:
        """Take note of which rules and routes somebody has removed; whether there are such.

        Rules of one priority are tried in the order in which they were added, so those behind a missing one go too.
        """
        missing = [self._forget_missing_rules(version) for version in {rule.version for rule in self._rules}]
        return self._forget_missing_routes() or any(missing)

    def _forget_missing_routes(self) -> bool:
        there = {route.key for route in self._found_routes({table for table, _ in self._routes})}
        missing = [key for key in self._routes if key not in there]
        for key in missing:
            del self._routes[key]
        return bool(missing)

    def _forget_missing_rules(self, version: int) -> bool:
        there = rule_requests.rules(version)
        mine = [rule for rule in self._rules if rule.version == version]
        missing = [rule for rule in mine if rule not in there]
        first = {rule.priority: mine.index(rule) for rule in reversed(missing)}
        for rule in missing:
            self._rules.remove(rule)
        for at, rule in enumerate(mine):
            if rule not in missing and at > first.get(rule.priority, at):
                self._remove_rule(rule)
        return bool(missing)

    def undo(self, entry: RulesEntry) -> None:
        """Remove what an earlier instance left behind.  Raises SystemFailure."""
        numbers = entry.numbers
        for version in (4, 6):
            for rule in reversed(rule_requests.rules(version)):
                if numbers.ours(rule):
                    rule_requests.remove_rule(rule)
        for route in self._found_routes(numbers.tables):
            if route.kind:  # others go with their devices
                rule_requests.remove_route(route)
        self._name_others(numbers)

    def _add_rule(self, rule: Rule) -> None:
        self._note()
        try:
            rule_requests.add_rule(rule)
        except IPv6Off:
            self.without_ipv6 = True  # so there is nothing to redirect
            return
        self._rules.append(rule)
        self.changes += 1

    def _remove_rule(self, rule: Rule) -> None:
        self._rules.remove(rule)
        self.changes += 1
        try:
            rule_requests.remove_rule(rule)
        except SystemFailure as error:
            self._log.error(str(error), group=LogGroup.NETCFG)

    def _add_route(self, route: TableRoute, ipv6: bool) -> None:
        self._note()
        try:
            rule_requests.add_route(route, instead=route.key in self._routes)
        except IPv6Off as error:
            if ipv6:
                raise SystemFailure(f"{error}, while the machine has IPv6 by another way") from error
            self._impossible.add(route)
        else:
            self._routes[route.key] = route
        self.changes += 1

    def _remove_route(self, route: TableRoute) -> None:
        del self._routes[route.key]
        self.changes += 1
        try:
            rule_requests.remove_route(route)
        except SystemFailure as error:
            self._log.error(str(error), group=LogGroup.NETCFG)

    def _note(self) -> None:
        """Before anything is made, make sure that the numbers are free, and note them on disk.

        Raises SystemFailure.
        """
        if self._noted is not None:
            return
        numbers = self._numbers
        for other in self._others(numbers):
            raise SystemFailure(
                f"the default route: {other}, which this service would use (--redirect-rules, --redirect-tables)"
            )
        noted = RulesEntry(numbers, current_namespace())
        self._journal.write(noted)
        self._noted = noted

    def _name_others(self, numbers: Numbers) -> None:
        """Nothing of ours is set any more: say what others have put there meanwhile, which is left alone."""
        try:
            for other in self._others(numbers):
                self._log.warn(f"Left alone: {other}", group=LogGroup.NETCFG)
        except (OSError, SystemFailure) as error:
            self._log.debug(f"What others have set cannot be read: {error}", group=LogGroup.NETCFG)

    def _others(self, numbers: Numbers) -> Iterator[str]:
        """What has these numbers, while nothing of ours is set.  Raises SystemFailure, OSError."""
        for version in (4, 6):
            for rule in rule_requests.rules(version):
                if rule.priority in numbers.priorities or rule.table in numbers.tables:
                    yield f"a routing rule of another program has priority {rule.priority} and table {rule.table}"
        for route in self._found_routes(numbers.tables):
            yield f"table {route.table} has a route of another program to {route.destination}"

    def _found_routes(self, tables: Iterable[int]) -> Iterator[TableRoute]:
        """What is in the tables."""
        with dumps.questions() as link:
            for table in tables:
                for route in dumps.routes(link, table=table):
                    device = route.way.device if route.way is not None else 0
                    yield TableRoute(table, str(route.destination), device, _KINDS.get(route.kind, ""))
