"""One call whose caller is known: find the row, check the signature and `who`, call the handler, map errors.

Calls of standard interfaces are answered here, too; those of properties by properties.py.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from dbus_fast import Message
from dbus_fast.signature import SignatureTree, get_signature_tree

from ...policy.access import Caller, permitted
from ...policy.limits import MAX_LARGE_REPLIES
from ..errors import AccessDenied, NotSupported, SystemFailure
from .budget import NoRoom
from .connection import BusConnection
from .errors import FAILED, UNKNOWN_METHOD, CallRejected
from .objects import ObjectTree, Served, check_signature
from .properties import PropertyCalls, check_property_call
from .replies import PROPERTIES, PROPERTY_CALLS, ErrorLog, Replies

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


class Answering:
    """Answers calls of `objects` that came over `connection`; `service_uid` is the account the services run as."""

    def __init__(
        self, connection: BusConnection, objects: ObjectTree, replies: Replies, service_uid: int, log: ErrorLog
    ) -> None:
        self._connection = connection
        self._objects = objects
        self._replies = replies
        self._properties = PropertyCalls(connection, replies, service_uid, log)
        self._service_uid = service_uid
        self._budget = connection.budget

    def attempt(self, call: Message, caller: Caller) -> Coroutine[Any, Any, None] | None:
        """Answer `call`, an error if need be, or return what remains to be awaited for that."""
        try:
            return self._start(call, caller)
        except NoRoom as reply:
            return self._answer_when_read(call, reply)
        except Exception as error:
            self._replies.refuse(call, error)
            return None

    def _start(self, call: Message, caller: Caller) -> Coroutine[Any, Any, None] | None:
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
        if isinstance(result, Awaitable):
            return self._finish(call, result, method.results)
        self._answer_result(call, method.results, result)
        return None

    async def _run_secretly(self, handler: Callable[..., Any], caller: Caller, call: Message) -> Any:
        """The result of `handler`, when only what the handler itself keeps is left of the call's arguments.

        dbus-fast keeps each message until it receives the next one, so this waits for one.
        """
        try:
            result = handler(caller, *call.body)
            return await result if isinstance(result, Awaitable) else result
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

    async def _answer_when_read(self, call: Message, reply: NoRoom) -> None:
        account = self._budget.accounts.get(call.sender or "")
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
