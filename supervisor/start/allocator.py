"""Overwriting freed memory: no password or key outlives its use in memory that Python has freed.

Python's own allocator, and malloc's cache for each thread, leave freed memory as it is until somebody gets it.  With
these settings every object comes from malloc, and goes back to it overwritten (mallopt(3), M_PERTURB; GNU libc manual,
Memory Allocation Tunables; Python's command line, PYTHONMALLOC).  They are read when a program starts, and a bus starts
services without environment: so the program starts itself anew with them.

Stacks are not malloc's.  The dynamic linker saves the vector registers on the stack while it looks up a function that
is called for the first time, and there may be a line of a key in them, from a memcpy just before.  Other calls would
overwrite it some day, in a thread that then waits for work never.  So it looks up all functions at the start (ld.so(8),
LD_BIND_NOW).  The kernel saves them too, below the handler of a signal: workers/reap.py has none for SIGCHLD.

What remains: a function's own variables on its stack, and up to eight bytes at the end of a block that malloc got back.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

SETTINGS = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_PERTURB_": "165",  # any byte that is neither 0 nor 255
    # What the cache takes is not overwritten.  A threshold that is not set grows with what is freed: profiles of
    # megabytes then come from heaps that do not shrink again.
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=262144",
    "LD_BIND_NOW": "1",  # any text that is not empty
}

# What whoever starts the program can set, so that it need not start itself anew; the others are -P and -s.
ENVIRONMENT = {**SETTINGS, "PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"}

_ISOLATED = ("-P", "-s")  # not -I, which would have Python ignore its setting
_INSTALLED_AS = "openvpn3-service-sessionmgr"
_MODULE = "openvpn3_sessionmgr.supervisor"


def overwrites_freed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process, started with `environment`, runs with the settings."""
    return not sys.flags.ignore_environment and environment.items() >= SETTINGS.items()


def start_anew() -> None:
    """Start the service's program in this process's place, with the settings and the same arguments.

    Raises OSError.
    """
    # By its own name where it has one, so that it is found by that from the beginning.
    installed = Path(sys.argv[0]).name == _INSTALLED_AS
    program = [sys.argv[0]] if installed else ["-m", _MODULE]
    os.execve(sys.executable, [sys.executable, *_ISOLATED, *program, *sys.argv[1:]], {**os.environ, **SETTINGS})
