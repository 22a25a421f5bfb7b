"""What is left of a service that has ended."""

from pathlib import Path

from ...supervisor.record_file import RecordFile
from ..lab.lab import Lab
from ..lab.network import CABLE
from ..lab.openvpn import Server
from ..lab.processes import DEADLINE, until_gone
from .service_life import field, processes, wait_until

HELPERS = "openvpn3-service-sessionmgr: "
WORKER = "openvpn3-session: "
ENGINE = "openvpn --"


def runtime(lab: Lab) -> Path:
    """The runtime directory of a service that was `started`."""
    return lab.directory / "own" / "runtime"


def assert_nothing_left(lab: Lab) -> None:
    """No process, device or journal of the service that has just ended."""
    assert not until_gone(family, DEADLINE)
    assert lab.client_side.devices() == {CABLE}
    assert lab.client_side.routes() == {"198.51.100.0/24", "2001:db8:1::/64"}
    for place in ("sessions", "devices"):
        records = runtime(lab) / place / "records"
        if records.exists():  # else it ended before it made them
            file = RecordFile(records)
            assert file.read() == {}
            file.close()


def family() -> set[int]:
    """All processes of the service but the first, and of its sessions."""
    return {pid for title in (HELPERS, WORKER, ENGINE) for pid in processes(title)} - engines_of_the_lab()


def engines_of_the_lab() -> set[int]:
    """Servers, and plain openvpn."""
    return {pid for pid in processes(ENGINE) if field(pid, "Uid").split()[0] == "0"}


def wait_without_clients(server: Server) -> None:
    """Wait until the server has been told by each of its clients that it goes."""
    wait_until(lambda: not server.clients())
