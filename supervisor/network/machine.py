"""What the machine has apart from the sessions: addresses and routes from the kernel, name servers from files."""

import socket
from collections.abc import Container, Iterator
from ipaddress import ip_address
from pathlib import Path

from . import dumps
from .prefixes import Host, Prefix, Way
from .surroundings import Machine

_RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_MAX_RESOLVER_FILE = 64 * 1024  # bytes that are looked at


def look(sessions: Container[int], *, ways: bool = False) -> Machine:
    """The machine as it is, without the devices with the indices `sessions`; with `ways`, how it sends to others.

    Raises SystemFailure.
    """
    addresses = set[Host]()
    networks = list[tuple[Prefix, str]]()
    links = list[tuple[Prefix, str]]()
    routes = list[tuple[int, Prefix, Way]]()
    with dumps.questions() as link:
        names: dict[int, str] = {}
        for index, local, network in dumps.addresses(link):
            if index in sessions or local.is_link_local:
                continue
            name = names.setdefault(index, _name(index))
            addresses.add(Host.of(local))
            networks.append((network, name))
        for index, name in names.items():
            for route in dumps.routes(link, device=index):
                if route.kind != dumps.UNICAST or route.way is None or route.protocol == dumps.PAST:
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
        frozenset(_name_servers()),
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


def _name_servers() -> Iterator[Host]:
    """Those in use, but for ones on this machine."""
    for path in _RESOLVER_FILES:
        try:
            with path.open(encoding="ascii", errors="replace") as file:
                text = file.read(_MAX_RESOLVER_FILE)
        except OSError:
            continue
        yield from parse_name_servers(text)


def parse_name_servers(text: str) -> Iterator[Host]:
    """The name servers in a file as resolv.conf(5) describes it, but for ones at loopback and link-local addresses."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                server = ip_address(words[1].partition("%")[0])
            except ValueError:
                continue
            if not (server.is_loopback or server.is_link_local or server.is_unspecified):
                yield Host.of(server)
