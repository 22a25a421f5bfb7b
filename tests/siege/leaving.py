"""How what attackers own is taken away, and whether each then has all of their quota."""

import time
from collections.abc import Sequence

from dbus_fast import Message, MessageType, Variant

from ...policy.limits import DEFAULT_SESSIONS_PER_USER, MAX_PROFILES_PER_USER
from ...supervisor.bus.inspection_api import INSPECTION
from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH
from ..lab.service import FIRST_SESSION_UID
from ..lab.surroundings import Account
from .alice import PATIENCE, Noticed, user, value
from .field import Field
from .profiles import Texts
from .wire import Connection

_ENDING = 120.0  # seconds for all sessions to end, with engines that wait for servers
_AT_ONCE = 50  # calls under way; the bus allows 128
_LARGE = "x" * 100 + "\n"


class Leaver:
    """A user who takes away what is theirs."""

    def __init__(self, field: Field, account: Account) -> None:
        self.account = account
        with user(account):
            self.line = Connection(field.bus.address)

    def call(self, path: str, interface: str, member: str, signature: str = "", *arguments: object) -> Message | None:
        return self.line.call(interface, path, interface, member, signature, *arguments, patience=PATIENCE)

    def listed(self, path: str, interface: str, member: str) -> list[str]:
        found = value(self.call(path, interface, member), f"{self.account.name}'s {member}")
        assert isinstance(found, list)
        return found

    @property
    def sessions(self) -> list[str]:
        return self.listed(SESSIONS_PATH, SESSIONS, "FetchAvailableSessions")

    @property
    def profiles(self) -> list[str]:
        return self.listed(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs")

    def session_uid(self, path: str) -> int:
        """The user id of a session's processes."""
        call = (path, "org.freedesktop.DBus.Properties", "Get", "ss", INSPECTION.name, "session_uid")
        found = value(self.line.call(SESSIONS, *call, patience=PATIENCE), "session_uid")
        assert isinstance(found, Variant)
        return int(found.value)

    def all_of(self, calls: Sequence[Message]) -> list[Message]:
        """Make calls, some at a time; their replies.  Raises Noticed."""
        replies = []
        for start in range(0, len(calls), _AT_ONCE):
            some = calls[start : start + _AT_ONCE]
            self.line.send(*some)
            replies += self.line.replies(some, PATIENCE)
        if len(replies) < len(calls):
            raise Noticed(f"{self.account.name}: {len(calls) - len(replies)} of {len(calls)} calls are not answered")
        return replies

    def end_all(self) -> None:
        self.all_of([Message(SESSIONS, path, SESSIONS, "Disconnect") for path in self.sessions])

    def remove_all(self) -> None:
        self.all_of([Message(CONFIGURATION, path, CONFIGURATION, "Remove") for path in self.profiles])

    def import_some(self, count: int, text: str) -> list[Message]:
        """The replies to so many imports."""
        body = ["at rest", text, False, False]
        return self.all_of(
            [
                Message(CONFIGURATION, CONFIGURATION_PATH, CONFIGURATION, "Import", signature="ssbb", body=body)
                for _ in range(count)
            ]
        )


def leave(field: Field, accounts: Sequence[Account]) -> None:
    """End all sessions of these users and remove their profiles.  Raises Noticed if some stay."""
    leavers = [Leaver(field, account) for account in accounts]
    until = time.monotonic() + _ENDING
    while True:
        for leaver in leavers:
            leaver.end_all()
            leaver.remove_all()
        left = {leaver.account.name: (leaver.sessions, leaver.profiles) for leaver in leavers}
        if not any(sessions or found for sessions, found in left.values()):
            break
        if time.monotonic() > until:
            raise Noticed(f"sessions and profiles cannot be removed: {left}")
    for leaver in leavers:
        leaver.line.close()


def check_quotas(field: Field, accounts: Sequence[Account], texts: Texts) -> None:
    """Whether each of them may have as many profiles and sessions as a user may have, and no more.

    And whether no user id of a session is missing: each gets the lowest that is free.  Raises Noticed.
    """
    for account in accounts:
        one = Leaver(field, account)
        _have(account, "profiles", one.import_some(MAX_PROFILES_PER_USER + 1, texts.good[0]), MAX_PROFILES_PER_USER)
        calls = [
            Message(SESSIONS, SESSIONS_PATH, SESSIONS, "NewTunnel", signature="o", body=[path])
            for path in one.profiles[: DEFAULT_SESSIONS_PER_USER + 1]
        ]
        _have(account, "sessions", one.all_of(calls), DEFAULT_SESSIONS_PER_USER)
        highest = max(one.session_uid(path) for path in one.sessions)
        if highest != FIRST_SESSION_UID + DEFAULT_SESSIONS_PER_USER:  # the first is alice's
            missing = highest - FIRST_SESSION_UID - DEFAULT_SESSIONS_PER_USER
            raise Noticed(f"{missing} user ids of sessions have not been given back")
        one.end_all()
        one.remove_all()
        one.line.close()


def check_unread(field: Field, accounts: Sequence[Account], texts: Texts) -> None:
    """Whether each of them may leave three large profiles unread, all at once.  Raises Noticed."""
    waiting = []
    for account in accounts:
        one = Leaver(field, account)
        text = texts.good[0].replace("<ca>\n", "<ca>\n" + _LARGE * (4_100_000 // len(_LARGE)))
        path = value(one.import_some(1, text)[0], f"{account.name}'s Import of a large profile")
        calls = [Message(CONFIGURATION, str(path), CONFIGURATION, "Fetch") for _ in range(3)]
        one.line.send(*calls)
        waiting.append((one, calls))
    for one, calls in waiting:
        _have(one.account, "unread replies", one.line.replies(calls, PATIENCE), len(calls))
        one.remove_all()
        one.line.close()


def _have(account: Account, what: str, replies: Sequence[Message], expected: int) -> None:
    done = sum(reply.message_type is MessageType.METHOD_RETURN for reply in replies)
    if done != expected:
        errors = {str(reply.body) for reply in replies if reply.message_type is MessageType.ERROR}
        raise Noticed(f"{account.name} is granted {done} {what}, not {expected}: {'; '.join(sorted(errors)[:3])}")
