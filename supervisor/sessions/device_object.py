"""The D-Bus objects of sessions' network devices, below the name of the network configuration service."""

from ...policy.access import Acl
from ..bus.dispatch import Dispatcher
from ..bus.stub_api import DEVICE, DEVICES_PATH
from ..network import device_info
from .session import Session
from .states import State

_NO_DEVICE = "/"


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
        return device_info.mtu(self._device)

    @property
    def txqueuelen(self) -> int:
        return device_info.txqueuelen(self._device)

    @property
    def _device(self) -> str:
        run = self._session.run
        return run.device if run is not None else ""


class DeviceObjects:
    """Keeps an object on the bus for each session that has a device to show."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.served = False  # the name is ours; with another's, a path would lead to nothing
        self._dispatcher = dispatcher
        self._paths: dict[str, str] = {}  # on the bus, by the session's name

    def path_of(self, session: Session) -> str:
        """The object path of the session's device; "/" while it has none to show."""
        return self._paths.get(session.name, _NO_DEVICE)

    def follow(self, session: Session) -> None:
        """Put the session's device on the bus, or take it off, if that has changed."""
        wanted = self.served and session.device_name != ""
        if wanted == (session.name in self._paths):
            return
        if wanted:
            # The same for all devices that a session may have one after the other.
            path = self._paths[session.name] = f"{DEVICES_PATH}/{session.name.replace('s', 't')}"
            self._dispatcher.export(path, DEVICE, DeviceObject(session), bus_name=DEVICE.name)
        else:
            self._dispatcher.withdraw(self._paths.pop(session.name))
