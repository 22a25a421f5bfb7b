"""The way from a worker down to its engine: commands, once there is a management connection."""

from ...policy.causes import Cause
from .management import ManagementConnection
from .phases import PhaseMachine

# Below that the engine would not say why it fails, nor what the server tells it to do.
_LEAST_VERBOSITY = 3


class Downlink:
    """Where commands to the engine go."""

    def __init__(self, machine: PhaseMachine) -> None:
        self._machine = machine
        self.connection: ManagementConnection | None = None  # while there is one
        self.verbosity = _LEAST_VERBOSITY  # of the engine's log: --verb in openvpn(8)

    def set_log_level(self, level: int) -> None:
        """Have the engine log enough for lines up to this level (0 to 6)."""
        self.verbosity = max(level, _LEAST_VERBOSITY)
        self.command(f"verb {self.verbosity}")

    def command(self, *commands: str | bytearray) -> None:
        """Give the engine management commands; one that is gone is found out by its exit."""
        if self.connection is not None:
            try:
                self.connection.send(*commands)
            except (BrokenPipeError, ConnectionResetError):
                pass
            except BlockingIOError:
                self._machine.failed("The engine does not read its commands", Cause.ENGINE_DIED)

    def command_unlogged(self, command: bytearray) -> None:
        """Give the engine a command with something in it that it must not repeat in its log."""
        self.command("verb 0", command, f"verb {self.verbosity}")
