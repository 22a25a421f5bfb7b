"""Rights to change what is everybody's, and for whom they are: pure data and texts.

Who has a right is looked up by supervisor/rights.py, each time that it is used.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from .limits import MAX_WHO


class Right(StrEnum):
    """What may be kept to some; the value is the name of the option that says to whom."""

    START_SESSIONS = "start-sessions"
    REDIRECT = "redirect"
    DNS = "dns"
    DNS_GLOBAL = "dns-global"
    KILL_SWITCH = "kill-switch"


ANY, ROOT, REFUSE, SEAT = "any", "root", "refuse", "seat"
GROUP = "@"  # before the name of a group

# Who has a right unless the administrator says otherwise.  The last one: who may become root, as Debian and Fedora
# name their group, and who sits at the machine.
DEFAULTS: dict[Right, tuple[str, ...]] = {
    Right.START_SESSIONS: (ANY,),
    Right.REDIRECT: (ANY,),
    Right.DNS: (ANY,),
    Right.DNS_GLOBAL: (ANY,),
    Right.KILL_SWITCH: (ROOT, "@sudo", "@wheel", SEAT),
}

_SUBJECTS = {
    Right.START_SESSIONS: "starting sessions is",
    Right.REDIRECT: "the default route is",
    Right.DNS: "setting name servers is",
    Right.DNS_GLOBAL: "setting name servers for all names is",
    Right.KILL_SWITCH: "the kill switch is",
}
# As useradd(8) and directories have them: "alice", "DOMAIN\\alice", "alice@example.org", "Domain Users".
_NAME = re.compile(r"[^\W\d-][^,:@/\x00-\x1f\x7f]*(?:@[^,:@/\x00-\x1f\x7f]+)?")


class Rule(msgspec.Struct, frozen=True):
    """For whom a right is, and where that stands: "redirect in /etc/…", "--redirect root"; "" for a default."""

    who: tuple[str, ...]
    source: str = ""

    @property
    def accounts(self) -> tuple[str, ...]:
        """The users, and with GROUP before it the groups, that it names."""
        return tuple(word for word in self.who if word not in (ANY, ROOT, REFUSE, SEAT))

    @property
    def seat(self) -> bool:
        """Whether it is for who is active on a local seat."""
        return SEAT in self.who

    def decides(self, uid: int) -> bool | None:
        """Whether a user has the right, as far as that takes no look-up; None if it does.

        Root has what anybody has.
        """
        if self.who == (ANY,):
            return True
        if self.who == (REFUSE,):
            return False
        if uid == 0:
            return True
        return None if self.accounts or self.seat else False


def parse_who(words: Sequence[str]) -> tuple[str, ...]:
    """For whom a right is, as the administrator writes it, each word once.  Raises ValueError saying what is wrong."""
    who = tuple(dict.fromkeys(words))
    if not who:
        raise ValueError(f'it names nobody: for that there is "{REFUSE}"')
    if len(who) > MAX_WHO:
        raise ValueError(f"{len(who)} users and groups are more than {MAX_WHO}: make a group of them")
    for word in (ANY, REFUSE):
        if word in who and len(who) > 1:
            raise ValueError(f'"{word}" stands alone')
    for word in who:
        if not _NAME.fullmatch(word.removeprefix(GROUP)):
            raise ValueError(
                f"{word[:64]!r} is not {ANY}, {ROOT}, {SEAT}, {REFUSE}, the name of a user, or {GROUP} and a group's"
            )
    return who


def described(rule: Rule) -> str:
    """For whom it is: "root, group vpn-admins and users active on a local seat"."""
    if rule.who == (ANY,):
        return "anybody"
    if rule.who == (REFUSE,):
        return "nobody"
    shown = [_word(word) for word in sorted(rule.who, key=_place)]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def refused(right: Right, rule: Rule, *, unknown: str = "") -> str:
    """What is said to a user without the right; `unknown` is what could not be found out about them."""
    subject, whom = _SUBJECTS[right], described(rule)
    only = f"{subject} for {whom}" if rule.who == (REFUSE,) else f"{subject} only for {whom}"
    return f"{only} ({rule.source or f'the default of {right}'}){f'; {unknown}' if unknown else ''}"


def _place(word: str) -> int:
    """The order in which they are named."""
    return 0 if word == ROOT else 3 if word == SEAT else 2 if word.startswith(GROUP) else 1


def _word(word: str) -> str:
    if word.startswith(GROUP):
        return f"group {word.removeprefix(GROUP)}"
    return {ROOT: "root", SEAT: "users active on a local seat"}.get(word, f"user {word}")
