"""Memory of processes as the kernel counts it (proc(5), smaps_rollup), in MB of 1024 · 1024 bytes."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Memory:
    """What a process has: pages that are its own and written to, and its share of all that it maps."""

    private_dirty: float
    pss: float

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.private_dirty + other.private_dirty, self.pss + other.pss)


NOTHING = Memory(0, 0)


def memory(pid: int) -> Memory:
    """Memory of a process.  Raises OSError."""
    rows = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    fields = {name: int(value.split()[0]) / 1024 for name, _, value in (row.partition(":") for row in rows)}
    return Memory(fields["Private_Dirty"], fields["Pss"])


def children(pid: int) -> list[int]:
    """The children of a process."""
    found = []
    for entry in _PROC.glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """All processes below a process."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def rooted_in(directory: Path) -> list[int]:
    """All processes whose root is `directory`."""
    found = []
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if (entry / "root").samefile(directory):
                found.append(int(entry.name))
    return found


def title(pid: int) -> str:
    """The first words of a process's command line."""
    return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
