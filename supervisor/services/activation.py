"""Which program the bus starts for a name, according to its activation files."""

from collections.abc import Iterable
from pathlib import Path

# Where a system bus looks for what it can start.
ACTIVATION_DIRECTORIES = (
    Path("/usr/local/share/dbus-1/system-services"),
    Path("/usr/share/dbus-1/system-services"),
    Path("/lib/dbus-1/system-services"),
)
_OUR_PROGRAM = "openvpn3-service-sessionmgr"


def started_by_another(name: str, directories: Iterable[Path] = ACTIVATION_DIRECTORIES) -> bool:
    """Whether the bus starts another program than this one when `name` is called."""
    return any(_starts_another(directory / f"{name}.service") for directory in directories)


def _starts_another(file: Path) -> bool:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return False
    commands = [line.partition("=")[2] for line in lines if line.partition("=")[0].strip() == "Exec"]
    return any(_OUR_PROGRAM not in command for command in commands)
