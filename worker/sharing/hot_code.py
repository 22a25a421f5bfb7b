"""Code side by side: whenever code runs, the interpreter writes to it (PEP 659; counters, and which way jumps went).

A worker runs some hundreds of functions out of thousands, whose code is anywhere among what their modules consist of.
Sources: Include/cpython/code.h (an object of code has no pointer into itself, and the collector does not know it).
Where another interpreter may have it otherwise, its own copies are taken, which lie less close together.
"""

import ctypes
import gc
import mmap
import sys
from collections.abc import Callable, Collection
from types import CodeType, FrameType, FunctionType

PACKAGE = __name__.partition(".")[0]

# What a worker runs and what is not rehearsed, most of it since it forks or confines: modules, classes and functions.
_OURS = (
    "ipc.channel.Channel", "ipc.helpers.unpack_spawn", "kernel", "policy.sandbox.layers.namespace_flags",
    "worker.helpers.keeper", "worker.helpers.spawner", "worker.profile.compiler_process", "worker.sandbox",
    "worker.session.counting", "worker.session.engine", "worker.session.events.printed", "worker.session.loop",
    "worker.session.management.ManagementConnection", "worker.session.remotes.Remotes.local",
    "worker.session.remotes.on_this_machine", "worker.session.session", "worker.session.takeover",
    "worker.session.timers", "worker.session.watchdog",
)  # fmt: skip
_OF_PYTHON = (
    "contextlib.ExitStack", "contextlib._BaseExitStack", "ctypes.CDLL", "enum.Enum.name", "enum.property",
    "genericpath.isdir", "selectors.EpollSelector", "selectors._BaseSelectorImpl", "selectors._PollLikeSelector",
    "signal.pthread_sigmask", "socket._intenum_converter", "socket.socket",
)  # fmt: skip
NOT_REHEARSED = (*(f"{PACKAGE}.{name}" for name in _OURS), *_OF_PYTHON)

_LIKE_THIS = ((3, 11), (3, 14))  # releases of CPython, the first and the last one
_ALIGNED = 16  # bytes, as the allocators' blocks


def run_by(act: Callable[[], None]) -> set[CodeType]:
    """Call `act`; the code that ran."""
    ran = set[CodeType]()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            ran.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return ran


def not_rehearsed() -> set[CodeType]:
    """The code that workers run besides."""
    found = [one for one in _functions() if f"{one.__module__}.{one.__qualname__}".startswith(NOT_REHEARSED)]
    return set[CodeType]().union(*(_with_inner(one.__code__) for one in found))


def lay_out(hot: Collection[CodeType]) -> None:
    """Give the functions whose code is in `hot` copies of it that lie side by side, in memory of their own.

    A copy shares what its original refers to, so originals stay for good.  (Those that `replace` makes are among others
    of their size, with names and such between them.)
    """
    wanted = [(one, one.__code__) for one in _functions() if _any_of(hot, one.__code__)]
    place = _Place(sum(code.__sizeof__() + _ALIGNED for _, outer in wanted for code in _with_inner(outer)))
    kept: list[object] = [wanted, place]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))  # not even freed when the interpreter ends

    def moved(code: CodeType) -> CodeType:
        inner = tuple(moved(one) if isinstance(one, CodeType) and _any_of(hot, one) else one for one in code.co_consts)
        if any(isinstance(one, CodeType) for one in inner):
            code = code.replace(co_consts=inner)
            kept.append(code)
        return place.copy(code)

    for function, code in wanted:
        function.__code__ = moved(code)


class _Place:
    """Memory for copies of objects that are never freed."""

    def __init__(self, size: int) -> None:
        self._memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # lest those forked share it
        self._next = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))

    def copy(self, code: CodeType) -> CodeType:
        """A copy, byte for byte, with one reference to it."""
        if not _known():
            return code.replace()
        address, size = self._next, code.__sizeof__()
        self._next += -(-size // _ALIGNED) * _ALIGNED
        ctypes.memmove(address, id(code), size)
        ctypes.c_ssize_t.from_address(address).value = 1
        copy: CodeType = ctypes.cast(address, ctypes.py_object).value
        return copy


def _known() -> bool:
    """Whether code is laid out in memory as this file expects."""
    first, last = _LIKE_THIS
    plain = sys.implementation.name == "cpython" and not sys.abiflags  # neither free-threaded nor for debugging
    return plain and first <= sys.version_info[:2] <= last


def _any_of(hot: Collection[CodeType], code: CodeType) -> bool:
    return any(one in hot for one in _with_inner(code))


def _functions() -> list[FunctionType]:
    return [one for one in gc.get_objects() if type(one) is FunctionType]


def _with_inner(code: CodeType) -> list[CodeType]:
    found = [code]
    for outer in found:
        found += [one for one in outer.co_consts if isinstance(one, CodeType)]
    return found
