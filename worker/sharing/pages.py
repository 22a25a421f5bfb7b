"""Preparing this process for being forked: its children then share nearly all of its pages for their whole lives.

A page becomes a process's own when it is first written to, and Python writes to whatever it touches: to reference
counts, to code and to classes, which have caches in them, to free memory between objects.  So code that runs is laid
out side by side, caches are filled by a session that is only rehearsed, objects are made immortal, and free memory
between them is taken, so that children begin with pages of their own.
"""

import gc
import sys
import traceback

from . import holes, hot_code, immortal, rehearsal

_REHEARSALS = 3  # as often as code runs before the interpreter has adapted it (PEP 659)
_COUNTED = 30  # instances (SHARED_KEYS_MAX_SIZE of CPython's Objects/dictobject.c)


def share_pages() -> None:
    """Do all of it, once, when everything is imported; a part that this interpreter does not allow is left out.

    What it leaves behind stays for good; nothing has been read from anybody yet.
    """
    try:
        _rehearse()
    except Exception:  # a worker would do without
        traceback.print_exc()
    gc.collect()
    if unlike := immortal.make_immortal():
        print(f"Each session takes 2 MB more than it could: {unlike}", file=sys.stderr, flush=True)
    holes.fill()  # what these have left, too
    gc.freeze()  # the collector would otherwise write to every object


def _rehearse() -> None:
    hot = hot_code.run_by(rehearsal.rehearse)
    made = [one for one in _classes() if _code(getattr(one, "__init__", None)) in hot]
    hot_code.lay_out(hot)
    hot_code.lay_out(hot_code.not_rehearsed() - hot)
    holes.fill()
    _have_versions()
    for _ in range(_REHEARSALS):
        rehearsal.rehearse()
    for one in made:
        _count_instances(one)


def _classes() -> list[type]:
    return [one for one in gc.get_objects() if isinstance(one, type)]


def _have_versions() -> None:
    """Have each class a version, by which what is found in it is remembered; it is written down with the first one."""
    for one in _classes():
        getattr(one, "__doc__", None)


def _count_instances(made: type) -> None:
    """Make instances of a class until it does not count them any more, to guess how many attributes they will have."""
    try:
        for _ in range(_COUNTED):
            object.__new__(made)
    except TypeError:
        pass  # an abstract one, or one of another kind


def _code(made_by: object) -> object:
    return getattr(made_by, "__code__", None)
