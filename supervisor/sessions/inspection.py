"""What stands behind a session, for who wants to look at it: its processes, and the layers that confine them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbus_fast import Variant

from ...policy.access import Acl
from ...policy.dns import DnsSettings
from ...policy.sandbox.layers import Layer
from ..dns.backend import described
from ..dns.names import Names
from ..workers.proc import children
from .session import Session

_LOCAL = "the profile's server or proxy is on this machine"
_UNREPORTED = "the session's worker does not report it"


class Inspection:
    """The properties of bus/inspection_api.py, from what the kernel shows to every user: nothing waits for a worker."""

    def __init__(self, session: Session, layers_off: Mapping[Layer, str], names: Names, lacks: Sequence[str]) -> None:
        """`layers_off` are the layers that no session has, with the reasons; `lacks` is what the service cannot do."""
        self._lacks = lacks
        self._session = session
        self._layers_off = layers_off
        self._names = names

    @property
    def acl(self) -> Acl:
        return self._session.acl

    @property
    def last_error(self) -> tuple[str, str, str]:
        failure = self._session.last_error
        return (failure.cause, failure.text, failure.hint) if failure is not None else ("", "", "")

    @property
    def notices(self) -> list[str]:
        return [*self._session.notices.all, *self._lacks]

    @property
    def fingerprint(self) -> str:
        return self._session.fingerprint

    @property
    def session_uid(self) -> int:
        run = self._session.run
        return run.uid if run is not None else 0

    @property
    def layers(self) -> list[str]:
        confining = self._confining
        return [layer for layer in Layer if layer in confining] if confining is not None else []

    @property
    def missing_layers(self) -> dict[str, str]:
        confining = self._confining
        if confining is None:
            return {}
        unreported = {layer: _LOCAL if layer is Layer.FIREWALL else _UNREPORTED for layer in Layer}
        reasons = {**unreported, **self._layers_off}
        return {layer: reasons[layer] for layer in Layer if layer not in confining}

    @property
    def name_servers(self) -> list[str]:
        return list(described(self._dns).servers)

    @property
    def domains(self) -> list[str]:
        return list(described(self._dns).domains)

    @property
    def dns_backend(self) -> str:
        return self._names.backend

    @property
    def processes(self) -> list[dict[str, Variant]]:
        run = self._session.run
        if run is None or not run.alive:
            return []
        return [process_row("worker", run.pid), *(process_row("engine", pid, run.pid) for pid in children(run.pid))]

    @property
    def _dns(self) -> DnsSettings | None:
        run = self._session.run
        return self._names.in_force(run.device) if run is not None else None

    @property
    def _confining(self) -> frozenset[Layer] | None:
        run = self._session.run
        return run.layers if run is not None and run.alive else None


def process_row(role: str, pid: int, parent: int = 0) -> dict[str, Variant]:
    """One of the rows of `processes`; without readings if it is gone, or no child of `parent`."""
    # Imported here: it takes 1.4 MB and 15 ms, which a service that nobody looks into need not spend.
    import psutil

    row = {"role": Variant("s", role), "pid": Variant("u", pid)}
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if parent and process.ppid() != parent:
                return row
            return row | _readings(process, parent)
    except (psutil.Error, OSError):
        return row


def _readings(process: Any, parent: int) -> dict[str, Variant]:
    cpu, memory = process.cpu_times(), process.memory_info()
    readings = {
        "uid": Variant("u", process.uids().real),
        "state": Variant("s", process.status()),
        "cpu_user": Variant("d", cpu.user),
        "cpu_system": Variant("d", cpu.system),
        "memory": Variant("t", memory.rss),
        "shared": Variant("t", memory.shared),
        "threads": Variant("u", process.num_threads()),
        "started": Variant("d", process.create_time()),
    }
    if parent and process.name() == _name(parent):
        readings["role"] = Variant("s", "helper")  # it has not executed the engine
    return readings


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
