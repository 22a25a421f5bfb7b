"""Real openvpn processes, steered through their management interface."""

import re
import select
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from .network import BEHIND_ADDRESS, BEHIND_ADDRESS6, SERVER_ADDRESS, Namespace
from .pki import Authority, Identity
from .processes import DEADLINE, LabError, Process

PORT = 1194
TUNNEL_ADDRESS = "198.18.0.1"  # the server's, inside the tunnel
TUNNEL_ADDRESS6 = "2001:db8:2::1"
SUBNET = "198.18.0.0"
SUBNET6 = "2001:db8:2::/64"
USUAL_PUSHES = (
    f"route {BEHIND_ADDRESS.rsplit('.', 1)[0]}.0 255.255.255.0",
    f"route-ipv6 {BEHIND_ADDRESS6.rsplit('::', 1)[0]}::/64",
)


def _inline(tag: str, text: str) -> str:
    return f"<{tag}>\n{text.strip()}\n</{tag}>\n"


def client_profile(
    authority: str,
    identity: Identity | None,
    *,
    remotes: Sequence[str] = (f"{SERVER_ADDRESS} {PORT}",),
    protocol: str = "udp",
    more: Sequence[str] = (),
) -> str:
    """A client's profile with everything embedded; `more` are lines of further options."""
    lines = ["client", "dev tun", f"proto {protocol}", *(f"remote {remote}" for remote in remotes)]
    lines += ["nobind", "remote-cert-tls server", "verb 3", *more]
    papers = _inline("ca", authority)
    if identity is not None:
        papers += _inline("cert", identity.certificate) + _inline("key", identity.key)
    return "\n".join(lines) + "\n" + papers


class OpenVpn:
    """An openvpn process that waits for us before it begins, and tells us each change of its state.

    It connects to a socket of ours, so nothing is polled; if we go, it goes.
    """

    def __init__(
        self, name: str, namespace: Namespace, directory: Path, configuration: str, program: str = "openvpn"
    ) -> None:
        self.name = name
        self._program = program
        self._namespace = namespace
        self._directory = directory
        directory.mkdir()
        self._configuration = directory / "configuration"
        self._configuration.write_text(configuration)
        self._configuration.chmod(0o600)
        self._buffer = b""
        self._management: socket.socket | None = None
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The running process: its pid, its lines, signals to it."""
        if self._process is None:
            raise LabError(f"{self.name} was never started")
        return self._process

    def start(self, deadline: float = DEADLINE) -> None:
        """Start it and wait until it says CONNECTED, which a server says when it can be reached."""
        self.begin(deadline)
        self.wait_state("CONNECTED", deadline)

    def begin(self, deadline: float = DEADLINE) -> None:
        """Start it and let it go, without waiting for a tunnel."""
        path = self._directory / "management"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            argv = [self._program, "--config", str(self._configuration), "--management", str(path), "unix"]
            argv += ["--management-client", "--management-hold"]
            self._process = self._namespace.start(self.name, argv)
            listener.settimeout(deadline)
            try:
                self._management, _ = listener.accept()
            except TimeoutError:
                text = self.process.text
                self.stop()
                raise LabError(f"{self.name} did not start:\n{text}") from None
        self._buffer = b""
        self.command("state on", "SUCCESS")
        self.command("hold off", "SUCCESS")  # for later restarts
        self.command("hold release", "SUCCESS")

    def _line(self, until: float) -> str:
        if self._management is None:
            raise LabError(f"{self.name} is not running")
        while b"\n" not in self._buffer:
            if not select.select([self._management], [], [], max(until - time.monotonic(), 0))[0]:
                raise TimeoutError
            data = self._management.recv(65536)
            if not data:
                raise LabError(f"{self.name} ended; its last lines:\n" + "\n".join(self.process.lines[-15:]))
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode("utf-8", "replace").rstrip("\r")

    def command(self, text: str, last: str, deadline: float = DEADLINE) -> list[str]:
        """Send a management command; the lines of its answer up to one that begins with `last`."""
        if self._management is None:
            raise LabError(f"{self.name} is not running")
        self._management.sendall(text.encode() + b"\n")
        until = time.monotonic() + deadline
        answer: list[str] = []
        try:
            while True:
                line = self._line(until)
                if line.startswith(">"):
                    continue
                if line.startswith("ERROR"):
                    raise LabError(f"{self.name}: {text}: {line}")
                answer.append(line)
                if line.startswith(last):
                    return answer
        except TimeoutError:
            raise LabError(f"{self.name} did not answer {text!r} within {deadline:g} s") from None

    def wait_state(self, state: str, deadline: float = DEADLINE) -> None:
        """Wait for a state that begins after what was read so far."""
        until = time.monotonic() + deadline
        try:
            while not re.match(rf">STATE:\d+,{state},", self._line(until)):
                pass
        except TimeoutError:
            tail = "\n  ".join(self.process.lines[-15:])
            raise LabError(f"{self.name} not {state} within {deadline:g} s; its last lines:\n  {tail}") from None

    def stop(self) -> None:
        """End it; it can be started again."""
        if self._process is not None:
            self._process.stop()
        if self._management is not None:
            self._management.close()
            self._management = None


class Server(OpenVpn):
    """An OpenVPN server on the lab's cable.

    Its clients' addresses are of `subnet`, a /24, and `subnet6`; or, without `pool`, what it pushes.
    """

    def __init__(
        self,
        namespace: Namespace,
        directory: Path,
        authority: Authority,
        identity: Identity,
        *,
        protocol: str = "udp",
        port: int = PORT,
        subnet: str = SUBNET,
        subnet6: str = SUBNET6,
        pool: bool = True,
        topology: str = "subnet",
        pushes: Sequence[str] = USUAL_PUSHES,
        more: Sequence[str] = (),
        program: str = "openvpn",
    ) -> None:
        self.protocol = protocol
        self.port = port
        kind = {"udp": "udp", "tcp": "tcp-server", "udp6": "udp6", "tcp6": "tcp6-server"}[protocol]
        lines = [
            "dev tun", f"topology {topology}", "dh none", "verb 3", "disable-dco",
            f"server {subnet} 255.255.255.0" + ("" if pool else " nopool"),
            *([f"server-ipv6 {subnet6}"] if pool else []),
            f"proto {kind}", f"port {port}", "duplicate-cn",
            *(f'push "{push}"' for push in pushes), *more,
        ]  # fmt: skip
        papers = _inline("ca", authority.certificate)
        papers += _inline("cert", identity.certificate) + _inline("key", identity.key)
        text = "\n".join(lines) + "\n" + papers
        super().__init__(f"server on {protocol} {port}", namespace, directory, text, program)

    def clients(self) -> list[str]:
        """The real addresses of the clients it has, as `address:port`."""
        status = self.command("status 3", "END")
        return [line.split("\t")[2] for line in status if line.startswith("CLIENT_LIST\t")]

    def traffic(self) -> tuple[int, int]:
        """Bytes received from and sent to clients, encrypted, since it started."""
        [answer] = self.command("load-stats", "SUCCESS")
        numbers = dict(re.findall(r"(\w+)=(\d+)", answer))
        return int(numbers["bytesin"]), int(numbers["bytesout"])
