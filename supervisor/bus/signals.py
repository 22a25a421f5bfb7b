"""Sending the signals that the interface tables declare."""

from collections.abc import Sequence
from typing import Any

from dbus_fast import Message, MessageType

from .connection import BusConnection
from .interface import Interface


class Signals:
    """Sends the signals that interface tables declare."""

    def __init__(self, connection: BusConnection) -> None:
        self._connection = connection

    def emit(
        self,
        path: str,
        interface: Interface,
        member: str,
        body: Sequence[Any] = (),
        *,
        to: str | None = None,
        droppable: bool = False,
        of: int | None = None,
    ) -> int:
        """Send signal `member` of the object at `path`, to one connection (`to`) or to all who listen.

        One to all is charged to user `of`, who caused it.
        Returns its serial number if it is on its way, else 0: if it is `droppable` and the bus is slow or its
        receiver leaves too much unread, or if the bus is lost.
        Raises KeyError for a member that `interface` does not declare, ValueError for a body that does not fit.
        """
        row = interface.signal[member]
        message = Message(
            path=path,
            interface=interface.name,
            member=member,
            message_type=MessageType.SIGNAL,
            destination=to,
            signature=row.signature,
            body=list(body),
        )
        try:
            return message.serial if self._connection.post(message, droppable=droppable, of=of) else 0
        except Exception as error:
            raise ValueError(f"{interface.name}.{member}({row.signature}): {error}") from error
