"""The way from a worker down to its engine: commands, once there is a management connection."""

from .management import ManagementConnection
from .phases import PhaseMachine

# Below that the engine would not say why it fails, nor what the server tells it to do.
_LEAST_VERBOSITY = 3


def engine_verbosity(log_level: int) -> int:
    """The engine's --verb in a session of this log level."""
    return max(log_level, _LEAST_VERBOSITY)


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
