"""Two machines and a cable: network namespaces with names, joined by a veth pair."""

import contextlib
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import kernel
from .processes import LabError, Process, clean_environment
from .surroundings import ACCOUNTS

SERVER_ADDRESS = "198.51.100.1"
CLIENT_ADDRESS = "198.51.100.2"
SERVER_ADDRESS6 = "2001:db8:1::1"
CLIENT_ADDRESS6 = "2001:db8:1::2"
BEHIND_ADDRESS = "203.0.113.1"  # a host behind the VPN server
BEHIND_ADDRESS6 = "2001:db8:3::1"
CABLE = "cable"  # the name of the veth device at both ends

_ALL_PROTOCOLS = 0x0003  # ETH_P_ALL
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_SO_RCVBUFFORCE = 33
_CAPTURE_BUFFER = 64 * 1024 * 1024


def ip(*arguments: str, batch: str = "") -> str:
    """Run iproute2's `ip`; its output.  LabError when it fails."""
    done = subprocess.run(
        ["ip", *arguments], input=batch, capture_output=True, text=True, env=clean_environment(), check=False
    )
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Namespace:
    """A machine of the lab: a network namespace of its own, in which users run programs."""

    def __init__(self, name: str) -> None:
        self.name = name
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")

    def close(self) -> None:
        """Take it away, with the devices in it once the last process there has ended."""
        ip("netns", "delete", self.name)

    def command(self, argv: Sequence[str], user: str = "root") -> list[str]:
        """The command that runs `argv` here as `user`, with a /sys that shows this namespace's devices."""
        account = ACCOUNTS[user]
        become = [] if user == "root" else [
            "setpriv", f"--reuid={account.uid}", f"--regid={account.uid}", "--clear-groups", "--",
        ]  # fmt: skip
        return ["ip", "netns", "exec", self.name, *become, *argv]

    def start(
        self, name: str, argv: Sequence[str], user: str = "root", environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program here."""
        return Process(name, self.command(argv, user), environment)

    def run(
        self,
        argv: Sequence[str],
        user: str = "root",
        *,
        stdin: str = "",
        deadline: float = 30.0,
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program here to its end; its exit status, output and errors, whatever they are."""
        return subprocess.run(
            self.command(argv, user),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline,
            env=dict(clean_environment() if environment is None else environment),
            check=False,
        )

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Within this block, this thread makes its sockets in the namespace."""
        home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(Path("/run/netns") / self.name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.setns(there, kernel.CLONE_NEWNET)
            try:
                yield
            finally:
                kernel.setns(home, kernel.CLONE_NEWNET)
        finally:
            os.close(there)
            os.close(home)

    def devices(self) -> set[str]:
        """The names of its network devices, without the loopback."""
        return {link["ifname"] for link in json.loads(ip("-n", self.name, "-json", "link"))} - {"lo"}

    def link(self, device: str) -> dict[str, Any]:
        """What iproute2 tells about a device: `mtu`, `operstate`, `flags` and so on."""
        found: dict[str, Any] = json.loads(ip("-n", self.name, "-json", "link", "show", "dev", device))[0]
        return found

    def addresses(self, device: str) -> set[str]:
        """The addresses of a device, as `address/prefix`, without link-local ones."""
        links = json.loads(ip("-n", self.name, "-json", "address", "show", "dev", device))
        return {
            f"{one['local']}/{one['prefixlen']}"
            for link in links
            for one in link.get("addr_info", ())
            if one["scope"] != "link"
        }

    def routes(self, device: str | None = None) -> set[str]:
        """The destinations of the main table's routes, both families, through `device` if given."""
        chosen = ["dev", device] if device else []
        found = set[str]()
        for family in ("-4", "-6"):
            shown = ip("-n", self.name, family, "-json", "route", "show", *chosen)
            found |= {route["dst"] for route in json.loads(shown or "[]")}
        return {destination for destination in found if not destination.startswith(("fe80:", "ff00:"))}

    def capture(self, device: str = CABLE) -> "Capture":
        """Record every frame that crosses `device` from now on."""
        with self.entered():
            return Capture(device)


class Capture:
    """Frames seen on a device, both directions.  A context manager."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _CAPTURE_BUFFER)
        self._socket.bind((device, _ALL_PROTOCOLS))
        self._socket.setblocking(False)
        self._frames: list[bytes] = []

    def frames(self) -> list[bytes]:
        """All frames so far.  LabError if some had to be dropped, as nothing could be said about those."""
        while True:
            try:
                self._frames.append(self._socket.recv(65536))
            except BlockingIOError:
                break
        _, dropped = struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        if dropped:
            raise LabError(f"the capture lost {dropped} frames")
        return list(self._frames)

    def saw(self, marker: bytes) -> bool:
        """Whether `marker` crossed the device in clear."""
        return any(marker in frame for frame in self.frames())

    def close(self) -> None:
        """Stop recording."""
        self._socket.close()

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def join(client: Namespace, server: Namespace) -> None:
    """Lay the cable between the two, give both their addresses, and the server its host behind the VPN."""
    ip(
        "link",
        "add",
        CABLE,
        "netns",
        client.name,
        "type",
        "veth",
        "peer",
        "name",
        CABLE,
        "netns",
        server.name,
    )
    for namespace, address, address6 in (
        (client, CLIENT_ADDRESS, CLIENT_ADDRESS6),
        (server, SERVER_ADDRESS, SERVER_ADDRESS6),
    ):
        ip(
            "-n", namespace.name, "-batch", "-",
            batch=f"address add {address}/24 dev {CABLE}\n"
            f"address add {address6}/64 dev {CABLE} nodad\n"
            f"link set {CABLE} up\n",
        )  # fmt: skip
    ip(
        "-n", server.name, "-batch", "-",
        batch=f"address add {BEHIND_ADDRESS}/32 dev lo\naddress add {BEHIND_ADDRESS6}/128 dev lo nodad\n",
    )  # fmt: skip
