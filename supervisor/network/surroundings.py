"""The machine's own network, which no session takes."""

from collections.abc import Iterable

import msgspec

from ...policy.redirect import MIN_PREFIX
from .prefixes import Host, Prefix, PrefixMap, Way

Networks = Iterable[tuple[Prefix, str]]


class Machine(msgspec.Struct, frozen=True):
    """What the machine has apart from the sessions."""

    addresses: frozenset[Host] = frozenset()
    networks: tuple[tuple[Prefix, str], ...] = ()  # of its addresses, each with its device
    links: tuple[tuple[Prefix, str], ...] = ()  # others that it reaches without a gateway
    name_servers: frozenset[Host] = frozenset()
    ways: tuple[tuple[Prefix, Way], ...] = ()  # its routes, the preferred ones first; where they were asked for


class Surroundings:
    """The machine, as sessions may not touch it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._attached = PrefixMap(_proper(machine.networks))
        self._links = PrefixMap(_proper((*machine.networks, *machine.links)))

    def host_problem(self, host: Host) -> str:
        """Why no session may have this address; "" if one may."""
        if host in self._machine.addresses:
            return "this machine has it"
        if host in self._machine.name_servers:
            return "it is the address of a name server of this machine"
        for network, device in self._attached.covering(Prefix.alone(host)):
            return _inside(network, device)
        return ""

    def route_problem(self, prefix: Prefix, *, administrator: bool) -> str:
        """Why no session may have this route; "" if one may.

        Where a VPN has the machine's name servers, its administrator starts the session.
        """
        for network, device in self._links.covering(prefix):
            return _inside(network, device)
        for server in () if administrator else self._machine.name_servers:
            if self.captures(prefix, server):
                return f"it covers {server}, a name server of this machine"
        return ""

    def way_past(self, prefix: Prefix) -> Way | None:
        """How the machine would send to all of `prefix` if there were no tunnels; None if it would not."""
        covering = (
            (network.length, way)
            for network, way in self._machine.ways
            if network.version == prefix.version
            and network.length <= prefix.length
            and prefix.shortened(network.length) == network
        )
        return max(covering, key=lambda found: found[0], default=(0, None))[1]

    def attached(self, prefix: Prefix) -> bool:
        """Whether it lies in a network that the machine reaches without a gateway."""
        return any(self._links.covering(prefix))

    def captures(self, prefix: Prefix, host: Host) -> bool:
        """Whether a route decides the way to `host`, which no network of the machine holds more exactly."""
        held = (network.length for network, _ in self._links.covering(Prefix.alone(host)))
        return prefix.covers(host) and prefix.length >= max(held, default=0)


def _proper(networks: Networks) -> Networks:
    """Without those that are as good as a default route."""
    return [(prefix, device) for prefix, device in networks if prefix.length >= MIN_PREFIX[prefix.version]]


def _inside(network: Prefix, device: str) -> str:
    return f"it lies in {network}, a network of this machine ({device})"
