"""Filling the free memory between objects, so that what is made next begins on pages of its own.

Sources: CPython's Objects/obmalloc.c (pools of small blocks, of one size each), malloc(3), mallinfo2(3), sbrk(2).
"""

import ctypes

from ...kernel.libc import libc

_LARGEST_SMALL, _STEP = 512, 16  # bytes; the allocator's blocks
_POOL, _POOL_HEADER = 16 * 1024, 48  # bytes; with another layout filling ends at the bound below
_MOST = 256 * 1024  # bytes of one size

_LARGEST, _SMALLEST = 64 * 1024, 24  # bytes that malloc is asked for


def fill() -> None:
    """Take what is free between this process's objects, for good."""
    _fill_pools()
    _fill_heap()


def _fill_pools() -> None:
    """Blocks of each size, until the first ones of a fresh pool."""
    allocate = ctypes.pythonapi.PyObject_Malloc
    allocate.restype, allocate.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    for size in range(_STEP, _LARGEST_SMALL + 1, _STEP):
        begun = set[int]()
        for _ in range(_MOST // size):
            pool, place = divmod(allocate(size), _POOL)
            if place == _POOL_HEADER:
                begun.add(pool)
            # One block at the beginning may be a hole, a few that follow are none.
            elif pool in begun and 2 * size <= place - _POOL_HEADER <= 6 * size:
                break


class _Usage(ctypes.Structure):
    """struct mallinfo2 of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _fill_heap() -> None:
    """Blocks of malloc's, large ones first, until one comes from the end of the heap."""
    if not hasattr(libc, "mallinfo2"):
        return  # a C library that is not the GNU one
    allocate, free, move_end, usage = (libc[name] for name in ("malloc", "free", "sbrk", "mallinfo2"))
    allocate.restype, allocate.argtypes = ctypes.c_size_t, (ctypes.c_size_t,)
    free.restype, free.argtypes = None, (ctypes.c_size_t,)
    move_end.restype, move_end.argtypes = ctypes.c_size_t, (ctypes.c_ssize_t,)
    usage.restype = _Usage
    libc.malloc_trim(0)
    end = move_end(0) - usage().keepcost
    size = _LARGEST
    while size >= _SMALLEST:
        while (got := allocate(size)) < end:
            pass
        free(got)
        size = size * 3 // 4 if size > _SMALLEST * 4 // 3 else size - 8
