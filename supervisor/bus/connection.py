"""The connection to the bus, and the calls that this process makes over it."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from dbus_fast import Message, MessageFlag, MessageType, NameFlag

from ...policy.limits import BUS_CALL_DEADLINE
from ..errors import SystemFailure
from .inbound import BUS
from .transport import BusTransport

BUS_PATH = "/org/freedesktop/DBus"

_OWNED = (1, 4)  # RequestName's reply: primary owner, already owner
_NO_REPLY = "org.freedesktop.DBus.Error.NoReply"
_STATS = "org.freedesktop.DBus.Debug.Stats"


class BusRefused(SystemFailure):
    """The bus, or a service on it, answered a call of this process with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


class BusConnection(BusTransport):
    """A connection to the bus at `address`; `ask` calls."""

    def __init__(self, address: str) -> None:
        """Raises BusLost if `address` is invalid or, with dbus-fast before 5.0, if connecting fails."""
        super().__init__(address, self._unread)

    async def call(self, msg: Message) -> Message:
        """Send a call that expects a reply, and return the reply, which may be an error message.

        Raises BusLost.
        """
        self._check_alive()
        return await super().call(msg)

    async def ask(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Iterable[Any] = (),
        *,
        deadline: float = BUS_CALL_DEADLINE,
        serial: int = 0,
    ) -> list[Any]:
        """Call a method and return what it gives; `deadline` in seconds.

        Raises BusRefused for an error reply or none in time, BusLost.
        """
        message = Message(destination, path, interface, member, signature=signature, body=list(body), serial=serial)
        try:
            async with asyncio.timeout(deadline):
                reply = await self.call(message)
        except TimeoutError:
            self._method_return_handlers.pop(message.serial, None)
            raise BusRefused(_NO_REPLY, f"{destination} did not answer {member} in {deadline:g} s") from None
        if reply.message_type is MessageType.ERROR:
            text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise BusRefused(str(reply.error_name), text or str(reply.error_name))
        return list(reply.body)

    async def ask_descriptor(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: Iterable[Any]
    ) -> int:
        """Call a method that gives a file descriptor, which the caller closes; as `ask`.

        Raises BusRefused also if it gives none.
        """
        serial = self.next_serial()
        with self.inbound.descriptors.of_reply(serial) as descriptors:
            await self.ask(destination, path, interface, member, signature, body, serial=serial)
            if not descriptors:
                raise BusRefused(_NO_REPLY, f"{destination} gave no descriptor")
            return descriptors.pop(0)

    def ask_bus(self, member: str, signature: str = "", *body: Any) -> Awaitable[list[Any]]:
        """Call a method of the bus itself, as `ask`."""
        return self.ask(BUS, BUS_PATH, BUS, member, signature, body)

    async def request_names(self, names: Iterable[str]) -> dict[str, bool]:
        """Request all `names` in one batch; the result tells of which ones this process is the owner.

        Raises BusRefused if the policy of the bus forbids owning one, BusLost.
        """
        replies = await self._ask_for_each(names, "RequestName", "su", NameFlag.DO_NOT_QUEUE.value)
        return {name: code in _OWNED for name, code in replies.items()}

    async def release_names(self, names: Iterable[str]) -> None:
        """Release `names`; calls sent to them before have arrived when this returns.

        Raises BusLost.
        """
        await self._ask_for_each(names, "ReleaseName", "s")

    def start_service(self, name: str) -> None:
        """Have the bus start the owner of `name`, if it can; nothing tells whether it does.  Raises BusLost."""
        self._check_alive()
        flags = MessageFlag.NO_REPLY_EXPECTED
        start = Message(BUS, BUS_PATH, BUS, "StartServiceByName", flags=flags, signature="su", body=[name, 0])
        self.send(start)

    async def round_trip(self) -> None:
        """Wait until the bus has handled all that was sent, and all that it sent before that has been received."""
        await self.ask_bus("GetId")

    async def _unread(self, name: str) -> int | None:
        """How many bytes wait at the bus for the connection `name`, or with "" for whoever reads what we sent.

        0 from a bus that does not tell: what it has taken by the time it answers is no longer ours (dbus-broker
        charges it to the receiver alone).  None if it does not answer in time.
        """
        try:
            (stats,) = await self.ask(BUS, BUS_PATH, _STATS, "GetConnectionStats", "s", [name or self.unique_name])
        except BusRefused as error:
            return None if error.name == _NO_REPLY else 0
        count = stats.get("OutgoingBytes" if name else "IncomingBytes")
        return 0 if count is None else int(count.value)

    async def _ask_for_each(self, names: Iterable[str], member: str, signature: str, *more: Any) -> dict[str, int]:
        names = list(names)
        replies = await asyncio.gather(*(self.ask_bus(member, signature, name, *more) for name in names))
        return {name: reply[0] for name, reply in zip(names, replies, strict=True)}
