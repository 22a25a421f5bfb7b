"""Setting the routes of sessions' devices, those past the tunnel among them; to be used in the network's thread."""

from collections.abc import Callable, Iterable

import msgspec
from msgspec.structs import replace

from ...policy.dbus_numbers import LogGroup
from ...policy.limits import MAX_WAYS
from ..errors import SystemFailure
from ..logging.log import Log
from .claims import Claims
from .device_routes import DeviceRoute
from .journal import Entry
from .netlink import Netlink
from .prefixes import Host, Prefix, Way
from .requests import IPv6Off

DumpedRoute = tuple[Prefix, int, Way | None]  # destination, metric, way past a tunnel


class Device(msgspec.Struct):
    """A session's device and what is set on it."""

    entry: Entry
    owner: int  # user id of the session's owner
    change: object | None = None  # the last replace, finished or not; None when clear
    changing: bool = False  # it is not finished
    addresses: set[Host] = set()
    routes: set[DeviceRoute] = set()
    found: set[DumpedRoute] = set()  # routes by it that an earlier instance has set, and nobody has asked for again

    @property
    def versions(self) -> frozenset[int]:
        """Of the addresses that it has."""
        return frozenset(address.version for address in self.addresses)


class Routes:
    """Sets and removes routes, one request to the kernel at a time, and notes it at the device."""

    def __init__(self, netlink: Netlink, claims: Claims, log: Log, note: Callable[[Entry, Entry], None]) -> None:
        """`note` takes the second entry down in place of the first, or raises SystemFailure."""
        self._netlink = netlink
        self._claims = claims
        self._log = log
        self._note = note
        self.found_past: set[DumpedRoute] = set()  # as Device.found, of routes past tunnels

    def recognize(self, device: Device, granted: Iterable[DeviceRoute]) -> None:
        """Know those that are granted among what an earlier instance has set."""
        if device.found or self.found_past:
            known = {route for route in granted if route.as_dumped in device.found | self.found_past}
            device.routes |= known
            device.found -= {route.as_dumped for route in known}
            self.found_past -= {route.as_dumped for route in known}

    def remove_unknown(self, device: Device) -> None:
        """Remove what an earlier instance has set by a device, or past tunnels, that nobody wants any more."""
        for found in (device.found, self.found_past):
            while found:
                prefix, metric, way = found.pop()
                self._netlink.remove_route(device.entry.index, DeviceRoute(str(prefix), metric, way=way))

    def set(self, device: Device, route: DeviceRoute) -> str:
        """Set a route that is granted; what its user is to know, or "".  Raises SystemFailure."""
        if route.source is not None and route.source not in device.addresses:
            return ""
        if route.way is not None:
            return self._set_past(device, route)
        try:
            if self._netlink.add_route(device.entry.index, route):
                device.routes.add(route)
                return ""
        except IPv6Off:
            return f"IPv6 is off on this machine: route {route.destination} is not set"
        return self._postpone(device, route)

    def _set_past(self, device: Device, route: DeviceRoute) -> str:
        """The same for a route past the tunnel.  A gateway that the machine has lost meanwhile ends no session."""
        assert route.way is not None
        entry = device.entry
        try:
            if route.way not in entry.ways:
                used = {one.way for one in device.routes}
                ways = [way for way in entry.ways if way in used]
                if len(ways) == MAX_WAYS:
                    raise SystemFailure(f"the others go by {MAX_WAYS} gateways already")
                noted = replace(entry, ways=(*ways, route.way))
                self._note(entry, noted)
                device.entry = noted
            if self._netlink.add_route(entry.index, route):
                device.routes.add(route)
                return ""
        except SystemFailure as error:
            return f"route {route.destination} past the tunnel, by {route.way}, is not set: {error}"
        return self._postpone(device, route)

    def _postpone(self, device: Device, route: DeviceRoute) -> str:
        self._claims.postpone(device.entry.name, route)
        return f"route {route.destination} exists already and is left as it is"

    def remove(self, device: Device, route: DeviceRoute) -> None:
        """Remove a route that is set.  Raises SystemFailure."""
        self._netlink.remove_route(device.entry.index, route)
        device.routes.discard(route)

    def remove_past(self, device: Device) -> None:
        """Remove those past the tunnel, which the kernel does not remove with the device; what fails is logged."""
        for route in [route for route in device.routes if route.way is not None]:
            try:
                self.remove(device, route)
            except SystemFailure as error:
                self._log.error(str(error), group=LogGroup.NETCFG, session=device.entry.session)
