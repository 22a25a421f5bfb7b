"""How a freshly forked worker becomes a process that can do nothing but serve its session.

The order is forced: the private directory needs CAP_SYS_ADMIN, the bounding set CAP_SETPCAP, the change of user
CAP_SETUID; each is gone afterwards.  Nothing has been read from anybody when this runs.
"""

import os
import socket

import prctl

from ..ipc import privileges
from ..policy.confinement import WORKER_RLIMITS
from . import template
from .providers import Providers

HOSTNAME = "session"


def confine_worker(uid: int, shown: Providers) -> None:
    """Give the calling process its private directory and its PKCS#11 providers, and take everything else away.

    It is the first process of new mount, pid, ipc and uts namespaces, inside the template root.
    Raises ConfinementError.
    """
    privileges.run_steps(
        [
            ("start a session of its own", os.setsid, lambda: os.getsid(0) == os.getpid()),
            ("set the host name", lambda: socket.sethostname(HOSTNAME), lambda: socket.gethostname() == HOSTNAME),
            (
                "mount the private directory",
                lambda: template.mount_private_directory(uid, open_to_root=shown.in_private_directory),
                lambda: os.stat(template.PRIVATE_DIRECTORY).st_uid == uid,
            ),
            ("show the PKCS#11 providers", shown.show, shown.others_are_hidden),
            *privileges.set_rlimits(WORKER_RLIMITS),
            *privileges.drop_to(uid, uid, groups=shown.groups),
            *privileges.forbid_new_privileges(),
            ("find the root directory read-only", lambda: None, lambda: bool(os.statvfs("/").f_flag & os.ST_RDONLY)),
        ]
    )
    prctl.set_name("ovpn-worker")
