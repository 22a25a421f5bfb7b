"""systemd-resolved: name servers of links (org.freedesktop.resolve1(5)).

Its settings belong to the link, and go with it.  Capabilities of the caller count for nothing: polkit lets us call
(policy/polkit).
"""

import asyncio
import socket
from collections.abc import Awaitable, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from dbus_fast import Variant

from ...policy.dns import DNSSEC_MODES, EVERYTHING, DnsSettings, NameServer
from ..errors import SystemFailure
from ..network.name_servers import ResolvConf
from ..network.operational import operational
from .backend import Backend, NamesInForce
from .resolved_bus import BUS_NAME, MANAGER, PATH, Ask, asked, exists, index_of
from .resolved_lookup import look_up, servers_of_no_link

_LINK = "org.freedesktop.resolve1.Link"
# What it writes when the name servers of any link change; each link's own file is in a directory closed to others.
_WRITTEN = (Path("/run/systemd/resolve/resolv.conf"),)


class BySystemdResolved(Backend):
    """What is common to the ways to set name servers there."""

    name = "systemd-resolved"
    by_domain = True
    bus_name = BUS_NAME

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def look(self, device: str, settings: DnsSettings | None) -> NamesInForce:
        """Ask systemd-resolved for what it has for the link."""
        return await look(self._ask, device)

    def files(self, device: str) -> tuple[Path, ...]:
        return _WRITTEN

    async def is_gone(self, device: str, settings: DnsSettings) -> bool:
        """Whether a link has no name server any more; others are somebody's choice."""
        return exists(device) and not (await look(self._ask, device)).servers

    async def look_up_past(self, host: str, devices: Iterable[str]) -> tuple[tuple[str, ...], str]:
        return await look_up(self._ask, host, devices)

    async def usual_servers(self, of_file: ResolvConf) -> ResolvConf:
        return ResolvConf(await servers_of_no_link(self._ask), ())


class Resolved(BySystemdResolved):
    """Sets name servers by systemd-resolved."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._changed: dict[str, set[str]] = {}  # by device: what was set of what stays when it is not set again
        self._waking: set[asyncio.Task[None]] = set()

    def prepare(self, device: str) -> None:
        """Ask for something that changes nothing: what answers later, polkit above all, has started by then."""
        task = asyncio.create_task(self._wake(device))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _wake(self, device: str) -> None:
        try:
            await self._call("RevertLink", index_of(device))
        except SystemFailure:
            pass  # told when name servers are wanted

    async def set(self, device: str, settings: DnsSettings) -> None:
        """Set them by several calls at once, each with a deadline."""
        await operational(device)
        index = index_of(device)
        had = self._changed.get(device, set())
        now = {what for what, wanted in (("tls", settings.over_tls), ("dnssec", settings.dnssec)) if wanted}
        self._changed[device] = now | had
        calls = [
            self._servers(index, settings),
            self._call("SetLinkDomains", index, "a(sb)", _domains(settings)),
            self._call("SetLinkDefaultRoute", index, "b", settings.everything),
        ]
        if "tls" in now | had:
            calls.append(self._call("SetLinkDNSOverTLS", index, "s", "yes" if settings.over_tls else ""))
        if "dnssec" in now | had:
            calls.append(self._call("SetLinkDNSSEC", index, "s", DNSSEC_MODES[settings.dnssec]))
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        self._changed[device] = now

    async def unset(self, device: str) -> None:
        """Revert the link, unless it is gone."""
        self._changed.pop(device, None)
        if exists(device):
            await self._call("RevertLink", index_of(device))

    def _servers(self, index: int, settings: DnsSettings) -> Awaitable[None]:
        rows: list[list[Any]] = []
        for server in settings.servers:
            address = ip_address(server.address)
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            rows.append([int(family), address.packed, server.port, server.sni])
        if any(port or sni for _, _, port, sni in rows):
            return self._call("SetLinkDNSEx", index, "a(iayqs)", rows)
        return self._call("SetLinkDNS", index, "a(iay)", [row[:2] for row in rows])

    async def _call(self, member: str, index: int, signature: str = "", *body: Any) -> None:
        await asked(self._ask, PATH, MANAGER, member, f"i{signature}", [index, *body])


async def look(ask: Ask, device: str) -> NamesInForce:
    """What systemd-resolved has for a link, which it tells everybody.  Raises SystemFailure."""
    (path,) = await asked(ask, PATH, MANAGER, "GetLink", "i", [index_of(device)])
    (values,) = await asked(ask, path, "org.freedesktop.DBus.Properties", "GetAll", "s", [_LINK])
    servers = []
    for _, address, port, sni in _value(values, "DNSEx", "a(iayqs)"):
        if len(address) in (4, 16):
            servers.append(NameServer(str(ip_address(bytes(address))), port, sni).text)
    domains = []
    everything = _value(values, "DefaultRoute", "b") is True
    for domain, only_routing in _value(values, "Domains", "a(sb)"):
        if domain == EVERYTHING:
            everything = True
        else:
            domains.append(f"~{domain}" if only_routing else domain)
    return NamesInForce(tuple(servers), (EVERYTHING, *domains) if servers and everything else tuple(domains))


def _value(values: dict[str, Variant], name: str, signature: str) -> Any:
    """A property; nothing if it is not there, or of another type."""
    found = values.get(name)
    return found.value if found is not None and found.signature == signature else ()


def _domains(settings: DnsSettings) -> list[list[Any]]:
    """Each domain with whether it is only for routing."""
    return [[one, False] for one in settings.search] + [[one, True] for one in settings.only_routed]
