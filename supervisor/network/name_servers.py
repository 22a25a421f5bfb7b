"""The machine's own name servers, told from those of sessions that stand in the same files."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import msgspec

from ...policy.limits import MAX_RESOLV_CONF
from ...policy.resolv_conf import without_servers
from .prefixes import Host

_LOCAL = "127.0.0.1"  # what is asked where no name server is named (resolv.conf(5))
_MAX_SERVERS, _MAX_SEARCH = 3, 6  # that the C library uses
_MAX_NAME = 253  # characters of a domain (RFC 1035)
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
        self._usual = ResolvConf((), ())  # what programs did then
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
            self._usual = _parsed(_text(_FILES[0]))
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

    def usual(self) -> ResolvConf:
        """What programs would do without the sessions' name servers; no servers if that is not known."""
        now = _parsed(_text(_FILES[0]))
        lent = frozenset[Host]().union(*self._lent.values())
        own = tuple(server for server in now.servers if Host.of(ip_address(server.partition("%")[0])) not in lent)
        if own or not lent:
            return ResolvConf(own or (_LOCAL,), now.search)
        return self._usual

    @property
    def lent_to(self) -> list[str]:
        """The devices for which sessions' name servers are set, or about to be."""
        return list(self._lent)


def _parsed(text: str) -> ResolvConf:
    servers, search = list[str](), tuple[str, ...]()
    for words in map(str.split, text.splitlines()):
        if words[:1] == ["nameserver"] and len(words) > 1 and _address(words[1]) is not None:
            servers.append(words[1])
        elif words[:1] in (["search"], ["domain"]):
            search = tuple(word for word in words[1:] if len(word) <= _MAX_NAME)
    return ResolvConf(tuple(servers[:_MAX_SERVERS]), search[:_MAX_SEARCH])


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _text(path: Path) -> str:
    """The text of such a file without what this service has put into it; "" if it cannot be read."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return without_servers(file.read(MAX_RESOLV_CONF))
    except OSError:
        return ""


def _named() -> Iterator[Host]:
    for path in _FILES:
        yield from parse_name_servers(_text(path))


def parse_name_servers(text: str) -> Iterator[Host]:
    """The name servers in a file as resolv.conf(5) describes it, but for ones at loopback and link-local addresses."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            server = _address(words[1])
            if server is not None and not (server.is_loopback or server.is_link_local or server.is_unspecified):
                yield Host.of(server)
