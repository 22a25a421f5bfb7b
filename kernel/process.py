"""Irrevocable restrictions of a process and all that it forks: namespaces, seccomp filters, prctl(2).

Thin wrappers, OSError on failure.  Sources: unshare(2), seccomp(2), prctl(2); numbers from the kernel's uapi headers.
"""

import ctypes

from .libc import checked, libc

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT = 1, 22, 28, 47
_PR_SET_MDWE, _PR_GET_MDWE = 65, 66
_PR_CAP_AMBIENT_RAISE = 2
_PR_MDWE_REFUSE_EXEC_GAIN = 1
_SECCOMP_MODE_FILTER = 2
_BPF_INSTRUCTION = 8  # bytes


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones (unshare(2))."""
    checked(libc.unshare(flags), f"unshare({flags:#x})")


def join(descriptor: int, kind: int) -> None:
    """Enter the namespace of this kind that a descriptor is of (setns(2))."""
    checked(libc.setns(descriptor, kind), f"setns({kind:#x})")


def refuse_executable_memory() -> None:
    """Forbid making writable or anonymous memory executable (PR_SET_MDWE), also in programs that are executed."""
    _prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN)


def executable_memory_is_refused() -> bool:
    """Whether `refuse_executable_memory` has taken effect."""
    return bool(_prctl(_PR_GET_MDWE) & _PR_MDWE_REFUSE_EXEC_GAIN)


def set_securebits(bits: int) -> None:
    """Set all of this process's secure bits (PR_SET_SECUREBITS); python-prctl knows six of the eight."""
    _prctl(_PR_SET_SECUREBITS, bits)


def keep_over_exec(capability: int) -> None:
    """Let a program that this process executes have a capability, which must be permitted and inheritable."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def signal_at_parents_end(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def load_filter(program: bytes) -> None:
    """Bind this process to a seccomp filter, given as instructions of classic BPF.

    Needs no_new_privs, or CAP_SYS_ADMIN.
    """
    described = _Program(len(program) // _BPF_INSTRUCTION, program)
    checked(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0), "load a seccomp filter")


def _prctl(option: int, *arguments: int) -> int:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    result: int = libc.prctl(option, *padded)
    checked(min(result, 0), f"prctl({option})")
    return result
