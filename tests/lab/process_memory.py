"""What is in a process's memory (proc(5), /proc/PID/mem; root only)."""

import contextlib
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_PIECE = 16 * mmap.PAGESIZE
_UNREADABLE = ("[vvar]", "[vvar_vclock]", "[vsyscall]")


def found_in_memory(pid: int, needles: Iterable[bytes]) -> dict[bytes, list[str]]:
    """Those of `needles` that are anywhere in a process's memory, and the names of the mappings they are in.

    The process is not stopped: what it does meanwhile may be missed.
    """
    wanted = set(needles)
    overlap = max(map(len, wanted)) - 1
    found: dict[bytes, list[str]] = {}
    for name, memory in _mappings(pid):
        before = b""
        for piece in memory:
            text = before + piece
            for needle in wanted:
                if needle in text and name not in found.get(needle, ()):
                    found.setdefault(needle, []).append(name)
            before = text[-overlap:]
    return found


def _mappings(pid: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The private mappings that have been written to, or could have been, and shared memory; what is in each."""
    place = Path(f"/proc/{pid}")
    with (place / "mem").open("rb", buffering=0) as memory:
        for line in (place / "maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            begin, end = (int(number, 16) for number in fields[0].split("-"))
            name = fields[5] if len(fields) > 5 else "anonymous"
            if "r" in fields[1] and name not in _UNREADABLE:
                yield f"{name} {fields[0]}", _pieces(memory.fileno(), begin, end)


def _pieces(descriptor: int, begin: int, end: int) -> Iterator[bytes]:
    for at in range(begin, end, _PIECE):
        with contextlib.suppress(OSError):  # beyond the end of a mapped file, or unmapped meanwhile
            yield os.pread(descriptor, min(_PIECE, end - at), at)
