"""What the machine has apart from the sessions: addresses and routes by rtnetlink(7), name servers from files."""

import socket
from collections.abc import Container, Iterator
from ipaddress import ip_address
from pathlib import Path

from . import dumps
from .prefixes import Host, Prefix
from .surroundings import Machine

_RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_MAX_RESOLVER_FILE = 64 * 1024  # bytes that are looked at


def look(sessions: Container[int]) -> Machine:
    """The machine as it is, without the devices with the indices `sessions`.  Raises SystemFailure."""
    addresses = set[Host]()
    networks, links = list[tuple[Prefix, str]](), list[tuple[Prefix, str]]()
    names: dict[int, str] = {}
    with dumps.questions() as link:
        for index, local, network in dumps.addresses(link):
            if index in sessions or local.is_link_local:
                continue
            name = names.setdefault(index, _name(index))
            addresses.add(Host.of(local))
            networks.append((network, name))
        for index, name in names.items():
            links += ((network, name) for network in _networks(link, index))
    return Machine(frozenset(addresses), tuple(networks), tuple(links), frozenset(_name_servers()))


def _networks(link: socket.socket, device: int) -> Iterator[Prefix]:
    """The networks that routes of the main table reach through a device without a gateway."""
    for route in dumps.routes(link, device=device):
        if route.kind == dumps.UNICAST and route.destination.length and not route.indirect:
            yield route.destination


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
