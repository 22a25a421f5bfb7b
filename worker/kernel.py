"""System calls that Python 3.11 does not have: one thin wrapper each, OSError on failure.

Sources: mount(2), umount(2), pivot_root(2), mmap(2), execve(2); numbers from the kernel's uapi headers.  What a process
restricts itself by is in ipc/restrictions.py.
"""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)

_mount_by_address = _libc["mount"]  # a function object of its own, with other types
_mount_by_address.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_char_p)
_bind_by_address = _libc["mount"]
_bind_by_address.argtypes = (*[ctypes.c_void_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
_libc.mmap.restype = ctypes.c_size_t
for _name in ("umount2", "execve"):
    getattr(_libc, _name)  # found now, and kept: each worker would have to find them anew

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

MNT_DETACH = 0x2

_PROT_READ, _PROT_WRITE = 1, 2
_MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_FIXED_NOREPLACE = 0x2, 0x20, 0x100000

# pivot_root has no libc wrapper; the number differs between architectures (syscalls(2)).
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "ppc64le": 203, "s390x": 217}


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None)
    _checked(result, f"mount {source} on {target}")


def bind_read_only(source: str, target: str, flags: int = 0) -> None:
    """Bind `source` onto `target` and make that mount read-only, without set-uid programs and device nodes.

    Two calls, since the flags of a new bind mount are ignored (mount(2), Creating a bind mount).
    """
    mount(source, target, flags=MS_BIND)
    mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | flags)


def make_mounts_private() -> None:
    """Keep later mounts of this namespace out of all others, and theirs out of it."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def detach(target: str) -> None:
    """Unmount what is mounted on a path, and below it, also while in use (umount2(2), MNT_DETACH)."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def pivot_into(directory: str) -> None:
    """Make the mount point `directory` the root and detach the old root (pivot_root(2), the "." "." way)."""
    machine = os.uname().machine
    if machine not in _SYS_PIVOT_ROOT:
        raise OSError(f"pivot_root: unknown architecture {machine}")
    os.chdir(directory)
    _checked(_libc.syscall(_SYS_PIVOT_ROOT[machine], b".", b"."), f"pivot_root to {directory}")
    _checked(_libc.umount2(b".", MNT_DETACH), "detach the old root")
    os.chdir("/")


def map_texts(address: int, size: int, texts: dict[int, bytes]) -> None:
    """Map memory at a fixed address, write texts to addresses in it, and make it read-only (mmap(2), mprotect(2))."""
    flags = _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
    room = (ctypes.c_void_p(address), ctypes.c_size_t(size))
    got = _libc.mmap(*room, _PROT_READ | _PROT_WRITE, flags, -1, ctypes.c_long(0))
    if got != address:
        raise OSError(ctypes.get_errno(), f"memory at {address:#x} cannot be had")
    for place, text in texts.items():
        ctypes.memmove(place, text + b"\0", len(text) + 1)
    _checked(_libc.mprotect(*room, _PROT_READ), "protect the texts")


def mount_texts(target: int, kind: int, flags: int, options: str) -> None:
    """mount(2) with target and type given by their addresses."""
    result = _mount_by_address(b"private", target, kind, flags, options.encode())
    _checked(result, f"mount {ctypes.string_at(target).decode()}")


def bind_texts_read_only(source: int, target: int) -> None:
    """`bind_read_only`, with both paths given by their addresses."""
    for origin, flags in ((source, MS_BIND), (0, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)):
        described = f"bind {ctypes.string_at(source).decode()} on {ctypes.string_at(target).decode()}"
        _checked(_bind_by_address(origin, target, None, flags, None), described)


def detach_text(target: int) -> None:
    """Unmount what is mounted on the path at an address, and below it, also while in use (umount2(2), MNT_DETACH)."""
    path = ctypes.c_void_p(target)
    _checked(_libc.umount2(path, MNT_DETACH), f"unmount {ctypes.string_at(target).decode()}")


def execve_text(path: int, arguments: list[str], environment: dict[str, str]) -> None:
    """execve(2) of the program whose path is at the address `path`; returns by OSError only."""
    argv = [argument.encode() for argument in arguments]
    envp = [f"{name}={value}".encode() for name, value in environment.items()]
    _libc.execve(
        ctypes.c_void_p(path),
        (ctypes.c_char_p * (len(argv) + 1))(*argv, None),
        (ctypes.c_char_p * (len(envp) + 1))(*envp, None),
    )
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
