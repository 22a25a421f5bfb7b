"""Giving up privileges step by step, each step verified; the same for every process of the project.

Built on python-prctl; capabilities(7), credentials(7), prctl(2), setrlimit(2).
"""

import os
import resource
from collections.abc import Callable, Collection, Iterable

import _prctl
import prctl

from . import process

# Each with its lock (linux/securebits.h).
_SECBIT_NOROOT = 1 << 0 | 1 << 1
_SECBIT_NO_SETUID_FIXUP_LOCKED = 1 << 3
_SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6 | 1 << 7


class ConfinementError(Exception):
    """A step failed, or its effect is not there; the text names the step."""


Step = tuple[str, Callable[[], object], Callable[[], bool]]


def run_steps(steps: Iterable[Step]) -> None:
    """Do each (name, action, check) in order.

    Raises ConfinementError at the first action that fails or check that does not hold.
    """
    for name, action, check in steps:
        try:
            action()
        except (OSError, ValueError) as error:
            raise ConfinementError(f"{name}: {error}") from error
        if not check():
            raise ConfinementError(f"{name}: had no effect")


def missing_capabilities(wanted: Collection[str]) -> list[str]:
    """The capabilities among `wanted` ("net_admin") that are not effective in this process."""
    return [name for name in wanted if not getattr(prctl.cap_effective, name)]


def drop_to(uid: int, gid: int, keep: Collection[str] = (), *, groups: Collection[int] = ()) -> list[Step]:
    """Steps to become `uid`:`gid` irrevocably, keeping only the capabilities `keep`, in every set.

    `groups` are all others that the process is in afterwards.

    Order matters: the bounding set while CAP_SETPCAP is held; the ids while capabilities are kept over the change.
    Changing between two ids other than 0 keeps all capabilities, so each set is cleared explicitly.
    """
    return [
        ("limit the bounding set", lambda: _limit_bounding_set(keep), lambda: _bounding_set_is(keep)),
        # Without keeping them the kernel itself empties the sets when root becomes somebody else.
        (
            "keep capabilities over the change of user",
            lambda: prctl.set_keepcaps(bool(keep)),
            lambda: bool(prctl.get_keepcaps()) == bool(keep),
        ),
        ("leave all other groups", lambda: os.setgroups([*groups]), lambda: set(os.getgroups()) == set(groups)),
        ("become the group", lambda: os.setresgid(gid, gid, gid), lambda: os.getresgid() == (gid, gid, gid)),
        ("become the user", lambda: os.setresuid(uid, uid, uid), lambda: os.getresuid() == (uid, uid, uid)),
        ("stop keeping capabilities", lambda: prctl.set_keepcaps(False), lambda: not prctl.get_keepcaps()),
        *limit_capabilities(keep),
        (
            "find that the old user is out of reach",
            _nothing,
            lambda: uid == 0 or "setuid" in keep or not _can_become_root(),
        ),
    ]


def limit_capabilities(keep: Collection[str]) -> list[Step]:
    """Steps to hold exactly `keep` as permitted and effective, and nothing as inheritable (so nothing as ambient)."""
    kept = numbers(keep)
    others = [number for number in prctl.ALL_CAPS if number not in kept]
    return [
        # Effective before permitted: a capability that is effective cannot be taken from the permitted set.  A change
        # of user has emptied the effective set, so what is kept is raised again.  (python-prctl's own calls for one
        # set after the other do the same with ten times the objects, which each worker would have its own copy of.)
        ("drop effective capabilities", lambda: _prctl.set_caps([], [], [], others, [], others), lambda: True),
        ("drop permitted capabilities", lambda: _prctl.set_caps(kept, [], [], [], others, kept), lambda: _hold(kept)),
    ]


def give_up_all() -> list[Step]:
    """Steps after which this process has no capability, and no exec gives it one."""
    return [
        ("limit the bounding set", lambda: _limit_bounding_set(()), lambda: _bounding_set_is(())),
        *limit_capabilities(()),
        *forbid_new_privileges(),
    ]


def lock_securebits(*, ambient: bool = False) -> list[Step]:
    """Steps after which user id 0 means nothing to the kernel, irrevocably: no exec gives capabilities back.

    With `ambient`, capabilities may still be kept over an exec.  Needs CAP_SETPCAP, so it comes before that is given
    up; the bit that keeps capabilities over the change of user, which comes later, stays open, and ends with it.
    """
    bits = _SECBIT_NOROOT | _SECBIT_NO_SETUID_FIXUP_LOCKED | (0 if ambient else _SECBIT_NO_CAP_AMBIENT_RAISE)

    return [
        (
            "lock the secure bits",
            lambda: process.set_securebits(bits),
            lambda: bool(_prctl.prctl(_prctl.PR_GET_SECUREBITS) == bits),
        )
    ]


def forbid_new_privileges() -> list[Step]:
    """Steps after which no exec can gain privileges (no_new_privs)."""
    return [("set no_new_privs", lambda: prctl.set_no_new_privs(1), lambda: prctl.get_no_new_privs() == 1)]


def hide_memory() -> list[Step]:
    """Steps after which processes of the same user cannot read this one's memory, and no core is written."""
    return [("become undumpable", lambda: prctl.set_dumpable(0), lambda: prctl.get_dumpable() == 0)]


def set_rlimits(rows: Iterable[tuple[str, int, str]]) -> list[Step]:
    """Steps to set resource limits, hard and soft alike, from rows of policy/sandbox/confinement.py."""

    def step(name: str, bound: int) -> Step:
        which: int = getattr(resource, f"RLIMIT_{name}")
        return (
            f"set RLIMIT_{name}",
            lambda: resource.setrlimit(which, (bound, bound)),
            lambda: resource.getrlimit(which) == (bound, bound),
        )

    return [step(name, bound) for name, bound, _ in rows]


def _nothing() -> None:
    pass


def numbers(names: Collection[str]) -> list[int]:
    """The kernel's numbers of capabilities."""
    return [getattr(_prctl, f"CAP_{name.upper()}") for name in names]


def _limit_bounding_set(keep: Collection[str]) -> None:
    kept = numbers(keep)
    for number in prctl.ALL_CAPS:
        if number not in kept:
            _prctl.prctl(_prctl.PR_CAPBSET_DROP, number)


def _bounding_set_is(keep: Collection[str]) -> bool:
    kept = numbers(keep)
    return all(_prctl.prctl(_prctl.PR_CAPBSET_READ, number) == (number in kept) for number in prctl.ALL_CAPS)


def _hold(kept: list[int]) -> bool:
    """Whether permitted and effective are exactly `kept`, and inheritable nothing."""
    everything = list(prctl.ALL_CAPS)
    effective, permitted, inheritable = _prctl.get_caps(everything, everything, everything).values()
    return all(
        effective[number] == permitted[number] == (number in kept) and not inheritable[number] for number in everything
    )


def _can_become_root() -> bool:
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return False
    return True
