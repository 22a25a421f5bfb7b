"""The title of this process, as ps shows it: written over the arguments that its program was started with.

python-prctl has a call for that, which looks into memory that it has freed already: it crashes where what is freed is
overwritten (allocator.py).
"""

import ctypes
from pathlib import Path


def _arguments() -> tuple[int, int]:
    """Where the arguments begin in memory, and how many bytes there are (proc(5), fields 48 and 49 of stat)."""
    fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    return begin, end - begin


def set_title(title: str) -> None:
    """Show `title` in place of the arguments, as much of it as there is room for.

    The last byte stays 0: otherwise the kernel would show the environment as well.
    """
    begin, room = _arguments()
    shown = title.encode()[: room - 1]
    ctypes.memset(begin, 0, room)
    ctypes.memmove(begin, shown, len(shown))
