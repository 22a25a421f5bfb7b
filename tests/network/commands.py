"""Commands with a VPN as their only network, as a user starts them; and what left the machine in the clear."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from ..lab.lab import ECHO_PORT
from ..lab.network import CABLE, CLIENT_ADDRESS, CLIENT_ADDRESS6, Capture
from ..lab.openvpn import PORT
from ..lab.processes import DEADLINE, Process, helper
from ..lab.service import OVPNCTL
from ..support.sessions import until
from .world import CABLE2, CLIENT2, CLIENT2_6, SERVERS, World

_OWN = {socket.inet_pton(socket.AF_INET, one) for one in (CLIENT_ADDRESS, CLIENT2)}
_OWN6 = {socket.inet_pton(socket.AF_INET6, one) for one in (CLIENT_ADDRESS6, CLIENT2_6)}
_SERVERS = {socket.inet_pton(socket.AF_INET, one) for one in SERVERS}
_ICMP, _UDP, _ICMP6 = 1, 17, 58


class Command:
    """A command that waits in there; a context manager.  `run` is what root does in its namespaces."""

    def __init__(self, world: World, name: str, *options: str, user: str = "alice") -> None:
        self._world = world
        self.process: Process = world.lab.start_as_user(
            user, [OVPNCTL, "exec", *options, name, "sh", "-c", "echo ready; exec sleep 600"]
        )

    def __enter__(self) -> Self:
        self.process.wait_line("^ready$", 30)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """The command ends."""
        if self.process.running():
            self.process.signal(signal.SIGTERM)
            assert self.process.wait() == -signal.SIGTERM

    @property
    def keeper(self) -> int:
        """The process beside it."""
        wanted = f"{OVPNCTL}\0exec".encode()
        found = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if wanted in _title(pid)]  # noqa: PTH208
        [pid] = [pid for pid in found if pid != self.process.pid and _network(pid) == self.network]
        return pid

    @property
    def network(self) -> int:
        """The number of its network namespace."""
        return _network(self.process.pid)

    def run(self, *argv: str, stdin: bytes = b"", deadline: float = DEADLINE) -> "subprocess.CompletedProcess[bytes]":
        """Run something in its namespaces of network and mounts."""
        enter = ["nsenter", "--target", str(self.process.pid), "--net", "--mount"]
        return subprocess.run([*enter, *argv], input=stdin, capture_output=True, timeout=deadline + 20, check=False)

    def echo(self, address: str, protocol: str = "tcp") -> bool:
        """Whether something goes from there to an address and back."""
        assert self._world.lab.echo_service
        return self.run(*helper("echo.py", "send", protocol, address, str(ECHO_PORT)), stdin=b"echo").stdout == b"echo"

    def wait_echo(self, address: str) -> None:
        """Wait until something does."""
        until(lambda: self.echo(address), 6 * DEADLINE)

    def send(self, address: str) -> None:
        """Send a datagram, whatever becomes of it."""
        code = "import socket, sys; socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, " \
            "socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], 9))"  # fmt: skip
        self.run("python3", "-c", code, address)

    def devices(self) -> set[str]:
        """The network devices in there, but for the loopback."""
        shown = self.run("ip", "-o", "link").stdout.decode()
        return {line.split(": ")[1] for line in shown.splitlines()} - {"lo"}


def _title(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _network(pid: int) -> int:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    return 0


class Judge:
    """What left the client's machine since it began to look, but for what the engine and neighbour discovery send."""

    def __init__(self, captures: list[Capture], server_port: int) -> None:
        self._captures = captures
        self._port = server_port

    @property
    def clear(self) -> list[bytes]:
        """Frames that an engine has not sent."""
        frames = [frame for capture in self._captures for frame in capture.frames()]
        return [frame for frame in frames if self._is_foreign(frame)]

    @property
    def engines(self) -> int:
        """How many frames engines have sent."""
        return sum(self._is_engine(frame[14:]) for capture in self._captures for frame in capture.frames())

    def _is_foreign(self, frame: bytes) -> bool:
        kind, packet = frame[12:14], frame[14:]
        if kind == b"\x08\x00":
            answered = packet[9] == _ICMP and packet[16:20] in _SERVERS  # that an engine's port is closed by now
            return packet[12:16] in _OWN and not answered and not self._is_engine(packet)
        if kind == b"\x86\xdd":
            return packet[8:24] in _OWN6 and packet[6] != _ICMP6
        return False  # ARP

    def _is_engine(self, packet: bytes) -> bool:
        header = (packet[0] & 15) * 4
        ours = packet[12:16] in _OWN and packet[9] == _UDP
        return ours and struct.unpack_from("!H", packet, header + 2)[0] == self._port


@contextlib.contextmanager
def judged(world: World, port: int = PORT) -> Iterator[Judge]:
    """Within this block, all that crosses the cables is looked at; in the end, nothing was in the clear."""
    with contextlib.ExitStack() as stack:
        captures = [stack.enter_context(world.lab.server_side.capture(cable)) for cable in (CABLE, CABLE2)]
        judge = Judge(captures, port)
        yield judge
        assert judge.clear == []
        assert judge.engines
