"""Sessions whose service is killed: how soon the next one answers for them, and what of their traffic is lost."""

import signal
import time

from ..tests.lab.connection import SESSIONS, SESSIONS_PATH
from ..tests.lab.lab import Lab
from ..tests.lab.network import SERVER_ADDRESS
from ..tests.lab.openvpn import PORT, TUNNEL_ADDRESS
from ..tests.lab.pki import Pki
from ..tests.lab.service import Service
from ..tests.support.flow import flowing
from . import sessions
from .figures import Figure, Wanted

_LOG_LEVEL = 3  # what an installed service logs at
_PER_SERVER = 200  # clients of one server, which has the addresses of a /24
_WANTED = {1: Wanted(1000), 40: Wanted(1000)}
_MOST = Wanted(5000)
_PATIENCE = 120.0  # seconds; what takes long is a figure, not an error


def measure(pki: Pki, rounds: int, numbers: tuple[int, ...]) -> list[Figure]:
    """From the new process's start to the first answer about a session; beside a start without any."""
    figures = []
    for number in numbers:
        with Lab(pki) as lab:
            for server in range((number - 1) // _PER_SERVER + 1):
                subnet, subnet6 = f"198.18.{server}.0", f"2001:db8:2:{server}::/64"
                lab.server(pushes=(), port=PORT + server, subnet=subnet, subnet6=subnet6)
            service, empty = lab.supervisor(sessions.AMPLE, log_level=_LOG_LEVEL), []
            for _ in range(rounds):
                service, took = _replaced(lab, service, SESSIONS_PATH, "version")
                empty.append(took)
            [path, *_], ours = sessions.connected(lab, _profiles(lab, number)), []
            with flowing(lab, TUNNEL_ADDRESS) as flow:
                for _ in range(rounds):
                    service, took = _replaced(lab, service, path, "status")
                    ours.append(took)
                counts = flow.stop()
            wanted = _WANTED.get(number, _MOST)
            name = f"killed with {number} session{'s' * (number > 1)}: start to first answer"
            figures += [
                Figure(name, "ms", ours, "without sessions", empty, wanted),
                Figure(f"  of {counts.sent} datagrams lost", "", [float(counts.missing)], wanted=Wanted(0)),
            ]
    return figures


def _profiles(lab: Lab, number: int) -> list[str]:
    """So many, with one server after the other."""
    return [lab.profile(remotes=(f"{SERVER_ADDRESS} {PORT + one // _PER_SERVER}",)) for one in range(number)]


def _replaced(lab: Lab, service: Service, path: str, asked: str) -> tuple[Service, float]:
    """Kill the service and start the next one; how long that takes until it answers, in ms."""
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    began = time.monotonic()
    service = lab.supervisor(sessions.AMPLE, log_level=_LOG_LEVEL, wait=False)
    lab.watcher.wait_owner(SESSIONS, _PATIENCE)
    lab.watcher.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", SESSIONS, asked, deadline=_PATIENCE)
    return service, (time.monotonic() - began) * 1000
