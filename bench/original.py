"""OpenVPN 3 Linux as the peer: the same calls, clients, profile and kind of server, with its services and with ours.

The two cannot own the same names, so each has its turn in a laboratory of its own, one right after the other.
"""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from subprocess import CompletedProcess

from ..tests.lab.connection import CONFIGURATION, LOG, LOG_PATH, SESSIONS, SESSIONS_PATH, BusError
from ..tests.lab.incumbent import IncumbentLab
from ..tests.lab.incumbent_tree import V27
from ..tests.lab.pki import Pki
from ..tests.lab.processes import LabError, wait_gone
from ..tests.lab.service import ENDING, NAMES, Service, service_command
from ..tests.lab.surroundings import SERVICE
from . import memory
from .figures import Figure, Wanted
from .meter import Meter

RELEASE = V27
NAME = f"OpenVPN 3 Linux {RELEASE.version}"
LOG_LEVEL = 3  # what both log at when they are installed
_ROUNDS = 3  # sessions made and ended at each number of sessions
_COMMANDS = 3  # runs of each whole command at each number of sessions
_STARTS = 5
_CALLS = 10  # of each kind, at each number of sessions
_WINDOW = 100
_PROPERTIES = (
    "owner", "session_created", "acl", "public_access", "status", "last_log", "statistics", "dco", "device_path",
    "device_name", "config_path", "config_name", "connected_to", "session_name", "backend_pid",
    "restrict_log_access", "log_forwards", "log_verbosity",
)  # fmt: skip
_PROGRAMS = {
    SESSIONS: "sessionmgr --idle-exit=0",
    LOG: "log --idle-exit=0 --log-file=/dev/null",
    CONFIGURATION: "configmgr --idle-exit=0",
    "net.openvpn.v3.backends": "backendstart --idle-exit=0",
}
_BUS = "org.freedesktop.DBus"

Samples = dict[str, list[float]]


def there() -> bool:
    """Whether there is a tree of the release to run."""
    return RELEASE.tree.exists()


def original(pki: Pki, sessions: Sequence[int]) -> list[Figure]:
    """Everything at each number of sessions, and the cold start.  Raises LabError."""
    if not there():
        raise LabError(f"{RELEASE.tree} is missing; `make incumbent-trees` makes it")
    counts = sorted(sessions)
    theirs, ours = ([_Turn(side(pki)).measure(counts), side(pki).cold_starts()] for side in (_Theirs, _Ours))
    figures = []
    for mine, peers in zip(ours, theirs, strict=True):
        for name, samples in mine.items():
            # Their own command is the peer of ours.
            peer = peers[name.replace("ovpnctl", "openvpn3")]
            figures.append(Figure(name, _unit(name), samples, NAME, peer, _wanted(name)))
    return figures


def _unit(name: str) -> str:
    return "MB" if "memory" in name else "/s" if "pipelined" in name else "ms"


def _wanted(name: str) -> Wanted | None:
    """What is wanted of a figure by its name, as a ratio to the original."""
    at, _, what = name.rpartition(": ")
    match what.split()[0]:
        case "NewTunnel":
            return Wanted(1 / 30, of_ratio=True)
        case "GetAll":
            return Wanted(1 / 100, of_ratio=True)
        case "Get" | "FetchAvailableSessions" | "LookupConfigName":
            return Wanted(1 / 10, of_ratio=True)
        case "LookupInterface" if at == "at 40":
            return Wanted(1 / 200, of_ratio=True)
        case "pipelined":
            return Wanted(20, of_ratio=True, at_least=True)
        case "Disconnect":
            return Wanted(1 / 3, of_ratio=True)
        case "activation":
            return Wanted(1, of_ratio=True)
        case "memory" if at == "at 40" and "all" in what:
            return Wanted(1.25, of_ratio=True)
        case _:
            return None


class _Side(ABC):
    """One of the two; a laboratory and its services come with `lab`."""

    ours: bool
    pipelined: int  # calls for about a second's work

    def __init__(self, pki: Pki) -> None:
        self._pki = pki

    @contextmanager
    def lab(self) -> Iterator[IncumbentLab]:
        """The laboratory, with a server that pushes nothing (sessions must not quarrel over routes) and services."""
        with IncumbentLab(RELEASE, self._pki, ours=self.ours) as lab:
            lab.server(pushes=())
            self._start(lab)
            yield lab

    @abstractmethod
    def _start(self, lab: IncumbentLab) -> None:
        """Start the services."""

    @abstractmethod
    def footprint(self, lab: IncumbentLab, backends: Sequence[int]) -> tuple[list[float], float]:
        """Proportional memory of each session, and of everything together; `backends` are the backend_pids."""

    @abstractmethod
    def _activation(self, lab: IncumbentLab) -> dict[str, list[str]]:
        """The command that each name is activated by."""

    def cold_starts(self) -> Samples:
        """A property read while nothing runs, until its reply."""
        taken = []
        with IncumbentLab(RELEASE, self._pki, ours=self.ours) as lab:
            for name, argv in self._activation(lab).items():
                lab.bus.activatable([name], argv)
            lab.watcher.call("/org/freedesktop/DBus", _BUS, "ReloadConfig", to=_BUS)
            with Meter(lab) as meter:
                for _ in range(_STARTS):
                    taken.append(meter.first_reply(SESSIONS, SESSIONS_PATH))
                    _end_services(lab)
        return {"activation to first reply": taken}


def _end_services(lab: IncumbentLab) -> None:
    pids = set[int]()
    for name in _PROGRAMS:
        try:
            pids.add(lab.watcher.call("/org/freedesktop/DBus", _BUS, "GetConnectionUnixProcessID", "s", name, to=_BUS))
        except BusError:
            continue  # nothing needed it
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in pids:
        wait_gone(pid, ENDING)


class _Theirs(_Side):
    ours = False
    pipelined = 300

    def _start(self, lab: IncumbentLab) -> None:
        lab.start_services()
        lab.watcher.set(LOG_PATH, "log_level", "u", LOG_LEVEL)

    def footprint(self, lab: IncumbentLab, backends: Sequence[int]) -> tuple[list[float], float]:
        everything = sum(memory.memory(pid).pss for pid in memory.rooted_in(lab.foreign.path))
        return [memory.memory(pid).pss for pid in backends], everything

    def _activation(self, lab: IncumbentLab) -> dict[str, list[str]]:
        directory = "/usr/libexec/openvpn3-linux/openvpn3-service-"
        return {
            name: lab.foreign.command((directory + program).split(), SERVICE.name)
            for name, program in _PROGRAMS.items()
        }


class _Ours(_Side):
    ours = True
    pipelined = 5000
    _service: Service

    def _start(self, lab: IncumbentLab) -> None:
        self._service = lab.supervisor(log_level=LOG_LEVEL)

    def footprint(self, lab: IncumbentLab, backends: Sequence[int]) -> tuple[list[float], float]:
        of_sessions = [
            sum(memory.memory(one).pss for one in (worker, *memory.descendants(worker))) for worker in backends
        ]
        pids = (self._service.pid, *memory.descendants(self._service.pid))
        return of_sessions, sum(memory.memory(pid).pss for pid in pids)

    def _activation(self, lab: IncumbentLab) -> dict[str, list[str]]:
        place = lab.directory / "activated"
        place.mkdir()
        return dict.fromkeys(NAMES, service_command(place, log_level=LOG_LEVEL))


@dataclass
class _Turn:
    """One side's turn with more and more sessions."""

    side: _Side
    samples: Samples = field(default_factory=lambda: defaultdict(list))

    def measure(self, counts: Sequence[int]) -> Samples:
        """Everything at each number of sessions, by the name of the figure."""
        with self.side.lab() as lab, Meter(lab) as meter:
            profiles = [meter.import_profile(f"profile {n}", lab.profile()) for n in range(max(counts))]
            meter.import_profile("command", lab.profile())
            sessions: list[str] = []
            for count in counts:
                at = f"at {count}: "
                while len(sessions) < count:
                    _, path = meter.new_tunnel(profiles[len(sessions)])
                    meter.connect(path, forwarded=True)
                    sessions.append(path)
                self._rounds(at, meter, sessions, profiles[count - 1])
                self._calls(at, meter, sessions[-1])
                self._commands(at, lab, meter)
                backends = [meter.get(path, "backend_pid") for path in sessions]
                of_sessions, everything = self.side.footprint(lab, backends)
                self.samples[at + "memory of a session"] = of_sessions
                self.samples[at + "memory of all processes"] = [everything]
            for path in sessions:
                meter.disconnect(path)
        return self.samples

    def _rounds(self, at: str, meter: Meter, sessions: list[str], profile: str) -> None:
        """End the last session and make it again."""
        for _ in range(_ROUNDS):
            ended = meter.disconnect(sessions.pop())
            made, path = meter.new_tunnel(profile)
            sessions.append(path)
            self.samples[at + "NewTunnel to usable object"].append(made)
            self.samples[at + "Connect to CONNECTED"].append(meter.connect(path, forwarded=True))
            self.samples[at + "Disconnect"].append(ended)

    def _calls(self, at: str, meter: Meter, session: str) -> None:
        taken = meter.round_trips(session, list(_PROPERTIES), _CALLS)
        for name in _PROPERTIES:
            self.samples[f"{at}Get {name}"] = taken[name]
        self.samples[at + "GetAll"] = taken["GetAll"]
        device = meter.get(session, "device_name")
        self.samples[at + "FetchAvailableSessions"] = meter.manager_calls("FetchAvailableSessions", None, _CALLS)
        self.samples[at + "LookupInterface"] = meter.manager_calls("LookupInterface", device, _CALLS)
        self.samples[at + "LookupConfigName"] = meter.manager_calls("LookupConfigName", "profile 0", _CALLS)
        for _ in range(3):
            self.samples[at + "pipelined Get"].append(meter.pipelined(session, self.side.pipelined, _WINDOW)["Get"])

    def _commands(self, at: str, lab: IncumbentLab, meter: Meter) -> None:
        """Whole commands, from their start to their end with a connected session, which is then ended."""
        argv = ("session-start", "--config", "command")
        commands: dict[str, Callable[[], CompletedProcess[str]]] = {
            "openvpn3": lambda: lab.foreign_user("alice", ["openvpn3", *argv])
        }
        if self.side.ours:
            commands["ovpnctl"] = lambda: lab.ovpnctl("alice", *argv)
        for program, run in commands.items():
            for _ in range(_COMMANDS):
                before = set(meter.sessions())
                began = time.perf_counter()
                done = run()
                took = (time.perf_counter() - began) * 1000
                if done.returncode:
                    raise LabError(f"{program} session-start ended with {done.returncode}: {done.stdout}{done.stderr}")
                self.samples[f"{at}{program} session-start"].append(took)
                for path in set(meter.sessions()) - before:
                    meter.disconnect(path)
