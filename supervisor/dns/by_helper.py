"""Name servers where it takes root to set them: in /etc/resolv.conf, by resolvconf(8), or by resolvectl(1).

A process of user id 0 without a capability does it (worker/helpers/name_servers.py).
"""

from pathlib import Path

from ...policy.dns import MARK, DnsSettings
from ...policy.limits import MAX_RESOLV_CONF
from ..network.operational import operational
from ..workers.names_client import NameSetterClient
from .backend import Backend, NamesInForce
from .resolved import BUS_NAME, Ask, exists, look

RESOLV_CONF = Path("/etc/resolv.conf")
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


class ResolvConf(ByHelper):
    """Sets them in /etc/resolv.conf, which may have them still when the machine starts again."""

    def __init__(self, client: NameSetterClient) -> None:
        super().__init__(str(RESOLV_CONF), client)

    def left_behind(self) -> bool:
        try:
            with RESOLV_CONF.open(encoding="latin-1") as file:
                return MARK in file.read(MAX_RESOLV_CONF)
        except OSError:
            return False


class ResolvedByHelper(Backend):
    """Sets name servers by systemd-resolved where there is no polkit, which would admit this process."""

    name = "systemd-resolved"
    by_domain = True
    bus_name = BUS_NAME

    def __init__(self, client: NameSetterClient, ask: Ask) -> None:
        self._client = client
        self._ask = ask

    async def look(self, device: str, settings: DnsSettings | None) -> NamesInForce:
        return await look(self._ask, device)

    async def set(self, device: str, settings: DnsSettings) -> None:
        await operational(device)
        await self._client.set(device, settings)

    async def unset(self, device: str) -> None:
        if exists(device):
            await self._client.unset(device)
