"""What other programs make of the samples: plain openvpn's option parser, and OpenVPN 3 Linux."""

import re
import socket
import struct
import time
from pathlib import Path

from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, BusClient, BusError
from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import Release
from ..lab.lab import Lab
from ..lab.network import SERVER_ADDRESS
from ..lab.pki import Pki
from ..lab.processes import DEADLINE, LabError, Process
from .corpus import Sample, names
from .journey import asked, connect, far_side
from .papers import Papers

_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
_ATTEMPTS = 3  # the original loses a session now and then that it has just started
_PATIENCE = 3  # seconds until what has not failed is on its way
_LONG_PATIENCE = 30  # seconds to connect
_IPV4 = b"\x08\x00"  # of Ethernet
_DNS = 53


def by_plain_openvpn(lab: Lab, sample: Sample, papers: Papers, directory: Path) -> str:
    """What openvpn's option parser says: "accepted", or "refused: …"; nothing is connected."""
    directory.mkdir()
    sample.store(directory, papers)
    path = directory / "management"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        argv = ["openvpn", "--cd", str(directory), "--config", "profile.ovpn", "--management", str(path), "unix"]
        argv += ["--management-client", "--management-hold", "--management-query-passwords"]
        process = lab.client_side.start("openvpn", argv)
        try:
            if not _called(listener, process):
                return f"refused: {_complaint(process)}"
        finally:
            process.stop()
    return "accepted"


def _called(listener: socket.socket, process: Process) -> bool:
    """Whether `process`, or what it has become in the background, calls before it fails; ends it then."""
    until = time.monotonic() + DEADLINE
    listener.settimeout(0.1)
    while time.monotonic() < until:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if not process.running() and process.wait():
                return False
            continue
        with connection:
            connection.sendall(b"signal SIGTERM\n")
        return True
    raise LabError(f"{process.name} neither fails nor calls")


def _complaint(process: Process) -> str:
    lines = [_TIMESTAMP.sub("", line) for line in process.lines]
    errors = [line for line in lines if line.startswith("Options error")] or lines[-1:]
    return errors[0].removeprefix("Options error: ") if errors else "without a word"


class Original:
    """OpenVPN 3 Linux in a lab of its own, with a name server that knows all servers.  A context manager."""

    def __init__(self, release: Release, pki: Pki) -> None:
        self._lab = IncumbentLab(release, pki)
        self._papers = Papers(pki)
        self._alice: BusClient

    def __enter__(self) -> "Original":
        lab = self._lab.__enter__()
        lab.dns(names())
        lab.start_services()
        lab.foreign.inside(Path("/etc/resolv.conf")).write_text(f"nameserver {SERVER_ADDRESS}\n")
        self._alice = lab.connection("alice")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._lab.__exit__(kind)

    @property
    def version(self) -> str:
        """Its version, as it says."""
        said = self._lab.foreign_user("alice", ["openvpn3", "version"]).stdout
        return said.partition(" v")[2].split()[0]

    def verdict(self, sample: Sample) -> str:
        """What becomes of a sample: "connects", "starts" without a server, or how it fails."""
        directory = self._lab.directory / sample.label.replace("/", "-")
        directory.mkdir(mode=0o755)
        file = sample.store(directory, self._papers)
        argv = ["openvpn3", "config-import", "--config", str(file), "--name", sample.name]
        done = self._lab.foreign_user("alice", argv)
        if done.returncode:
            said = (done.stdout + done.stderr).strip().replace(str(directory) + "/", "")
            return f"import fails: {said.removeprefix('openvpn3/config-import: ** ERROR ** ')}"
        [profile] = self._alice.call(CONFIGURATION_PATH, CONFIGURATION, "LookupConfigName", "s", sample.name)
        try:
            return self._session(sample, profile)
        finally:
            self._alice.call(profile, CONFIGURATION, "Remove")

    def _session(self, sample: Sample, profile: str) -> str:
        for _ in range(_ATTEMPTS):
            if path := self._begun(profile):
                break
        else:
            return "no session"
        try:
            return self._way(sample, path)
        except BusError as error:
            return f"fails: {error.text}"
        except LabError:
            return f"fails: no tunnel within {_LONG_PATIENCE} s"
        finally:
            try:
                self._alice.session(path, "Disconnect")
            except BusError:
                pass  # it has ended by itself

    def _begun(self, profile: str) -> str:
        """A new session that is ready to be asked; empty if it ended at once."""
        until = time.monotonic() + DEADLINE
        try:
            path = self._alice.new_tunnel(profile)
            while self._alice.get(path, "status")[:2] == [0, 0]:
                if time.monotonic() > until:
                    return ""
            self._alice.session(path, "LogForward", "b", True)
        except BusError:
            return ""
        return path

    def _way(self, sample: Sample, path: str) -> str:
        users = sample.server.users if sample.server else {}
        name, password = next(iter(users.items()), ("alice", "any"))
        known = {"username": name, "password": password, "static_challenge": "any", "pk_passphrase": "box"}
        more = sorted(asked(self._alice, path).keys() - set(sample.asks))
        answers = {**known, **sample.answers}
        if sample.server is None:
            end = self._tried(path, answers)
        else:
            with far_side(self._lab, sample, self._papers):
                minor, text = connect(self._alice, path, answers, deadline=_LONG_PATIENCE)
            end = "connects" if minor == StatusMinor.CONN_CONNECTED else f"fails: {text}"
        return f"{end}; asks for {', '.join(more)}" if more else end

    def _tried(self, path: str, answers: dict[str, str]) -> str:
        """How far a session comes for which there is no server."""
        with self._lab.client_side.capture() as cable:
            try:
                _, text = connect(self._alice, path, answers, deadline=_PATIENCE)
            except LabError:
                return "starts" if any(map(_is_for_a_server, cable.frames())) else "starts, and sends nothing"
        return f"fails: {text}"


def _is_for_a_server(frame: bytes) -> bool:
    """Whether a frame is TCP or UDP over IPv4 and not a name server's."""
    ports = struct.unpack("!HH", frame[34:38]) if len(frame) >= 38 else ()
    return frame[12:14] == _IPV4 and frame[23] in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) and _DNS not in ports
