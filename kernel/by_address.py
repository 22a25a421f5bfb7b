"""System calls whose strings are given by their addresses, as seccomp filters know them.

What is where: policy/sandbox/pinned_strings.py.  Sources: mount(2), umount(2), mmap(2), execve(2); numbers from the
kernel's uapi headers.  OSError on failure.
"""

import ctypes
import os

from .libc import checked, libc
from .mounts import MNT_DETACH, MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REMOUNT

_PROT_READ, _PROT_WRITE = 1, 2
_MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 0x2, 0x20, 0x100000

_mount = libc["mount"]  # a function object of its own, as each of another signature
_mount.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_char_p)
_bind = libc["mount"]
_bind.argtypes = (*[ctypes.c_void_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
libc.mmap.restype = ctypes.c_size_t


def map_strings(address: int, size: int, strings: dict[int, bytes]) -> None:
    """Map memory at a fixed address, write strings to addresses in it, and make it read-only (mmap(2), mprotect(2))."""
    flags = _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
    room = (ctypes.c_void_p(address), ctypes.c_size_t(size))
    got = libc.mmap(*room, _PROT_READ | _PROT_WRITE, flags, -1, ctypes.c_long(0))
    if got != address:
        raise OSError(ctypes.get_errno(), f"memory at {address:#x} is not available")
    for place, string in strings.items():
        ctypes.memmove(place, string + b"\0", len(string) + 1)
    checked(libc.mprotect(*room, _PROT_READ), "protect the strings")


def mount(target: int, kind: int, flags: int, options: str) -> None:
    """mount(2) with target and type given by their addresses."""
    result = _mount(b"private", target, kind, flags, options.encode())
    checked(result, f"mount {ctypes.string_at(target).decode()}")


def bind_read_only(source: int, target: int) -> None:
    """As `bind_read_only` of mounts.py, with both paths given by their addresses."""
    for origin, flags in ((source, MS_BIND), (0, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)):
        described = f"bind {ctypes.string_at(source).decode()} on {ctypes.string_at(target).decode()}"
        checked(_bind(origin, target, None, flags, None), described)


def detach(target: int) -> None:
    """Unmount what is mounted on the path at an address, and below it, also while in use (umount2(2), MNT_DETACH)."""
    path = ctypes.c_void_p(target)
    checked(libc.umount2(path, MNT_DETACH), f"unmount {ctypes.string_at(target).decode()}")


def execve(path: int, arguments: list[str], environment: dict[str, str]) -> None:
    """execve(2) of the program whose path is at the address `path`; does not return, but raises OSError."""
    argv = [argument.encode() for argument in arguments]
    envp = [f"{name}={value}".encode() for name, value in environment.items()]
    libc.execve(
        ctypes.c_void_p(path),
        (ctypes.c_char_p * (len(argv) + 1))(*argv, None),
        (ctypes.c_char_p * (len(envp) + 1))(*envp, None),
    )
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
