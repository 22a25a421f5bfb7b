"""What the machine has apart from the sessions: addresses and routes from the kernel."""

import socket
from collections.abc import Set

from ...kernel.netlink import rtnetlink
from . import dumps
from .own_addresses import OwnAddresses
from .prefixes import Host, Prefix, Way
from .surroundings import Machine


def look(own: OwnAddresses, sessions: Set[int], name_servers: frozenset[Host], *, ways: bool = False) -> Machine:
    """The machine as it is, with its `name_servers`, without the devices with the indices `sessions`.

    `own` is what finds its addresses.  With `ways`, how it sends to others.  Raises SystemFailure.
    """
    addresses = set[Host]()
    networks = list[tuple[Prefix, str]]()
    links = list[tuple[Prefix, str]]()
    routes = list[tuple[int, Prefix, Way]]()
    with dumps.questions() as link:
        names: dict[int, str] = {}
        for index, local, network in own.look(link, sessions):
            if local.is_link_local:
                continue
            name = names.setdefault(index, _name(index))
            addresses.add(Host.of(local))
            networks.append((network, name))
        for index, name in names.items():
            for route in dumps.routes(link, device=index):
                if route.kind != rtnetlink.RTN_UNICAST or route.way is None or route.protocol == dumps.PAST:
                    continue
                if route.destination.length and not route.way.gateway:
                    links.append((route.destination, name))
                if ways and route.usable:
                    routes.append((route.metric, route.destination, route.way))
    routes.sort(key=lambda one: one[0])
    return Machine(
        frozenset(addresses),
        tuple(networks),
        tuple(links),
        name_servers,
        tuple((destination, way) for _, destination, way in routes),
    )


def routes_past() -> list[tuple[Prefix, int, Way]]:
    """The routes past the tunnels that there are: destination, metric, way.  Raises SystemFailure."""
    with dumps.questions() as link:
        found = list(dumps.routes(link, protocol=dumps.PAST))
    return [(one.destination, one.metric, one.way) for one in found if one.protocol == dumps.PAST and one.way]


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"device {index}"  # gone meanwhile
