"""The faults, and what each is expected to do to the session that is hit."""

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..support.helper_processes import helper_processes, kill_helper
from ..support.service_life import kill_and_wait, make_read_only, title
from ..support.sessions import UserSession
from .world import World

_ENGINE = "openvpn --"


@dataclass
class Victim:
    """The session that is hit."""

    session: UserSession
    call: int = 0  # that is being answered


@dataclass(frozen=True)
class Fault:
    """What fails, and how."""

    name: str
    hit: Callable[[World], None]
    fails: str = ""  # what the status of the session says then, where it has a worker (re); "": it goes on
    then: Callable[[World], None] = lambda world: None  # what an administrator, systemd or the machine does about it
    ends_connections: bool = False


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                kill_and_wait(pid, number)
            else:
                os.kill(pid, number)


def _engines(world: World) -> list[int]:
    found = []
    for worker in world.workers_of_alice():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [one.pid for one in psutil.Process(worker).children() if title(one.pid).startswith(_ENGINE)]
    return found


def _worker_or_engine(which: Callable[[World], list[int]], number: int) -> Callable[[World], None]:
    return lambda world: _signal(which(world), number)


def _on_helper(name: str, role: str, number: int) -> Callable[[World], None]:
    return lambda world: _signal(helper_processes(name, role), number)


def _kill_both(name: str) -> Callable[[World], None]:
    return lambda world: kill_helper(name)


def _fill(place: Callable[[World], Path]) -> Callable[[World], None]:
    def fill(world: World) -> None:
        filler = place(world) / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(65536)):
                pass
        world.at_last.append(filler.unlink)

    return fill


def _make_read_only(place: Callable[[World], Path]) -> Callable[[World], None]:
    def hit(world: World) -> None:
        world.at_last.append(make_read_only(world.service.pid, place(world)))

    return hit


def _kill_service(world: World) -> None:
    kill_and_wait(world.service.pid, signal.SIGKILL)
    world.service.process.wait()


def _kill_bus(world: World) -> None:
    world.lab.bus.process.signal(signal.SIGKILL)
    world.lab.bus.process.wait()


def _freeze_bus(world: World) -> None:
    world.lab.bus.process.freeze()
    world.mends.append(world.lab.bus.process.thaw)


_WORKER, _ENGINE_OF = "The session's worker", "The engine"
FAULTS = (
    Fault("worker killed", _worker_or_engine(lambda world: world.workers_of_alice(), signal.SIGKILL),
          f"{_WORKER} was killed by SIGKILL"),
    Fault("worker stopped", _worker_or_engine(lambda world: world.workers_of_alice(), signal.SIGSTOP),
          rf"{_WORKER} is stopped \(SIGSTOP\), and is killed"),
    Fault("engine killed", _worker_or_engine(_engines, signal.SIGKILL), f"{_ENGINE_OF}.* was killed by SIGKILL"),
    Fault("engine stopped", _worker_or_engine(_engines, signal.SIGSTOP),
          rf"{_ENGINE_OF} is stopped \(SIGSTOP\), and is killed"),
    *(
        Fault(f"{name}, {role}, {how}", _on_helper(name, role, number))
        for name in ("spawner", "resolver", "name setter")
        for role in ("keeper", "serving")
        for how, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP))
    ),
    *(
        Fault(f"{name}, both, killed", _kill_both(name), then=lambda world: world.handed_over())
        for name in ("spawner", "resolver", "name setter")
    ),
    Fault("bus killed", _kill_bus, then=lambda world: world.bus_restarted(), ends_connections=True),
    Fault("bus stopped for a while", _freeze_bus),
    Fault("state and runtime directories full", _fill(lambda world: world.directory)),
    *(
        Fault(f"{name} read-only", _make_read_only(place))
        for name, place in (
            ("runtime directory", lambda world: world.directory / "runtime"),
            ("state directory", lambda world: world.directory / "state"),
            ("resolv.conf", lambda world: Path("/etc/resolv.conf")),
            ("/proc/sys", lambda world: Path("/proc/sys")),
        )
    ),
    Fault("log destination full", _fill(lambda world: world.log.parent)),
    Fault("service killed", _kill_service, then=lambda world: world.killed()),
)  # fmt: skip
