"""The service under test, started by hand or by the bus."""

from collections.abc import Sequence
from pathlib import Path

from ...policy import limits
from ...supervisor.start.allocator import ENVIRONMENT
from . import denied
from .bus import Bus
from .connection import CONFIGURATION, LOG, SESSIONS, SESSIONS_PATH, BusClient, BusError
from .network import Namespace
from .processes import DEADLINE, PROGRAMS, LabError, Process

SERVICE_PROGRAM = str(PROGRAMS / "openvpn3-service-sessionmgr")
OVPNCTL = str(PROGRAMS / "ovpnctl")
NAMES = (SESSIONS, CONFIGURATION, LOG, "net.openvpn.v3.backends", "net.openvpn.v3.netcfg")  # that start it when called
AS_INSTALLED = ("/usr/bin/env", *(f"{name}={value}" for name, value in ENVIRONMENT.items()))  # as the bus starts it
# Of this run only: a bound on the processes of a user id (RLIMIT_NPROC) counts those of the whole machine, where other
# labs may run beside this one.  Each has a pid namespace of its own.
_FIRST_UID = 1_000_000 + Path("/proc/self/ns/pid").stat().st_ino % 1_000_000 * 1000
SESSION_UIDS = range(_FIRST_UID, _FIRST_UID + len(limits.SESSION_UIDS))  # the first is the resolver's
FIRST_SESSION_UID = SESSION_UIDS[1]
ENDING = 15.0  # seconds from SIGTERM to the end, with engines that say goodbye first


def service_command(directory: Path, *options: str, idle_exit: float = 0, log_level: int = 6) -> list[str]:
    """The command line of a service that keeps its files below `directory` and logs to standard output.

    `idle_exit` is in minutes, 0 for never.  `options` come last and override.
    """
    return [
        *denied.tracer(),
        *AS_INSTALLED,
        SERVICE_PROGRAM,
        f"--log-level={log_level}",
        "--log-file=stdout:",
        f"--idle-exit={idle_exit:g}",
        f"--state-dir={directory / 'state'}",
        f"--runtime-dir={directory / 'runtime'}",
        f"--session-uids={SESSION_UIDS[0]}-{SESSION_UIDS[-1]}",
        f"--config-dir={directory / 'etc'}",
        "--configuration=embedded",
        *options,
    ]


# What is answered when an earlier instance is leaving the bus, or has left it.
_LEAVES = tuple(f"org.freedesktop.DBus.Error.{name}" for name in ("NoReply", "ServiceUnknown", "NameHasNoOwner"))


def wait_answer(watcher: BusClient, names: Sequence[str] = NAMES, deadline: float = DEADLINE) -> None:
    """Wait until a service owns these names and has answered what it holds until it is ready.

    Raises LabError, BusError.
    """
    while True:
        for name in names:
            watcher.wait_owner(name, deadline)
        try:
            watcher.call(SESSIONS_PATH, "org.freedesktop.DBus.Peer", "Ping", deadline=6 * DEADLINE)
        except BusError as error:
            if error.name not in _LEAVES:
                raise
        else:
            return


class Service:
    """`openvpn3-service-sessionmgr`, running in a namespace on a bus."""

    def __init__(self, namespace: Namespace, bus: Bus, argv: Sequence[str], watcher: BusClient) -> None:
        self._watcher = watcher
        embedded = [option for option in argv if option.startswith("--configuration=")][-1].endswith("=embedded")
        self._names = NAMES if embedded else (SESSIONS,)
        self.process: Process = namespace.start("service", argv, environment=bus.environment())

    @property
    def pid(self) -> int:
        """Process id, as seen inside."""
        return self.process.pid

    @property
    def log(self) -> str:
        """Everything it logged so far."""
        return self.process.text

    def wait_ready(self, deadline: float = DEADLINE) -> None:
        """Wait until it owns its names and answers; LabError with its log if it ends first or takes too long."""
        with self.process.ending(lambda: self._watcher.interrupt("the service ended")):
            try:
                wait_answer(self._watcher, self._names, deadline)
            except (LabError, BusError) as error:
                status = self.stop()
                raise LabError(f"{error}; status {status}; its log:\n{self.log}") from None

    def stop(self) -> int:
        """End it as an administrator would; its exit status."""
        return self.process.stop(ENDING)
