"""What the service's figures are held against: plain openvpn, timed from process start."""

import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..tests.lab.network import Namespace
from ..tests.lab.processes import LabError, clean_environment

_DONE = b"Initialization Sequence Completed"
_PATIENCE = 120.0  # seconds


class PlainOpenVpn:
    """Plain `openvpn` with a profile, as root in a namespace, started without anything in between."""

    def __init__(self, namespace: Namespace, directory: Path, profile: str) -> None:
        directory.mkdir()
        self._namespace = namespace
        self._configuration = directory / "profile"
        self._configuration.write_text(profile)
        self._management = directory / "management"

    def until_held(self) -> float:
        """Milliseconds from process start until it says >HOLD on its management interface."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._management))
            listener.listen(1)
            listener.settimeout(_PATIENCE)
            options = ["--management", str(self._management), "unix", "--management-client", "--management-hold"]
            with self._started(*options) as (_, began):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(_PATIENCE)
                    said = b""
                    while b">HOLD" not in said:
                        said += connection.recv(4096)
                    took = time.perf_counter() - began
        self._management.unlink()
        return took * 1000

    @contextmanager
    def connected(self) -> Iterator[tuple[float, int]]:
        """Milliseconds from process start to "Initialization Sequence Completed", and the process id while it runs."""
        with self._started() as (process, began):
            _wait_for(process, _DONE)
            yield (time.perf_counter() - began) * 1000, process.pid

    def connect_and_end(self) -> tuple[float, float]:
        """Milliseconds to connect, and from SIGTERM to its end."""
        with self._started() as (process, began):
            _wait_for(process, _DONE)
            connected = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            process.wait(_PATIENCE)
            return (connected - began) * 1000, (time.perf_counter() - connected) * 1000

    @contextmanager
    def _started(self, *options: str) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
        argv = ["openvpn", "--config", str(self._configuration), *options]
        with self._namespace.entered():
            began = time.perf_counter()
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=clean_environment(), bufsize=0)
        try:
            yield process, began
        finally:
            process.terminate()
            process.wait(_PATIENCE)
            assert process.stdout is not None
            process.stdout.close()


def _wait_for(process: "subprocess.Popen[bytes]", text: bytes) -> None:
    assert process.stdout is not None
    said = b""
    until = time.monotonic() + _PATIENCE
    while text not in said:
        ready = select.select([process.stdout], [], [], max(until - time.monotonic(), 0))[0]
        data = process.stdout.read(65536) if ready else b""
        if not data:
            raise LabError(f"plain openvpn did not connect:\n{said.decode(errors='replace')}")
        said += data
