"""What four clients make of each option about routes and names: `make comparison` prints the tables of docs/NETWORK.md.

A host far away is sent something over IPv4 and over IPv6, and so is one on the client's own network; who watches the
cables tells what came by in the clear.  Everything is in the lab.
"""

import contextlib
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..lab import engine27
from ..lab.connection import BusClient
from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import V27
from ..lab.lab import Lab
from ..lab.network import SERVER_ADDRESS
from ..lab.openvpn import PORT, OpenVpn
from ..lab.pki import Pki
from ..lab.private_etc import OF_RESOLV_CONF, PrivateEtc
from ..lab.processes import LabError
from ..lab.surroundings import SHARED
from ..support.sessions import until
from ..support.traces import Traces
from .world import FAR, FAR6, NEIGHBOUR, SERVER6, SERVERS, World

_CONNECTED, _OVER = (2, 7), (8, 9, 10, 11, 16)  # statuses of OpenVPN 3 Linux: major and minor; minor ones of an end
_PATIENCE = 20.0  # seconds for a connection
_HOST_BEFORE = f"# the administrator's\nnameserver {SERVER_ADDRESS}\n"


class Client(ABC):
    """One of the four; each row has a laboratory of its own."""

    name: str

    @contextlib.contextmanager
    def lab(self, pki: Pki) -> Iterator[Lab]:
        """Where it runs."""
        with Lab(pki) as made:
            yield made

    @abstractmethod
    def connect(self, lab: Lab, profile: str) -> None:
        """Connect with a profile.  Raises LabError."""

    @abstractmethod
    def end(self) -> None:
        """Disconnect."""

    @abstractmethod
    def kill(self) -> None:
        """Kill what holds the tunnel (SIGKILL)."""

    def resolv_conf(self, lab: Lab) -> str:
        """What is there for programs to look names up with."""
        return OF_RESOLV_CONF.read_text()


class Plain(Client):
    """The openvpn program by itself, as root."""

    def __init__(self, name: str, program: Callable[[Lab], str], more: Sequence[str] = ()) -> None:
        """`more` are lines of its profile."""
        self.name = name
        self._program, self._more = program, more
        self._openvpn: OpenVpn

    def connect(self, lab: Lab, profile: str) -> None:
        text = "\n".join((*self._more, profile))
        self._openvpn = OpenVpn(self.name, lab.client_side, lab.directory / "plain", text, self._program(lab))
        self._openvpn.start(_PATIENCE)

    def end(self) -> None:
        self._openvpn.stop()

    def kill(self) -> None:
        self._openvpn.process.signal(signal.SIGKILL)
        self._openvpn.process.wait()
        self._openvpn.stop()


class Sessions(Client):
    """A session manager on the bus."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._alice: BusClient
        self._path = ""

    def _start(self, lab: Lab) -> None:
        lab.supervisor()

    def connect(self, lab: Lab, profile: str) -> None:
        self._start(lab)
        self._alice = lab.connection("alice")
        self._path = self._alice.new_tunnel(self._alice.import_profile("work", profile))
        self._wait(lambda status: status[:2] != [0, 0])
        self._alice.session(self._path, "Connect")
        self._wait(lambda status: tuple(status[:2]) == _CONNECTED)

    def _wait(self, wanted: Callable[[list[int]], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not wanted(status := self._alice.get(self._path, "status")):
            if status[1] in _OVER or time.monotonic() > deadline:
                raise LabError(f"{self.name}: status {status}")

    def end(self) -> None:
        self._alice.session(self._path, "Disconnect")

    def kill(self) -> None:
        os.kill(self._alice.get(self._path, "backend_pid"), signal.SIGKILL)


class Original(Sessions):
    """OpenVPN 3 Linux."""

    @contextlib.contextmanager
    def lab(self, pki: Pki) -> Iterator[Lab]:
        with IncumbentLab(V27, pki) as made:
            yield made

    def _start(self, lab: Lab) -> None:
        assert isinstance(lab, IncumbentLab)
        lab.foreign.inside(OF_RESOLV_CONF).write_text(_HOST_BEFORE)
        lab.start_services()

    def resolv_conf(self, lab: Lab) -> str:
        assert isinstance(lab, IncumbentLab)
        return lab.foreign.inside(OF_RESOLV_CONF).read_text()


CLIENTS = (
    Plain("OpenVPN 2.6", lambda lab: "openvpn"),
    Plain("OpenVPN 2.7", lambda lab: lab.openvpn27, ("script-security 2", f"dns-updown {engine27.DNS_UPDOWN}")),
    Original("OpenVPN 3 Linux 27.1"),
    Sessions("here"),
)


@dataclass(frozen=True)
class Row:
    """A story: what the server pushes, and what else is special."""

    pushes: tuple[str, ...]
    title: str = ""
    server: str = SERVERS[0]
    default_route: bool = True
    killed: bool = False
    protocol: str = "udp"

    @property
    def label(self) -> str:
        """For the table."""
        return self.title or ", ".join(f"`{one}`" for one in self.pushes)


_DEF1 = "redirect-gateway def1"
ROUTES = (
    Row((_DEF1,)),
    Row(("redirect-gateway",)),
    Row((f"{_DEF1} ipv6",)),
    Row((f"{_DEF1} ipv6 !ipv4",)),
    Row((f"{_DEF1} local",)),
    Row((f"{_DEF1} autolocal",)),
    Row((f"{_DEF1} block-local",)),
    Row((f"{_DEF1} bypass-dhcp bypass-dns",)),
    Row(("redirect-private def1",)),
    Row(("redirect-private block-local",)),
    Row((_DEF1, "block-ipv6")),
    Row(("block-ipv6",)),
    Row((_DEF1, "redirect-gateway ipv6 !ipv4")),
    Row(("redirect-gateway ipv6 !ipv4", _DEF1)),
    Row(("route 0.0.0.0 0.0.0.0",)),
    Row(("route 0.0.0.0 128.0.0.0", "route 128.0.0.0 128.0.0.0")),
    Row(("route-ipv6 ::/0",)),
    Row(("route-ipv6 2000::/3",)),
    Row((_DEF1, f"route {FAR} 255.255.255.255 net_gateway")),
    Row((f"route {FAR} 255.255.255.255 vpn_gateway",)),
    Row((f"route {FAR} 255.255.255.255",)),
    Row((_DEF1,), f"`{_DEF1}`, no default route on the machine", default_route=False),
    Row((_DEF1,), f"`{_DEF1}`, server on the local network", server=NEIGHBOUR),
    Row((_DEF1,), f"`{_DEF1}`, server reached by IPv6", server=SERVER6, protocol="udp6"),
    Row((_DEF1,), f"`{_DEF1}`, killed (SIGKILL)", killed=True),
)

_DNS = "dhcp-option DNS 198.18.0.1"
NAMES = (
    Row((_DNS,)),
    Row((_DNS, "dhcp-option DNS 198.18.0.2", "dhcp-option DNS 198.18.0.3", "dhcp-option DNS 198.18.0.4")),
    Row(("dhcp-option DNS6 2001:db8:2::1",)),
    Row((_DNS, "dhcp-option DOMAIN a.example")),
    Row((_DNS, "dhcp-option DOMAIN-SEARCH a.example", "dhcp-option DOMAIN-SEARCH b.example")),
    Row((_DNS, "dhcp-option ADAPTER_DOMAIN_SUFFIX a.example")),
    Row((_DNS, "dhcp-option DOMAIN-ROUTE a.example")),
    Row(("dns server 1 address 198.18.0.1",)),
    Row(("dns server 1 address 198.18.0.1", "dns search-domains a.example b.example")),
    Row(("dns server 1 address 198.18.0.1", "dns server 2 address 198.18.0.2")),
    Row(("dns server 1 address 198.18.0.1", "dns server 1 resolve-domains a.example")),
    Row(("dns server 1 address 198.18.0.1:5353",)),
    Row((_DNS, "dns server 1 address 198.18.0.2")),
    Row((_DNS,), f"`{_DNS}`, killed (SIGKILL)", killed=True),
)


def way_of(world: World, address: str) -> str:
    """Where something went: "tunnel", "clear" or "lost"."""
    found = world.way(address, deadline=60.0)
    return {"tunnel": "tunnel", "": "lost"}.get(found, "lost" if found.startswith("lost") else "clear")


def route_cell(client: Client, row: Row, pki: Pki) -> str:
    """Far IPv4, far IPv6, local host; and what is left in the end."""
    with contextlib.suppress(LabError), client.lab(pki) as lab, World(lab, look=False) as world:
        if not row.default_route:
            world.no_default(SERVERS[0])
        traces = Traces(lab)
        world.server(*row.pushes, address=row.server, protocol=row.protocol)
        try:
            client.connect(lab, lab.profile(remotes=[f"{row.server} {PORT}"], protocol=row.protocol))
        except LabError:
            return "no connection"
        ways = [way_of(world, one) for one in (FAR, FAR6, NEIGHBOUR)]
        (client.kill if row.killed else client.end)()
        return ", ".join(ways) + _left(traces)
    return "not measured"


def _left(traces: Traces) -> str:
    """What is there that was not, once nothing goes any more."""
    left: list[str] = []

    def is_gone() -> bool:
        found = traces.differences(names=False)
        left[:] = [line for kind, (_, more) in found.items() if kind.startswith("route") for line in more]
        left[:] += [f"without {line}" for kind, (less, _) in found.items() if kind.startswith("route") for line in less]
        return not left

    with contextlib.suppress(LabError, AssertionError):
        until(is_gone)
    return "".join(f"; left: {line}" for line in left if "tun0" not in line)


def name_cell(client: Client, row: Row, pki: Pki) -> str:
    """What resolv.conf says then, and whether it is as before in the end."""
    with contextlib.suppress(LabError), PrivateEtc(SHARED / f"etc-{time.monotonic_ns()}"), client.lab(pki) as lab:
        OF_RESOLV_CONF.write_text(_HOST_BEFORE)
        lab.server(pushes=row.pushes)
        try:
            client.connect(lab, lab.profile())
        except LabError:
            return "no connection"
        found = [line for line in client.resolv_conf(lab).splitlines() if line and line[0] not in "#"]
        (client.kill if row.killed else client.end)()
        restored = _restored(client, lab)
        return "; ".join(map(str.strip, found)) + ("" if restored else "; **not restored**")
    return "not measured"


def _restored(client: Client, lab: Lab) -> bool:
    with contextlib.suppress(LabError, AssertionError):
        until(lambda: client.resolv_conf(lab).strip() == _HOST_BEFORE.strip())
        return True
    return False


def main() -> int:
    """Print both tables; arguments choose rows by a part of their labels."""
    if not V27.tree.exists():
        print("There is no tree of OpenVPN 3 Linux; `make incumbent-trees` makes it", file=sys.stderr)
        return 1
    pki = Pki()
    for what, rows, cell in (("routes", ROUTES, route_cell), ("names", NAMES, name_cell)):
        print(f"\n| {what} | {' | '.join(client.name for client in CLIENTS)} |\n{'|---' * (len(CLIENTS) + 1)}|")
        for row in rows:
            if sys.argv[1:] and not any(one in f"{what} {row.label}" for one in sys.argv[1:]):
                continue
            cells = [cell(client, row, pki) for client in CLIENTS]
            print(f"| {row.label} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
