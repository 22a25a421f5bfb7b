"""A cgroup for each session, with the bounds of policy/sandbox/confinement.py (the kernel's cgroup-v2.rst)."""

import os
import stat

from ...kernel import mounts
from ...policy.sandbox.confinement import CGROUP_BOUNDS


def restrict_descriptor(descriptor: int) -> None:
    """Have a descriptor of a cgroup's directory lead nowhere but below it.

    It is opened anew in a mount of its own that is then detached, of which it is the root: from any other, ".." leads
    to the host's root directory, whatever root the process has itself.  To be called in a mount namespace of the
    caller's own, before it leaves the host's root.  Raises OSError.
    """
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        return
    path = os.readlink(f"/proc/self/fd/{descriptor}")
    mounts.mount(path, path, flags=mounts.MS_BIND)
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.detach(path)
    os.dup2(opened, descriptor, inheritable=False)
    os.close(opened)


def enter(parent: int, uid: int) -> None:
    """Make the calling process, with all that it will fork, a member of the group of the session of user `uid`.

    `parent` is the directory of the group above.  A group is used again by the next session of the same user id, when
    nothing is left of the one before.  Raises OSError.
    """
    name = f"session-{uid}"
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        pass
    for _, file, bound, _ in CGROUP_BOUNDS:
        _write(parent, f"{name}/{file}", bound)
    _write(parent, f"{name}/cgroup.procs", 0)  # the writer itself


def _write(parent: int, path: str, value: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
