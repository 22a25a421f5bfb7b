"""What has been sent and not been read: charged to its receiver and that one's user, within bounds.

All that we send goes over one socket, and what receivers leave unread counts against us at the bus, which stops
reading us beyond a bound of its own.  So each message is charged to an account before it is sent.  A user may hold
as much as is left free, up to a bound, so that whoever comes later finds something, too.  What connections have read
meanwhile, the bus is asked: now and then, and before a call is refused.  Broadcasts are charged to the user who
caused them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from dbus_fast.signature import SignatureTree

from ...policy.limits import (
    MAX_UNREAD_BYTES,
    MAX_UNREAD_PER_USER,
    MAX_UNREAD_SIGNALS,
    MIN_UNREAD_SHARE,
    UNREAD_HARD,
    UNREAD_LOOK,
    UNREAD_REFUSALS,
)
from ..waiting import shared

_REST = 10  # a look at a user's connections is followed by a pause of so many times what it took,
_LONGEST_REST = 0.5  # but no longer than this; seconds

_LEASE = 2048  # bytes

Unread = Callable[[str], Awaitable[int | None]]


class NoRoom(Exception):
    """A reply was not sent: its receiver leaves too much unread."""

    def __init__(self, signature: SignatureTree, body: list[Any], size: int) -> None:
        super().__init__(f"no room for a reply of {size} bytes")
        self.signature = signature
        self.body = body
        self.size = size


class User:
    """What one user's connections hold."""

    __slots__ = ("accounts", "budget", "held", "large", "look", "look_at", "not_before", "uid")

    def __init__(self, budget: "Budget", uid: int | None) -> None:
        self.budget = budget
        self.uid = uid  # None: of connections whose user is not known yet
        self.held = 0  # bytes
        self.accounts: dict[str, Account] = {}
        self.large = 0  # large replies that wait for room
        self.look_at = UNREAD_LOOK
        self.look: asyncio.Task[None] | None = None
        self.not_before = 0.0  # the next look, on the loop's clock


class Account:
    """What one connection has not read, as far as is known; with the name "", what broadcasts of a user stand for."""

    __slots__ = ("held", "lease", "name", "sent", "user")

    def __init__(self, name: str, user: User) -> None:
        self.name = name
        self.user = user
        self.held = 0  # bytes, with the lease
        self.lease = 0  # bytes charged in advance, so that not each small message has to be
        self.sent = 0  # bytes in all, with the lease

    def admits(self, size: int, extra: int = 0) -> bool:
        """Whether there is room for so many bytes more, with `extra` bytes beyond the user's share."""
        budget = self.user.budget
        share = min(max(MAX_UNREAD_BYTES - budget.held, MIN_UNREAD_SHARE), MAX_UNREAD_PER_USER)
        return self.user.held + size <= share + extra and budget.held + size <= UNREAD_HARD

    def charge(self, size: int) -> None:
        """Count bytes that are sent."""
        self.held += size
        self.sent += size
        user = self.user
        user.held += size
        user.budget.held += size
        if user.held > user.look_at:
            user.budget.look_soon(user)

    def take(self, size: int) -> bool:
        """Charge so many bytes if there is room for them, and some in advance; whether there was."""
        if size <= self.lease:
            self.lease -= size
            return True
        if self.user.held + size > MIN_UNREAD_SHARE // 2 and not self.admits(size):
            return False
        self.charge(size + _LEASE - self.lease)
        self.lease = _LEASE
        return True

    def takes_refusal(self, size: int) -> bool:
        """The same for an error, of which some have room beyond the user's share: who has read all is told at least."""
        few = self.held + size <= UNREAD_REFUSALS and self.user.budget.held + size <= UNREAD_HARD
        if not few and not self.admits(size, UNREAD_REFUSALS):
            return False
        self.charge(size)
        return True

    def takes_signal(self, size: int) -> bool:
        """The same for a signal that may be lost."""
        if self.held + size <= MAX_UNREAD_SIGNALS and self.take(size):
            return True
        self.user.budget.look_soon(self.user)
        return False

    def release(self, size: int) -> None:
        """Count bytes that have been read."""
        self.held -= size
        self.user.held -= size
        self.user.budget.held -= size


class Budget:
    """The accounts of all connections that have called us, by unique name.

    `unread` gives how many bytes a connection has not read, and for "" how many all connections have not read of
    what we sent; None if that cannot be known now.
    """

    def __init__(self, unread: Unread) -> None:
        self.held = 0  # bytes
        self.accounts: dict[str, Account] = {}
        self._unread = unread
        self._users: dict[int | None, User] = {}

    # Accounts

    def open(self, name: str) -> Account:
        """Make the account of a connection, whose user is not known yet."""
        account = self.accounts[name] = Account(name, self._user(None))
        account.user.accounts[name] = account
        return account

    def identified(self, name: str, uid: int) -> None:
        """The connection is one of user `uid`."""
        account = self.accounts.get(name)
        user = self._user(uid)
        if account is None or account.user is user:
            return
        del account.user.accounts[name]
        account.user.held -= account.held
        account.user = user
        user.accounts[name] = account
        user.held += account.held

    def close(self, name: str) -> None:
        """The connection has left the bus, and with it goes what it has not read."""
        account = self.accounts.pop(name, None)
        if account is not None:
            account.release(account.held)
            del account.user.accounts[name]
            self._forget_idle(account.user)

    def forget(self) -> None:
        """The bus is gone, and with it all that was not read."""
        for user in self._users.values():
            user.accounts.clear()
            user.held = 0
        self._users.clear()
        self.accounts.clear()
        self.held = 0

    def broadcast(self, uid: int, size: int) -> None:
        """Charge to user `uid` a signal that goes to everybody."""
        user = self._user(uid)
        account = user.accounts.get("")
        if account is None:
            account = user.accounts[""] = Account("", user)
        account.charge(size)

    def reads_nothing(self, name: str) -> bool:
        """Whether the connection has left so much unread that it gets no signals."""
        account = self.accounts.get(name)
        return account is not None and account.held > MAX_UNREAD_SIGNALS // 2

    def _user(self, uid: int | None) -> User:
        user = self._users.get(uid)
        if user is None:
            user = self._users[uid] = User(self, uid)
        return user

    def _forget_idle(self, user: User) -> None:
        if not user.held and not user.accounts.keys() - {""}:
            self._users.pop(user.uid, None)

    # Looking

    async def make_room(self, account: Account, size: int) -> bool:
        """Whether there is room for so many bytes, once it is known what the user's connections have read."""
        if account.user.look is not None and not account.admits(size):
            await self._look(account.user)  # which may have asked before they read
        if not account.admits(size):
            await self._look(account.user)
        return account.admits(size)

    def look_soon(self, user: User) -> None:
        """Find out, beside everything else, what the user's connections have read."""
        if user.look is None and asyncio.get_running_loop().time() >= user.not_before:
            user.look_at = user.held + UNREAD_LOOK
            user.look = asyncio.create_task(self._look_at_all(user))

    async def _look(self, user: User) -> None:
        if user.look is None:
            user.look = asyncio.create_task(self._look_at_all(user))
        await shared(user.look)  # others may wait for the same

    async def _look_at_all(self, user: User) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(user.not_before - loop.time())
            began = loop.time()
            holding = [account for account in user.accounts.values() if account.held > _LEASE]
            await asyncio.gather(*(self._look_at(account) for account in holding), return_exceptions=True)
            user.not_before = loop.time() + min(_REST * (loop.time() - began), _LONGEST_REST)
        finally:
            user.look = None
            user.look_at = user.held + UNREAD_LOOK

    async def _look_at(self, account: Account) -> None:
        sent = account.sent - account.lease
        unread = await self._unread(account.name)
        if unread is not None:
            unread += account.sent - sent
            if unread < account.held and account.user.accounts.get(account.name) is account:
                account.release(account.held - unread)
