"""What the tests of the kill switch have besides: programs that send all the time, old connections, a container."""

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Self

from ..lab.lab import Lab
from ..lab.network import CLIENT_ADDRESS, Capture, Namespace, ip
from ..lab.processes import DEADLINE, LabError
from ..support.sessions import until
from .world import FAR, World

_CABLE = "container"  # the name of the veth device at both ends
_CONTAINER, _HOST = "198.19.2.2", "198.19.2.1"
_CONTAINER6, _HOST6 = "2001:db8:19::2", "2001:db8:19::1"
_FLOOD = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as sender:
    while True:
        try:
            sender.sendto(sys.argv[2].encode(), (sys.argv[1], 9))
        except OSError:
            pass
"""


class Flood:
    """Datagrams that a user sends all the time; what crosses the cable meanwhile."""

    def __init__(self, capture: Capture, marker: bytes) -> None:
        self._capture = capture
        self.marker = marker

    def frames(self) -> list[bytes]:
        """All frames so far, in their order."""
        return self._capture.frames()

    def wait_seen(self) -> None:
        """Wait until some have crossed."""
        until(lambda: self._capture.saw(self.marker))


@contextlib.contextmanager
def flood(world: World, address: str) -> Iterator[Flood]:
    """Within this block, alice sends datagrams to an address all the time."""
    marker = f"flood-{os.urandom(8).hex()}"
    with world.lab.server_side.capture() as capture:
        process = world.lab.start_as_user("alice", [sys.executable, "-c", _FLOOD, address, marker])
        try:
            yield Flood(capture, marker.encode())
        finally:
            process.stop()


def is_for(frame: bytes, address: str, port: int) -> bool:
    """Whether a frame is a datagram (UDP over IPv4) for this address and port."""
    version, protocol = frame[12:14], frame[23:24]
    to = (frame[30:34], frame[36:38])
    return (version, protocol, *to) == (b"\x08\0", b"\x11", ip_address(address).packed, struct.pack("!H", port))


class Inbound:
    """A TCP connection from far away to a service of the client's machine, which goes on listening."""

    def __init__(self, lab: Lab) -> None:
        with lab.client_side.entered():
            self._listener = socket.create_server((CLIENT_ADDRESS, 0))
        with lab.server_side.entered():
            self._there = socket.socket()
        self._there.bind((FAR, 0))
        self._there.settimeout(DEADLINE)
        self._there.connect(self._listener.getsockname())
        self._here, _ = self._listener.accept()
        self._here.settimeout(DEADLINE)

    def check(self) -> None:
        """Both ends hear each other, the one outside first."""
        for one, other in ((self._here, self._there), (self._there, self._here)):
            one.sendall(b"x")
            assert other.recv(1) == b"x"

    def close(self) -> None:
        for one in (self._here, self._there, self._listener):
            one.close()


class Outgoing:
    """A connection from the client's machine to a host far away, over TCP or UDP, with a word each way so far."""

    def __init__(self, lab: Lab, address: str, kind: str) -> None:
        self.kind = kind
        stream = kind == "tcp"
        with lab.server_side.entered():
            listener = socket.socket(type=socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        listener.bind((address, 0))
        listener.settimeout(DEADLINE)
        with lab.client_side.entered():
            self._here = socket.socket(type=listener.type)
        self._here.settimeout(DEADLINE)
        if stream:
            listener.listen()
        self._here.connect(listener.getsockname())
        self._here.send(b"x")
        if stream:
            self._there, _ = listener.accept()
            listener.close()
            assert self._there.recv(1) == b"x"
        else:
            self._there = listener
            _, peer = listener.recvfrom(1)
            listener.connect(peer)

    def hear_and_answer(self, answer: bytes) -> None:
        """The other end says something, and gets an answer, if it gets there."""
        self._there.send(b"word")
        assert self._here.recv(4) == b"word"
        with contextlib.suppress(OSError):
            self._here.send(answer)

    def close(self) -> None:
        self._here.close()
        self._there.close()


class Container:
    """A network namespace behind the client's machine, which forwards for it without a translation of addresses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        client, server = self._world.lab.client_side, self._world.lab.server_side
        self._inside = Namespace("container")
        self._stack.callback(self._inside.close)
        ip("link", "add", _CABLE, "netns", client.name, "type", "veth", "peer", "name", _CABLE, "netns", "container")
        self._stack.callback(lambda: ip("-n", client.name, "link", "del", _CABLE))
        for side, address, address6 in ((client, _HOST, _HOST6), (self._inside, _CONTAINER, _CONTAINER6)):
            lines = (f"address add {address}/24 dev {_CABLE}", f"address add {address6}/64 dev {_CABLE} nodad")
            ip("-n", side.name, "-batch", "-", batch="\n".join([*lines, f"link set {_CABLE} up\n"]))
        for version, host, network, client_address in (
            ("-4", _HOST, "198.19.2.0/24", CLIENT_ADDRESS),
            ("-6", _HOST6, "2001:db8:19::/64", "2001:db8:1::2"),
        ):
            ip("-n", "container", version, "route", "add", "default", "via", host)
            ip("-n", server.name, version, "route", "add", network, "via", client_address)
            self._stack.callback(ip, "-n", server.name, version, "route", "del", network)
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self._set(client, name, "1")
            self._stack.callback(self._set, client, name, "0")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _set(self, side: Namespace, name: str, value: str) -> None:
        side.run(["sh", "-c", f"echo {value} > /proc/sys/net/{name}"])

    def way(self, address: str) -> str:
        """Which cable a datagram to this address crosses; "" if none, and then it may be in a tunnel."""
        marker = f"container-{os.urandom(8).hex()}"
        send = (
            "import socket, sys\n"
            "a = socket.getaddrinfo(sys.argv[1], 9, type=socket.SOCK_DGRAM)[0]\n"
            "s = socket.socket(a[0], a[1])\n"
            "s.sendto(sys.argv[2].encode(), a[4])"
        )
        with self._world.watched() as seen:
            done = self._inside.run([sys.executable, "-c", send, address, marker])
            assert not done.returncode, done.stderr
            # What was sent before it has passed by then; it may be refused, as ours was.
            with contextlib.suppress(LabError):
                self._world.lab.echo(address, b"later")
            return seen(marker.encode())
