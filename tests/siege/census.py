"""What there is of the service: processes, memory, descriptors, files, its part of the network."""

from collections.abc import Mapping

import msgspec
import psutil

from ..lab.network import ip
from ..lab.processes import clean_environment
from .field import Field

_TITLE = "openvpn3-service-sessionmgr"
_MB = 1024 * 1024


class Figures(msgspec.Struct, frozen=True):
    """Of one process."""

    memory: float  # MB, its share of what it shares included (PSS)
    descriptors: int
    threads: int


class Census(msgspec.Struct, frozen=True):
    """All that can be counted while nothing happens."""

    processes: Mapping[str, Figures]
    files: frozenset[str]
    network: frozenset[str]

    @property
    def memory(self) -> float:
        """MB of all processes."""
        return sum(one.memory for one in self.processes.values())

    @property
    def descriptors(self) -> int:
        return sum(one.descriptors for one in self.processes.values())

    @property
    def supervisor(self) -> Figures:
        return self.processes["supervisor"]


def take(field: Field) -> Census:
    """Count."""
    return Census(_processes(field.service.pid), _files(field), _network(field))


def _processes(supervisor: int) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    first = psutil.Process(supervisor)
    for process in (first, *sorted(first.children(recursive=True), key=lambda one: one.pid)):
        try:
            with process.oneshot():
                title = " ".join(process.cmdline()) or process.name()
                figures = Figures(process.memory_full_info().pss / _MB, process.num_fds(), process.num_threads())
        except (psutil.Error, OSError):
            continue  # it has ended meanwhile
        name = "supervisor" if process is first else title.removeprefix(f"{_TITLE}: ").partition(" --")[0]
        number = 1
        while (role := name if number == 1 else f"{name} ({number})") in found:
            number += 1
        found[role] = figures
    return found


def _files(field: Field) -> frozenset[str]:
    # Why sessions failed is kept, in bounds: a file for each user.
    failures = field.directory / "state" / "failures"
    return frozenset(
        str(path.relative_to(field.directory))
        for top in ("state", "runtime")
        for path in (field.directory / top).rglob("*")
        if path != failures and path.parent != failures
    )


def _network(field: Field) -> frozenset[str]:
    name = field.lab.client_side.name
    found = {f"device {device}" for device in field.lab.client_side.devices()}
    for what in ("address", "route", "rule"):
        for family in ("-4", "-6"):
            shown = ip("-n", name, family, "-oneline", what, "show", *(("table", "all") if what == "route" else ()))
            found |= {f"{what} {' '.join(line.split())}" for line in shown.splitlines()}
    ruleset = field.lab.client_side.run(["nft", "list", "ruleset"], environment=clean_environment()).stdout
    return frozenset(found | {f"firewall {line.strip()}" for line in ruleset.splitlines() if line.strip()})


def left(before: Census, after: Census) -> list[str]:
    """What there is of processes, files and network after, and was not before, and the other way round."""
    found = []
    for what, one, other in (
        ("process", before.processes.keys(), after.processes.keys()),
        ("file", before.files, after.files),
        ("network:", before.network, after.network),
    ):
        found += [f"{what} {name} is left" for name in sorted(other - one)]
        found += [f"{what} {name} is gone" for name in sorted(one - other)]
    return found


def grown(before: Census, after: Census, *, descriptors: int, threads: int, memory: float) -> list[str]:
    """Processes that have grown by more than this: descriptors, threads, memory in MB."""
    found = []
    for role, now in after.processes.items():
        was = before.processes.get(role, now)
        if now.descriptors > was.descriptors + descriptors:
            found.append(f"{role} has {now.descriptors} descriptors, had {was.descriptors}")
        if now.threads > was.threads + threads:
            found.append(f"{role} has {now.threads} threads, had {was.threads}")
        if now.memory > was.memory + memory:
            found.append(f"{role} has {now.memory:.1f} MB, had {was.memory:.1f} MB")
    return found
