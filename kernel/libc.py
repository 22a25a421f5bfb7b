"""The C library, for system calls that Python does not have."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
for _name in ("unshare", "prctl", "syscall", "mount", "umount2", "execve"):
    getattr(libc, _name)  # looked up once, before the fork: otherwise each worker would do so


def checked(result: int, what: str) -> None:
    """Raise the OSError of the call that has just been made, unless `result` is 0; `what` describes the call."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
