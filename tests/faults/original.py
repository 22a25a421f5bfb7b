"""The same done to OpenVPN 3 Linux, as far as it has these parts.

In the laboratory, `python -m openvpn3_sessionmgr.tests.faults.original`.  Prints, for each fault, what there was of
alice's connected session some seconds later; docs/RELIABILITY.md has it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from ..lab.connection import SESSIONS_PATH, BusClient, BusError
from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import V27
from ..lab.network import CABLE
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.processes import LabError, pids
from ..support.service_life import title, wait_until
from ..support.sessions import CONNECTED

_LATER = 15.0  # seconds in which it may notice
_MARKER = b"through the tunnel"
_CLIENT = "openvpn3-service-client"


class Connected:
    """Alice, connected by the original."""

    def __init__(self, lab: IncumbentLab) -> None:
        self.lab = lab
        lab.server()
        lab.start_services()
        self.alice = lab.connection("alice")
        profile = self.alice.import_profile("work", lab.profile())
        self.path = self.alice.new_tunnel(profile)
        wait_until(lambda: self._ready(self.alice))
        self.alice.session(self.path, "Connect")
        wait_until(lambda: self.alice.get(self.path, "status")[1] == CONNECTED)
        assert lab.echo(TUNNEL_ADDRESS, _MARKER) == _MARKER

    def _ready(self, user: BusClient) -> bool:
        try:
            user.session(self.path, "Ready")
        except BusError:
            return False
        return True

    @property
    def clients(self) -> list[int]:
        """The processes behind sessions."""
        return [pid for pid in pids() if _CLIENT in title(pid)]

    def end(self, name: str, number: int) -> None:
        """Send one of the services a signal."""
        self.lab.services[name].signal(number)
        if number == signal.SIGKILL:
            self.lab.services[name].wait()

    def said(self) -> str:
        """What is seen of the session."""
        return "; ".join((self._listed(), self._traffic(), self._left()))

    def _listed(self) -> str:
        try:
            listed = self.alice.session(SESSIONS_PATH, "FetchAvailableSessions")
        except (BusError, LabError) as error:
            return f"no answer ({type(error).__name__})"
        if self.path not in listed:
            return "not listed"
        try:
            return f"listed with the status {self.alice.get(self.path, 'status')}"
        except (BusError, LabError) as error:
            return f"listed, without a status ({error})"

    def _traffic(self) -> str:
        try:
            self.lab.echo(TUNNEL_ADDRESS, _MARKER, deadline=5)
        except (LabError, subprocess.TimeoutExpired):
            return "no traffic"
        return "traffic goes on"

    def _left(self) -> str:
        devices = sorted(self.lab.client_side.devices() - {CABLE})
        return f"devices {', '.join(devices) or 'none'}, {len(self.clients)} client processes"


def _kill_clients(one: Connected) -> None:
    for pid in one.clients:
        os.kill(pid, signal.SIGKILL)


def _stop_clients(one: Connected) -> None:
    for pid in one.clients:
        os.kill(pid, signal.SIGSTOP)


def _kill_manager(one: Connected) -> None:
    one.end("sessions", signal.SIGKILL)
    one.lab.start_service_again("sessions")


def _restart_bus(one: Connected) -> None:
    one.lab.restart_bus()
    one.alice = one.lab.connection("alice")


FAULTS: dict[str, Callable[[Connected], None]] = {
    "client process killed": _kill_clients,
    "client process stopped": _stop_clients,
    "session manager killed, and started again": _kill_manager,
    "network service killed": lambda one: one.end("netcfg", signal.SIGKILL),
    "bus restarted": _restart_bus,
    "configuration service killed": lambda one: one.end("configuration", signal.SIGKILL),
    "log service killed": lambda one: one.end("log", signal.SIGKILL),
}


def main() -> int:
    """Try all."""
    for name, hit in FAULTS.items():
        with contextlib.suppress(LabError), IncumbentLab(V27) as lab:  # which says what was left, as the line does
            one = Connected(lab)
            hit(one)
            until = time.monotonic() + _LATER
            said = one.said()
            while time.monotonic() < until:
                said = one.said()
            print(f"{name}: {said}", flush=True)
            for pid in one.clients:
                os.kill(pid, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
