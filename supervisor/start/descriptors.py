"""How many files the supervisor may have open: as many as it is allowed to allow itself (setrlimit(2))."""

import resource

from ...policy.exit_status import ExitStatus
from ...policy.limits import DESCRIPTORS_OF_SERVICE, DESCRIPTORS_PER_SESSION
from ..errors import StartError

_NEEDED = DESCRIPTORS_OF_SERVICE + DESCRIPTORS_PER_SESSION


def raise_limit() -> int:
    """Raise the limit of this process, not of those it has started, to the hard one; the limit.

    Raises StartError if it is too low for one session.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < _NEEDED:
        raise StartError(
            f"The service may have only {hard} files open, and needs {_NEEDED}: raise the limit (LimitNOFILE= in a "
            "systemd unit, ulimit -Hn in a shell)",
            ExitStatus.CANNOT_START,
        )
    return hard
