"""The machine's own name servers, told from those of sessions that stand in the same files."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

from .prefixes import Host

_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_MAX_FILE = 64 * 1024  # bytes that are looked at


class MachineNameServers:
    """What this machine asks for names, apart from the sessions."""

    def __init__(self) -> None:
        # What sessions have lent to the machine, by device; replaced whole, since another thread reads them.
        self._lent: dict[str, frozenset[Host]] = {}
        self._returned: frozenset[Host] = frozenset()  # which may be in the files for a moment longer

    def own(self) -> frozenset[Host]:
        """Those in use, but for ones on this machine, and those of sessions."""
        found = frozenset(_named())
        self._returned &= found
        return found.difference(self._returned, *self._lent.values())

    def lend(self, device: str, addresses: Iterable[str]) -> None:
        """A session's name servers are about to be set.  What the machine has itself stays the machine's."""
        lent = frozenset(Host.of(ip_address(one)) for one in addresses)
        self._lent = {**self._lent, device: lent - self.own()}

    def give_back(self, device: str) -> None:
        """A session's name servers are no longer set."""
        self._returned |= self._lent.get(device, frozenset())
        self._lent = {holder: hosts for holder, hosts in self._lent.items() if holder != device}


def _named() -> Iterator[Host]:
    for path in _FILES:
        try:
            with path.open(encoding="ascii", errors="replace") as file:
                text = file.read(_MAX_FILE)
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
