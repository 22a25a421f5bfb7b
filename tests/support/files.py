"""The files that a process sees."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path


def files_of(pid: int) -> Iterator[Path]:
    """The files that a process may have written: those of each tmpfs in its mount namespace, /run and /tmp too."""
    root = Path(f"/proc/{pid}/root")
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "tmpfs":
            place = root / fields[4].lstrip("/")
            device = place.stat().st_dev
            for directory, inner, names in os.walk(place):
                here = {name: (Path(directory) / name).lstat() for name in (*inner, *names)}
                inner[:] = [name for name in inner if here[name].st_dev == device]
                for name in names:
                    if stat.S_ISREG(here[name].st_mode) and here[name].st_dev == device:
                        yield Path(directory) / name
