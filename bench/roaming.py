"""The longest silence in a flow through the tunnel when the machine's link fails and another one takes over."""

import contextlib
import select
import socket
import subprocess
import time
from collections.abc import Iterator

from ..tests.lab.lab import ECHO_PORT, Lab
from ..tests.lab.network import CABLE, ip
from ..tests.lab.openvpn import PORT, TUNNEL_ADDRESS
from ..tests.lab.pki import Pki
from ..tests.lab.processes import DEADLINE, LabError, clean_environment
from ..tests.network.world import GATEWAY2, SERVERS, World
from .figures import Figure, Wanted

_INTERVAL = 0.02  # seconds between datagrams
_BEFORE, _AFTER = 25, 50  # answers before the link fails, and after it
_TUNNELS = (TUNNEL_ADDRESS, "198.18.1.1")  # the servers' own addresses in their tunnels
_PROTOCOLS = ("udp", "tcp")
_PLAIN_TCP = "keepalive 1 4"  # without it, plain openvpn over TCP would be silent for a minute
_WANTED = {"udp": Wanted(100), "tcp": Wanted(350)}


def measure(pki: Pki, rounds: int) -> list[Figure]:
    """Ours and plain openvpn in turns, over UDP and over TCP."""
    ours: dict[str, list[float]] = {protocol: [] for protocol in _PROTOCOLS}
    plain: dict[str, list[float]] = {protocol: [] for protocol in _PROTOCOLS}
    with Lab(pki) as lab, World(lab) as world:
        for number, protocol in enumerate(_PROTOCOLS):
            world.server(number=number, protocol=protocol, more=[_PLAIN_TCP] if protocol == "tcp" else [])
        world.start()
        lab.echo(SERVERS[0], b"there is an echo now")
        for _ in range(rounds):
            for number, protocol in enumerate(_PROTOCOLS):
                session = world.session(number=number, protocol=protocol)
                session.connect()
                ours[protocol].append(_silence(world, number))
                session.call("Disconnect")
                client = lab.plain_openvpn(lab.profile(remotes=[f"{SERVERS[number]} {PORT}"], protocol=protocol))
                plain[protocol].append(_silence(world, number))
                client.stop()
        world.service.stop()
    names = {"udp": "plain openvpn", "tcp": f"plain openvpn, {_PLAIN_TCP}"}
    return [
        Figure(
            f"silence when the link fails, {protocol.upper()}",
            "ms",
            ours[protocol],
            names[protocol],
            plain[protocol],
            _WANTED[protocol],
        )
        for protocol in _PROTOCOLS
    ]


def _silence(world: World, number: int) -> float:
    """Milliseconds of the longest silence, from the failure of the link until there have been answers for a while."""
    client = world.lab.client_side
    spare = ("default", "via", GATEWAY2, "metric", "500")
    ip("-n", client.name, "route", "add", *spare)
    with client.entered():
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with line:
        answered = _answers(line, _TUNNELS[number])
        for _ in range(_BEFORE):
            last = next(answered)
        # Not waited for: the flow goes on.
        failing = subprocess.Popen(["ip", "-n", client.name, "link", "set", CABLE, "down"], env=clean_environment())
        longest = 0.0
        for _ in range(_AFTER):
            now = next(answered)
            longest, last = max(longest, now - last), now
        failing.wait()
    world.cable_up()
    ip("-n", client.name, "route", "del", *spare)
    return longest * 1000


def _answers(line: socket.socket, address: str) -> Iterator[float]:
    """Send a datagram each interval; when each answer came.  LabError when there is none for long."""
    line.setblocking(False)
    due = last = time.monotonic()
    while True:
        now = time.monotonic()
        if now - last > 2 * DEADLINE:
            raise LabError("there is no answer any more after the link has failed")
        if now >= due:
            due = max(due + _INTERVAL, now)
            with contextlib.suppress(OSError):  # there is no way for a moment
                line.sendto(b"x", (address, ECHO_PORT))
        select.select([line], [], [], max(due - time.monotonic(), 0))
        with contextlib.suppress(OSError):
            line.recv(64)
            last = time.monotonic()
            yield last
