"""This machine's TCP and UDP sockets, told apart by who began to speak: others, or a program here (proc_net(5))."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ...errors import SystemFailure

_DIRECTORY = Path("/proc/net")
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LISTENING = 10  # a state of TCP
_LOOPBACK4, _LOOPBACK6 = b"\x7f", bytes(15) + b"\1"
_MAPPED = bytes(10) + b"\xff\xff"  # before the bytes of an IPv4 address in one of IPv6


class Peer(msgspec.Struct, frozen=True):
    """The other end of a connection, and the port of ours."""

    address: bytes  # 4 or 16
    port: int
    own_port: int


class Sockets(msgspec.Struct, frozen=True):
    """What there is."""

    accepted: frozenset[Peer]  # TCP connections that others have made, as far as something still listens at their port
    outgoing: frozenset[tuple[int, int]]  # protocol and own port of what programs here use to speak first


class _Row(msgspec.Struct, frozen=True):
    port: int
    address: bytes  # of the peer
    peer: int
    state: int


def look(directory: Path = _DIRECTORY, ports: Path = _PORTS) -> Sockets:
    """Raises SystemFailure."""
    try:
        tcp = [row for name in ("tcp", "tcp6") for row in _rows(directory / name)]
        udp = [row for name in ("udp", "udp6") for row in _rows(directory / name)]
        lowest, highest = map(int, ports.read_text().split())
    except (OSError, ValueError) as error:
        raise SystemFailure(f"this machine's connections cannot be told: {error}") from error
    listening = {row.port for row in tcp if row.state == _LISTENING}
    connected = [row for row in tcp if row.peer]
    outgoing = {(socket.IPPROTO_TCP, row.port) for row in connected if row.port not in listening}
    # A service has a port of its own; a program that asks others gets one from this range.
    outgoing |= {(socket.IPPROTO_UDP, row.port) for row in udp if row.peer or lowest <= row.port <= highest}
    accepted = (Peer(row.address, row.peer, row.port) for row in connected if row.port in listening)
    return Sockets(frozenset(accepted), frozenset(outgoing))


def _rows(file: Path) -> Iterator[_Row]:
    """All but connections within this machine, of which any user may have very many."""
    try:
        lines = file.open(encoding="ascii")
    except FileNotFoundError:
        return  # without IPv6
    with lines:
        next(lines, None)
        for line in lines:
            _, own, peer, state, *_ = line.split()
            text, port = peer.split(":")
            address = _address(text)
            if not (len(address) == 4 and address.startswith(_LOOPBACK4)) and address != _LOOPBACK6:
                yield _Row(int(own.rpartition(":")[2], 16), address, int(port, 16), int(state, 16))


def _address(text: str) -> bytes:
    """The kernel prints words of four bytes, each as a number in its own order."""
    words = (int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8))
    address = b"".join(words)
    return address.removeprefix(_MAPPED) if len(address) == 16 else address
