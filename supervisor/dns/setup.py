"""The name servers of sessions, made ready when the service starts."""

from collections.abc import Container
from pathlib import Path

from dbus_fast import Message, MessageType

from ...policy.access import WhoseSessions
from ..bus.connection import BUS_PATH, BusConnection, BusRefused
from ..bus.inbound import BUS
from ..logging.log import Log
from ..network.name_servers import MachineNameServers
from ..workers.names_client import NameSetterClient
from .backend import Backend, NoBackend
from .by_helper import ByHelper, ResolvConf, ResolvedByHelper
from .choice import Choice
from .journal import NamesJournal
from .names import Names
from .resolved import Resolved


class NameService:
    """The back end that is used, and why; `names` is what sessions use."""

    def __init__(
        self,
        connection: BusConnection,
        log: Log,
        machine: MachineNameServers,
        journal: Path,
        setter: NameSetterClient,
        choice: Choice,
        who: WhoseSessions,
    ) -> None:
        """`journal` is a directory of its own.  Raises OSError if that cannot be used."""
        self._connection, self._log = connection, log
        self._backend = _backend(choice, connection, setter)
        self._who = who
        self.names = Names(self._backend, choice.reason, who, machine, NamesJournal(journal), log)

    async def start(self, going_on: Container[str] = ()) -> None:
        """Say what is used, and watch whether it starts anew; `going_on` as in Names.recover.  Raises BusLost."""
        whose = {"any": "", "root": ", for sessions of root only", "refuse": ", but --dns=refuse"}[self._who]
        self._log.info(f"Name servers are set by {self.names.backend}{whose}")
        for device in await self.names.recover(going_on):
            self._log.warn(f"Gave back the name servers that an earlier instance had set for {device}")
        if not self._backend.bus_name:
            return
        self._connection.add_message_handler(self._signalled)
        rule = f"type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}',member='NameOwnerChanged'"
        try:
            await self._connection.ask_bus("AddMatch", "s", f"{rule},arg0='{self._backend.bus_name}'")
        except BusRefused as error:
            self._log.warn(f"A new start of {self._backend.name} will not be noticed: {error}")

    def _signalled(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or message.member != "NameOwnerChanged":
            return
        if message.sender == BUS and message.signature == "sss":
            name, _, new_owner = message.body
            if name == self._backend.bus_name and new_owner:
                self.names.reappeared()


def _backend(choice: Choice, connection: BusConnection, setter: NameSetterClient) -> Backend:
    if choice.kind == "resolved":
        return Resolved(connection.ask)
    if choice.kind == "resolvectl":
        return ResolvedByHelper(setter, connection.ask)
    if choice.kind == "file":
        return ResolvConf(setter)
    if choice.kind in ("openresolv", "resolvconf"):
        return ByHelper(choice.kind, setter)
    return NoBackend(f"nothing on this machine sets name servers ({choice.reason})")
