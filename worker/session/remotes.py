"""Which server address the engine tries next.

The engine has nothing to resolve names with but a hosts file of its own, which is written anew before each of its
attempts with one address a name.  So every address is tried, in order, before a name is looked up again, and the one
that worked last is tried first after a connection was lost.  (Answering the engine's own query for an address, the
management interface's way, costs a second each time: it waits that long for more commands.)

A name that does not resolve would make the engine end.  As long as another remote can be tried, such a name gets an
address that leads nowhere, and `leads_nowhere` tells when the engine has come to it and is to be sent on.
"""

import ipaddress
import re
from collections.abc import Iterable

import msgspec

from ..profile.values import Remote

_ENDPOINT = re.compile(r"link remote: \[AF_INET6?\](\S+):\d+|connection with \[AF_INET6?\](\S+):\d+")

# Nothing is ever reached there: the broadcast address, which sockets may not send to unasked, and the address of
# the discard-only prefix (RFC 6666).
_NOWHERE = {4: "255.255.255.255", 6: "100::"}


def version_of(host: str) -> int:
    """4 or 6 if `host` is an address already, 0 for a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0


def on_this_machine(host: str) -> bool:
    """Whether `host` is an address of the loopback device, or the name of this machine for itself (RFC 6761)."""
    if version_of(host):
        return ipaddress.ip_address(host).is_loopback
    return host.rstrip(".").lower().endswith("localhost")


class _Name(msgspec.Struct):
    """A name as remotes of one address family want it."""

    name: str
    family: int  # 4, 6, or 0 for whichever
    untried: list[str] = []
    worked: str = ""
    failed: bool = False  # looked up for this attempt in vain


class Remotes:
    """The servers of a profile, and where each name's addresses stand."""

    def __init__(self, remotes: Iterable[Remote]) -> None:
        self._remotes = tuple(remotes)
        # Through a proxy the remote's name is the proxy's to resolve.
        hosts = dict.fromkeys(
            (remote.proxy.host, 0) if remote.proxy else (remote.host, remote.family) for remote in self._remotes
        )
        self._names = [_Name(host, family) for host, family in hosts if not version_of(host)]
        self._some_need_no_name = len(self._names) < len(hosts)
        self.tried = ""  # the address the engine last spoke of

    @property
    def local(self) -> bool:
        """Whether the engine has to connect to this machine, to a server or a proxy."""
        return any(on_this_machine(remote.proxy.host if remote.proxy else remote.host) for remote in self._remotes)

    def to_look_up(self) -> list[str]:
        """Names without an address left to try, that have not failed to resolve for this attempt."""
        return list(dict.fromkeys(one.name for one in self._names if not one.untried and not one.failed))

    @property
    def usable(self) -> bool:
        """Whether the engine has any address to try."""
        return self._some_need_no_name or any(one.untried for one in self._names)

    def learned(self, name: str, addresses: tuple[str, ...]) -> None:
        """A look-up gave these addresses, in the order to try them; none: it failed."""
        for one in self._names:
            if one.name == name:
                one.untried = [address for address in addresses if _in_hosts_file(address, one.family)]
                one.failed = not one.untried

    def hosts_file(self) -> str:
        """The next address of each name (hosts(5)), for one attempt; names that failed may be looked up again."""
        lines = []
        for one in self._names:
            address = one.untried[0] if one.untried else _NOWHERE[one.family or 4]
            lines.append(f"{address} {one.name}\n")
            one.failed = False
        return "".join(lines)

    def forget_failures(self) -> None:
        """Names that failed to resolve may be looked up again."""
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
                hosts.add(one.name)
        of_host = [remote for remote in self._remotes if (remote.proxy or remote).host in hosts]
        of_port = [remote for remote in of_host if remote.proxy or remote.port == port]
        return (of_port or of_host or list(self._remotes))[0]

    def lost(self) -> None:
        """An established connection was lost: begin again with the addresses that worked."""
        for one in self._names:
            one.untried = [one.worked] if one.worked else []
        self.tried = ""


def _in_hosts_file(address: str, family: int) -> bool:
    """Whether `address` is of the family, and without a scope: hosts(5) knows none, and one may contain anything."""
    return "%" not in address and version_of(address) in ((family,) if family else (4, 6))
