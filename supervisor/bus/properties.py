"""org.freedesktop.DBus.Properties: reading and setting properties, with the errors of GDBus."""

from collections.abc import Awaitable, Iterable
from typing import Any, cast

from dbus_fast import Message, MessageType, Variant
from dbus_fast.signature import SignatureTree, get_signature_tree

from ...policy.access import Caller, permitted
from ..errors import AccessDenied, NotSupported
from .budget import NoRoom
from .connection import BusConnection
from .errors import INVALID_ARGS, UNKNOWN_METHOD, CallRejected
from .objects import Looking, Reader, Served, Target, check_signature, refreshing, runs
from .replies import PROPERTIES, PROPERTY_CALLS, ErrorLog, Replies
from .wire import fits

_VARIANT = get_signature_tree("v")
_DICTIONARY = get_signature_tree("a{sv}")
_NOTHING = get_signature_tree("")
_STANDARD_INTERFACES = {
    PROPERTIES,
    "org.freedesktop.DBus.Introspectable",
    "org.freedesktop.DBus.Peer",
}


def check_property_call(call: Message) -> None:
    """Raise CallRejected unless `call` is Get, GetAll or Set with their arguments."""
    signature = PROPERTY_CALLS.get(call.member or "")
    if signature is None:
        raise CallRejected(UNKNOWN_METHOD, f"No such method “{call.member}”")
    check_signature(call.signature, signature)


class PropertyCalls:
    """Answers the calls of org.freedesktop.DBus.Properties."""

    def __init__(self, connection: BusConnection, replies: Replies, service_uid: int, log: ErrorLog) -> None:
        self._connection = connection
        self._replies = replies
        self._service_uid = service_uid
        self._log = log

    def run(self, served: Served, call: Message, caller: Caller) -> tuple[Awaitable[Any], SignatureTree] | None:
        """Answer `call`, which check_property_call has passed; or return what to await for the answer, and its type.

        Raises CallRejected, CallerError, whatever a target raises.
        """
        served = served.part(call.body[0])
        if served.interface.looks and call.member != "Set":
            return self._look(served, call, caller)
        match call.member:
            case "Get":
                return self._get(served, call, caller)
            case "GetAll":
                return self._get_all(served, call, caller)
            case _:
                return self._set(served, call, caller)

    def _get(self, served: Served, call: Message, caller: Caller) -> tuple[Awaitable[Variant], SignatureTree] | None:
        reader = self._reader(served, call, caller)
        if reader.row.refreshed_by and (pending := reader.refresh(served.target)) is not None:
            return _refreshed(pending, served.target, reader), _VARIANT
        # Not verified: that costs more than the rest, and marshalling notices what the bus would mind.
        value = Variant(reader.sent_as, reader.read(served.target), False)
        self._replies.give(call, _VARIANT, [value])
        return None

    def _reader(self, served: Served, call: Message, caller: Caller) -> Reader:
        """The property that is to be got.  Raises CallRejected, AccessDenied, NotSupported."""
        interface, name = call.body
        reader = served.reader(interface, name)
        if not permitted(reader.row.who, caller, served.target.acl, self._service_uid):
            raise AccessDenied(served.interface.denied)
        if not reader.row.supported:
            raise NotSupported(name)
        return reader

    def _look(self, served: Served, call: Message, caller: Caller) -> tuple[Awaitable[Any], SignatureTree] | None:
        """Have the target look, if the caller may read any of what is asked for."""
        target = cast(Looking, served.target)
        if call.member == "Get":
            return _one(target, self._reader(served, call, caller)), _VARIANT
        found = [
            reader
            for who, run in runs(served.interface)
            if permitted(who, caller, target.acl, self._service_uid)
            for reader in run
        ]
        if found:
            return _several(target, found), _DICTIONARY
        self._replies.give(call, _DICTIONARY, [{}])
        return None

    def _get_all(
        self, served: Served, call: Message, caller: Caller
    ) -> tuple[Awaitable[dict[str, Variant]], SignatureTree] | None:
        if call.body[0] in _STANDARD_INTERFACES:
            self._replies.give(call, _DICTIONARY, [{}])
            return None
        served.check_interface(call.body[0])
        for reader in refreshing(served.interface):
            if (
                permitted(reader.row.who, caller, served.target.acl, self._service_uid)
                and (pending := reader.refresh(served.target)) is not None
            ):
                return self._all_refreshed(pending, served, caller), _DICTIONARY
        values = self._all(served, caller)
        try:
            self._replies.give(call, _DICTIONARY, [values])
        except NoRoom:
            raise
        except Exception as error:
            self._replies.give(call, _DICTIONARY, [self._sound(served, values, error, caller)])
        return None

    def _all(self, served: Served, caller: Caller) -> dict[str, Variant]:
        """All properties that the caller may read."""
        target = served.target
        acl = target.acl
        values: dict[str, Variant] = {}
        for who, run in runs(served.interface):
            if not permitted(who, caller, acl, self._service_uid):
                continue
            for reader in run:
                try:
                    values[reader.row.name] = Variant(reader.sent_as, reader.read(target), False)
                except Exception as error:
                    self._left_out(served, reader, error, caller)
        return values

    async def _all_refreshed(self, pending: Awaitable[None], served: Served, caller: Caller) -> dict[str, Variant]:
        await pending
        values = self._all(served, caller)
        return values if fits("a{sv}", [values]) else self._sound(served, values, ValueError("cannot be sent"), caller)

    def _sound(
        self, served: Served, values: dict[str, Variant], error: Exception, caller: Caller
    ) -> dict[str, Variant]:
        """Those that can be sent: clients take a GetAll that fails for an object that does not exist."""
        sound = {name: value for name, value in values.items() if fits("v", [value])}
        for name in values.keys() - sound.keys():
            self._left_out(served, served.readers[name], error, caller)
        return sound

    def _set(self, served: Served, call: Message, caller: Caller) -> tuple[Awaitable[None], SignatureTree] | None:
        interface, name, value = call.body
        row = served.reader(interface, name).row
        if row.writable_by is None:
            raise CallRejected(INVALID_ARGS, f"Property “{name}” is not writable")
        if value.signature != row.signature:
            raise CallRejected(
                INVALID_ARGS,
                f"Error setting property “{name}”: Expected type “{row.signature}” but got “{value.signature}”",
            )
        if not permitted(row.writable_by, caller, served.target.acl, self._service_uid):
            raise AccessDenied(served.interface.denied_setting)
        if not (row.supported and row.settable):
            raise NotSupported(f"Setting {name}")
        result = getattr(served.target, row.setter)(caller, value.value)
        if isinstance(result, Awaitable):
            return self._finish_set(served, name, result, caller), _NOTHING
        self._announce(served, name, caller)
        self._replies.give(call, _NOTHING, [])
        return None

    async def _finish_set(self, served: Served, name: str, result: Awaitable[None], caller: Caller) -> None:
        await result
        self._announce(served, name, caller)

    def _announce(self, served: Served, name: str, caller: Caller) -> None:
        """Broadcast that `caller` has changed a property; its value stays with those who may read it."""
        self._connection.post(
            Message(
                path=served.path,
                interface=PROPERTIES,
                member="PropertiesChanged",
                message_type=MessageType.SIGNAL,
                signature="sa{sv}as",
                body=[served.interface.name, {}, [name]],
            ),
            of=caller.uid,
        )

    def _left_out(self, served: Served, reader: Reader, error: Exception, caller: Caller) -> None:
        text = f"property {reader.row.name} of {served.path} cannot be read: {error!r}"
        self._log.error(text, user=caller.uid)


async def _refreshed(pending: Awaitable[None], target: Target, reader: Reader) -> Variant:
    """One property, when it is as it is now."""
    await pending
    return Variant(reader.sent_as, reader.read(target), False)


async def _one(target: Looking, reader: Reader) -> Variant:
    """One property, as it is now."""
    return Variant(reader.sent_as, reader.read(await target.look()), False)


async def _several(target: Looking, readers: Iterable[Reader]) -> dict[str, Variant]:
    """Several of them, as they are now."""
    found = await target.look()
    return {reader.row.name: Variant(reader.sent_as, reader.read(found), False) for reader in readers}
