"""The C library, for system calls that Python does not have."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
for _name in ("unshare", "prctl", "syscall", "mount", "umount2", "execve"):
    getattr(libc, _name)  # found now, and kept: each worker would have to find them anew


def checked(result: int, what: str) -> None:
    """Raise the OSError of the call that has just been made, unless `result` is 0; `what` tells what was tried."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
