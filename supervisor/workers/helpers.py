"""Starting the helper processes: one interpreter, exec'd before any outside input is read (worker/helpers/spawner.py).

It is exec'd as early as possible and told later what to be; it imports its modules then, while this process is on the
bus and imports most of its own.
"""

import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from ...ipc import helpers, inherited
from ...ipc.channel import Channel, channel_pair
from .proc import children, process_title

_TITLE = "openvpn3-service-sessionmgr"
_MODULE = "openvpn3_sessionmgr.worker.helpers"
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "LD_BIND_NOW": "1",  # as in supervisor/start/allocator.py; workers are forked, and find all functions looked up
}

# Process titles are written over the arguments, and a worker's shows session, owner and profile.
_ROOM_FOR_TITLES = " " * 200


class Helpers(msgspec.Struct, frozen=True):
    """The helpers as the supervisor holds them."""

    resolver_uid: int
    spawner: Channel
    resolver: Channel
    names: Channel  # to the name setter
    sets_names: bool  # there is a name setter
    stderr: int  # read end of the helpers' standard error
    setup: BinaryIO  # write end of the pipe with their setup

    def go_on(self) -> None:
        """Have them prepare for their first request: whoever had the service started has been answered."""
        self.setup.close()

    def serving_spawner(self) -> list[int]:
        """The process that starts workers; none for a moment when it is forked anew."""
        return _serving("spawner", 0)

    def serving_resolver(self) -> list[int]:
        """The process that takes look-ups; none as above."""
        return _serving("resolver", self.resolver_uid)


class Starting:
    """The helpers while they start."""

    def __init__(self, cgroup: int) -> None:
        """Exec their interpreter; call while still root, and with no other thread.

        `cgroup` is the directory of the group that sessions get theirs in, or any file.  Raises OSError.
        """
        spawner, spawner_theirs = channel_pair()
        resolver, resolver_theirs = channel_pair()
        names, names_theirs = channel_pair()
        stderr, stderr_theirs = os.pipe()
        setup_theirs, self._setup = os.pipe()
        # In two steps: a target number may be the number of a descriptor that is still to be copied (even 0, where the
        # service was started without it).
        theirs = (spawner_theirs, resolver_theirs, names_theirs)
        ours = (*(one.fileno() for one in theirs), setup_theirs, cgroup, stderr_theirs)
        targets = (
            *(inherited.SPAWNER_FD, inherited.RESOLVER_FD, inherited.NAMES_FD),
            *(inherited.SETUP_FD, inherited.CGROUP_FD, 2),
        )
        above = max(*ours, *targets) + 1
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-m", _MODULE, _ROOM_FOR_TITLES],
            _ENVIRONMENT,
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, number, above + index) for index, number in enumerate(ours)),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                *((os.POSIX_SPAWN_DUP2, above + index, target) for index, target in enumerate(targets)),
                *((os.POSIX_SPAWN_CLOSE, above + index) for index in range(len(ours))),
            ],
        )
        for channel in theirs:
            channel.close()
        os.close(stderr_theirs)
        os.close(setup_theirs)
        for channel in (spawner, resolver, names):
            channel.socket.setblocking(False)
        os.set_blocking(stderr, False)
        self._spawner, self._resolver, self._names, self._stderr = spawner, resolver, names, stderr

    def set_up(self, setup: helpers.Setup) -> Helpers:
        """Tell them what to be, once; without that they end when this process does.  Raises OSError."""
        pipe = os.fdopen(self._setup, "wb")
        helpers.write_setup(pipe, setup)
        return Helpers(
            setup.first_uid, self._spawner, self._resolver, self._names, bool(setup.name_setter), self._stderr, pipe
        )


def kill_serving(found: list[int]) -> None:
    """Kill processes that serve; their keepers fork others."""
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def _serving(name: str, uid: int) -> list[int]:
    """The children of a helper's keeper, which is a child of ours: the first one, or one that took its place.

    A title is whatever a process writes there, so it counts only of those with the helper's user id.  Keepers are among
    our oldest children, as long as none had to be replaced: so those of hundreds of sessions are not looked at.
    """
    for pid in children(os.getpid()):
        if process_title(pid) == f"{_TITLE}: {name}" and _uid(pid) == uid:
            return children(pid)
    return []


def _uid(pid: int) -> int:
    """The real user id of a process, -1 if it is gone.  (The files of one that is not dumpable are root's.)"""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return -1
    return next(int(line.split()[1]) for line in lines if line.startswith("Uid:"))
