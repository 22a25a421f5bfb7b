"""The machine's own name servers, told from those of sessions that stand in the same files."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

import msgspec

from ...policy.limits import MAX_RESOLV_CONF
from .prefixes import Host

_LOCAL = "127.0.0.1"  # what is asked where no name server is named (resolv.conf(5))
_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


class ResolvConf(msgspec.Struct, frozen=True):
    """What a file as resolv.conf(5) describes it has programs do."""

    servers: tuple[str, ...]
    search: tuple[str, ...]


class MachineNameServers:
    """What this machine asks for names, apart from the sessions."""

    def __init__(self) -> None:
        # What sessions have lent to the machine, by device; replaced whole, since another thread reads them.
        self._lent: dict[str, frozenset[Host]] = {}
        self._kept: frozenset[Host] = frozenset()  # the machine's, while sessions' stand in their place
        self.usual = ResolvConf((), ())  # what programs did without them, since then
        self._returned: frozenset[Host] = frozenset()  # which may be in the files for a moment longer

    def own(self) -> frozenset[Host]:
        """Those in use, but for ones on this machine, and those of sessions."""
        found = frozenset(_named())
        self._returned &= found
        return found.difference(self._returned, *self._lent.values()) | self._kept

    def lend(self, device: str, addresses: Iterable[str], *, alone: bool = False) -> None:
        """A session's name servers are about to be set, `alone` in the place of all others.

        What the machine has itself stays the machine's.
        """
        lent = frozenset(Host.of(ip_address(one)) for one in addresses)
        if alone and self._lent.get(device, frozenset()).isdisjoint(_named()):  # theirs do not stand there
            self._kept = frozenset()
            self.usual = _read_usual()
        own = self.own()
        if alone:
            self._kept = own
        self._lent = {**self._lent, device: lent - own}

    def inherit(self, device: str, addresses: Iterable[str]) -> None:
        """A session's name servers are set already, by an earlier instance."""
        self._lent = {**self._lent, device: frozenset(Host.of(ip_address(one)) for one in addresses)}

    def give_back(self, device: str) -> None:
        """A session's name servers are no longer set."""
        self._returned |= self._lent.get(device, frozenset())
        self._lent = {holder: hosts for holder, hosts in self._lent.items() if holder != device}
        if not self._lent:
            self._kept = frozenset()

    @property
    def lent_to(self) -> list[str]:
        """The devices for which sessions' name servers are set, or about to be."""
        return list(self._lent)


def _read_usual() -> ResolvConf:
    servers, search = list[str](), tuple[str, ...]()
    for words in map(str.split, _read(_FILES[0]).splitlines()):
        if words[:1] == ["nameserver"] and len(words) > 1:
            servers.append(words[1])
        elif words[:1] in (["search"], ["domain"]):
            search = tuple(words[1:])
    return ResolvConf(tuple(servers) or (_LOCAL,), search)


def _read(path: Path) -> str:
    """The text of such a file; "" if it cannot be read."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(MAX_RESOLV_CONF)
    except OSError:
        return ""


def _named() -> Iterator[Host]:
    for path in _FILES:
        yield from parse_name_servers(_read(path))


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
