"""systemd-resolved: name servers of links (org.freedesktop.resolve1(5)).

Its settings belong to the link, and go with it.  Capabilities of the caller count for nothing: polkit lets us call
(policy/polkit).
"""

import asyncio
import socket
from collections.abc import Awaitable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

from dbus_fast import Variant

from ...policy.dns import DNSSEC_MODES, EVERYTHING, DnsSettings, NameServer
from ...policy.limits import DNS_DEADLINE
from ..bus.connection import BusRefused
from ..errors import SystemFailure
from ..network.operational import operational
from .backend import Backend, NamesInForce

BUS_NAME = "org.freedesktop.resolve1"
_PATH = "/org/freedesktop/resolve1"
_LINK = "org.freedesktop.resolve1.Link"
_MANAGER = "org.freedesktop.resolve1.Manager"
# What it writes when the name servers of any link change; each link's own file is in a directory closed to others.
WRITTEN = (Path("/run/systemd/resolve/resolv.conf"),)
_ERRORS = {
    "org.freedesktop.DBus.Error.AccessDenied": "it does not let this service (no polkit?)",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": "polkit does not let this service: its rule is not "
    "installed (net.openvpn.v3.sessionmgr.rules)",
    "org.freedesktop.DBus.Error.ServiceUnknown": "it does not run",
    "org.freedesktop.DBus.Error.NoReply": f"it does not answer in {DNS_DEADLINE:g} s",
    "org.freedesktop.resolve1.LinkBusy": "systemd-networkd manages the device: one of its .network files matches any "
    "name",
}


class Ask(Protocol):
    """BusConnection.ask."""

    def __call__(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Any = (),
        *,
        deadline: float = ...,
    ) -> Awaitable[list[Any]]: ...


class Resolved(Backend):
    """Sets name servers by systemd-resolved."""

    name = "systemd-resolved"
    by_domain = True
    bus_name = BUS_NAME

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._changed: dict[str, set[str]] = {}  # by device: what was set of what stays when it is not set again
        self._waking: set[asyncio.Task[None]] = set()

    def prepare(self, device: str) -> None:
        """Ask for something that changes nothing: what answers later, polkit above all, has started by then."""
        task = asyncio.create_task(self._wake(device))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _wake(self, device: str) -> None:
        try:
            await self._call("RevertLink", _index(device))
        except SystemFailure:
            pass  # told when name servers are wanted

    async def set(self, device: str, settings: DnsSettings) -> None:
        """Set them by several calls at once, each with a deadline."""
        await operational(device)
        index = _index(device)
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
            await self._call("RevertLink", _index(device))

    async def look(self, device: str, settings: DnsSettings | None) -> NamesInForce:
        """Ask systemd-resolved for what it has for the link."""
        return await look(self._ask, device)

    def files(self, device: str) -> tuple[Path, ...]:
        return WRITTEN

    async def is_gone(self, device: str, settings: DnsSettings) -> bool:
        return await is_reverted(self._ask, device)

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
        await _asked(self._ask, _PATH, _MANAGER, member, f"i{signature}", [index, *body])


async def look(ask: Ask, device: str) -> NamesInForce:
    """What systemd-resolved has for a link, which it tells everybody.  Raises SystemFailure."""
    (path,) = await _asked(ask, _PATH, _MANAGER, "GetLink", "i", [_index(device)])
    (values,) = await _asked(ask, path, "org.freedesktop.DBus.Properties", "GetAll", "s", [_LINK])
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


async def is_reverted(ask: Ask, device: str) -> bool:
    """Whether a link has no name server any more; others are somebody's choice.  Raises SystemFailure."""
    return exists(device) and not (await look(ask, device)).servers


def _value(values: dict[str, Variant], name: str, signature: str) -> Any:
    """A property; nothing if it is not there, or of another type."""
    found = values.get(name)
    return found.value if found is not None and found.signature == signature else ()


async def _asked(ask: Ask, path: str, interface: str, member: str, signature: str, body: list[Any]) -> list[Any]:
    try:
        return await ask(BUS_NAME, path, interface, member, signature, body, deadline=DNS_DEADLINE)
    except BusRefused as error:
        raise SystemFailure(f"systemd-resolved: {_ERRORS.get(error.name) or error.text}") from error


def _domains(settings: DnsSettings) -> list[list[Any]]:
    """Each domain with whether it is only for routing."""
    return [[one, False] for one in settings.search] + [[one, True] for one in settings.only_routed]


def exists(device: str) -> bool:
    """Whether there is such a device: when it goes, so does all that was set for it."""
    try:
        return bool(socket.if_nametoindex(device))
    except OSError:
        return False


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise SystemFailure(f"there is no device {device}") from error
