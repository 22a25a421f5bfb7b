"""Which program the bus starts for a name, according to its activation files."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

# Where a system bus looks for what it can start; the first file of a name counts.
DIRECTORIES = (
    Path("/usr/local/share/dbus-1/system-services"),
    Path("/usr/share/dbus-1/system-services"),
    Path("/lib/dbus-1/system-services"),
)
OUR_PROGRAM = "openvpn3-service-sessionmgr"
# The original session manager's program has the same name, in a directory of its own.
_OF_ORIGINAL = "openvpn3-linux/"


class Activation(msgspec.Struct, frozen=True):
    """An activation file, and the command in it."""

    file: Path
    command: str

    @property
    def program(self) -> str:
        """The path of the program, after the environment that it is given; "" if there is none."""
        words = self.command.split()
        return next((word for word in words if "=" not in word and Path(word).name != "env"), "")

    @property
    def ours(self) -> bool:
        return OUR_PROGRAM in self.command and _OF_ORIGINAL not in self.command


def activation(name: str, directories: Iterable[Path] = DIRECTORIES) -> Activation | None:
    """What the bus starts when `name` is called; None if no file says."""
    for directory in directories:
        file = directory / f"{name}.service"
        if (command := _command(file)) is not None:
            return Activation(file, command)
    return None


def started_by_another(name: str, directories: Iterable[Path] = DIRECTORIES) -> bool:
    """Whether the bus may start another program than this one when `name` is called."""
    commands = (_command(directory / f"{name}.service") for directory in directories)
    return any(command and OUR_PROGRAM not in command for command in commands)


def _command(file: Path) -> str | None:
    """The command of an activation file, "" if it has none; None if it cannot be read."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return None
    commands = [line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "Exec"]
    return commands[-1] if commands else ""
