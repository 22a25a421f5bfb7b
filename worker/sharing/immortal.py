"""Objects that are never freed, and whose reference counts are not written to (PEP 683; CPython from 3.12).

An object is immortal by the value of its reference count alone.  The interpreter has no function that makes it so, and
this file writes the count itself; whether that is what this interpreter goes by is tried on objects of its own first.
Sources: Include/object.h, Include/refcount.h, Doc/c-api/refcounting.rst.
"""

import ctypes
import gc
import sys
from collections.abc import Iterable
from types import CodeType

_FIRST, _KNOWN = (3, 12), (3, 14)  # releases; in a later one counts may be elsewhere

_count_at = ctypes.c_uint32.from_address  # the lower half of an object's first word, on machines of our kind


def make_immortal() -> str | None:
    """Make all objects of this process immortal; why not, if there should be a way and is not.

    Nothing is changed then.  Objects made later are ordinary ones.
    """
    if sys.version_info[:2] < _FIRST:
        return None
    if unlike := _unlike_expected():
        return f"objects of this Python cannot be made immortal: {unlike}"
    immortal = _count_at(id(None)).value
    objects = _reachable()  # held meanwhile: what is freed must not be written to
    for address in [*objects]:
        count = _count_at(address)
        if not _is_immortal(count.value):
            count.value = immortal
    return None


def _is_immortal(count: int) -> bool:
    return count >> 31 == 1


def _unlike_expected() -> str | None:
    """How this interpreter differs from those known; the object that is tried is left behind."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] > _KNOWN:
        return f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]} is not known"
    if sys.abiflags:  # free-threaded or for debugging
        return f"a build of another kind ({sys.abiflags})"
    immortal = _count_at(id(None)).value
    if not _is_immortal(immortal):
        return f"None has {immortal} references"
    probe: list[object] = []
    count = _count_at(id(probe))
    before = count.value
    more = [probe] * 3
    if before != 1 or count.value != before + len(more):
        return f"{count.value} references where there are {before + len(more)}"
    count.value = immortal
    more *= 2
    del more
    if count.value != immortal:
        return f"{count.value} references of an object that should be immortal"
    return None


def _reachable() -> dict[int, object]:
    """All objects that the collector knows, and what they refer to, by their addresses."""
    todo: list[object] = gc.get_objects()
    found = {id(one): one for one in todo}
    while todo:
        more = gc.get_referents(*todo)
        for one in todo:
            more += _hidden(one)
        todo = []
        for one in more:
            if id(one) not in found:
                found[id(one)] = one
                todo.append(one)
    return found


def _hidden(one: object) -> Iterable[object]:
    """What an object refers to that the collector does not ask for, since it cannot be part of a circle."""
    if type(one) is CodeType:
        return one.co_consts, one.co_names, one.co_filename, one.co_name, one.co_qualname
    if type(one) is dict:
        return one
    if type(one) is type:
        return one.__name__, one.__qualname__
    return ()
