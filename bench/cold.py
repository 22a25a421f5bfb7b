"""Calls to a service that does not run, which the bus starts for them: beside a bare service that it starts, too."""

import os
import signal
import sys
from pathlib import Path

from ..tests.lab.connection import SESSIONS, SESSIONS_PATH
from ..tests.lab.lab import Lab
from ..tests.lab.pki import Pki
from ..tests.lab.processes import wait_gone
from ..tests.lab.service import ENDING
from . import bare_service, memory
from .figures import Figure, Wanted
from .meter import Meter

_LOG_LEVEL = 3  # what an installed service logs at
_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_PROGRAM = str(Path(bare_service.__file__))


def measure(pki: Pki, runs: int) -> list[Figure]:
    """Each in turn with the bare service: a property, the list of sessions, and NewTunnel until it is usable."""
    bare: list[float] = []
    replies: list[float] = []
    answers: list[float] = []
    tunnels: list[float] = []
    with Lab(pki) as lab:
        lab.server(pushes=())
        lab.startable(bare_service.NAME, [sys.executable, "-I", _PROGRAM])
        lab.start_bus(activation=[f"--log-level={_LOG_LEVEL}"])
        with Meter(lab) as meter:
            profile = meter.import_profile("profile", lab.profile())
            _end(lab, SESSIONS)
            for _ in range(runs):
                for samples in (replies, answers, tunnels):
                    took = meter.first_reply(bare_service.NAME, bare_service.PATH)
                    _end(lab, bare_service.NAME)
                    if samples is replies:
                        bare.append(took)
                        samples.append(meter.first_reply(SESSIONS, SESSIONS_PATH))
                    elif samples is answers:
                        samples.extend(meter.manager_calls("FetchAvailableSessions", None, 1))
                    else:
                        took, _ = meter.new_tunnel(profile)
                        samples.append(took)
                    _end(lab, SESSIONS)
    peer = ("a bare service", bare)
    return [
        Figure("activation to first reply", "ms", replies, *peer, Wanted(1.3, of_ratio=True)),
        Figure("activation to the list of sessions", "ms", answers, *peer),
        Figure("NewTunnel from nothing", "ms", tunnels, *peer, Wanted(150)),
    ]


def _end(lab: Lab, name: str) -> None:
    """End the owner of a name, with all of its processes, lest they take part in what is measured next."""
    pid = lab.watcher.call(_BUS_PATH, _BUS, "GetConnectionUnixProcessID", "s", name, to=_BUS)
    ending = [pid, *memory.descendants(pid)]
    os.kill(pid, signal.SIGTERM)
    for one in ending:
        wait_gone(one, ENDING)
