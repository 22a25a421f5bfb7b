"""The longest silence in a flow through the tunnel when the machine's link fails and another one takes over."""

import contextlib
import select
import socket
import subprocess
import time
from collections.abc import Iterator

from ..tests.lab.incumbent import IncumbentLab
from ..tests.lab.lab import ECHO_PORT, Lab
from ..tests.lab.network import CABLE, ip
from ..tests.lab.openvpn import PORT, TUNNEL_ADDRESS
from ..tests.lab.pki import Pki
from ..tests.lab.processes import LabError, clean_environment
from ..tests.network.world import GATEWAY2, SERVERS, World
from . import original
from .figures import Figure, Wanted
from .meter import Meter

_INTERVAL = 0.02  # seconds between datagrams
_BEFORE, _AFTER = 25, 50  # answers before the link fails, and after it
_TUNNELS = (TUNNEL_ADDRESS, "198.18.1.1")  # the servers' own addresses in their tunnels
_PROTOCOLS = ("udp", "tcp")
_PATIENCE = 90.0  # seconds without an answer
_ROUNDS_OF_ORIGINAL = 2  # at most: over UDP, it is silent for most of a minute
_PLAIN_TCP = "keepalive 1 4"  # without it, plain openvpn over TCP would be silent for a minute
_WANTED = {"udp": Wanted(100), "tcp": Wanted(350)}


def measure(pki: Pki, rounds: int) -> list[Figure]:
    """Ours and plain openvpn in turns, over UDP and over TCP, and then the original where it is there."""
    ours: dict[str, list[float]] = {protocol: [] for protocol in _PROTOCOLS}
    plain: dict[str, list[float]] = {protocol: [] for protocol in _PROTOCOLS}
    with Lab(pki) as lab, World(lab) as world:
        _start_servers(world)
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
    peers = [("plain openvpn", plain)]
    if original.there():
        peers.append((original.NAME, _of_original(pki, min(rounds, _ROUNDS_OF_ORIGINAL))))
    return [
        Figure(
            f"silence when the link fails, {protocol.upper()}",
            "ms",
            ours[protocol],
            f"{name}, {_PLAIN_TCP}" if protocol == "tcp" else name,
            samples[protocol],
            _WANTED[protocol],
        )
        for name, samples in peers
        for protocol in _PROTOCOLS
    ]


def _of_original(pki: Pki, rounds: int) -> dict[str, list[float]]:
    """The same with OpenVPN 3 Linux's own services."""
    found: dict[str, list[float]] = {protocol: [] for protocol in _PROTOCOLS}
    with IncumbentLab(original.RELEASE, pki) as lab, World(lab) as world:
        _start_servers(world)
        lab.start_services()
        lab.echo(SERVERS[0], b"there is an echo now")
        with Meter(lab) as meter:
            for turn in range(rounds):
                for number, protocol in enumerate(_PROTOCOLS):
                    text = lab.profile(remotes=[f"{SERVERS[number]} {PORT}"], protocol=protocol)
                    _, path = meter.new_tunnel(meter.import_profile(f"{protocol} {turn}", text))
                    meter.connect(path, forwarded=True)
                    found[protocol].append(_silence(world, number))
                    meter.disconnect(path)
    return found


def _start_servers(world: World) -> None:
    for number, protocol in enumerate(_PROTOCOLS):
        world.server(number=number, protocol=protocol, more=[_PLAIN_TCP] if protocol == "tcp" else [])


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
        if now - last > _PATIENCE:
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
