"""A process that prepares for being forked: what it and its children can do then, and what is immortal."""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ...worker.sharing import hot_code, immortal, rehearsal

IMMORTALS = sys.version_info >= (3, 12)

# Changes a process for good, so it is done in others.  `shared` and `made` refer to objects of before and after.
PREPARED = """
import ctypes, gc, os, sys, weakref
gc.disable()
from openvpn3_sessionmgr.worker.helpers import spawner
from openvpn3_sessionmgr.worker.sharing import rehearsal
from openvpn3_sessionmgr.worker.sharing.pages import share_pages

class Thing:
    pass

def count(one):
    return ctypes.c_uint32.from_address(id(one)).value

shared = [Thing(), "before".upper(), {"a": Thing()}]
share_pages()
gc.enable()
made = Thing()
"""


_WITH_INNER = """
def ran(a, *, b=2):
    def inner():
        return a + b
    return [inner() for _ in "xy"]
"""


def in_a_prepared_process(code: str) -> subprocess.CompletedProcess[str]:
    """What a program that begins with PREPARED has printed; its status is 0."""
    return subprocess.run([sys.executable, "-c", PREPARED + code], capture_output=True, text=True, check=True)


def test_rehearsals_leave_no_descriptor_open() -> None:
    descriptors = Path("/proc/self/fd")
    before = len([*descriptors.iterdir()])
    for _ in range(3):
        rehearsal.rehearse()
    assert len([*descriptors.iterdir()]) == before


def test_nothing_is_said_where_all_is_as_expected() -> None:
    assert in_a_prepared_process("").stderr == ""


def test_it_and_its_children_work_afterwards() -> None:
    rehearsed = in_a_prepared_process(
        """
for _ in range(200):
    rehearsal.rehearse()
gc.collect()
if os.fork() == 0:
    for _ in range(200):
        rehearsal.rehearse()
    gc.collect()
    os._exit(42)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    )
    assert rehearsed.stdout.strip() == "42", rehearsed.stderr


def test_what_there_was_is_immortal_and_the_rest_is_not() -> None:
    printed = in_a_prepared_process(
        """
before = [count(one) for one in (*shared, Thing, "before", rehearsal.rehearse.__code__, sys.modules)]
more = [*shared, Thing, rehearsal.rehearse.__code__] * 9
after = [count(one) for one in (*shared, Thing, "before", rehearsal.rehearse.__code__, sys.modules)]
print(before == after == [count(None)] * len(after))
gone = weakref.ref(made)
del made
print(gone() is None)
circle = Thing()
circle.itself = circle
gone = weakref.ref(circle)
del circle
gc.collect()
print(gone() is None)
shared[2]["a"] = None
shared.clear()
print(shared)
"""
    )
    assert printed.stdout.split() == [str(IMMORTALS), "True", "True", "[]"], printed.stderr


def test_a_later_release_is_left_alone_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = object()
    before = sys.getrefcount(probe)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    said = immortal.make_immortal()
    assert said is not None
    assert "3.99" in said
    assert sys.getrefcount(probe) == before


@pytest.mark.parametrize("release", [sys.version_info, (3, 99, 0)])
def test_code_is_copied_where_it_ran(monkeypatch: pytest.MonkeyPatch, release: tuple[int, ...]) -> None:
    monkeypatch.setattr(sys, "version_info", release)
    namespace: dict[str, Any] = {}
    exec("def ran():\n    return (lambda: 1)()\ndef idle():\n    return 2\n", namespace)
    ran, idle = namespace["ran"], namespace["idle"]
    hot = hot_code.run_by(lambda: ran())
    codes = ran.__code__, idle.__code__
    assert codes[0] in hot and codes[1] not in hot
    hot_code.lay_out(hot & {codes[0]})
    assert ran.__code__ is not codes[0]
    assert idle.__code__ is codes[1]
    assert ran() == 1


def test_copies_work_without_their_originals() -> None:
    namespace: dict[str, Any] = {}
    exec(_WITH_INNER, namespace)
    ran = namespace["ran"]
    hot = hot_code.run_by(lambda: ran(1))
    before = ran.__code__.co_code, ran.__code__.co_consts[1], [*ran.__code__.co_lines()]
    hot_code.lay_out(hot)
    del hot
    gc.collect()
    assert (ran.__code__.co_code, ran.__code__.co_consts[1], [*ran.__code__.co_lines()]) == before
    assert [ran(number, b=number) for number in range(100)] == [[2 * number] * 2 for number in range(100)]
    moved = ran.__code__
    namespace.clear()
    gc.collect()
    assert moved.co_name == "ran"


def test_what_is_copied_lies_side_by_side() -> None:
    copied = in_a_prepared_process(
        """
from openvpn3_sessionmgr.worker.session import loop
methods = [one.__code__ for one in vars(loop._Loop).values() if hasattr(one, "__code__")]
for one in methods:
    methods += [inner for inner in one.co_consts if hasattr(inner, "co_code")]
places = [*map(id, methods)]
print(max(places) - min(places) <= sum(one.__sizeof__() + 16 for one in methods))
"""
    )
    assert copied.stdout.split() == ["True"], copied.stderr


def test_all_that_is_named_exists() -> None:
    lines = """
gc.unfreeze()
names = [f"{one.__module__}.{one.__qualname__}" for one in gc.get_objects() if type(one).__name__ == "function"]
from openvpn3_sessionmgr.worker.sharing import hot_code
print([name for name in hot_code.NOT_REHEARSED if not any(one.startswith(name) for one in names)])
"""
    assert in_a_prepared_process(lines).stdout.split() == ["[]"]


def test_what_ran_is_not_profiled_any_more() -> None:
    hot_code.run_by(lambda: None)
    assert sys.getprofile() is None
    assert gc.isenabled()
