"""Which program the bus starts for a name, according to its activation files, and what follows from that."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ..bus.configuration_api import BUS_NAME

Mode = Literal["auto", "embedded", "external"]

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


def configuration_service(
    mode: Mode, directories: Iterable[Path] = ACTIVATION_DIRECTORIES
) -> Literal["embedded", "external"]:
    """Which configuration service to use; "auto" is the external one if the bus can start it, else the embedded one."""
    if mode != "auto":
        return mode
    return "external" if started_by_another(BUS_NAME, directories) else "embedded"


def _starts_another(file: Path) -> bool:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return False
    commands = [line.partition("=")[2] for line in lines if line.partition("=")[0].strip() == "Exec"]
    return any(_OUR_PROGRAM not in command for command in commands)
