"""Dispatch of calls: find the row, check the signature, identify the caller, check `who`, call the handler, map errors.

Calls of one sender are run strictly in the order in which they came, those of different senders concurrently, users
in turn (turns.py).  A call that can be answered at once, which nearly all can, is answered without a task.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from inspect import isawaitable
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from dbus_fast import Message, MessageType
from dbus_fast.signature import SignatureTree, get_signature_tree

from ...policy.access import Caller, permitted
from ...policy.limits import (
    MAX_LARGE_REPLIES,
    MIN_UNREAD_SHARE,
    UNREAD_PER_CALL,
)
from ..errors import AccessDenied, NotSupported, SystemFailure
from .budget import Account, NoRoom
from .callers import CallerGone, Callers
from .connection import BusConnection
from .errors import FAILED, LIMITS_EXCEEDED, UNKNOWN_METHOD, CallRejected
from .held_calls import HeldCalls
from .interface import Interface
from .large_calls import LargeCalls
from .objects import ObjectTree, Served, Target, check_signature
from .properties import PropertyCalls, check_property_call
from .replies import PROPERTIES, PROPERTY_CALLS, ErrorLog, Replies
from .turns import Turns

_INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
_PEER = "org.freedesktop.DBus.Peer"

# For calls that name no interface, which D-Bus permits.
_STANDARD_MEMBERS = {
    "Introspect": _INTROSPECTABLE,
    "Ping": _PEER,
    "GetMachineId": _PEER,
    **dict.fromkeys(PROPERTY_CALLS, PROPERTIES),
}
_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_STRING = get_signature_tree("s")
_NOTHING = get_signature_tree("")

_Piece = TypeVar("_Piece")


class Dispatcher:
    """Serves objects on `connection`; holds the calls that come before `open`.

    `service_uid` is the account the services run as.
    """

    def __init__(self, connection: BusConnection, callers: Callers, *, service_uid: int, log: ErrorLog) -> None:
        self._connection = connection
        self._callers = callers
        self._service_uid = service_uid
        self._objects = ObjectTree(service_uid)
        self._replies = Replies(connection, log)
        self._properties = PropertyCalls(connection, self._replies, service_uid, log)
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
        if self._held is None:
            self._accept(call)
        elif refused := self._held.add(call):
            self._know(refused.sender or "")
            self._replies.error(refused, LIMITS_EXCEEDED, "Too many calls are waiting for the service to start")
            self._done(refused)
        return True

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

    # One call

    def _attempt(self, call: Message, caller: Caller | None) -> Coroutine[Any, Any, None] | None:
        """Answer `call`, or return what remains to be awaited for that."""
        try:
            result = self._start(call, caller)
        except NoRoom as reply:
            return self._answer_when_read(call, reply)
        except Exception as error:
            self._replies.refuse(call, error)
            return None
        return result

    def _start(self, call: Message, caller: Caller | None) -> Coroutine[Any, Any, None] | None:
        if caller is None:
            return self._identify_first(call)
        account = self._accounts.get(caller.name)
        if account is not None and account.user.held > MIN_UNREAD_SHARE and not account.admits(UNREAD_PER_CALL):
            return self._start_when_read(call, caller, account)
        path, member, destination = call.path or "", call.member or "", call.destination
        interface = call.interface or self._interface_for(path, member, destination, caller)
        if interface == PROPERTIES:
            check_property_call(call)
            served = self._objects.at(path, destination, caller)
            pending = self._properties.run(served, call, caller)
            return None if pending is None else self._finish(call, *pending)
        if interface == _INTROSPECTABLE and member == "Introspect":
            check_signature(call.signature, "")
            pieces = self._objects.introspect(path, destination, caller)
            if (xml := next(pieces)) is None:
                return self._finish(call, _after_pauses(pieces), _STRING)
            self._replies.give(call, _STRING, [xml])
            return None
        if interface == _PEER:
            self._answer_peer(call, member)
            return None
        return self._call(self._objects.at(path, destination, caller).part(interface), interface, call, caller)

    def _call(self, served: Served, interface: str, call: Message, caller: Caller) -> Coroutine[Any, Any, None] | None:
        method = served.method(interface, call.member or "", call.signature)
        if not permitted(method.row.who, caller, served.target.acl, self._service_uid):
            raise AccessDenied(served.interface.denied)
        if method.handler is None:
            raise NotSupported(method.row.name)
        if method.row.secret:
            return self._finish(call, self._run_secretly(method.handler, caller, call), method.results)
        taken = method.row.takes_descriptors
        result = method.handler(caller, *(self._connection.inbound.descriptors.take(call) if taken else call.body))
        if isawaitable(result):
            return self._finish(call, result, method.results)
        self._answer_result(call, method.results, result)
        return None

    async def _run_secretly(self, handler: Callable[..., Any], caller: Caller, call: Message) -> Any:
        """The result of `handler`, when only what the handler itself keeps is left of the call's arguments.

        dbus-fast keeps each message until it receives the next one, so this waits for one.
        """
        try:
            result = handler(caller, *call.body)
            return await result if isawaitable(result) else result
        finally:
            call.body.clear()
            try:
                await self._connection.round_trip()
            except SystemFailure:
                pass  # the connection is lost or about to be; the handler has done its work

    async def _finish(self, call: Message, pending: Awaitable[Any], results: SignatureTree) -> None:
        try:
            self._answer_result(call, results, await pending)
        except NoRoom as reply:
            await self._answer_when_read(call, reply)
        except Exception as error:
            self._replies.refuse(call, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something the handler waited for was cancelled, not this call.
            self._replies.refuse(call, error)

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

    async def _answer_when_read(self, call: Message, reply: NoRoom) -> None:
        account = self._accounts.get(call.sender or "")
        if account is not None and account.user.large < MAX_LARGE_REPLIES:
            account.user.large += 1
            try:
                if await self._budget.make_room(account, reply.size):
                    self._replies.give(call, reply.signature, reply.body)
                    return
            except NoRoom:
                pass  # it is larger by a header than was thought, or another reply took the room
            finally:
                account.user.large -= 1
        self._replies.nothing_read(call)

    def _interface_for(self, path: str, member: str, destination: str | None, caller: Caller) -> str:
        if member in _STANDARD_MEMBERS:
            return _STANDARD_MEMBERS[member]
        return self._objects.at(path, destination, caller).interface.name

    def _answer_peer(self, call: Message, member: str) -> None:
        if member == "Ping":
            check_signature(call.signature, "")
            self._replies.give(call, _NOTHING, [])
        elif member == "GetMachineId":
            check_signature(call.signature, "")
            self._replies.give(call, _STRING, [_machine_id()])
        else:
            raise CallRejected(UNKNOWN_METHOD, f"No such method “{member}”")

    def _answer_result(self, call: Message, results: SignatureTree, result: Any) -> None:
        match len(results.types):
            case 0:
                body = []
            case 1:
                body = [result]
            case _:
                body = list(result)
        self._replies.give(call, results, body)


async def _after_pauses(pieces: Iterator[_Piece | None]) -> _Piece:
    """The first of the pieces that is something, with others' calls served between them."""
    while True:
        await asyncio.sleep(0)
        if (piece := next(pieces)) is not None:
            return piece


def _machine_id() -> str:
    for file in _MACHINE_ID_FILES:
        try:
            return file.read_text().strip()
        except OSError:
            continue
    raise CallRejected(FAILED, "This machine has no machine id")
