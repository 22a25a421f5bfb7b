"""The exit statuses of the service's processes, and the wait status of an ended process as text."""

import os
import signal
from enum import IntEnum


class ExitStatus(IntEnum):
    """Why a process of this project ended itself.

    dbus-daemon's launch helper has meanings of its own for 1 to 11, which callers would be told instead.
    """

    OK = 0
    USAGE = 2
    ALREADY_RUNNING = 20  # the names or the runtime directory belong to another instance
    BUS_LOST = 21
    CANNOT_START = 22  # a privilege, account, directory or program is missing; the message says which
    CONFIGURATION = 23  # the administrator's files are wrong; the message says what
    HELPER_LOST = 24  # by itself, for the next instance, which has what this one has lost; sessions go on
    CONFINEMENT = 71  # a step of giving up privileges failed or could not be verified
    PROTOCOL = 72  # the other process broke the protocol
    INTERNAL = 73  # internal error; the traceback went to standard error


def describe(wait_status: int) -> str:
    """How a child ended, from its wait status (waitpid(2)): "was killed by SIGKILL", "exited with 2 (USAGE)"."""
    code = os.waitstatus_to_exitcode(wait_status)
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"was killed by {name}"
    try:
        return f"exited with {code} ({ExitStatus(code).name})"
    except ValueError:
        return f"exited with {code}"
