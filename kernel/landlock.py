"""Landlock: restricting the files, signals and sockets of a process and all that it forks (landlock(7)).

Rights that a kernel's ABI version does not know are left out.  Numbers from the kernel's uapi headers.
"""

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence

from ..policy.sandbox.confinement import Files
from .libc import checked, libc

_SYS_LANDLOCK = 444  # landlock_create_ruleset, and the other two after it; the same on all architectures
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_ATTRIBUTES = struct.Struct("=QQQ")  # handled rights of files, of ports, scopes: struct landlock_ruleset_attr
_RULE = struct.Struct("=Qi")  # rights, descriptor of the path: struct landlock_path_beneath_attr, which is packed

# LANDLOCK_ACCESS_FS_ bits (linux/landlock.h) of each word in policy/sandbox/confinement.py.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 5
_MAKE_REG, _MAKE_SOCK, _TRUNCATE, _IOCTL_DEV = 1 << 8, 1 << 9, 1 << 14, 1 << 15
_RIGHTS = {
    "read": _READ_FILE,
    "list": _READ_DIR,
    "write": _WRITE_FILE,
    "truncate": _TRUNCATE,
    "execute": _EXECUTE,
    "make": _MAKE_REG | _MAKE_SOCK,
    "remove": _REMOVE_FILE,
    "device": _IOCTL_DEV,
}
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # a rule on a file may have no others

# All rights of files that an ABI knows, by the ABI that brought them.
_KNOWN_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: _IOCTL_DEV}
SCOPES_SINCE = 6  # ABI
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2


def abi() -> int:
    """The ABI version of Landlock in this kernel; raises OSError if there is none, or it is switched off."""
    return _landlock(0, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)


def restrict_files(files: Mapping[str, Files], places: Mapping[str, Sequence[str]], *, scope: bool) -> None:
    """Restrict this process to `files`; with `scope`, also keep it from signals and abstract sockets of others.

    `places` has the paths for names in `files` that are not paths; a path that does not exist gets no rule.  Without
    `files`, access to files is not restricted.  Needs no_new_privs, or CAP_SYS_ADMIN.
    """
    level = abi()
    known = sum(bits for since, bits in _KNOWN_SINCE.items() if level >= since)
    scopes = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if scope and level >= SCOPES_SINCE else 0
    _restrict(known if files else 0, scopes, files, places)


def keep_signals_inside() -> None:
    """Restrict signals of this process to itself and what it forks; its parent may still signal it."""
    _restrict(0, _SCOPE_SIGNAL, {}, {})


def _restrict(known: int, scopes: int, files: Mapping[str, Files], places: Mapping[str, Sequence[str]]) -> None:
    # A kernel refuses a longer structure unless what it does not know is 0.
    attributes = _ATTRIBUTES.pack(known, 0, scopes)
    ruleset = _landlock(0, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for name, row in files.items():
            rights = known & sum(_RIGHTS[word] for word in row.rights.split())
            for path in places.get(name, () if name.isupper() else (name,)):
                _allow(ruleset, path, rights)
        _landlock(2, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        is_directory = os.path.isdir(path)
        attributes = _RULE.pack(rights if is_directory else rights & _OF_FILES, descriptor)
        _landlock(1, ruleset, _LANDLOCK_RULE_PATH_BENEATH, attributes, 0)
    finally:
        os.close(descriptor)


def _landlock(which: int, *arguments: object) -> int:
    """landlock_create_ruleset(2), landlock_add_rule(2), landlock_restrict_self(2): 0, 1, 2."""
    result: int = libc.syscall(ctypes.c_long(_SYS_LANDLOCK + which), *arguments)
    checked(min(result, 0), "Landlock")
    return result
