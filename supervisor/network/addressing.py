"""Addresses and routes of the sessions' devices.

To be used in the network's thread.  What takes many requests to the kernel is a generator, one request at a step, so
that other sessions get their turns.
"""

from collections.abc import Callable, Generator, Iterator

import msgspec

from ...policy.dbus_numbers import LogGroup
from ...policy.network import NetworkSettings, check, is_private
from ..errors import SystemFailure
from ..logging.log import Log
from . import machine
from .claims import Claims, Conflict, DeviceRoute
from .firewall import Firewall, Guard
from .journal import Entry
from .name_servers import MachineNameServers
from .netlink import IPv6Off, Netlink
from .prefixes import Host


class _Device(msgspec.Struct):
    """A session's device and what is set on it."""

    entry: Entry
    owner: int  # user id of the session's owner
    change: object | None = None  # the last replace, finished or not; None when clear
    changing: bool = False  # it is not finished
    addresses: set[Host] = set()
    routes: set[DeviceRoute] = set()


class Addressing:
    """The devices of all sessions, by name, with what is set on them and what they wait for."""

    def __init__(
        self,
        netlink: Netlink,
        firewall: Firewall,
        log: Log,
        freed: Callable[[], None],
        notice: Callable[[str, str], None],
        tell_root: Callable[[str, int, str], None],
        name_servers: MachineNameServers,
        *,
        public_networks: bool,
    ) -> None:
        """`freed` is called when `settle` may have something to do; `notice` with what a session's log is to say.

        `tell_root` is called with what the service's log alone is to say of a session of a user.
        """
        self._netlink = netlink
        self._firewall = firewall
        self._log = log
        self._freed = freed
        self._notice = notice
        self._tell_root = tell_root
        self._name_servers = name_servers
        self._claims = Claims(public_networks=public_networks)
        self._devices: dict[str, _Device] = {}
        self._guards: dict[Host, Guard] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._devices

    @property
    def entries(self) -> list[Entry]:
        """Of all devices."""
        return [device.entry for device in self._devices.values()]

    def add(self, entry: Entry, owner: int) -> None:
        """Take charge of a new device of a session of user `owner`."""
        self._devices[entry.name] = _Device(entry, owner)

    def take(self, name: str) -> Entry | None:
        """Clear a device and forget it; None if there is no such device."""
        device = self._devices.get(name)
        if device is None:
            return None
        self._clear(device)
        del self._devices[name]
        self._claims.release(name)
        self._look_at_pending()
        return device.entry

    def clear(self, name: str, keep: bool) -> None:
        """Switch a device off and remove what is set on it, if anything is; `keep` as in Network.clear."""
        if device := self._devices.get(name):
            self._clear(device, keep)

    def replace(self, name: str, settings: NetworkSettings, warnings: list[str]) -> Generator[None, None, None]:
        """Apply settings, request by request; clears the device if it fails or is closed before its end."""
        check(settings)
        device = self._devices.get(name)
        if device is None:
            raise SystemFailure(f"there is no device {name}")
        addresses = self._claim(device, settings, warnings)
        device.change = change = object()
        device.changing = True
        try:
            for _ in self._requests(device, settings.mtu, addresses, warnings):
                yield
                if device.change is not change:
                    raise SystemFailure(f"setting up {name} was overtaken")
            device.changing = False
        except BaseException:
            if device.change is change:
                self._clear(device)
            raise

    def _claim(self, device: _Device, settings: NetworkSettings, warnings: list[str]) -> tuple[Host, ...]:
        """Claim what the settings ask for; the addresses that it gets.  Raises SystemFailure."""
        entry = device.entry
        surroundings = machine.look({one.entry.index for one in self._devices.values()}, self._name_servers.own())
        try:
            decision = self._claims.request(entry.name, entry.session, device.owner, settings, surroundings)
        except Conflict as conflict:
            if conflict.note:
                self._tell_root(entry.session, device.owner, conflict.note)
            raise
        for note in decision.notes:
            self._tell_root(entry.session, device.owner, note)
        warnings += decision.warnings
        return decision.addresses

    def _requests(self, device: _Device, mtu: int, wanted: tuple[Host, ...], warnings: list[str]) -> Iterator[None]:
        netlink, name, index = self._netlink, device.entry.name, device.entry.index
        gone = device.addresses.difference(wanted)
        # With the last address of a family the kernel drops all its routes, and with any those from it.
        disturbed = {address.version for address in gone}
        granted = set(self._claims.routes(name))
        stale = [route for route in device.routes if route not in granted or route.version in disturbed]
        self._guard(device, wanted, warnings)
        netlink.set_up(index, mtu)
        yield
        for route in stale:
            netlink.remove_route(index, route)
            device.routes.discard(route)
            yield
        for address in gone:
            netlink.remove_address(index, address)
            device.addresses.discard(address)
            yield
        self._end_guard(gone)
        for address in wanted:
            if address not in device.addresses and self._may_be_set(device, address):
                try:
                    netlink.add_address(index, address)
                    device.addresses.add(address)
                except IPv6Off:
                    warnings.append(f"IPv6 is off on this machine: {address} is not set")
                yield
        self._look_at_pending()
        # What is granted meanwhile is among them.
        tried = set[DeviceRoute]()
        while missing := [one for one in self._claims.routes(name) if one not in device.routes and one not in tried]:
            for route in missing:
                tried.add(route)
                if problem := self._set_route(device, route):
                    warnings.append(problem)
                yield

    def _set_route(self, device: _Device, route: DeviceRoute) -> str:
        """Set a route that is granted; what its user is to know, or ""."""
        if route.source is not None and route.source not in device.addresses:
            return ""
        try:
            if self._netlink.add_route(device.entry.index, route):
                device.routes.add(route)
                return ""
        except IPv6Off:
            return f"IPv6 is off on this machine: route {route.destination} is not set"
        self._claims.postpone(device.entry.name, route)
        return f"route {route.destination} exists already and is left as it is"

    def settle(self) -> Iterator[None]:
        """Set what is pending and no longer in anybody's way, request by request."""
        for granted in self._claims.settle():
            if granted is not None:
                name, route = granted
                device = self._devices[name]
                if not device.changing:  # or it is set with the rest
                    try:
                        if not self._set_route(device, route):
                            self._notice(device.entry.session, f"route {route.destination} was pending and is set now")
                    except SystemFailure as error:
                        self._log.error(str(error), group=LogGroup.NETCFG, session=device.entry.session)
            yield

    def _clear(self, device: _Device, keep: bool = False) -> None:
        if not keep:
            self._claims.rest(device.entry.name)
            self._look_at_pending()
        if device.change is None:
            return
        if self._netlink.set_down(device.entry.index):
            for address in device.addresses:
                self._netlink.remove_address(device.entry.index, address)
        self._end_guard(device.addresses)
        device.change = None
        device.changing = False
        device.addresses.clear()
        device.routes.clear()

    def _look_at_pending(self) -> None:
        if self._claims.pending:
            self._freed()

    # The firewall

    def _guard(self, device: _Device, addresses: tuple[Host, ...], warnings: list[str]) -> None:
        """Keep other users of the machine from these addresses before they are set; see `_may_be_set`."""
        if device.owner == 0:
            return
        guard = Guard((device.owner, device.entry.uid), device.entry.index)
        guards = self._guards | dict.fromkeys(addresses, guard)
        try:
            self._firewall.guard(guards)
            self._guards = guards
        except SystemFailure as error:
            for address in addresses:
                if not self._may_be_set(device, address):
                    warnings.append(
                        f"address {address} is left out: it is public, and other users of this machine cannot be kept "
                        f"from taking its owner for the host that has it ({error})"
                    )

    def _may_be_set(self, device: _Device, address: Host) -> bool:
        private = is_private(address.version, address.number, address.number)
        return device.owner == 0 or private or address in self._guards

    def _end_guard(self, addresses: set[Host]) -> None:
        if not self._guards.keys() & addresses:
            return
        self._guards = {host: guard for host, guard in self._guards.items() if host not in addresses}
        try:
            self._firewall.guard(self._guards)
        except SystemFailure as error:
            self._log.error(f"Addresses stay closed to other users: {error}", group=LogGroup.NETCFG)
