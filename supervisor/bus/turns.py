"""Whose call is next: those of a connection in their order, the connections of a user in turn, and users in turn.

All calls come over one socket, in the order in which the bus sent them, and one user may have hundreds under way.  So
they are read first, and then answered in turn for a moment, before what has come meanwhile is read.  A call that comes
alone is answered where it is received.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from dbus_fast import Message

from ...policy.access import Caller
from ...policy.limits import (
    MAX_CALLS_PER_SENDER,
    MAX_CALLS_PER_USER,
    MAX_UNDER_WAY,
    MIN_CALLS_PER_SENDER,
)

_SLICE = 0.0005  # seconds of answering, before what has come is read
_ALONE = 0.0001  # seconds without a call, after which the next one is answered where it is received

Unfinished = Coroutine[Any, Any, None]


class _User:
    """What waits of one user, or of one connection whose user is not known yet."""

    __slots__ = ("ready", "senders", "uid", "under_way", "unstarted", "waiting")

    def __init__(self, uid: int | None) -> None:
        self.uid = uid
        self.senders = 0
        self.ready: deque[_Sender] = deque()  # whose next call can be run
        self.waiting = 0  # calls
        self.under_way = 0  # calls that take time, and have been begun
        self.unstarted: deque[tuple[_Sender, Message, Unfinished]] = deque()  # others that take time


class _Sender:
    """A connection with calls that wait or are being handled."""

    __slots__ = ("busy", "caller", "calls", "name", "user")

    def __init__(self, name: str, caller: Caller | None, user: _User) -> None:
        self.name = name
        self.caller = caller  # kept here too: the connection may leave while its calls wait
        self.user = user
        self.calls: deque[Message] = deque()
        self.busy = False  # one of its calls is being handled


class Turns:
    """Runs calls: `run(call, caller)` answers one, or returns what remains to be awaited for that.

    `refuse(call, text)` answers one of which too many wait; `done(call)` is told when another is over.  `may_run` tells
    whether calls are to be answered now; when that changes, `go_on` is to be called.  In `full` are the names of those
    whose calls would be refused.  Needs a running loop.
    """

    def __init__(
        self,
        run: Callable[[Message, Caller | None], Unfinished | None],
        refuse: Callable[[Message, str], None],
        may_run: Callable[[], bool],
        full: set[bytes],
        done: Callable[[Message], None],
    ) -> None:
        self._run = run
        self._refuse = refuse
        self._may_run = may_run
        self._full = full
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._senders: dict[str, _Sender] = {}
        self._users: dict[int, _User] = {}
        self._ready: deque[_User] = deque()  # with a connection whose next call can be run
        self._due = False  # some are answered in this turn of the loop
        self._answered_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """How many calls are being handled or wait for it."""
        return sum(sender.busy + len(sender.calls) for sender in self._senders.values())

    async def settled(self) -> None:
        """Wait until there are none."""
        while self._senders:
            if self._tasks:
                await asyncio.wait(self._tasks)
            else:
                await asyncio.sleep(0)

    def close(self) -> None:
        """Cancel all calls that are being handled, and forget those that wait, and who called."""
        self._ready.clear()
        self._full.clear()
        for sender in self._senders.values():
            sender.calls.clear()
            sender.user.waiting = 0
            sender.user.ready.clear()
            while sender.user.unstarted:
                _, _, unfinished = sender.user.unstarted.popleft()
                unfinished.close()
        self._senders.clear()
        self._users.clear()
        for task in self._tasks:
            task.cancel()

    # Arrival

    def put(self, call: Message, name: str, caller: Caller | None) -> None:
        """The connection `name` calls; `caller` is None if its user is not known."""
        sender = self._senders.get(name)
        if sender is None:
            if not self._ready and self._loop.time() - self._answered_at > _ALONE and self._may_run():
                unfinished = self._run(call, caller)
                self._answered_at = self._loop.time()
                if unfinished is None:
                    self._done(call)
                else:
                    self._take_time(self._new_sender(name, caller), call, unfinished)
                return
            sender = self._new_sender(name, caller)
        user = sender.user
        if len(sender.calls) >= MAX_CALLS_PER_SENDER:
            self._full.add(name.encode())
            self._refuse(call, f"{MAX_CALLS_PER_SENDER} of your calls are waiting already")
        elif user.waiting >= MAX_CALLS_PER_USER and len(sender.calls) >= MIN_CALLS_PER_SENDER:
            self._full.add(name.encode())
            self._refuse(call, f"{MAX_CALLS_PER_USER} calls of your connections are waiting already")
        else:
            user.waiting += 1
            sender.calls.append(call)
            if len(sender.calls) == 1 and not sender.busy:
                self._make_ready(sender)
        self._forget_idle(sender)

    def identified(self, name: str, caller: Caller, call: Message) -> None:
        """The user of a connection is known, whose first `call` is being handled: it waits for its user's turn."""
        sender = self._senders[name]
        before, user = sender.user, self._user(caller.uid)
        sender.caller, sender.user = caller, user
        sender.calls.appendleft(call)
        before.senders -= 1
        user.senders += 1
        user.waiting += len(sender.calls)

    def take_waiting(self, name: str) -> list[Message]:
        """The calls of a connection that wait behind one that is being handled: they wait no more."""
        sender = self._senders[name]
        return [self._next(sender) for _ in range(len(sender.calls))]

    def _new_sender(self, name: str, caller: Caller | None) -> _Sender:
        user = self._user(caller.uid) if caller is not None else _User(None)
        user.senders += 1
        sender = self._senders[name] = _Sender(name, caller, user)
        return sender

    def _user(self, uid: int) -> _User:
        user = self._users.get(uid)
        if user is None:
            user = self._users[uid] = _User(uid)
        return user

    def _forget_idle(self, sender: _Sender) -> None:
        if sender.calls or sender.busy or self._senders.get(sender.name) is not sender:
            return
        del self._senders[sender.name]
        self._full.discard(sender.name.encode())
        user = sender.user
        user.senders -= 1
        if not user.senders and user.uid is not None:
            del self._users[user.uid]

    # Turns

    def _make_ready(self, sender: _Sender) -> None:
        user = sender.user
        user.ready.append(sender)
        if len(user.ready) == 1:
            self._ready.append(user)
        self.go_on()

    def go_on(self) -> None:
        """Answer some of the calls that wait, in this turn of the loop."""
        if self._ready and not self._due:
            self._due = True
            self._loop.call_soon(self._answer_some)

    def _answer_some(self) -> None:
        self._due = False
        end = self._loop.time() + _SLICE
        while self._ready and self._may_run():
            user = self._ready.popleft()
            sender = user.ready.popleft()
            call = self._next(sender)
            unfinished = self._run(call, sender.caller)
            if unfinished is not None:
                self._take_time(sender, call, unfinished)
            else:
                self._done(call)
                if sender.calls:
                    user.ready.append(sender)
                else:
                    self._forget_idle(sender)
            if user.ready:
                self._ready.append(user)
            self._answered_at = self._loop.time()
            if self._answered_at >= end:
                self.go_on()
                return

    def _next(self, sender: _Sender) -> Message:
        call = sender.calls.popleft()
        sender.user.waiting -= 1
        if self._full and len(sender.calls) < MIN_CALLS_PER_SENDER:
            self._full.discard(sender.name.encode())
        return call

    # Calls that take time

    def _take_time(self, sender: _Sender, call: Message, unfinished: Unfinished) -> None:
        sender.busy = True
        if sender.user.under_way >= MAX_UNDER_WAY:
            sender.user.unstarted.append((sender, call, unfinished))
        else:
            self._begin(sender, call, unfinished)

    def _begin(self, sender: _Sender, call: Message, unfinished: Unfinished) -> None:
        sender.user.under_way += 1
        task = asyncio.create_task(self._finish(sender, sender.user, call, unfinished))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, sender: _Sender, user: _User, call: Message, unfinished: Unfinished) -> None:
        try:
            await unfinished
        finally:
            user.under_way -= 1
            if user.unstarted:
                self._begin(*user.unstarted.popleft())
            sender.busy = False
            if not sender.calls or sender.calls[0] is not call:  # which waits again once its user is known
                self._done(call)
            if sender.calls:
                self._make_ready(sender)
            else:
                self._forget_idle(sender)
