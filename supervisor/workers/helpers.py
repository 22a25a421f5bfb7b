"""Starting the helper processes: one interpreter, exec'd before any outside input is read (worker/spawner.py)."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ...ipc import helpers
from ...ipc.channel import Channel, channel_pair
from ...policy.layers import join
from ..sandbox import Sandbox

_CODE = "from openvpn3_sessionmgr.worker.spawner import main; main()"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

# Process titles are written over the arguments, and a worker's shows session, owner and profile.
_ROOM_FOR_TITLES = " " * 200


@dataclass(frozen=True)
class Helpers:
    """The helpers as the supervisor holds them."""

    pid: int  # the spawner's keeper; the resolver is its child
    spawner: Channel
    resolver: Channel
    complaints: int  # read end of the helpers' standard error


def start_helpers(engine: str, directory: Path, uids: range, sandbox: Sandbox, cgroup: int, providers: str) -> Helpers:
    """Start the spawner and the resolver; call while still root, and with no other thread.

    `directory` is what the spawner covers with its template, in a mount namespace of its own; the first of `uids` is
    the resolver's, the others may be asked for; `cgroup` is the directory of the group that sessions get theirs in, or
    any file.  `providers` are those of PKCS#11 (helpers.pack_providers).  Raises OSError.
    """
    spawner, spawner_theirs = channel_pair()
    resolver, resolver_theirs = channel_pair()
    complaints, complaints_theirs = os.pipe()
    filters = os.memfd_create("filters", os.MFD_CLOEXEC)
    with open(filters, "wb", closefd=False) as file:
        file.write(helpers.encode(sandbox.filters))
    os.lseek(filters, 0, os.SEEK_SET)
    arguments = [engine, str(directory), str(uids.start), str(uids.stop), join(sandbox.layers), providers]
    arguments.append(_ROOM_FOR_TITLES)
    # In two steps: a target number may be the number of a descriptor that is still to be copied (even 0, where the
    # service was started without it).
    ours = (spawner_theirs.fileno(), resolver_theirs.fileno(), filters, cgroup, complaints_theirs)
    targets = (helpers.SPAWNER_FD, helpers.RESOLVER_FD, helpers.FILTERS_FD, helpers.CGROUP_FD, 2)
    above = max(*ours, *targets) + 1
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-c", _CODE, *arguments],
        _ENVIRONMENT,
        file_actions=[
            *((os.POSIX_SPAWN_DUP2, number, above + index) for index, number in enumerate(ours)),
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            *((os.POSIX_SPAWN_DUP2, above + index, target) for index, target in enumerate(targets)),
            *((os.POSIX_SPAWN_CLOSE, above + index) for index in range(len(ours))),
        ],
    )
    spawner_theirs.close()
    resolver_theirs.close()
    os.close(complaints_theirs)
    os.close(filters)
    for channel in (spawner, resolver):
        channel.socket.setblocking(False)
    os.set_blocking(complaints, False)
    return Helpers(pid, spawner, resolver, complaints)
