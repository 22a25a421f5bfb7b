"""What the kernel shows of a process to root only, read by psutil and from proc(5)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

_SAME_START = (
    2.0  # seconds between the start of a process as two programs compute it: both round the start of the machine
)
_SETS = {
    "CapInh": "inheritable",
    "CapPrm": "permitted",
    "CapEff": "effective",
    "CapBnd": "bounding",
    "CapAmb": "ambient",
}


def details(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The `details` of inspect --json for a process with these `pid`, `uid` and `started`.

    None if it has ended, or is in another pid namespace.
    """
    try:
        process = psutil.Process(row["pid"])
        if process.uids().real != row["uid"] or abs(process.create_time() - row["started"]) > _SAME_START:
            return None  # another one by now, or this is another pid namespace
        memory, moved = process.memory_full_info(), process.io_counters()
        return {
            "descriptors": process.num_fds(),
            "read_bytes": moved.read_chars,
            "written_bytes": moved.write_chars,
            "uss": memory.uss,
            "pss": memory.pss,
            "swap": memory.swap,
            **_confinement(row["pid"]),
        }
    except (psutil.Error, OSError):
        return None


def _confinement(pid: int) -> dict[str, Any]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    ours, theirs = Path("/proc/self/ns"), Path(f"/proc/{pid}/ns")
    names = sorted(entry.name for entry in theirs.iterdir() if not entry.name.endswith("_for_children"))
    return {
        "no_new_privs": status.get("NoNewPrivs") == "1",
        "seccomp": int(status.get("Seccomp", 0)),
        "seccomp_filters": int(status.get("Seccomp_filters", 0)),
        "capabilities": {name: status[field] for field, name in _SETS.items()},
        "namespaces": [name for name in names if (theirs / name).readlink() != (ours / name).readlink()],
    }
