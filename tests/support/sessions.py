"""What the tests of sessions have in common: a user's session, and its processes as root sees them."""

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import BusClient
from ..lab.lab import Lab
from ..lab.processes import DEADLINE, Process
from ..lab.service import SESSION_UIDS

CFG_OK = StatusMinor.CFG_OK
CONNECTING = StatusMinor.CONN_CONNECTING
CONNECTED = StatusMinor.CONN_CONNECTED
FAILED = StatusMinor.CONN_FAILED
RECONNECTING = StatusMinor.CONN_RECONNECTING
PAUSED = StatusMinor.CONN_PAUSED


@dataclass
class UserSession:
    """A session and the connection of the user who started it."""

    user: BusClient
    profile: str
    path: str

    def call(self, member: str, signature: str = "", *arguments: object) -> None:
        self.user.session(self.path, member, signature, *arguments)

    def get(self, name: str) -> Any:
        return self.user.get(self.path, name)

    def connect(self) -> None:
        """Connect, and wait until it is."""
        before = len(self.user.signals())
        self.call("Connect")
        self.user.wait_status(self.path, CONNECTED, since=before)

    def wait(self, minor: int, since: int = 0, deadline: float = 10.0) -> tuple[int, int, str]:
        return self.user.wait_status(self.path, minor, deadline, since=since)

    @property
    def minors(self) -> list[int]:
        """The minor codes of all statuses so far."""
        return [minor for _, minor, _ in self.user.statuses(self.path)]

    @property
    def seen(self) -> int:
        """How many signals have come so far, to wait for later ones."""
        return len(self.user.signals())

    @property
    def worker(self) -> psutil.Process:
        return psutil.Process(self.get("backend_pid"))

    @property
    def engine(self) -> psutil.Process:
        [child] = self.worker.children()
        return child


def begin(
    lab: Lab, name: str = "work", user: str = "alice", connection: BusClient | None = None, **options: Any
) -> UserSession:
    """A user's new session of a new profile, not connected yet; `options` are those of Lab.profile."""
    owner = connection or lab.connection(user)
    profile = owner.import_profile(name, lab.profile(**options))
    return UserSession(owner, profile, owner.new_tunnel(profile))


def processes_of_sessions() -> list[psutil.Process]:
    """All processes with a user id of the session range."""
    found = []
    for process in psutil.process_iter(["uids", "name"]):
        uids = process.info["uids"]
        if uids is not None and uids.real in SESSION_UIDS[1:]:
            found.append(process)
    return found


def kill_with_sessions(service: Process) -> None:
    """Kill a service, and the processes of all sessions: nothing is left that another one could take over."""
    service.signal(signal.SIGKILL)
    service.wait()
    left = processes_of_sessions()
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(left)


def wait_gone(processes: Sequence[psutil.Process], deadline: float = 10.0) -> None:
    """Wait until none of the processes is left."""
    _, alive = psutil.wait_procs(list(processes), timeout=deadline)
    assert not alive, alive


def until(condition: Callable[[], bool], seconds: float = 3 * DEADLINE) -> None:
    """Wait until a condition holds of which nothing tells."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline


def kill(process: psutil.Process, number: signal.Signals = signal.SIGKILL) -> None:
    process.send_signal(number)
