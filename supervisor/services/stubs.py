"""Stand-ins for services whose work is done inside this one; the devices of netcfg are sessions/device_object.py's.

A client of OpenVPN 3 Linux waits 9 s for a name that nobody owns and the bus cannot start.
"""

from ...policy.access import Acl
from ..bus.dispatch import Dispatcher
from ..bus.stub_api import STUBS
from .activation import started_by_another


class Stub:
    """The root object of such a name."""

    acl: Acl | None = None

    def __init__(self, version: str) -> None:
        self.version = version


def names_without_service() -> list[str]:
    """The names for which the bus would start nobody else."""
    return [interface.name for interface in STUBS if not started_by_another(interface.name)]


def export_stubs(dispatcher: Dispatcher, version: str) -> None:
    """Put the root objects of all of them on the bus; whose name is not ours, nobody calls."""
    for interface, path in STUBS.items():
        dispatcher.export(path, interface, Stub(version), bus_name=interface.name)
