"""Code side by side: whenever code runs, the interpreter writes to it (PEP 659; counters, and which way jumps went).

A worker runs some hundreds of functions out of thousands, whose code is anywhere among what their modules consist of.
"""

import ctypes
import gc
import mmap
import sys
from collections.abc import Callable, Collection
from types import CodeType, FrameType, FunctionType

# What cannot be rehearsed, since it forks or confines, and what calls that; a worker runs most of it.  And what they use
# of Python's library, whose modules are small.
NOT_REHEARSED = (
    "kernel", "worker.helpers.keeper", "worker.helpers.spawner", "worker.profile.compiler_process", "worker.sandbox",
    "worker.session.engine", "worker.session.loop", "worker.session.takeover",
)  # fmt: skip
_OF_LIBRARY = ("contextlib", "ctypes", "genericpath", "prctl", "selectors", "signal", "socket")
PACKAGE = __name__.partition(".")[0]

_ALIGNED = 16  # bytes, as the allocators' blocks

_forever = list[object]()


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
    rooms = (*(f"{PACKAGE}.{name}" for name in NOT_REHEARSED), *_OF_LIBRARY)
    return set[CodeType]().union(*(_with_inner(one.__code__) for one in _functions() if (one.__module__ or "").startswith(rooms)))


def lay_out(hot: Collection[CodeType]) -> None:
    """Give the functions whose code is in `hot` copies of it that lie side by side, in memory of their own.

    A copy has what its original refers to, so originals stay for good.  Made by `replace`, copies would be among
    others of their size, with names and such between them.
    """
    wanted = [(one, one.__code__) for one in _functions() if _any_of(hot, one.__code__)]
    place = _Place(sum(code.__sizeof__() + _ALIGNED for _, outer in wanted for code in _with_inner(outer)))
    _forever.extend((wanted, place))

    def moved(code: CodeType) -> CodeType:
        inner = tuple(moved(one) if isinstance(one, CodeType) and _any_of(hot, one) else one for one in code.co_consts)
        if any(isinstance(one, CodeType) for one in inner):
            code = code.replace(co_consts=inner)
            _forever.append(code)
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
        address, size = self._next, code.__sizeof__()
        self._next += -(-size // _ALIGNED) * _ALIGNED
        ctypes.memmove(address, id(code), size)
        ctypes.c_ssize_t.from_address(address).value = 1
        copy: CodeType = ctypes.cast(address, ctypes.py_object).value
        return copy


def _any_of(hot: Collection[CodeType], code: CodeType) -> bool:
    return any(one in hot for one in _with_inner(code))


def _functions() -> list[FunctionType]:
    return [one for one in gc.get_objects() if type(one) is FunctionType]


def _with_inner(code: CodeType) -> list[CodeType]:
    found = [code]
    for outer in found:
        found += [one for one in outer.co_consts if isinstance(one, CodeType)]
    return found
