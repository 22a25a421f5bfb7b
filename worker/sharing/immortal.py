"""Objects that are never freed, and whose reference counts are not written to (PEP 683; CPython from 3.12).

An object is immortal by the value of its reference count alone.  The interpreter has no function that makes it so, and
this file writes the count itself; whether that is what this interpreter goes by is tried on objects of its own first.
Sources: Include/object.h, Include/refcount.h, Doc/c-api/refcounting.rst.
"""

import ctypes
import gc
import sys
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

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
    found: dict[int, object] = {}
    more: list[object] = gc.get_objects()
    while more:
        new = {address: one for address, one in zip(map(id, more), more, strict=True) if address not in found}
        found |= new
        more = gc.get_referents(*new.values())
        for one in new.values():
            if type(one) in _HIDING:
                more += _HIDING[type(one)](one)
    return found


# What objects refer to that the collector does not ask for, since it cannot be part of a circle.
_HIDING: dict[type, Callable[[Any], Iterable[object]]] = {
    CodeType: lambda code: (code.co_consts, code.co_names, code.co_filename, code.co_name, code.co_qualname),
    dict: lambda one: one,
    type: lambda one: (one.__name__, one.__qualname__),
}
