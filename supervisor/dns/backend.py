"""What can set name servers on this machine."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ...policy.dns import EVERYTHING, DnsSettings
from ..errors import SystemFailure
from ..network.name_servers import ResolvConf


class NamesInForce(msgspec.Struct, frozen=True):
    """Name servers that this machine uses because of a device, and for which domains."""

    servers: tuple[str, ...]
    domains: tuple[str, ...]  # "." is all names; "~" begins those that are not searched


class Backend(ABC):
    """One way to set the name servers of a session's device.  Calls for one device come one after the other."""

    name: str
    by_domain = False  # it can look up names by their domains, each with other servers
    outlives_device = False  # what it has set stays when the device goes
    bus_name = ""  # of the service that does it; when that starts, all is set again

    def prepare(self, device: str) -> None:  # noqa: B027
        """A session begins, which may want name servers later."""

    def problem(self, settings: DnsSettings) -> str:
        """Why it cannot have such name servers; "" if it can."""
        return ""

    async def look(self, device: str, settings: DnsSettings | None) -> NamesInForce:
        """What is in force for a device, for which `settings` have been set, as far as it is known.

        Raises SystemFailure.
        """
        return described(settings)

    def files(self, device: str) -> tuple[Path, ...]:
        """Files that change when others take away what is set for a device, as far as there are any."""
        return ()

    async def is_gone(self, device: str, settings: DnsSettings) -> bool:
        """Whether others have taken away what was set for a device.  Raises SystemFailure."""
        return False

    async def set_again(self, device: str, settings: DnsSettings) -> None:
        """Set what is gone.  Raises SystemFailure."""
        await self.set(device, settings)

    async def look_up_past(self, host: str, devices: Iterable[str]) -> tuple[tuple[str, ...], str]:
        """The addresses of a name as this machine looks it up without these devices, where that can be asked for.

        None, and perhaps why, if there are none.
        """
        return (), ""

    async def usual_servers(self, of_file: ResolvConf) -> ResolvConf:
        """What to ask where that gives none; `of_file` is what resolv.conf said without sessions."""
        return of_file

    def left_behind(self) -> bool:
        """Whether an earlier instance has left something behind, whatever is noted of it."""
        return False

    @abstractmethod
    async def set(self, device: str, settings: DnsSettings) -> None:
        """Set name servers, in place of those set before.  Raises SystemFailure."""

    @abstractmethod
    async def unset(self, device: str) -> None:
        """Give back what the machine had before.  Raises SystemFailure."""


def described(settings: DnsSettings | None) -> NamesInForce:
    """These settings as they are shown."""
    if settings is None:
        return NamesInForce((), ())
    routing = [f"~{domain}" for domain in settings.only_routed if domain != EVERYTHING]
    domains = (*([EVERYTHING] if settings.everything else ()), *settings.search, *routing)
    return NamesInForce(tuple(server.text for server in settings.servers), domains)


class NoBackend(Backend):
    """Nothing here can set name servers, or nothing is to."""

    name = "none"

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def problem(self, settings: DnsSettings) -> str:
        """Why there are none."""
        return self._reason

    async def set(self, device: str, settings: DnsSettings) -> None:
        raise SystemFailure(self._reason)

    async def unset(self, device: str) -> None:
        pass
