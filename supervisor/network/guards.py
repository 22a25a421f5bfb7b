"""Which addresses of sessions are kept from other users of this machine; to be used in the network's thread."""

from collections.abc import Sequence, Set

from ...policy.dbus_numbers import LogGroup
from ...policy.network import is_private
from ..errors import SystemFailure
from ..logging.log import Log
from .firewall import Firewall, Guard
from .journal import Entry
from .prefixes import Host


class AddressGuards:
    """The guarded addresses of all sessions."""

    def __init__(self, firewall: Firewall, log: Log) -> None:
        self._firewall = firewall
        self._log = log
        self._guards: dict[Host, Guard] = {}

    def begin(self, owner: int, device: Entry, addresses: Sequence[Host]) -> list[str]:
        """Keep other users from these addresses before they are set on the device of a session of user `owner`.

        Returns a warning for each that may then not be set all the same (see `permit`).
        """
        if owner == 0:
            return []
        guards = self._guards | dict.fromkeys(addresses, Guard((owner, device.uid), device.index))
        try:
            self._firewall.guard(guards)
        except SystemFailure as error:
            return [
                f"address {address} is left out: it is public, and other users of this machine cannot be kept from "
                f"taking its owner for the host that has it ({error})"
                for address in addresses
                if not self.permit(owner, address)
            ]
        self._guards = guards
        return []

    def permit(self, owner: int, address: Host) -> bool:
        """Whether an address may be set."""
        return owner == 0 or is_private(address.version, address.number, address.number) or address in self._guards

    def end(self, addresses: Set[Host]) -> None:
        """They are set no more."""
        if not self._guards.keys() & addresses:
            return
        self._guards = {host: guard for host, guard in self._guards.items() if host not in addresses}
        try:
            self._firewall.guard(self._guards)
        except SystemFailure as error:
            self._log.error(f"Addresses stay closed to other users: {error}", group=LogGroup.NETCFG)
