"""Who connects from outside to services on the client's machine, and to a container there."""

import contextlib
import socket
from collections.abc import Iterator

from ..lab.network import CABLE, CLIENT_ADDRESS, CLIENT_ADDRESS6, Namespace, ip
from ..lab.processes import DEADLINE, Process
from .world import FAR, FAR6, World

PORT, PUBLISHED = 8080, 8081
CONTAINER, CONTAINER6 = "198.18.200.2", "2001:db8:200::2"
_HOST, _HOST6 = "198.18.200.1", "2001:db8:200::1"
_BRIDGE = "bridge"  # the client's end of the container's cable

SERVICE = """
import selectors, signal, socket, sys
port, addresses = int(sys.argv[1]), sys.argv[2:]
ready = selectors.DefaultSelector()
for address in addresses:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    ready.register(listener, selectors.EVENT_READ, "listener")
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    datagrams.bind((address, port))
    ready.register(datagrams, selectors.EVENT_READ, "datagrams")
def speak(*_):
    for key in ready.get_map().values():
        if key.data == "connection":
            key.fileobj.send(b"asked")
signal.signal(signal.SIGUSR1, speak)
print("ready", flush=True)
while True:
    for key, _ in ready.select():
        if key.data == "listener":
            ready.register(key.fileobj.accept()[0], selectors.EVENT_READ, "connection")
        elif key.data == "datagrams":
            key.fileobj.sendto(*key.fileobj.recvfrom(2048))
        else:
            data = key.fileobj.recv(2048)
            if data:
                key.fileobj.sendall(data)
            else:
                ready.unregister(key.fileobj)
                key.fileobj.close()
"""


def service(side: Namespace, user: str, *addresses: str, port: int = PORT) -> Process:
    """A service of a user's that sends back what it gets, over TCP and UDP, from the address that it is asked at.

    Upon SIGUSR1 it speaks by itself to all who are connected.
    """
    made = side.start(f"service of {user}", ["python3", "-c", SERVICE, str(port), *addresses], user)
    made.wait_line("^ready$")
    return made


class Peer:
    """A socket far away that asks a service."""

    def __init__(self, world: World, kind: socket.SocketKind, address: str, port: int = PORT) -> None:
        family, source = (socket.AF_INET6, FAR6) if ":" in address else (socket.AF_INET, FAR)
        with world.lab.server_side.entered():
            self._socket = socket.socket(family, kind)
        self.stream = kind is socket.SOCK_STREAM
        self._socket.settimeout(DEADLINE)
        self._socket.bind((source, 0))
        self._socket.connect((address, port))

    def ask(self) -> bool:
        """Whether an answer comes."""
        self._socket.send(b"asked")
        return self.hears()

    def hears(self) -> bool:
        """Whether something comes."""
        try:
            return self._socket.recv(2048) == b"asked"
        except TimeoutError:
            return False

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def container(world: World) -> Iterator[Namespace]:
    """A machine behind the client's, of which two ports are published, one by translation of addresses."""
    client, others = world.lab.client_side, world.lab.server_side
    world.forward()
    with contextlib.ExitStack() as stack:
        inside = Namespace("container")
        stack.callback(inside.close)
        ip("link", "add", _BRIDGE, "netns", client.name, "type", "veth", "peer", "name", "eth0", "netns", inside.name)
        stack.callback(ip, "-n", client.name, "link", "del", _BRIDGE)
        for side, device, *addresses in ((client, _BRIDGE, _HOST, _HOST6), (inside, "eth0", CONTAINER, CONTAINER6)):
            ip("-n", side.name, "address", "add", f"{addresses[0]}/24", "dev", device)
            ip("-n", side.name, "address", "add", f"{addresses[1]}/64", "dev", device, "nodad")
            ip("-n", side.name, "link", "set", device, "up")
        ip("-n", inside.name, "route", "add", "default", "via", _HOST)
        ip("-n", inside.name, "-6", "route", "add", "default", "via", _HOST6)
        for address, gateway in ((f"{CONTAINER}/32", CLIENT_ADDRESS), (f"{CONTAINER6}/128", CLIENT_ADDRESS6)):
            ip("-n", others.name, "route", "add", address, "via", gateway)
            stack.callback(ip, "-n", others.name, "route", "del", address, "via", gateway)
        assert not client.run(["nft", "-f", "-"], stdin=_PUBLISHED).returncode
        stack.callback(client.run, ["nft", "delete", "table", "inet", "published"])
        client.run(
            ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]
        )
        world.default_by(CABLE)
        yield inside


_PUBLISHED = f"""
table inet published {{
  chain incoming {{
    type nat hook prerouting priority dstnat
    ip daddr {CLIENT_ADDRESS} tcp dport {PUBLISHED} dnat ip to {CONTAINER}:{PORT}
    ip daddr {CLIENT_ADDRESS} udp dport {PUBLISHED} dnat ip to {CONTAINER}:{PORT}
    ip6 daddr {CLIENT_ADDRESS6} tcp dport {PUBLISHED} dnat ip6 to [{CONTAINER6}]:{PORT}
    ip6 daddr {CLIENT_ADDRESS6} udp dport {PUBLISHED} dnat ip6 to [{CONTAINER6}]:{PORT}
  }}
}}
"""
