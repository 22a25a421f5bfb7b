"""Makes a process that is not ours spin: it never comes to an end of what it is about to do (ptrace(2))."""

import ctypes
import os
import platform

from .skipping import cannot_run_here

_PEEKTEXT, _PEEKUSER, _POKETEXT, _DETACH, _SEIZE, _INTERRUPT = 1, 3, 4, 17, 0x4206, 0x4207
_WALL = 0x40000000
_RIP = 16 * 8  # in struct user (sys/user.h)
_JUMP_TO_ITSELF = 0xFEEB  # two bytes

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong)


def make_spin(pid: int) -> None:
    """Put an endless loop where the process goes on; one that waits in a system call comes there after that."""
    if platform.machine() != "x86_64":
        cannot_run_here("the loop is made of instructions of x86_64")
    _ptrace(_SEIZE, pid)
    _ptrace(_INTERRUPT, pid)
    os.waitpid(pid, _WALL)
    at = _ptrace(_PEEKUSER, pid, _RIP)
    code = _ptrace(_PEEKTEXT, pid, at)
    _ptrace(_POKETEXT, pid, at, code & ~0xFFFF | _JUMP_TO_ITSELF)
    _ptrace(_DETACH, pid)


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    ctypes.set_errno(0)
    answer: int = _libc.ptrace(request, pid, address & 2**64 - 1, data & 2**64 - 1)
    if answer == -1 and (number := ctypes.get_errno()):
        raise OSError(number, f"ptrace: {os.strerror(number)}")
    return answer & 2**64 - 1
