"""A session's network namespace, on an interface of our own (bus/namespace_api.py)."""

from collections.abc import Callable

from dbus_fast import Variant

from ...policy.access import Acl, Caller
from ...policy.network import NetworkSettings
from ..bus.namespace_api import NAMESPACE
from ..bus.signals import Signals
from ..closing import close_elsewhere
from ..errors import InvalidValue, RequestRefused
from ..network.handed import HandedNamespace
from .session import Session

_AFTERWARDS = {"": None, "keep": False, "disconnect": True}


class NamespaceObject:
    """What clients see of it, and can do with it."""

    def __init__(self, session: Session, is_connected: Callable[[str], bool], signals: Signals) -> None:
        """`is_connected` tells whether a connection is on the bus."""
        self._session = session
        self._inside = session.inside
        self._is_connected = is_connected
        self._signals = signals
        self._inside.on_placed = self._tell_holders

    @property
    def acl(self) -> Acl:
        return self._session.acl

    @property
    def holders(self) -> list[int]:
        return list(self._inside.holders.values())

    @property
    def namespace(self) -> int:
        return self._inside.namespace.inode if self._inside.namespace is not None else 0

    @property
    def network(self) -> dict[str, Variant]:
        run = self._session.run
        settings = run.network.settings_inside if run is not None else None
        return _shown(settings) if settings is not None else {}

    async def enter(self, caller: Caller, handed: int, pid: int, afterwards: str) -> None:
        """Answers Enter."""
        if afterwards not in _AFTERWARDS:
            close_elsewhere([handed])
            raise InvalidValue(f"afterwards is one of keep and disconnect, or empty, not {afterwards[:32]!a}")
        namespace = HandedNamespace(handed, caller.uid)
        if not self._is_connected(caller.name):  # of which nothing more would tell
            namespace.close()
            raise RequestRefused("The caller has left the bus")
        self._session.audience.watch(caller)
        await self._inside.enter(caller, namespace, pid, _AFTERWARDS[afterwards])

    async def leave(self, caller: Caller) -> None:
        """Answers Leave."""
        await self._inside.leave(caller)

    def _tell_holders(self) -> None:
        for name in self._inside.holders:
            self._signals.emit(self._session.path, NAMESPACE, "NetworkChanged", [], to=name, droppable=True)


def _shown(settings: NetworkSettings) -> dict[str, Variant]:
    dns = settings.dns
    return {
        "mtu": Variant("u", settings.mtu),
        "addresses": Variant("a(sus)", [(one.local, one.prefix, one.peer or "") for one in settings.addresses]),
        "routes": Variant("a(su)", [(one.destination, one.metric) for one in settings.routes if not one.past]),
        "name_servers": Variant("as", [one.text for one in dns.servers] if dns else []),
        "domains": Variant("as", list(dns.search) if dns else []),
    }
