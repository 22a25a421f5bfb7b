"""Who has which right, looked up at each use: users, groups, and who is active on a local seat."""

import grp
import os
import pwd
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from ..policy.limits import ACCOUNT_DEADLINE
from ..policy.rights import DEFAULTS, GROUP, Right, Rule, refused
from .accounts import look_up
from .errors import SystemFailure


async def _no_seats(uid: int) -> bool:
    raise SystemFailure("there is no systemd-logind")


class Rights:
    """The rules that are in force; `replace` puts others in their place."""

    def __init__(
        self, rules: Mapping[Right, Rule] | None = None, on_seat: Callable[[int], Awaitable[bool]] = _no_seats
    ) -> None:
        """`on_seat` tells whether a user is active on a local seat, or raises SystemFailure."""
        self._rules = {right: Rule(who) for right, who in DEFAULTS.items()} | dict(rules or {})
        self._on_seat = on_seat

    def rule(self, right: Right) -> Rule:
        """The rule that is in force."""
        return self._rules[right]

    def replace(self, rules: Mapping[Right, Rule]) -> None:
        """From now on these are in force."""
        self._rules = self._rules | dict(rules)

    async def refusal(self, right: Right, uid: int) -> str:
        """Why a user does not have a right: a text that names the rule, and where it stands; "" for who has it.

        It takes no longer than looking up accounts and asking logind may (ACCOUNT_DEADLINE, SEAT_DEADLINE); what is not
        known by then counts against the user.
        """
        rule = self._rules[right]
        decided = rule.decides(uid)
        unknown = ""
        if decided is None:
            decided, unknown = await self._look_up(rule, uid)
        return "" if decided else refused(right, rule, unknown=unknown)

    async def _look_up(self, rule: Rule, uid: int) -> tuple[bool, str]:
        """Whether a rule is for a user, and what could not be found out."""
        unknown = []
        if rule.accounts:
            try:
                if await look_up(partial(_is_one_of, uid, rule.accounts), uid):
                    return True, ""
            except TimeoutError:
                unknown.append(f"users and groups could not be looked up in {ACCOUNT_DEADLINE:g} s")
            except OSError as error:
                unknown.append(f"users and groups could not be looked up: {error.strerror}")
        if rule.seat:
            try:
                if await self._on_seat(uid):
                    return True, ""
            except SystemFailure as error:
                unknown.append(f"who uses a local seat is not known: {error}")
        return False, "; ".join(unknown)


def _is_one_of(uid: int, accounts: Sequence[str]) -> bool:
    """Whether a user is one of these, or in one of these groups (with GROUP before it), as they are now."""
    groups = [one.removeprefix(GROUP) for one in accounts if one.startswith(GROUP)]
    for name in accounts:
        try:
            if not name.startswith(GROUP) and pwd.getpwnam(name).pw_uid == uid:
                return True
        except KeyError:
            continue
    if not groups:
        return False
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return False
    member = set(os.getgrouplist(user.pw_name, user.pw_gid))
    for name in groups:
        try:
            if grp.getgrnam(name).gr_gid in member:
                return True
        except KeyError:
            continue
    return False
