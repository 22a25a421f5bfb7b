"""The name servers of sessions, made ready when the service starts."""

from dbus_fast import Message, MessageType

from ..bus.connection import BUS_PATH, BusConnection, BusRefused
from ..bus.inbound import BUS
from ..logging.log import Log
from ..network.name_servers import MachineNameServers
from .backend import Backend, NoBackend
from .choice import Choice, Option, Who, choose
from .names import Names
from .resolved import Resolved


class NameService:
    """The back end that is used, and why; `names` is what sessions use."""

    def __init__(
        self, connection: BusConnection, log: Log, machine: MachineNameServers, *, option: Option, who: Who
    ) -> None:
        self._connection, self._log = connection, log
        self._choice = choose(option)
        self._backend = _backend(self._choice, connection)
        self._who = who
        self.names = Names(self._backend, self._choice.reason, who, machine, log)

    async def start(self) -> None:
        """Say what is used, and watch whether it starts anew.  Raises BusLost."""
        whose = {"any": "", "root": ", for sessions of root only", "refuse": ", but --dns=refuse"}[self._who]
        self._log.info(f"Name servers are set by {self.names.backend}{whose}")
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


def _backend(choice: Choice, connection: BusConnection) -> Backend:
    if choice.kind == "resolved":
        return Resolved(connection.ask)
    return NoBackend(f"nothing on this machine sets name servers ({choice.reason})")
