"""What clients have of sessions: their objects on the bus, and the signals that tell of them."""

from collections.abc import Mapping

from ...policy.dbus_numbers import CREDENTIALS, InputGroup, SessionEvent
from ...policy.sandbox.layers import Layer
from ..bus.dispatch import Dispatcher
from ..bus.inspection_api import INSPECTION
from ..bus.interface import Interface
from ..bus.manager_api import BUS_NAME, MANAGER, ROOT_PATH
from ..bus.namespace_api import NAMESPACE
from ..bus.objects import Target
from ..bus.session_api import SESSION
from ..bus.signals import Signals
from ..bus.status_api import STATUS
from .context import SessionContext
from .device_object import DeviceObjects
from .in_force import SessionInForce
from .inspection import Inspection
from .namespace_object import NamespaceObject
from .session import Session
from .session_object import SessionObject


class SessionsOnBus:
    """The objects of all sessions, and who is told what of each."""

    def __init__(
        self, dispatcher: Dispatcher, signals: Signals, context: SessionContext, layers_off: Mapping[Layer, str]
    ) -> None:
        """`layers_off` are the layers of the sandbox that no session has, each with the reason."""
        self.forwards_arrive = True  # the bus lets clients receive what is forwarded to them
        self.devices = DeviceObjects(dispatcher)
        self._dispatcher = dispatcher
        self._signals = signals
        self._network = context.network
        self._names = context.names
        self._layers_off = layers_off
        self._lacks = context.lacks

    def put(self, session: Session) -> None:
        """Put a session on the bus."""
        extensions: dict[Interface, Target] = {
            INSPECTION: Inspection(session, self._layers_off, self._names, self._lacks),
            STATUS: SessionInForce(session, self._network, self._names),
            NAMESPACE: NamespaceObject(session, self._dispatcher.is_connected, self._signals),
        }
        shown = SessionObject(session, self.devices)
        self._dispatcher.export(session.path, SESSION, shown, bus_name=BUS_NAME, extensions=extensions)

    def take_off(self, session: Session) -> None:
        """Take a session off the bus and tell of it, if it was there."""
        if session.path in self._dispatcher.exported:
            self._dispatcher.withdraw(session.path)
            self.tell(SessionEvent.DESTROYED, session.path, session.acl.owner)

    def tell(self, event: SessionEvent, path: str, owner: int) -> None:
        """Tell whoever may know of a session of `owner` that it is there, or no longer."""
        self._signals.emit(ROOT_PATH, MANAGER, "SessionManagerEvent", [path, event, owner], of=owner)

    def tell_status(self, session: Session) -> None:
        """Tell a session's audience its status."""
        forwards = session.audience.forwards
        forwards.status(session.status)
        for watcher in session.audience.watchers:
            # To whom it is forwarded it would come twice, and clients that look at its path only take both.
            if not (self.forwards_arrive and watcher in forwards):
                self._signals.emit(session.path, SESSION, "StatusChange", session.status, to=watcher, droppable=True)

    def ask_attention(self, session: Session, group: InputGroup, text: str) -> None:
        """Tell a session's audience that its user is needed."""
        for watcher in session.audience.watchers:
            body = [CREDENTIALS, group, text]
            self._signals.emit(session.path, SESSION, "AttentionRequired", body, to=watcher, droppable=True)
