"""Seccomp filters from the tables of policy/sandbox/system_calls.py, built by libseccomp.

To be used in a process that ends soon: the library's Python binding takes 4 MB.
"""

import ctypes.util
import errno
import importlib
import os
from collections.abc import Collection
from typing import Any

from ...ipc.helpers import Filters
from ...policy.sandbox import system_calls
from ...policy.sandbox.layers import Layer
from ...policy.sandbox.system_calls import Comparison, Condition, Table

# Debian's python3-seccomp, which is libseccomp's own, and PyPI's: the same interface.
_BINDINGS = ("seccomp", "pyseccomp")
_SONAMES = {"c": "libc.so.6", "seccomp": "libseccomp.so.2"}


class CannotBuild(Exception):
    """libseccomp is not available, or refuses a rule; the text says which."""


def check() -> None:
    """Check that libseccomp is available, so that `build_all` need not start a program.  Raises CannotBuild."""
    _binding()


def build_all(layers: Collection[Layer], session_uids: range, provider_groups: int | None) -> Filters:
    """The filters of all processes that have one.  Raises CannotBuild."""
    return Filters(
        spawner=build(system_calls.spawner(layers, session_uids, provider_groups)),
        worker=build(system_calls.WORKER),
        engine=build(system_calls.ENGINE),
        pkcs11_engine=() if provider_groups is None else build(system_calls.PKCS11_ENGINE),
        resolver=build(system_calls.RESOLVER),
        name_setter=build(system_calls.NAME_SETTER),
    )


def build(table: Table) -> tuple[bytes, ...]:
    """A table as programs in classic BPF, to be loaded one after the other.  Raises CannotBuild."""
    library = _binding()
    forbidden = library.ERRNO(errno.EPERM)
    admitting = library.SyscallFilter(forbidden)
    for row in table.admitted:
        _add(library, admitting, library.ALLOW, row.calls, row.conditions)
    _add(library, admitting, library.ERRNO(errno.ENOSYS), "clone3", ())
    programs = [_export(library, admitting)]
    if table.refused:
        # Of its own: a filter's rules are alternatives, and one of them admits these calls.
        refusing = library.SyscallFilter(library.ALLOW)
        for row in table.refused:
            _add(library, refusing, forbidden, row.calls, row.conditions)
        programs.append(_export(library, refusing))
    return tuple(programs)


def _binding() -> Any:
    """libseccomp's Python binding.  Raises CannotBuild."""
    ctypes.util.find_library = lambda name: _SONAMES.get(name)  # PyPI's would start a compiler and linker to find them
    reasons = []
    for name in _BINDINGS:
        try:
            found = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:  # the latter where the library itself is missing
            reasons.append(f"{name}: {error}")
        else:
            if hasattr(found, "SyscallFilter"):
                return found
    raise CannotBuild("; ".join(reasons))


def _add(library: Any, filter_: Any, action: Any, calls: str, conditions: tuple[Condition, ...]) -> None:
    comparisons = {
        Comparison.EQUAL: library.EQ,
        Comparison.BELOW: library.LT,
        Comparison.ABOVE: library.GT,
        Comparison.AT_LEAST: library.GE,
        Comparison.MASKED: library.MASKED_EQ,
    }
    arguments = [
        library.Arg(one.argument, comparisons[one.comparison], one.mask, one.value)
        if one.comparison is Comparison.MASKED
        else library.Arg(one.argument, comparisons[one.comparison], one.value)
        for one in conditions
    ]
    for call in calls.split():
        try:
            filter_.add_rule(action, call, *arguments)
        except (OSError, RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise CannotBuild(f"libseccomp refuses the rule for {call}: {error}") from error


def _export(library: Any, filter_: Any) -> bytes:
    filter_.set_attr(library.Attr.ACT_BADARCH, library.KILL_PROCESS)
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "w+b") as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()
