"""System calls that Python 3.11 does not have: one thin wrapper each, OSError on failure.

Sources: unshare(2), mount(2), umount(2), pivot_root(2); flag values from the kernel's uapi headers.
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

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

MNT_DETACH = 0x2

# pivot_root has no libc wrapper; the number differs between architectures (syscalls(2)).
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "ppc64le": 203, "s390x": 217}


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones (unshare(2))."""
    _checked(_libc.unshare(flags), f"unshare({flags:#x})")


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


def detach(target: str) -> None:
    """Unmount `target` and all that is mounted below it, also while it is in use (umount2(2), MNT_DETACH)."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def make_mounts_private() -> None:
    """Keep later mounts of this namespace out of all others, and theirs out of it."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def pivot_into(directory: str) -> None:
    """Make the mount point `directory` the root and detach the old root (pivot_root(2), the "." "." way)."""
    machine = os.uname().machine
    if machine not in _SYS_PIVOT_ROOT:
        raise OSError(f"pivot_root: unknown architecture {machine}")
    os.chdir(directory)
    _checked(_libc.syscall(_SYS_PIVOT_ROOT[machine], b".", b"."), f"pivot_root to {directory}")
    _checked(_libc.umount2(b".", MNT_DETACH), "detach the old root")
    os.chdir("/")
