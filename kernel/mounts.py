"""Mounts: mount(2), pivot_root(2), fsopen(2), open_tree(2); numbers from the uapi headers.  OSError on failure."""

import ctypes
import os
import struct
from collections.abc import Mapping

from .libc import checked, libc

_mount = libc["mount"]
_mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)

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

# Of the new mount API (Linux 5.2, mount_setattr 5.12) the numbers are the same everywhere.
_SYS_OPEN_TREE, _SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT, _SYS_MOUNT_SETATTR = 428, 430, 431, 432, 442
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE = -100, 0x1000, 1
_ATTRIBUTES = struct.Struct("=QQQQ")  # mount_attr: to be set, to be cleared, propagation, user namespace
_CLOEXEC = 1  # FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC
_FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 6


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None)
    checked(result, f"mount {source} on {target}")


def mount_nowhere(kind: str, options: Mapping[str, str], flags: int = 0) -> int:
    """A descriptor of the root of a new file system that has no place in any directory, and goes with its users.

    `flags` are MS_NOSUID, MS_NODEV and MS_NOEXEC, which have the same numbers there.
    """
    context = _descriptor(libc.syscall(_SYS_FSOPEN, kind.encode(), _CLOEXEC), f"fsopen {kind}")
    try:
        for name, value in options.items():
            result = libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_SET_STRING, name.encode(), value.encode(), 0)
            checked(result, f"fsconfig {name}")
        checked(libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), f"make a {kind}")
        return _descriptor(libc.syscall(_SYS_FSMOUNT, context, _CLOEXEC, flags), f"mount a {kind}")
    finally:
        os.close(context)


def writable_copy(directory: str) -> int:
    """A descriptor of a directory, as a mount of its own that has no place in any directory, and is not read-only."""
    path = directory.encode()
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    copy = _descriptor(libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, path, flags), f"open_tree {directory}")
    try:
        attributes = _ATTRIBUTES.pack(MS_NOSUID | MS_NODEV | MS_NOEXEC, MS_RDONLY, 0, 0)
        result = libc.syscall(_SYS_MOUNT_SETATTR, copy, b"", _AT_EMPTY_PATH, attributes, _ATTRIBUTES.size)
        checked(result, f"make a copy of {directory} writable")
    except OSError:
        os.close(copy)
        raise
    return copy


def _descriptor(result: int, what: str) -> int:
    checked(min(result, 0), what)
    return result


def bind_read_only(source: str, target: str, flags: int = 0) -> None:
    """Bind `source` onto `target` and make that mount read-only, without set-uid programs and device nodes.

    Two calls, since the flags of a new bind mount are ignored (mount(2), Creating a bind mount).
    """
    mount(source, target, flags=MS_BIND)
    mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | flags)


def make_mounts_private() -> None:
    """Stop mounts from propagating between this mount namespace and others (mount_namespaces(7))."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def detach(target: str) -> None:
    """Unmount what is mounted on a path, and below it, also while in use (umount2(2), MNT_DETACH)."""
    checked(libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def pivot_into(directory: str) -> None:
    """Make the mount point `directory` the root and detach the old root (pivot_root(2), the "." "." way)."""
    machine = os.uname().machine
    if machine not in _SYS_PIVOT_ROOT:
        raise OSError(f"pivot_root: unknown architecture {machine}")
    os.chdir(directory)
    checked(libc.syscall(_SYS_PIVOT_ROOT[machine], b".", b"."), f"pivot_root to {directory}")
    checked(libc.umount2(b".", MNT_DETACH), "detach the old root")
    os.chdir("/")
