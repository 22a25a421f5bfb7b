"""Addresses and networks as numbers, of which thousands are compared in no time."""

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

_BITS = {4: 32, 6: 128}


class Host(NamedTuple):
    """One address."""

    version: int
    number: int

    @classmethod
    def of(cls, address: IPv4Address | IPv6Address) -> "Host":
        return cls(address.version, int(address))

    @property
    def packed(self) -> bytes:
        """In network order."""
        return self.number.to_bytes(_BITS[self.version] // 8)

    def __str__(self) -> str:
        return str(_address(self.version, self.number))


class Prefix(NamedTuple):
    """A network."""

    version: int
    first: int
    length: int

    @classmethod
    def of(cls, network: IPv4Network | IPv6Network) -> "Prefix":
        return cls(network.version, int(network.network_address), network.prefixlen)

    @property
    def last(self) -> int:
        return self.first | ((1 << (_BITS[self.version] - self.length)) - 1)

    def shortened(self, length: int) -> "Prefix":
        """The network of this length that it lies in."""
        spare = _BITS[self.version] - length
        return Prefix(self.version, self.first >> spare << spare, length)

    @classmethod
    def alone(cls, host: Host) -> "Prefix":
        """The network of one address."""
        return cls(host.version, host.number, _BITS[host.version])

    def covers(self, host: Host) -> bool:
        return self.version == host.version and self.first <= host.number <= self.last

    def __str__(self) -> str:
        return f"{_address(self.version, self.first)}/{self.length}"


LINK_LOCAL = Prefix(6, 0xFE80 << 112, 64)  # that the kernel gives to devices by itself


class Way(NamedTuple):
    """How the machine reaches something by itself."""

    device: int  # its index
    gateway: Host | None = None
    onlink: bool = False  # the gateway is on the device, whatever its networks are

    def __str__(self) -> str:
        return str(self.gateway or f"device {self.device}")


class PrefixMap:
    """Networks, each with one or more holders; finds those that a network lies in."""

    def __init__(self, content: Iterable[tuple[Prefix, str]] = ()) -> None:
        self._holders: dict[Prefix, list[str]] = {}
        self._lengths: dict[int, Counter[int]] = {4: Counter(), 6: Counter()}
        for prefix, holder in content:
            self.add(prefix, holder)

    def add(self, prefix: Prefix, holder: str) -> None:
        self._holders.setdefault(prefix, []).append(holder)
        self._lengths[prefix.version][prefix.length] += 1

    def remove(self, prefix: Prefix, holder: str) -> None:
        holders = self._holders[prefix]
        holders.remove(holder)
        if not holders:
            del self._holders[prefix]
        lengths = self._lengths[prefix.version]
        lengths[prefix.length] -= 1
        if not lengths[prefix.length]:
            del lengths[prefix.length]

    def covering(self, prefix: Prefix) -> Iterator[tuple[Prefix, str]]:
        """The networks that hold all of `prefix`, each with each of its holders."""
        for length in list(self._lengths[prefix.version]):
            if length <= prefix.length:
                wider = prefix.shortened(length)
                for holder in self._holders.get(wider, ()):
                    yield wider, holder


def _address(version: int, number: int) -> IPv4Address | IPv6Address:
    return IPv4Address(number) if version == 4 else IPv6Address(number)
