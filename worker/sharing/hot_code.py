"""Code side by side: whenever code runs, the interpreter writes to it (PEP 659; counters, and which way jumps went).

A worker runs some hundreds of functions out of thousands, whose code is anywhere among what their modules consist of.
"""

import gc
import sys
from collections.abc import Callable, Collection
from types import CodeType, FrameType, FunctionType

# What cannot be rehearsed, since it forks or confines, and what calls that; a worker runs most of it.
NOT_REHEARSED = (
    "kernel", "worker.helpers.keeper", "worker.helpers.spawner", "worker.profile.compiler_process", "worker.sandbox",
    "worker.session.engine", "worker.session.loop", "worker.session.takeover",
)  # fmt: skip
_PACKAGE = __name__.partition(".")[0]


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
    rooms = tuple(f"{_PACKAGE}.{name}" for name in NOT_REHEARSED)
    return set[CodeType]().union(*(_all(one) for one in _functions() if (one.__module__ or "").startswith(rooms)))


def lay_out(hot: Collection[CodeType]) -> None:
    """Give the functions whose code is in `hot` copies of it, made one after the other."""
    originals = []  # kept until all is copied: otherwise each copy would be made where another's original was

    def copied(code: CodeType) -> CodeType:
        inner = [copied(one) if isinstance(one, CodeType) and wanted(one) else one for one in code.co_consts]
        return code.replace(co_consts=tuple(inner))

    def wanted(code: CodeType) -> bool:
        return code in hot or any(wanted(one) for one in code.co_consts if isinstance(one, CodeType))

    for function in _functions():
        if wanted(function.__code__):
            originals.append(function.__code__)
            function.__code__ = copied(function.__code__)


def _functions() -> list[FunctionType]:
    return [one for one in gc.get_objects() if type(one) is FunctionType]


def _all(function: FunctionType) -> list[CodeType]:
    found = [function.__code__]
    for code in found:
        found += [one for one in code.co_consts if isinstance(one, CodeType)]
    return found
