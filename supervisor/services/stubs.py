"""Stand-ins for services whose work this one does itself; the devices of netcfg are in sessions/device_object.py.

A client of OpenVPN 3 Linux waits 9 s for a name that has no owner and that the bus cannot start.
"""

from ...policy.access import Acl
from ...policy.machine.activation import started_by_another
from ..bus.dispatch import Dispatcher
from ..bus.stub_api import STUBS


class Stub:
    """The root object of such a name."""

    acl: Acl | None = None

    def __init__(self, version: str) -> None:
        self.version = version


def names_without_service() -> list[str]:
    """The names for which the bus would start no other program."""
    return [interface.name for interface in STUBS if not started_by_another(interface.name)]


def export_stubs(dispatcher: Dispatcher, version: str) -> None:
    """Put the root objects of all of them on the bus; one whose name another service owns gets no calls."""
    for interface, path in STUBS.items():
        dispatcher.export(path, interface, Stub(version), bus_name=interface.name)
