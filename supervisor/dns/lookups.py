"""Names of VPN servers, turned into addresses: never by a tunnel that is down while its session looks for a way.

A session that keeps its device while it reconnects keeps its name servers too, which answer nobody then.
"""

import socket

from ..network.name_servers import MachineNameServers
from ..workers.resolver_client import ResolverClient
from .backend import Backend

_ANY_PORT = 9  # nothing is sent there

Found = tuple[tuple[str, ...], str]  # addresses in the order to try them, or none and the reason


class Lookups:
    """Look-ups on behalf of sessions."""

    def __init__(self, resolver: ResolverClient, machine: MachineNameServers, backend: Backend) -> None:
        self._resolver = resolver
        self._machine = machine
        self._backend = backend

    async def resolve(self, session: str, device: str, host: str) -> Found:
        """The addresses of `host` for a session with this device; never raises for a bad name."""
        lent = self._machine.lent_to
        if device not in lent:
            found = await self._resolver.resolve(session, host)
            # Another session's tunnel may be down.
            past = await self._past(session, host) if lent and not found[0] else found
            return past if past[0] else found
        found = await self._past(session, host)
        if found[0] or len(lent) == 1:
            return found
        usual = await self._resolver.resolve(session, host)
        return usual if usual[0] else found

    async def _past(self, session: str, host: str) -> Found:
        """The same by the machine's own name servers, past those of all sessions."""
        found = await self._resolver.resolve(session, host, ())
        if found[0]:
            return found  # in hosts(5), for one
        addresses, error = await self._backend.look_up_past(host, self._machine.lent_to)
        if addresses:
            return _those_with_a_way_first(addresses), ""
        usual = await self._backend.usual_servers(self._machine.usual())
        if usual.servers:
            found = await self._resolver.resolve(session, host, usual.servers, usual.search)
        return found if found[0] or not error else ((), error)


def _those_with_a_way_first(addresses: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(addresses, key=lambda address: not _has_way(address)))


def _has_way(address: str) -> bool:
    """Whether this machine could send to an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, _ANY_PORT))
        except OSError:
            return False
    return True
