"""Which server address the engine tries next.

The engine has nothing to resolve names with but a hosts file of its own, which is written anew before each of its
attempts with one address a name.  So every address is tried, in order, before a name is looked up again, and the one
that worked last is tried first after a connection was lost.  (Answering the engine's own query for an address, the
management interface's way, costs a second each time: it waits that long for more commands.)

A name that does not resolve would make the engine end.  As long as another remote can be tried, such a name gets an
address that leads nowhere, and `leads_nowhere` tells when the engine has come to it and is to be sent on.  It is looked
up again when each remote has had its turn: a round.
"""

import os
import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

import msgspec

from ..profile.values import Remote, version_of

_ENDPOINT = re.compile(r"link remote: \[AF_INET6?\](\S+):\d+|connection with \[AF_INET6?\](\S+):\d+")

# Nothing is ever reached there: the broadcast address, which sockets may not send to unasked, and the address of
# the discard-only prefix (RFC 6666).
_NOWHERE = {4: "255.255.255.255", 6: "100::"}


def on_this_machine(host: str) -> bool:
    """Whether `host` is an address of the loopback device, or the name of this machine for itself (RFC 6761)."""
    if version_of(host):
        return ip_address(host).is_loopback
    return host.rstrip(".").lower().endswith("localhost")


class _Name(msgspec.Struct):
    """A name as remotes of one address family want it."""

    host: str
    family: int  # 4, 6, or 0 for whichever
    alias: str  # what the engine looks for in its hosts file
    random: bool  # it is looked up below a label that nobody has asked for before
    query: str = ""  # what is looked up for it
    addresses: list[str] = []  # all that the last look-up gave
    untried: list[str] = []
    worked: str = ""
    failed: bool = False  # looked up in this round in vain

    def ask(self) -> str:
        """What to look up."""
        if not self.query:
            # remote-random-hostname in openvpn(8): twelve hexadecimal digits.
            self.query = f"{os.urandom(6).hex()}.{self.host}" if self.random else self.host
        return self.query

    def learn(self, addresses: Iterable[str]) -> None:
        """A look-up gave these; none, and the one that worked is tried again."""
        self.addresses = [address for address in addresses if _in_hosts_file(address, self.family)]
        self.untried = self.addresses[:] or ([self.worked] if self.worked else [])
        self.failed = not self.untried
        self.query = ""

    def refresh(self, addresses: Iterable[str]) -> None:
        """The same, while the first address is tried; none, and all stay as they are."""
        first = self.untried[:1]
        if found := [address for address in addresses if _in_hosts_file(address, self.family)]:
            self.addresses = found
            self.untried = [*first, *(address for address in found if address not in first)]
            self.failed = False
        self.query = ""


class Remotes:
    """The servers of a profile, and where each name's addresses stand."""

    def __init__(self, remotes: Iterable[Remote], *, random_names: bool = False) -> None:
        """With `random_names`, servers are looked up below labels made up for that (remote-random-hostname)."""
        self.remotes = tuple(remotes)
        hosts = dict.fromkeys(host for remote in self.remotes for host in _looked_for(remote))
        self._names = [
            _Name(host, family, alias, random_names and of_server)
            for host, family, alias, of_server in hosts
            if not version_of(host)
        ]
        self._some_need_no_name = any(
            all(version_of(host) for host, *_ in _looked_for(remote)) for remote in self.remotes
        )
        self._turns_left = len(self.remotes)  # of this round
        self.tried = ""  # the address the engine last spoke of

    @property
    def local(self) -> bool:
        """Whether the engine has to connect to this machine, to a server or a proxy."""
        return any(on_this_machine(remote.proxy.host if remote.proxy else remote.host) for remote in self.remotes)

    def to_look_up(self) -> list[str]:
        """Names without an address left to try, that have not failed to resolve in this round."""
        return list(dict.fromkeys(one.ask() for one in self._names if not one.untried and not one.failed))

    def known(self) -> list[str]:
        """What to look up for the names that have addresses, to learn whether they have others by now."""
        return list(dict.fromkeys(one.ask() for one in self._names if one.addresses))

    def refreshed(self, query: str, addresses: tuple[str, ...]) -> None:
        """A look-up beside an attempt gave these addresses: they take the place of all but the one tried first."""
        for one in self._names:
            if one.ask() == query:
                one.refresh(addresses)

    @property
    def usable(self) -> bool:
        """Whether the engine has any address to try."""
        return self._some_need_no_name or any(one.untried for one in self._names)

    def addresses(self) -> tuple[str, ...]:
        """All that the engine may come to in its next attempts, as far as they are known."""
        hosts = dict.fromkeys(host for remote in self.remotes for host, *_ in _looked_for(remote) if version_of(host))
        return tuple(dict.fromkeys([*hosts, *(address for one in self._names for address in one.untried)]))

    def learned(self, query: str, addresses: tuple[str, ...]) -> list[str]:
        """A look-up gave these addresses, in the order to try them; none: it failed.

        Returns what is wrong with addresses that there are, in words.
        """
        troubles = []
        for one in self._names:
            if one.ask() == query:
                one.learn(addresses)
                if one.family and addresses and not one.addresses:
                    troubles.append(f"{one.host} has no IPv{one.family} address, which its remote asks for")
        return troubles

    def hosts_file(self) -> str:
        """The next address of each name (hosts(5)), for one attempt."""
        self._turns_left -= 1
        if self._turns_left <= 0:
            self.forget_failures()
        return "".join(
            f"{one.untried[0] if one.untried else _NOWHERE[one.family or 4]} {one.alias}\n" for one in self._names
        )

    def forget_failures(self) -> None:
        """Begin a new round: names that failed to resolve may be looked up again."""
        self._turns_left = len(self.remotes)
        for one in self._names:
            one.failed = False

    def heard(self, text: str) -> None:
        """Note the address in a log line of the engine, such as "UDPv4 link remote: [AF_INET]198.51.100.1:1194"."""
        match = _ENDPOINT.search(text)
        if match:
            self.tried = match[1] or match[2]

    @property
    def leads_nowhere(self) -> bool:
        """Whether the engine has come to a name that did not resolve."""
        return self.tried in _NOWHERE.values()

    @property
    def attempts_in_a_round(self) -> int:
        """Attempts in which the engine, trying one server after the other, comes to each address of each."""
        return len(self.remotes) * max([1, *(len(one.addresses) for one in self._names)])

    def attempt_failed(self) -> None:
        """Pass on from the address that was tried last; from all if it is not known which one that was."""
        tried = [one for one in self._names if one.untried and one.untried[0] == self.tried]
        for one in tried or ([] if self.leads_nowhere else self._names):
            del one.untried[:1]
        self.tried = ""

    def connected(self, address: str, port: int) -> Remote:
        """The remote that an established connection is to; remembers its address as good."""
        hosts = {address}
        for one in self._names:
            if one.untried and one.untried[0] == address:
                one.worked = address
                hosts.add(one.host)
        of_host = [remote for remote in self.remotes if any(host in hosts for host, *_ in _looked_for(remote))]
        of_port = [remote for remote in of_host if remote.proxy or remote.port == port]
        return (of_port or of_host or list(self.remotes))[0]

    def lost(self) -> None:
        """An established connection was lost: begin again with the addresses that worked, then the others known."""
        for one in self._names:
            others = [address for address in one.addresses if address != one.worked]
            one.untried = [one.worked, *others] if one.worked else others
        self.tried = ""


def _looked_for(remote: Remote) -> Iterator[tuple[str, int, str, bool]]:
    """What the engine looks for to reach a remote: host, family, what it calls that, whether it is the server itself.

    A proxy is told the server's name; but over UDP, which SOCKS relays, the engine has to know the address.
    """
    if remote.proxy:
        yield remote.proxy.host, 0, remote.proxy.host, False
    if not remote.proxy or (remote.proxy.kind == "socks" and remote.proto == "udp"):
        yield remote.host, remote.family, remote.alias or remote.host, True


def _in_hosts_file(address: str, family: int) -> bool:
    """Whether `address` is of the family, and without a scope: hosts(5) knows none, and one may contain anything."""
    return "%" not in address and version_of(address) in ((family,) if family else (4, 6))
