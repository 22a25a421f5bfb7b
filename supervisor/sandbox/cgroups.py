"""The part of the cgroup tree that is delegated to this service, if there is one (the kernel's cgroup-v2.rst).

A group with members cannot enable controllers for its children, so the service moves to a leaf of its own group, and
the groups of sessions become siblings of that leaf.
"""

import os
import pwd
from contextlib import nullcontext
from pathlib import Path

from ...policy.sandbox.confinement import CGROUP_BOUNDS
from ..start.privileges import acting_as

_LEAF = "supervisor"
_SESSIONS = "session-*"


class NotDelegated(Exception):
    """No group is delegated to this service; the text says why."""


def prepare(account: pwd.struct_passwd) -> int:
    """Move this process to a leaf of its group, and return a descriptor of the group, in which sessions get theirs.

    To be called as root, before other processes are started.  The group belongs to root or `account`; afterwards the
    spawner, which is root without CAP_DAC_OVERRIDE, can make groups in it.  Raises NotDelegated or OSError.
    """
    group = _own_group()
    controllers = list(dict.fromkeys(controller for controller, *_ in CGROUP_BOUNDS))
    if group.name == _LEAF:  # somebody has moved it there, as systemd does with DelegateSubgroup=
        group = group.parent
    there = (group / "cgroup.controllers").read_text().split()
    if lacking := [controller for controller in controllers if controller not in there]:
        raise NotDelegated(f"the service's group has no controller {' and no '.join(lacking)}")
    given = group.stat().st_uid == account.pw_uid  # by systemd, where the unit has the account in User=
    with acting_as(account) if given else nullcontext():
        leaf = group / _LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text("0")
        if others := (group / "cgroup.procs").read_text().split():
            raise NotDelegated(f"other processes are in the service's group: {' '.join(others)}")
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))
        groups = list(group.glob(_SESSIONS))  # of an earlier instance
        for left in groups:
            if not (left / "cgroup.procs").read_text():
                left.rmdir()
    for left in groups:
        if left.exists():
            _bound_again(left)
    if given:
        _share_with_root(group, account)
    return os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _bound_again(group: Path) -> None:
    """Write the bounds of a session that goes on: the kernel forgets them with the controllers."""
    for _, file, bound, _ in CGROUP_BOUNDS:
        try:
            (group / file).write_text(str(bound))
        except OSError:
            pass  # its last process is gone, and so is the group; or it is of a session that will be ended


def _share_with_root(group: Path, account: pwd.struct_passwd) -> None:
    """Let root without CAP_DAC_OVERRIDE make groups in `group`, and move processes within it.

    Nobody but root is in group 0, to which the owner, who must be in it, gives what that takes.
    """
    os.seteuid(account.pw_uid)
    try:
        for path in (group, group / "cgroup.procs"):
            os.chown(path, -1, 0)
            path.chmod(path.stat().st_mode | 0o020)
    finally:
        os.seteuid(0)


def _own_group() -> Path:
    """The directory of the group of cgroup v2 that this process is in."""
    own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    for fields in mounts:
        kind = fields[fields.index("-") + 1]
        if kind == "cgroup2" and own:
            root, place = fields[3], Path(fields[4])
            path = Path(own[0])
            if path.is_relative_to(root):
                relative = path.relative_to(root)
                if not relative.parts:
                    raise NotDelegated("the service is in the root group")
                return place / relative
    raise NotDelegated("no cgroup v2 is mounted")
