"""Two gateways, VPN servers beyond them, a host far away, and a look at what crosses the cables."""

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Self

from ..lab.lab import Lab
from ..lab.network import CABLE, CLIENT_ADDRESS, CLIENT_ADDRESS6, SERVER_ADDRESS, SERVER_ADDRESS6, Capture, ip
from ..lab.openvpn import PORT, TUNNEL_ADDRESS6
from ..lab.processes import DEADLINE, LabError
from ..lab.service import Service
from ..support.sessions import UserSession, begin
from ..support.traces import Traces

CABLE2 = "cable2"
GATEWAY2, CLIENT2 = "198.19.1.1", "198.19.1.2"
GATEWAY2_6, CLIENT2_6 = "2001:db8:9::1", "2001:db8:9::2"
SERVERS = ("192.0.2.1", "192.0.2.2")  # of VPNs; behind the gateways
SERVER6 = "2001:db8:4::1"
FAR, FAR6 = "192.0.2.200", "2001:db8:77::1"  # to which nothing leads but a default route
NEIGHBOUR = "198.51.100.7"  # on the client's own network
TUNNEL6 = f"{TUNNEL_ADDRESS6.rsplit('::', 1)[0]}::/64"


class World:
    """The lab, with all that; `service` is started by `start`."""

    def __init__(self, lab: Lab, *, look: bool = True) -> None:
        """With `look`, the machine has to be as before in the end."""
        self.lab = lab
        self._look = look
        self.service: Service
        self._client, self._others = lab.client_side, lab.server_side
        self._numbers = itertools.count(1)
        self._cables = ExitStack()

    def __enter__(self) -> Self:
        ip("link", "add", CABLE2, "netns", self._client.name, "type", "veth",
           "peer", "name", CABLE2, "netns", self._others.name)  # fmt: skip
        self._cables.callback(lambda: ip("-n", self._client.name, "link", "del", CABLE2))
        for side, *addresses in (
            (self._client, f"{CLIENT2}/24", f"{CLIENT2_6}/64"),
            (self._others, f"{GATEWAY2}/24", f"{GATEWAY2_6}/64"),
        ):
            lines = [f"address add {one} dev {CABLE2} {'nodad' if ':' in one else ''}" for one in addresses]
            ip("-n", side.name, "-batch", "-", batch="\n".join([*lines, f"link set {CABLE2} up\n"]))
        lines = [f"address add {one}/32 dev lo" for one in (*SERVERS, FAR)]
        lines += [f"address add {one}/128 dev lo nodad" for one in (SERVER6, FAR6)]
        lines.append(f"address add {NEIGHBOUR}/32 dev {CABLE}")
        ip("-n", self._others.name, "-batch", "-", batch="\n".join(lines) + "\n")
        self.default_by(CABLE)
        self._traces = Traces(self.lab)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and self._look:
                self.check_unchanged()
        finally:
            self._cables.close()

    def start(self, *options: str) -> None:
        """Start the service."""
        self.service = self.lab.supervisor(*options)

    def default_by(self, cable: str) -> None:
        """The client's default routes lead by this cable."""
        gateways = (SERVER_ADDRESS, SERVER_ADDRESS6) if cable == CABLE else (GATEWAY2, GATEWAY2_6)
        ip("-n", self._client.name, "route", "replace", "default", "via", gateways[0])
        ip("-n", self._client.name, "-6", "route", "replace", "default", "via", gateways[1])

    def forward(self) -> None:
        """The client's machine forwards packets of others from now on, which changes how it routes."""
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self._client.run(["sh", "-c", f"echo 1 > /proc/sys/net/{name}"])
        self._traces = Traces(self.lab)

    def cable_up(self) -> None:
        """The first cable has its link and addresses again."""
        name = self._client.name
        ip("-n", name, "link", "set", CABLE, "up")
        ip("-n", name, "address", "replace", f"{CLIENT_ADDRESS}/24", "dev", CABLE)
        ip("-n", name, "-6", "address", "replace", f"{CLIENT_ADDRESS6}/64", "dev", CABLE, "nodad")
        self.default_by(CABLE)

    def no_default(self, *exceptions: str) -> None:
        """The client has no default route, only ones to these addresses."""
        for address in exceptions:
            ip("-n", self._client.name, "route", "add", address, "via", SERVER_ADDRESS)
        for version in ("-4", "-6"):
            ip("-n", self._client.name, version, "route", "del", "default")

    @contextlib.contextmanager
    def changes(self) -> Iterator[Callable[[], bytes]]:
        """A function that gives what has changed of what the kernel routes by, one thing at a time; b"" for nothing."""
        with self._client.entered():
            events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        with events:
            # Addresses, routes and rules, of both versions (RTMGRP_…, rtnetlink(7)).
            events.bind((0, 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18))

            def received() -> bytes:
                try:
                    while b"\xfe\x80" in (event := events.recv(65536)):
                        pass  # the kernel's own addresses, which it goes on with for a while
                    return event
                except BlockingIOError:
                    return b""

            yield received

    def check_unchanged(self) -> None:
        """End the service, and wait until this machine is as it was in the beginning."""
        self._traces.check()

    def routing(self) -> str:
        """Links, addresses, routes and rules of this machine, as ip(8) has them."""
        return "\n".join(line for lines in self._traces.kernel().values() for line in lines)

    def server(self, *pushes: str, number: int = 0, address: str = "", **options: Any) -> Any:
        """A VPN server at one of SERVERS, or another address of its machine, with a network of its own."""
        more = [f"local {address or SERVERS[number]}", "explicit-exit-notify 1", *options.pop("more", ())]
        if options.get("protocol", "udp") != "udp":
            more.remove("explicit-exit-notify 1")
        return self.lab.server(
            pushes=pushes,
            more=more,
            subnet=f"198.18.{number}.0",
            subnet6=TUNNEL6.replace("2::", f"2:{number}::") if number else TUNNEL6,
            **options,
        )

    def session(self, *more: str, number: int = 0, user: str = "alice", **options: Any) -> UserSession:
        """A session of a VPN of one of SERVERS, not connected yet; `more` are lines of its profile."""
        remotes = options.pop("remotes", [f"{SERVERS[number]} {PORT}"])
        return begin(self.lab, f"profile {next(self._numbers)}", user, remotes=remotes, more=more, **options)

    def profile(self, *more: str) -> str:
        """A profile of the VPN of the first of SERVERS."""
        return self.lab.profile(remotes=[f"{SERVERS[0]} {PORT}"], more=more)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Callable[[bytes], str]]:
        """A function that tells which cable something crossed in the clear."""
        with contextlib.ExitStack() as stack:
            captures: dict[str, Capture] = {}
            for cable in (CABLE, CABLE2):
                captures[cable] = stack.enter_context(self._others.capture(cable))
            yield lambda marker: " ".join(cable for cable, one in captures.items() if one.saw(marker))

    def way(self, address: str, *, user: str = "alice", deadline: float = 30.0) -> str:
        """By which cable something goes to an address and back; "tunnel" if nobody sees it, "" if it does not."""
        marker = f"marker-{next(self._numbers)}-{os.urandom(8).hex()}".encode()
        with self.watched() as seen:
            try:
                assert self.lab.echo(address, marker, user=user, deadline=deadline) == marker
            except LabError:
                return ("lost on " + seen(marker)) if seen(marker) else ""
            return seen(marker) or "tunnel"

    def inbound(self) -> "Inbound":
        """A connection from far away to a service of root's on the client's machine."""
        return Inbound(self.lab)

    def wait_way(self, address: str, way: str) -> None:
        """Wait until this is the way to an address."""
        until = time.monotonic() + 6 * DEADLINE  # an attempt that is lost takes one
        while (found := self.way(address)) != way:
            assert time.monotonic() < until, found or "none"


class Inbound:
    """A TCP connection from far away to the client's machine."""

    def __init__(self, lab: Lab) -> None:
        with lab.client_side.entered():
            listener = socket.create_server((CLIENT_ADDRESS, 2222))
        with lab.server_side.entered():
            self._there = socket.socket()
        self._there.bind((FAR, 0))
        self._there.settimeout(DEADLINE)
        self._there.connect((CLIENT_ADDRESS, 2222))
        self._here, _ = listener.accept()
        self._here.settimeout(DEADLINE)
        listener.close()

    def check(self) -> None:
        """Both ends hear each other."""
        for one, other in ((self._there, self._here), (self._here, self._there)):
            one.sendall(b"x")
            assert other.recv(1) == b"x"

    def close(self) -> None:
        self._here.close()
        self._there.close()
