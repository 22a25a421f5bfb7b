"""How much longer everything takes with hundreds of sessions than with ten, and how soon all of them are ended."""

import os
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from ..tests.lab.lab import Lab
from ..tests.lab.network import SERVER_ADDRESS
from ..tests.lab.openvpn import PORT
from ..tests.lab.pki import Pki
from ..tests.lab.service import Service
from .figures import Figure, Wanted
from .meter import Meter

_LOG_LEVEL = 3  # what an installed service logs at
_USERS = ("alice", "bob", "root")
_PER_USER = 140  # of each of these at most: with more, the last places would be kept from alice and bob
_PER_SERVER = 200  # clients of one server, which has the addresses of a /24
_FEW = 10  # what all is compared with
_ENDED = Wanted(1500)
_RATIO = Wanted(1.5, of_ratio=True)
_PROPERTIES = ["status"]
_UNITS = {"Get": "µs", "GetAll": "µs", "LookupInterface": "µs", "FetchAvailableSessions, a session": "µs"}

_TICK = 1000 / os.sysconf("SC_CLK_TCK")  # in ms

Samples = dict[str, list[float]]


class Scaled:
    """Sessions of several users, as many as wanted at the moment."""

    def __init__(self, lab: Lab, service: Service, meters: dict[str, Meter]) -> None:
        self.paths: list[tuple[Meter, str]] = []
        self._lab = lab
        self._service = service
        self._meters = meters
        self._names = count()

    def _profile(self, meter: Meter) -> str:
        number = next(self._names)
        port = PORT + len(self.paths) // _PER_SERVER
        remotes = (f"{SERVER_ADDRESS} {port}",)
        return meter.import_profile(f"profile {number}", self._lab.profile(remotes=remotes))

    def have(self, number: int) -> None:
        """Connect, or disconnect, as many as it takes."""
        while len(self.paths) < number:
            meter = self._meters[_USERS[len(self.paths) // _PER_USER]]
            _, path = meter.new_tunnel(self._profile(meter))
            meter.connect(path)
            self.paths.append((meter, path))
        while len(self.paths) > number:
            meter, path = self.paths.pop()
            meter.disconnect(path)

    def measure(self, runs: int, calls: int) -> Samples:
        """The times that one more session takes, and of calls about one that is there."""
        alice, root = self._meters["alice"], self._meters["root"]
        found: Samples = {"NewTunnel": [], "Connect": [], "Disconnect": []}
        profile = self._profile(alice)
        before = _processor_time(self._service.pid)
        for _ in range(runs):
            took, path = alice.new_tunnel(profile)
            found["NewTunnel"].append(took)
            found["Connect"].append(alice.connect(path))
            found["Disconnect"].append(alice.disconnect(path))
        took = _processor_time(self._service.pid) - before
        found["the supervisor's processor time for these three"] = [took / runs]
        _, path = self.paths[_FEW - 1]
        trips = alice.round_trips(path, _PROPERTIES, calls)
        found["Get"], found["GetAll"] = trips["status"], trips["GetAll"]
        found["LookupInterface"] = alice.manager_calls("LookupInterface", alice.get(path, "device_name"), calls)
        fetched = root.manager_calls("FetchAvailableSessions", None, calls)
        found["FetchAvailableSessions, a session"] = [one / len(self.paths) for one in fetched]
        return found


def measure(pki: Pki, runs: int, calls: int, numbers: tuple[int, ...]) -> list[Figure]:
    """Each number of sessions beside ten, which are measured before and after."""
    with ExitStack() as parts:
        lab = parts.enter_context(Lab(pki))
        for number in range(max(numbers) // _PER_SERVER + 1):
            lab.server(pushes=(), port=PORT + number, subnet=f"198.18.{number}.0", subnet6=f"2001:db8:2:{number}::/64")
        service = lab.supervisor(f"--max-sessions-per-user={_PER_USER + 1}", log_level=_LOG_LEVEL)
        scaled = Scaled(lab, service, {user: parts.enter_context(Meter(lab, user)) for user in _USERS})
        scaled.have(_FEW)
        few = scaled.measure(runs, calls)
        many = dict[int, Samples]()
        for number in sorted(numbers):
            scaled.have(number)
            many[number] = scaled.measure(runs, calls)
        scaled.have(_FEW)
        for name, samples in scaled.measure(runs, calls).items():
            few[name] += samples
        scaled.have(max(numbers))
        began = time.monotonic()
        service.stop()
        ended = (time.monotonic() - began) * 1000
    figures = [
        _figure(f"at {number}: {name}", name, samples, few[name])
        for number, found in many.items()
        for name, samples in found.items()
    ]
    return [*figures, Figure(f"SIGTERM with {max(numbers)} sessions to the end", "ms", [ended], wanted=_ENDED)]


def _figure(title: str, name: str, samples: list[float], few: list[float]) -> Figure:
    unit = _UNITS.get(name, "ms")
    factor = 1000 if unit == "µs" else 1
    return Figure(title, unit, [one * factor for one in samples], f"at {_FEW}", [one * factor for one in few], _RATIO)


def _processor_time(pid: int) -> float:
    """Of a process, in ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK
