"""Dispatch of calls: hold them until the service is ready, run them in their order, identify who called.

What can be answered before that (`answer_early`) is.

Calls of one sender are run strictly in the order in which they came, those of different senders concurrently, users
in turn (turns.py).  A call that can be answered at once (answering.py), which nearly all can, is answered without a
task.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from dbus_fast import Message, MessageType

from ...policy.access import Caller
from ...policy.limits import MIN_UNREAD_SHARE, UNREAD_PER_CALL
from .answering import Answering
from .budget import Account
from .callers import CallerGone, Callers
from .connection import BusConnection
from .errors import LIMITS_EXCEEDED
from .held_calls import HeldCalls
from .interface import Interface
from .large_calls import LargeCalls
from .objects import ObjectTree, Served, Target
from .replies import PROPERTIES, PROPERTY_CALLS, ErrorLog, Replies
from .turns import Turns


class Dispatcher:
    """Serves objects on `connection`; holds the calls that come before `open`.

    `service_uid` is the account the services run as.
    """

    def __init__(self, connection: BusConnection, callers: Callers, *, service_uid: int, log: ErrorLog) -> None:
        self._connection = connection
        self._callers = callers
        self._objects = ObjectTree(service_uid)
        self._replies = Replies(connection, log)
        self._answering = Answering(connection, self._objects, self._replies, service_uid, log)
        self._early_objects = ObjectTree(service_uid)
        self._early_answering = Answering(connection, self._early_objects, self._replies, service_uid, log)
        self._held: HeldCalls | None = HeldCalls()
        self._budget = connection.budget
        self._accounts = connection.budget.accounts
        callers.vanished(self._budget.close)
        self._clock = asyncio.get_running_loop().time
        self.called_at = self._clock()  # when the last call came, on the loop's clock
        self._large = LargeCalls(connection.budget)
        self._turns = Turns(
            self._attempt,
            self._refuse_waiting,
            lambda: not connection.congested,
            connection.inbound.full,
            self._done,
        )
        connection.taken = self._turns.go_on
        connection.inbound.skipped = self._skipped
        connection.inbound.refused = self._refused
        connection.inbound.admits = self._large.admit
        connection.inbound.descriptors.user_of = self._user_of
        connection.add_message_handler(self._received)

    # Objects

    def export(
        self,
        path: str,
        interface: Interface,
        target: Target,
        *,
        bus_name: str | None = None,
        extensions: Mapping[Interface, Target] = MappingProxyType({}),
    ) -> None:
        """Put `target` on the bus; with `bus_name`, calls to other well-known names do not find it.

        `extensions` are more interfaces of the same object, and what answers them.
        Raises ValueError if the path is taken, AttributeError if `target` lacks a method for a supported row.
        """
        self._objects.add(Served(path, interface, target, bus_name, extensions))
        self.expect(interface)

    def expect(self, interface: Interface) -> None:
        """Read the large arguments of calls of `interface`, also of those that come before it is on the bus."""
        for row in interface.methods:
            if row.largest:
                self._connection.inbound.allow(interface.name, row.name, row.signature, row.largest)

    def answer_early(self, path: str, interface: Interface, target: Target, *, bus_name: str) -> None:
        """Have `interface` answered at `path` before the service is ready.

        Its properties stay as they are, and so do the answers of its methods until a call that is held is answered.
        """
        self._early_objects.add(Served(path, interface, target, bus_name))

    def withdraw(self, path: str) -> None:
        """Remove an object from the bus; calls of it that are being handled are completed."""
        self._objects.remove(path)

    @property
    def exported(self) -> Iterator[str]:
        """The paths of all objects on the bus."""
        return iter(self._objects)

    # Arrival

    def open(self) -> None:
        """Serve the calls that have been held, in their order, and from now on each when it is received."""
        held, self._held = self._held, None
        for call in held.take() if held else ():
            self._accept(call)

    def close(self) -> None:
        """Cancel all calls that are being handled; they get no answer."""
        self._connection.remove_message_handler(self._received)
        self._turns.close()

    def disconnected(self) -> None:
        """The bus is gone: give up the calls that are being handled, whose answers nobody waits for."""
        self._turns.close()
        self._large.forget()

    @property
    def busy(self) -> int:
        """How many calls are being handled or wait for it."""
        return (len(self._held) if self._held is not None else 0) + self._turns.busy

    async def settled(self) -> None:
        """Wait until no call is being handled or waits for it."""
        await self._turns.settled()

    def _received(self, call: Message) -> bool:
        if call.message_type is not MessageType.METHOD_CALL:
            return False
        self.called_at = self._clock()
        self._large.read(call)
        if self._held is None or self._is_early(call, self._held):
            self._accept(call)
        elif refused := self._held.add(call):
            self._know(refused.sender or "")
            self._replies.error(refused, LIMITS_EXCEEDED, "Too many calls are waiting for the service to start")
            self._done(refused)
        return True

    def _is_early(self, call: Message, held: HeldCalls) -> bool:
        """Whether a call can be answered now, and no other of its sender waits to be answered before it."""
        if held.holds(call.sender or ""):
            return False
        path, interface, member = call.path or "", call.interface or "", call.member or ""
        if interface != PROPERTIES:
            return self._early_objects.has_method(path, interface, member)
        if member != "Get" or call.signature != PROPERTY_CALLS["Get"]:
            return False
        return self._early_objects.has_property(path, *call.body)

    def _skipped(self, call: Message, largest: int) -> None:
        """A call was not read: its arguments are larger than `largest` bytes, or (0) too many wait."""
        self.called_at = self._clock()
        self._know(call.sender or "")
        if not largest:
            text = (
                f"Too many calls with large arguments are waiting: wait for their answers before the next {call.member}"
            )
        else:
            bound = f"{largest // 2**20} MiB" if largest >= 2**20 else f"{largest // 2**10} KiB"
            text = f"The arguments of {call.member} are larger than {bound}"
        self._replies.error(call, LIMITS_EXCEEDED, text)

    def _refused(self, call: Message) -> None:
        """A call was not read: too many of its sender's wait."""
        self._refuse_waiting(call, "Too many calls of your connections are waiting already")

    def _know(self, sender: str) -> None:
        if sender not in self._accounts:
            self._budget.open(sender)

    def _accept(self, call: Message) -> None:
        sender = call.sender or ""
        caller = self._callers.known(sender)
        if caller is None:
            self._know(sender)
        self._turns.put(call, sender, caller)

    def _refuse_waiting(self, call: Message, text: str) -> None:
        self._replies.error(call, LIMITS_EXCEEDED, text)
        self._done(call)

    def is_connected(self, name: str) -> bool:
        """Whether a connection that has called is on the bus still."""
        return self._callers.known(name) is not None

    def _user_of(self, sender: str) -> int | None:
        caller = self._callers.known(sender)
        return None if caller is None else caller.uid

    def _done(self, call: Message) -> None:
        """A call is over."""
        self._large.done(call)
        self._connection.inbound.descriptors.done(call)

    # One call, before it is answered

    def _attempt(self, call: Message, caller: Caller | None) -> Coroutine[Any, Any, None] | None:
        """Answer `call`, or return what remains to be awaited for that."""
        if caller is None:
            return self._identify_first(call)
        account = self._accounts.get(caller.name)
        if account is not None and account.user.held > MIN_UNREAD_SHARE and not account.admits(UNREAD_PER_CALL):
            return self._start_when_read(call, caller, account)
        answering = self._answering if self._held is None else self._early_answering
        return answering.attempt(call, caller)

    async def _identify_first(self, call: Message) -> None:
        sender = call.sender or ""
        try:
            caller = await self._callers.identify(sender)
        except CallerGone:
            self._budget.close(sender)
            return
        except Exception as error:
            self._replies.refuse(call, error)
            return
        self._budget.identified(sender, caller.uid)
        self._large.identified(sender, caller.uid)
        self._turns.identified(sender, caller, call)

    async def _start_when_read(self, call: Message, caller: Caller, account: Account) -> None:
        if not await self._budget.make_room(account, UNREAD_PER_CALL):
            # Those that came behind it meanwhile would find no room either.
            for one in (call, *self._turns.take_waiting(caller.name)):
                self._replies.nothing_read(one)
                self._done(one)
            return
        unfinished = self._attempt(call, caller)
        if unfinished is not None:
            await unfinished
