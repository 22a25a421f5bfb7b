"""When the machine has slept: systemd-logind tells (org.freedesktop.login1(5)), where there is one."""

import asyncio
from collections.abc import Callable

from dbus_fast import Message, MessageType

from ..bus.connection import BUS_PATH, BusConnection, BusLost, BusRefused
from ..bus.inbound import BUS
from ..logging.log import Log

_LOGIND = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_MANAGER = "org.freedesktop.login1.Manager"
_OWNER_RULE = f"type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}',member='NameOwnerChanged'"
_RULES = (
    f"{_OWNER_RULE},arg0='{_LOGIND}'",
    f"type='signal',sender='{_LOGIND}',path='{_PATH}',interface='{_MANAGER}',member='PrepareForSleep'",
)


class Sleep:
    """Calls `resumed` when the machine has slept.  Logind is never called, nor waited for."""

    def __init__(self, connection: BusConnection, log: Log, resumed: Callable[[], None]) -> None:
        self._connection = connection
        self._log = log
        self._resumed = resumed
        self._owner = ""  # the connection that is logind
        connection.add_message_handler(self._signalled)

    async def start(self) -> None:
        """Have the bus pass on what logind tells, now or once it runs; for each connection anew.  Raises BusLost."""
        ask = self._connection.ask_bus
        # One batch; the bus answers that logind has no owner with an error.
        *matches, owner = await asyncio.gather(
            *(ask("AddMatch", "s", rule) for rule in _RULES),
            ask("GetNameOwner", "s", _LOGIND),
            return_exceptions=True,
        )
        for outcome in (*matches, owner):
            if isinstance(outcome, BusLost):
                raise outcome
        refused = next((one for one in matches if isinstance(one, BusRefused)), None)
        if refused is not None:
            self._log.warn(f"That the machine has slept will not be noticed: {refused}")
        self._runs(owner[0] if isinstance(owner, list) else "")

    def _runs(self, owner: str) -> None:
        """Logind is this connection; none: it has ended."""
        heard = self._connection.inbound.heard
        heard.discard(self._owner.encode())
        self._owner = owner
        if owner:
            heard.add(owner.encode())

    def _signalled(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == BUS and message.member == "NameOwnerChanged" and message.signature == "sss":
            name, _, new_owner = message.body
            if name == _LOGIND:
                self._runs(new_owner)
        elif self._has_slept(message):
            self._log.info("The machine has slept: sessions look for their servers anew")
            self._resumed()

    def _has_slept(self, message: Message) -> bool:
        return (
            message.sender == self._owner != ""
            and (message.interface, message.member, message.signature) == (_MANAGER, "PrepareForSleep", "b")
            and not message.body[0]
        )
