"""Who is there: servers, the service, alice, whose sessions are hit, and bob, who is not to notice anything."""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

from ..lab import kernel
from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH, BusClient
from ..lab.flows import counted
from ..lab.lab import Lab
from ..lab.network import SERVER_ADDRESS
from ..lab.openvpn import USUAL_PUSHES
from ..lab.processes import LabError, Process, helper, pids
from ..lab.service import NAMES, Service
from ..support.service_life import title, wait_until
from ..support.sessions import CONNECTED, UserSession, begin
from .census import SERVICE, SESSION, census

PATIENCE = 60.0  # seconds
_BOBS_PORT, _BOBS_NETWORK, _BOBS_SERVER = 1195, "198.19.0.0", "198.19.0.1"
_ECHO_PORT = 7000
_PER_SECOND = 50  # datagrams
_PROCESSES = 7  # of the service, when all are there: itself, and two for each helper
_SIZES = {"service": "8m", "log": "8m"}  # of the file systems that may become full


class World:
    """A context manager: the lab with all of them in it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._after = contextlib.ExitStack()
        self.wrong: list[str] = []  # what somebody has noticed that is nobody's to notice
        self.mends: list[Callable[[], None]] = []  # what undoes the present fault
        self.at_last: list[Callable[[], None]] = []  # the same, when alice's session has ended
        self._people: list[BusClient] = []
        self.usual: frozenset[str] = frozenset()

    def __enter__(self) -> "World":
        with contextlib.ExitStack() as undone:
            undone.callback(self._after.close)
            self._put_up()
            undone.pop_all()
        return self

    def _put_up(self) -> None:
        lab = self.lab
        self.names = lab.dns({"vpn.example": [SERVER_ADDRESS]})
        self.server = lab.server(pushes=(*USUAL_PUSHES, f"dhcp-option DNS {SERVER_ADDRESS}"))
        lab.server(port=_BOBS_PORT, pushes=(), subnet=_BOBS_NETWORK, subnet6="2001:db8:4::/64")
        self.echo = lab.server_side.start("echo", helper("echo.py", "serve", str(_ECHO_PORT)))
        self._after.callback(self.echo.stop)
        self.echo.wait_line("^ready$")
        self.directory = self._file_system("service", lab.service_directory)
        self.log = self._file_system("log", lab.directory / "log") / "service.log"
        self.log.touch()
        self.log.chmod(0o666)
        self.start()
        self.begin_quiet()

    def __exit__(self, *_: object) -> None:
        self._after.close()

    def _file_system(self, name: str, place: Path) -> Path:
        place.mkdir(exist_ok=True)
        kernel.mount("tmpfs", place, "tmpfs", options=f"size={_SIZES[name]},mode=755")
        self._after.callback(kernel.unmount, place)
        return place

    # The service and its users

    def start(self) -> None:
        """Start the service."""
        self.service: Service = self.lab.supervisor(f"--log-file={self.log}", "--bus-wait=0", log_level=6)
        if not self._people:
            self.meet()
        wait_until(lambda: self.processes() == _PROCESSES)
        self.root.session(SESSIONS_PATH, "FetchAvailableSessions")  # answered when it has done all that a start takes

    def processes(self) -> int:
        """How many processes of the service there are."""
        return len([pid for pid in pids() if title(pid).startswith(SERVICE)])

    def meet(self) -> None:
        """Make all connections to the bus anew."""
        for old in self._people:
            old.close()
        self.root, self.alice, self.bob = self._people = [self.lab.connection(one) for one in ("root", "alice", "bob")]
        for name in NAMES:
            self.root.wait_owner(name, PATIENCE)

    def begin_quiet(self) -> None:
        """Bob connects, and sends."""
        port = f"{SERVER_ADDRESS} {_BOBS_PORT}"
        self.quiet: UserSession = begin(self.lab, "quiet", "bob", self.bob, remotes=[port])
        self.quiet.connect()
        self.seen = self.quiet.seen
        argv = helper("flow.py", _BOBS_SERVER, str(_ECHO_PORT), str(_PER_SECOND))
        self.flow: Process = self.lab.client_side.start("flow", argv, "bob")
        self._after.callback(self.flow.stop)
        self.flow.wait_line('"sent": [1-9]')
        self.usual = self.look()

    def end_flow(self) -> None:
        """See that all that bob has sent has come back."""
        self.flow.stop(PATIENCE)
        found = counted(self.flow)
        if not found.sent or found.missing or found.twice:
            self.wrong.append(f"of bob's datagrams {found}")

    # What they see

    def look(self) -> frozenset[str]:
        """What there is on the machine."""
        return census(self.lab, self.directory)

    def settled(self, expected: frozenset[str]) -> list[str]:
        """What is there, and was not to be, or the other way round, once it stays so."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.look() == expected)
        found = self.look()
        return [f"left: {one}" for one in sorted(found - expected)] + [
            f"gone: {one}" for one in sorted(expected - found)
        ]

    def see_bob(self) -> None:
        """Has he noticed anything?"""
        if not self.flow.running():
            self.wrong.append("bob's flow has ended")
        try:
            status = self.quiet.get("status")
        except (LabError, Exception) as error:
            self.wrong.append(f"bob's session does not answer: {error}")
            return
        if status != [2, CONNECTED, ""]:
            self.wrong.append(f"bob's session has the status {status}")
        if told := self.bob.statuses(self.quiet.path, self.seen):
            self.wrong.append(f"bob was told of {told}")

    # What the faults need

    def killed(self) -> None:
        """The service has been killed: start the next one."""
        self.root.wait_no_owner(SESSIONS)
        self.start()

    def handed_over(self) -> None:
        """The service has lost what only the next one has: have it leave, and start that."""
        self.service.process.signal(signal.SIGUSR2)
        if status := self.service.process.wait():
            self.wrong.append(f"the service ended with status {status}")
        self.killed()

    def remove_profiles(self, user: BusClient) -> None:
        """Remove all that a user has."""
        for path in user.call(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs"):
            user.call(path, CONFIGURATION, "Remove")

    def bus_restarted(self) -> None:
        """All connections are gone."""
        self.lab.restart_bus()
        self.meet()
        self.quiet.user = self.bob
        self.seen = self.quiet.seen

    def workers_of_alice(self) -> list[int]:
        """Process ids of her sessions' workers."""
        return [pid for pid in pids() if title(pid).startswith(SESSION) and " of alice" in title(pid)]
