"""Addresses and routes of the sessions' devices.

To be used in the network's thread.  What takes many requests to the kernel is a generator, one request at a step, so
that other sessions get their turns.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from msgspec.structs import replace

from ...kernel.netlink import rtnetlink
from ...policy.network import NetworkSettings, check
from ...policy.redirect import Redirect, WhileNotConnected
from ..errors import SystemFailure
from ..logging.log import Log
from . import dumps, in_force, machine
from .answers import Answers
from .claims import Claims, Conflict
from .default_route.redirecting import Redirecting
from .default_route.redirections import Terms
from .device_routes import DeviceRoute
from .firewall import Firewall
from .following import Following
from .guards import AddressGuards
from .in_force import InForce
from .journal import DeviceJournal, Entry, MarkedEntry, RulesEntry
from .name_servers import MachineNameServers
from .netlink import Netlink
from .own_addresses import OwnAddresses
from .prefixes import LINK_LOCAL, Host
from .requests import IPv6Off
from .reverse_paths import ReversePaths
from .routes import Device, DumpedRoute, Routes
from .surroundings import Machine


class Addressing:
    """The devices of all sessions, by name, with what is set on them and what they wait for."""

    def __init__(
        self,
        netlink: Netlink,
        firewall: Firewall,
        journal: DeviceJournal,
        log: Log,
        freed: Callable[[], None],
        notice: Callable[[str, str], None],
        tell_root: Callable[[str, int, str], None],
        note: Callable[[Entry, Entry], None],
        name_servers: MachineNameServers,
        *,
        public_networks: bool,
        terms: Terms,
        ipv6_settings: int | None,
    ) -> None:
        """`freed` is called when `following.settle` may have something to do.

        `notice` is called with what a session's log is to say, `tell_root` with what the service's log alone is to say
        of a session of a user.  `note` takes the second entry down in place of the first before it comes true, or
        raises SystemFailure.
        """
        self._netlink = netlink
        self._freed = freed
        self._tell_root = tell_root
        self._name_servers = name_servers
        self._own = OwnAddresses()
        self._claims = Claims(public_networks=public_networks)
        self._note = note
        self._routes = Routes(netlink, self._claims, log, note)
        self._devices: dict[str, Device] = {}
        self._taking_over = False  # devices of an earlier instance, for which everything is asked for again
        self._at_takeover: Machine | None = None
        self._parting: dict[int, set[Host]] = {}  # addresses of those that are being removed, by their indices
        self._guards = AddressGuards(firewall, log)
        self._reverse_paths = ReversePaths(journal, log)
        self._redirecting = Redirecting(
            journal,
            log,
            terms,
            self.indices,
            Answers(firewall, log, terms.mark, self._reverse_paths),
            public_networks=public_networks,
            ipv6_settings=ipv6_settings,
        )
        self.following = Following(
            self._devices, self._claims, self._routes, self._redirecting, self._machine, log, notice
        )

    def __contains__(self, name: object) -> bool:
        return name in self._devices

    @property
    def entries(self) -> list[Entry]:
        """Of all devices."""
        return [device.entry for device in self._devices.values()]

    def indices(self) -> set[int]:
        """Of all devices."""
        return {device.entry.index for device in self._devices.values()}

    def change(self, *, public_networks: bool, while_not_connected: WhileNotConnected) -> None:
        """Have these count for what is asked for from now on."""
        self._claims.public_networks = self._redirecting.public_networks = public_networks
        self._redirecting.change(while_not_connected)
        self._look_at_pending()

    def add(self, entry: Entry, owner: int) -> None:
        """Take charge of a new device of a session of user `owner`."""
        self._devices[entry.name] = Device(entry, owner)
        self._redirecting.devices_changed()

    def take_over(self, entry: Entry, owner: int, past: Iterable[DumpedRoute]) -> None:
        """Take charge of a device that an earlier instance has made, with what is set on it.

        `past` are routes past tunnels that may be its session's.  Raises SystemFailure.
        """
        self._taking_over = True
        device = Device(entry, owner, change=object())
        with dumps.questions() as link:
            for _, address, _ in dumps.addresses(link, entry.index):
                if not address.is_link_local:
                    device.addresses.add(Host.of(address))
            for route in dumps.routes(link, device=entry.index):
                if route.kind == rtnetlink.RTN_UNICAST and route.destination != LINK_LOCAL:
                    device.found.add((route.destination, route.metric, None))
        self._routes.found_past.update(past)
        self._devices[entry.name] = device

    def take_over_rules(self, entry: RulesEntry) -> bool:
        """Take charge of an earlier instance's default routes, if they are made as this one makes them."""
        return self._redirecting.take_over(entry)

    def leave_alone(self, name: str, redirect: Redirect | None) -> None:
        """All that was found on a device stays, with the default route that its session has."""
        if (device := self._devices.get(name)) is not None:
            device.routes = {DeviceRoute(str(prefix), metric) for prefix, metric, _ in device.found}
            device.found.clear()
            self._guards.begin(device.owner, device.entry, tuple(device.addresses))
            if redirect is not None:
                self._redirecting.go_on(device.entry, device.owner, redirect, device.versions)

    def stay_closed(self, name: str, redirect: Redirect) -> None:
        """What a session has closed while it is not connected stays so."""
        if device := self._devices.get(name):
            self._redirecting.stay_closed(device.entry, device.owner, redirect)

    def take_over_marked(self, entry: MarkedEntry) -> None:
        """Take charge of what an earlier instance has set for answers."""
        self._reverse_paths.take_over(entry)

    def inherited(self) -> None:
        """What was taken over has been asked for again, as far as it is wanted.  Raises SystemFailure."""
        self._taking_over, self._at_takeover = False, None
        for device in self._devices.values():
            self._routes.remove_unknown(device)
        self._redirecting.inherited()

    def take(self, names: Sequence[str]) -> list[Entry | None]:
        """Forget devices that are about to be removed; None for each that there is not.

        Until they are `gone` nobody else gets what goes with them, addresses and routes, and these stay guarded.
        """
        devices = [self._devices.pop(name, None) for name in names]
        for device in devices:
            if device is not None:
                self._redirecting.rest(device.entry.session)
                self._routes.remove_past(device)
                self._redirecting.down(device.entry.session)
                self._parting[device.entry.index] = device.addresses
                device.change = None  # which ends one that is under way
        self._redirecting.devices_changed()
        return [None if device is None else device.entry for device in devices]

    def gone(self, entries: Iterable[Entry]) -> None:
        """Devices that were taken have been removed, or cleared."""
        taken = [entry for entry in entries if entry.index in self._parting]
        self._guards.end({host for entry in taken for host in self._parting.pop(entry.index)})
        self._claims.release(entry.name for entry in taken)
        self._look_at_pending()

    def entry(self, name: str) -> Entry | None:
        """The record of a device, if there is such a device."""
        device = self._devices.get(name)
        return None if device is None else device.entry

    def returned(self, name: str, index: int) -> None:
        """A device on which nothing is set has come back to this network namespace, with this index."""
        self._moved(name, index, -1)

    def leaves(self, name: str, number: int) -> None:
        """A device on which nothing is set is about to go to another network namespace.  Raises SystemFailure."""
        if (device := self._devices.get(name)) is not None:
            self._moved(name, device.entry.index, number)

    def _moved(self, name: str, index: int, away: int) -> None:
        device = self._devices.get(name)
        if device is not None and (device.entry.index, device.entry.away) != (index, away):
            successor = replace(device.entry, index=index, away=away)
            self._note(device.entry, successor)
            device.entry = successor
            self._redirecting.devices_changed()

    def look(self, name: str, found: InForce) -> Generator[None, None, None]:
        """Have the kernel say what is set on a device, row by row; nothing if there is no such device."""
        if device := self._devices.get(name):
            yield from in_force.look(device.entry, self._redirecting, self._claims, found)

    def clear(self, name: str, keep: bool) -> None:
        """Switch a device off and remove what is set on it, if anything is; `keep` as in Network.clear."""
        if device := self._devices.get(name):
            self._clear(device, keep)

    def let_go(self, session: str) -> None:
        """A session ends: whatever of the default route it has kept closed is open."""
        self._redirecting.release(session)
        self._look_at_pending()

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

    def _machine(self, ways: bool) -> Machine:
        if self._taking_over:  # once for all: the kernel tells of hundreds of devices each time
            if self._at_takeover is None:
                self._at_takeover = machine.look(self._own, self.indices(), self._name_servers.own(), ways=True)
            return self._at_takeover
        return machine.look(self._own, self.indices(), self._name_servers.own(), ways=ways)

    def _claim(self, device: Device, settings: NetworkSettings, warnings: list[str]) -> tuple[Host, ...]:
        """Claim what the settings ask for; the addresses that it gets.  Raises SystemFailure."""
        entry = device.entry
        ways = any(route.past for route in settings.routes)
        surroundings = self._machine(ways)
        redirect, waits = settings.redirect, ""
        try:
            if redirect is not None:
                waits = self._redirecting.check(entry, device.owner, redirect)
            decision = self._claims.request(entry.name, entry.session, device.owner, settings, surroundings)
        except Conflict as conflict:
            if conflict.note:
                self._tell_root(entry.session, device.owner, conflict.note)
            raise
        for note in decision.notes:
            self._tell_root(entry.session, device.owner, note)
        warnings += decision.warnings
        if redirect is None:
            self._redirecting.release(entry.session)
        else:
            self._redirecting.claim(entry, device.owner, redirect)
        if waits:
            warnings.append(f"the default route does not lead through the tunnel: {waits}")
        return decision.addresses

    def _requests(self, device: Device, mtu: int, wanted: tuple[Host, ...], warnings: list[str]) -> Iterator[None]:
        netlink, name, index = self._netlink, device.entry.name, device.entry.index
        gone = device.addresses.difference(wanted)
        # With the last address of a family the kernel drops all its routes, and with any those from it: so others come
        # before they go, and what it drops is set again.
        disturbed = {address.version for address in gone}
        granted = set(self._claims.routes(name))
        self._routes.recognize(device, granted)
        stale = [
            route
            for route in device.routes
            if route not in granted or (route.version in disturbed and route.way is None)
        ]
        warnings += self._guards.begin(device.owner, device.entry, wanted)
        netlink.set_up(index, mtu)
        yield
        for route in stale:
            self._routes.remove(device, route)
            yield
        for address in wanted:
            if address not in device.addresses and self._guards.permit(device.owner, address):
                try:
                    netlink.add_address(index, address)
                    device.addresses.add(address)
                except IPv6Off:
                    warnings.append(f"IPv6 is off on this machine: {address} is not set")
                yield
        for address in gone:
            netlink.remove_address(index, address)
            device.addresses.discard(address)
            yield
        self._guards.end(gone)
        self._look_at_pending()
        # What is granted meanwhile is among them.
        tried = set[DeviceRoute]()
        while missing := [one for one in self._claims.routes(name) if one not in device.routes and one not in tried]:
            for route in missing:
                tried.add(route)
                if problem := self._routes.set(device, route):
                    warnings.append(problem)
                yield
        yield from self._redirecting.apply(device.entry.session, device.versions, warnings)

    def undo(self, entry: RulesEntry) -> None:
        """Remove the default routes that an earlier instance left behind.  Raises SystemFailure."""
        self._redirecting.undo(entry)

    def undo_marked(self, entry: MarkedEntry) -> None:
        """A device of the machine that an earlier instance has changed is as it was."""
        self._reverse_paths.undo(entry)

    def _clear(self, device: Device, keep: bool = False) -> None:
        if not keep:
            self._redirecting.rest(device.entry.session)
            self._claims.rest(device.entry.name)
            self._look_at_pending()
        if device.change is None:
            return
        self._routes.remove_past(device)
        if self._netlink.set_down(device.entry.index):
            for address in device.addresses:
                self._netlink.remove_address(device.entry.index, address)
        self._redirecting.down(device.entry.session)
        self._guards.end(device.addresses)
        device.change = None
        device.changing = False
        device.addresses.clear()
        device.routes.clear()
        device.found.clear()

    def close(self) -> None:
        """Hear of nothing any more."""
        self._own.close()

    def _look_at_pending(self) -> None:
        if self._claims.to_settle or self._redirecting.waiting:
            self._freed()
