"""The name servers of sessions, made ready when the service starts."""

from collections.abc import Container
from pathlib import Path

from dbus_fast import Message, MessageType

from ...policy.machine.dns_backend import Choice
from ...policy.rights import ANY, Right, described
from ..bus.connection import BUS_PATH, BusConnection, BusRefused
from ..bus.inbound import BUS
from ..logging.log import Log
from ..network.name_servers import MachineNameServers
from ..rights import Rights
from ..workers.names_client import NameSetterClient
from ..workers.resolver_client import ResolverClient
from .backend import Backend, NoBackend
from .by_helper import ByResolvconf, InFile, ResolvedByHelper
from .journal import NamesJournal
from .lookups import Lookups
from .names import Names
from .resolved import Resolved


class NameService:
    """The back end that is used, and why; `names` and `lookups` are what sessions use."""

    def __init__(
        self,
        connection: BusConnection,
        log: Log,
        machine: MachineNameServers,
        journal: Path,
        setter: NameSetterClient,
        resolver: ResolverClient,
        choice: Choice,
        rights: Rights,
    ) -> None:
        """`journal` is a directory of its own.  Raises OSError if that cannot be used."""
        self._connection, self._log = connection, log
        self._backend = _backend(choice, connection, setter)
        self._rights = rights
        self.names = Names(self._backend, choice.reason, machine, NamesJournal(journal), log)
        self.lookups = Lookups(resolver, machine, self._backend)

    async def start(self, going_on: Container[str] = ()) -> None:
        """Say what is used, and watch whether it starts anew; `going_on` as in Names.recover.  Raises BusLost."""
        rule = self._rights.rule(Right.DNS)
        whose = "" if rule.who == (ANY,) else f", for sessions of {described(rule)} only ({rule.source})"
        self._log.info(f"Name servers are set by {self.names.backend}{whose}")
        for device in await self.names.recover(going_on):
            self._log.warn(f"Gave back the name servers that an earlier instance had set for {device}")
        if self._backend.bus_name:
            self._connection.add_message_handler(self._signalled)
            await self._watch()

    async def rejoined(self) -> None:
        """The bus is there again: what sets name servers by it may have lost them meanwhile.  Raises BusLost."""
        if self._backend.bus_name:
            await self._watch()
            self.names.reappeared()

    async def _watch(self) -> None:
        match = f"type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}',member='NameOwnerChanged'"
        try:
            await self._connection.ask_bus("AddMatch", "s", f"{match},arg0='{self._backend.bus_name}'")
        except BusRefused as error:
            self._log.warn(f"A new start of {self._backend.name} will not be noticed: {error}")

    def _signalled(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL or message.member != "NameOwnerChanged":
            return
        if message.sender == BUS and message.signature == "sss":
            name, _, new_owner = message.body
            if name == self._backend.bus_name and new_owner:
                self.names.reappeared()


def backend_without_bus(choice: Choice, setter: NameSetterClient) -> Backend:
    """The back end, if it is one whose settings outlive a device, which takes no bus; else one that has none."""
    if choice.kind == "file":
        return InFile(setter)
    if choice.kind in ("openresolv", "resolvconf"):
        return ByResolvconf(choice.kind, setter)
    return NoBackend(f"nothing on this machine sets name servers ({choice.reason})")


def _backend(choice: Choice, connection: BusConnection, setter: NameSetterClient) -> Backend:
    if choice.kind == "resolved":
        return Resolved(connection.ask)
    if choice.kind == "resolvectl":
        return ResolvedByHelper(setter, connection.ask)
    return backend_without_bus(choice, setter)
