"""The D-Bus objects of sessions' network devices, below the name of the network configuration service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...policy.access import Acl
from ..bus.stub_api import DEVICE, DEVICES_PATH
from ..network import device_info
from .states import State

if TYPE_CHECKING:
    from ..bus.dispatch import Dispatcher
    from .session import Session

NO_DEVICE = "/"


class DeviceObject:
    """What clients see of a device, always as it is now; the properties are those of bus/stub_api.py."""

    layer = 3

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def acl(self) -> Acl:
        return self._session.acl

    @property
    def active(self) -> bool:
        return self._session.state is State.CONNECTED

    @property
    def device_name(self) -> str:
        return self._session.device_name

    @property
    def mtu(self) -> int:
        return device_info.mtu(self._session.device)

    @property
    def txqueuelen(self) -> int:
        return device_info.txqueuelen(self._session.device)


class DeviceObjects:
    """Keeps an object on the bus for each session that has a device to show."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.served = False  # the name is ours; with another's, a path would lead to nothing
        self._dispatcher = dispatcher

    def follow(self, session: Session) -> None:
        """Put the session's device on the bus, or take it off, if that has changed."""
        wanted = _path_of(session) if self.served and session.device_name else NO_DEVICE
        if wanted == session.device_path:
            return
        if wanted == NO_DEVICE:
            self._dispatcher.withdraw(session.device_path)
        else:
            self._dispatcher.export(wanted, DEVICE, DeviceObject(session), bus_name=DEVICE.name)
        session.device_path = wanted


def _path_of(session: Session) -> str:
    """The same for all devices that a session may have one after the other."""
    return f"{DEVICES_PATH}/{session.name.replace('s', 't')}"
