"""The claims of all sessions, found by what they are asked for, however many there are.  Pure."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import TypeVar

from .claim import Claim
from .prefixes import Host

_K = TypeVar("_K", int, Host)


class ClaimRegister:
    """Claims by device, by user, and by the addresses in them."""

    def __init__(self) -> None:
        self.servers: list[tuple[Host, str]] = []  # with the devices, sorted
        self._claims: dict[str, Claim] = {}
        self._of_user: dict[int, dict[str, None]] = {}
        self._with: dict[Host, dict[str, None]] = {}  # an address of a session's, another end's, or a server's

    def __getitem__(self, device: str) -> Claim:
        return self._claims[device]

    def __contains__(self, device: object) -> bool:
        return device in self._claims

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._claims.values())

    def get(self, device: str) -> Claim | None:
        """That of a device's session, if it has one."""
        return self._claims.get(device)

    def put(self, device: str, claim: Claim) -> None:
        """Have this be a device's session's, in place of the one before."""
        self.remove(device)
        self._claims[device] = claim
        self._of_user.setdefault(claim.owner, {})[device] = None
        for host in _hosts(claim):
            self._with.setdefault(host, {})[device] = None
        if claim.server is not None:
            insort(self.servers, (claim.server, device))

    def remove(self, device: str) -> None:
        """Have it have none."""
        claim = self._claims.pop(device, None)
        if claim is None:
            return
        _leave(self._of_user, claim.owner, device)
        for host in _hosts(claim):
            _leave(self._with, host, device)
        if claim.server is not None:
            del self.servers[bisect_left(self.servers, (claim.server, device))]

    def others(self, device: str, owner: int) -> list[Claim]:
        """Those of a user's other sessions."""
        return [self._claims[one] for one in self._of_user.get(owner, ()) if one != device]

    def with_host(self, device: str, host: Host) -> Iterator[Claim]:
        """Those of other sessions that have to do with an address."""
        return (self._claims[one] for one in self._with.get(host, ()) if one != device)

    def is_server(self, host: Host) -> bool:
        """Whether an address is that of any session's server."""
        return any(self._claims[one].server == host for one in self._with.get(host, ()))


def _hosts(claim: Claim) -> Iterable[Host]:
    return {*claim.addresses, *claim.peers, *(() if claim.server is None else (claim.server,))}


def _leave(where: dict[_K, dict[str, None]], key: _K, device: str) -> None:
    del where[key][device]
    if not where[key]:
        del where[key]
