"""The way from a worker down to its engine: commands, once there is a management connection."""

from .management import ManagementConnection
from .phases import PhaseMachine


class Downlink:
    """Where commands to the engine go."""

    def __init__(self, machine: PhaseMachine) -> None:
        self._machine = machine
        self.connection: ManagementConnection | None = None  # while there is one

    def command(self, *commands: str | bytearray) -> None:
        """Give the engine management commands; one that is gone is found out by its exit."""
        if self.connection is not None:
            try:
                self.connection.send(*commands)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except BlockingIOError:
                self._machine.failed("The engine does not read its commands")
