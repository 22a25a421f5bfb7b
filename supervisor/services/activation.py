"""Which configuration service there is, by what the bus would start."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ...policy.machine.activation import DIRECTORIES, started_by_another
from ..bus.configuration_api import BUS_NAME

Mode = Literal["auto", "embedded", "external"]


def configuration_service(mode: Mode, directories: Iterable[Path] = DIRECTORIES) -> Literal["embedded", "external"]:
    """Which configuration service to use; "auto" is the external one if the bus can start it, else the embedded one."""
    if mode != "auto":
        return mode
    return "external" if started_by_another(BUS_NAME, directories) else "embedded"
