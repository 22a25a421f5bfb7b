"""The routes that a session's settings ask for."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

import msgspec

from ...policy.network import NetworkSettings, attached_network
from .prefixes import Host, Prefix, Way

_KERNELS_METRIC = {4: 0, 6: 1024}  # of a route that is added without one
_ATTACHED_METRIC = {4: 0, 6: 256}  # what the kernel gives to the networks of addresses


class DeviceRoute(msgspec.Struct, frozen=True):
    """A route through a session's device, or past it."""

    destination: str
    metric: int = 0  # 0: the kernel's default
    source: Host | None = None  # the address whose network this is; None for a route that was asked for
    way: Way | None = None  # past the device

    @property
    def version(self) -> int:
        return 6 if ":" in self.destination else 4

    @property
    def as_dumped(self) -> tuple[Prefix, int, Way | None]:
        """As machine.routes_past tells of it, if it goes past a tunnel."""
        return Prefix.of(ip_network(self.destination)), self.metric or _KERNELS_METRIC[self.version], self.way


def wanted(settings: NetworkSettings, addresses: Iterable[Host]) -> Iterator[tuple[DeviceRoute, Prefix, bool]]:
    """The routes to networks of addresses that are set, and those that were asked for; none twice.

    With each, its destination and whether it goes past the tunnel.
    """
    found = set[tuple[Prefix, int]]()
    kept = set(addresses)
    for one in settings.addresses:
        local = Host.of(ip_address(one.local))
        prefix = Prefix.of(attached_network(one))
        if local in kept and prefix != Prefix.alone(local) and (prefix, 0) not in found:
            # With 0, too: asked for once more, it is the same.
            found.add((prefix, 0))
            yield DeviceRoute(str(prefix), _ATTACHED_METRIC[prefix.version], local), prefix, False
    for route in settings.routes:
        prefix = Prefix.of(ip_network(route.destination))
        if (prefix, route.metric) not in found:
            found.add((prefix, route.metric))
            yield DeviceRoute(str(prefix), route.metric), prefix, route.past
