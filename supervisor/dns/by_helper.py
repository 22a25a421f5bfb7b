"""Name servers where it takes root to set them: in /etc/resolv.conf, by resolvconf(8), or by resolvectl(1).

A process of user id 0 without a capability does it (worker/helpers/name_servers.py).
"""

import os
from pathlib import Path

from ...policy.dns import MARK, DnsSettings, usable_in_file
from ...policy.limits import MAX_RESOLV_CONF
from ..network.operational import operational
from ..workers.names_client import NameSetterClient
from .backend import Backend
from .resolved import BySystemdResolved
from .resolved_bus import Ask, exists

RESOLV_CONF = Path("/etc/resolv.conf")
_PARTS = Path("/run/resolvconf")  # in a directory of it, resolvconf(8) has what it was told
_USUAL_PORT = 53


class ByHelper(Backend):
    """Sets name servers in a file of root's, for all names."""

    outlives_device = True

    def __init__(self, name: str, client: NameSetterClient) -> None:
        self.name = name
        self._client = client

    def problem(self, settings: DnsSettings) -> str:
        """What a file like resolv.conf(5) cannot say."""
        if settings.over_tls:
            return f"{self.name} cannot have them asked over TLS"
        if settings.dnssec == "yes":
            return f"{self.name} cannot have their answers verified (DNSSEC)"
        if any(server.port not in (0, _USUAL_PORT) for server in settings.servers):
            return f"{self.name} cannot have them asked at another port than {_USUAL_PORT}"
        return ""

    async def set(self, device: str, settings: DnsSettings) -> None:
        await self._client.set(device, settings)

    async def unset(self, device: str) -> None:
        await self._client.unset(device)

    def files(self, device: str) -> tuple[Path, ...]:
        return (RESOLV_CONF,)


class ByResolvconf(ByHelper):
    """Sets them by resolvconf(8), whichever there is."""

    def __init__(self, name: str, client: NameSetterClient) -> None:
        super().__init__(name, client)
        self._parts: dict[str, Path] = {}  # by device, its file among those of resolvconf
        self._first: set[str] = set()  # devices whose name servers are those that programs ask first

    async def set(self, device: str, settings: DnsSettings) -> None:
        await super().set(device, settings)
        part = next(_PARTS.glob(f"*/{device}.openvpn3*"), None)
        if part is not None:
            self._parts[device] = part
        # Not where it feeds a name server on this machine.
        if _are_first(settings, _read_resolv_conf()):
            self._first.add(device)
        else:
            self._first.discard(device)

    async def unset(self, device: str) -> None:
        self._parts.pop(device, None)
        self._first.discard(device)
        await super().unset(device)

    def files(self, device: str) -> tuple[Path, ...]:
        part = self._parts.get(device)
        return (RESOLV_CONF,) if part is None else (RESOLV_CONF, part)

    async def is_gone(self, device: str, settings: DnsSettings) -> bool:
        part = self._parts.get(device)
        if part is not None and not part.exists():
            return True
        return device in self._first and not _are_first(settings, _read_resolv_conf())

    async def set_again(self, device: str, settings: DnsSettings) -> None:
        """Set it as something new: what it knows already, it does not write again."""
        await self._client.unset(device)
        await self.set(device, settings)


class InFile(ByHelper):
    """Sets them in /etc/resolv.conf, which may have them still when the machine starts again."""

    def __init__(self, client: NameSetterClient) -> None:
        super().__init__(str(RESOLV_CONF), client)

    def left_behind(self) -> bool:
        return MARK in _read_resolv_conf()

    async def is_gone(self, device: str, settings: DnsSettings) -> bool:
        return not _are_first(settings, _read_resolv_conf(), alone=True)


def _read_resolv_conf() -> str:
    """The text of resolv.conf; "" where it cannot be read."""
    try:
        file = os.open(RESOLV_CONF, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(file, encoding="latin-1") as text:
        try:
            return text.read(MAX_RESOLV_CONF)
        except OSError:
            return ""


def _are_first(settings: DnsSettings, text: str, *, alone: bool = False) -> bool:
    """Whether programs that read this text of resolv.conf(5) ask these name servers before others, or no others."""
    ours = usable_in_file(settings)
    asked = [words[1] for words in map(str.split, text.splitlines()) if len(words) > 1 and words[0] == "nameserver"]
    return asked == ours if alone else asked[: len(ours)] == ours


class ResolvedByHelper(BySystemdResolved):
    """Sets name servers by systemd-resolved where there is no polkit, which would admit this process."""

    def __init__(self, client: NameSetterClient, ask: Ask) -> None:
        super().__init__(ask)
        self._client = client

    async def set(self, device: str, settings: DnsSettings) -> None:
        await operational(device)
        await self._client.set(device, settings)

    async def unset(self, device: str) -> None:
        if exists(device):
            await self._client.unset(device)
