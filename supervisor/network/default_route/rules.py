"""Routing rules by which sessions get the machine's default route, and the routes of their tables: pure data.

docs/NETWORK.md has the table of them.
"""

import msgspec

from ....kernel.netlink.rtnetlink import RT_TABLE_MAIN
from ....policy.limits import MAX_REDIRECTING
from ....policy.redirect import FIRST_PRIORITY, FIRST_TABLE, PRIORITIES, TABLES
from ..prefixes import Host

# Offsets from the first priority, in the order in which rules are tried.
_ANSWERS, _ENGINES, _ENGINES_ONLY, _LOCAL, _LOCAL_CLOSED, _MORE_EXACT, _SESSIONS, _CLOSED = 0, 1, 2, 6, 7, 11, 21, 22
_ROOT = (0, 0)


class Rule(msgspec.Struct, frozen=True):
    """One rule of ip-rule(8)."""

    version: int
    priority: int
    table: int = 0  # that is looked at; 0: the destination is unreachable
    source: Host | None = None
    uids: tuple[int, int] | None = None  # first and last
    mark: int = 0  # packets with all these bits in their mark
    more_exact: bool = False  # routes with a prefix of no length do not count


class TableRoute(msgspec.Struct, frozen=True):
    """A route of a session's table, through its device, or else of this kind."""

    table: int
    destination: str
    device: int = 0
    kind: str = ""  # "unreachable"; "throw": as if it were not in the table

    @property
    def version(self) -> int:
        return 6 if ":" in self.destination else 4

    @property
    def key(self) -> tuple[int, str]:
        """What no other route of its table has."""
        return self.table, self.destination


class Numbers(msgspec.Struct, frozen=True):
    """The priorities and tables that are taken: from these on."""

    priority: int = FIRST_PRIORITY
    table: int = FIRST_TABLE

    @property
    def priorities(self) -> range:
        return range(self.priority, self.priority + PRIORITIES)

    @property
    def tables(self) -> range:
        return range(self.table, self.table + TABLES)

    def ours(self, rule: Rule) -> bool:
        """Whether a rule is one that is made with these numbers."""
        if rule.priority not in self.priorities:
            return False
        common = rule.table in (0, RT_TABLE_MAIN) and (rule.more_exact or rule.uids is not None or rule.mark != 0)
        return common or rule.table in self.tables

    def table_of(self, place: int) -> int:
        """The table for the default route of the session at this place."""
        return self.table + place

    def local_table_of(self, place: int) -> int:
        """Its table for networks of the machine."""
        return self.table + MAX_REDIRECTING + place

    @property
    def closed_table(self) -> int:
        """The table of what goes nowhere while the sessions that redirect it do not have it."""
        return self.table + 2 * MAX_REDIRECTING

    @property
    def closed_local_table(self) -> int:
        """The same for networks of the machine."""
        return self.closed_table + 1

    def common(self, version: int, uids: tuple[int, int], answers: tuple[Host, ...], mark: int) -> list[Rule]:
        """The rules that are there as long as any session redirects this version, in order.

        `uids` are those of engines, `answers` the machine's addresses that root answers from, `mark` that of what
        others answer, or 0.
        """
        at = self.priority
        return [
            *([Rule(version, at + _ANSWERS, RT_TABLE_MAIN, mark=mark)] if mark else []),
            *(Rule(version, at + _ANSWERS, RT_TABLE_MAIN, source=host, uids=_ROOT) for host in answers),
            Rule(version, at + _ENGINES, RT_TABLE_MAIN, uids=uids),
            Rule(version, at + _ENGINES_ONLY, uids=uids),
            Rule(version, at + _MORE_EXACT, RT_TABLE_MAIN, more_exact=True),
        ]

    def of_local(self, version: int, place: int) -> Rule:
        """The rule for a session's table of networks of the machine."""
        return Rule(version, self.priority + _LOCAL, self.local_table_of(place))

    def closed_local(self, version: int) -> Rule:
        """The rule for networks of the machine that go nowhere."""
        return Rule(version, self.priority + _LOCAL_CLOSED, self.closed_local_table)

    def closed(self, version: int) -> Rule:
        """The rule for what else goes nowhere, after those for all sessions' tables."""
        return Rule(version, self.priority + _CLOSED, self.closed_table)

    def of_session(self, version: int, place: int) -> Rule:
        """The rule for a session's table."""
        return Rule(version, self.priority + _SESSIONS, self.table_of(place))
