"""How the supervisor gives up root for the account it runs as, each step verified (kernel/privileges.py)."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import prctl

from ...kernel import privileges
from ...policy.access import SERVICE_ACCOUNTS
from ...policy.exit_status import ExitStatus
from ...policy.sandbox.confinement import HELPER_RLIMITS, START_CAPABILITIES, SUPERVISOR_CAPABILITIES
from ..errors import StartError


def service_account() -> pwd.struct_passwd:
    """The account to run as.  Raises StartError if the system has none."""
    for name in SERVICE_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartError(
        f"There is no account {' or '.join(SERVICE_ACCOUNTS)}; create one: "
        f"useradd --system --no-create-home --shell /usr/sbin/nologin {SERVICE_ACCOUNTS[0]}",
        ExitStatus.CANNOT_START,
    )


def check_start() -> None:
    """Check that this process has the privileges that it needs to start.

    Raises StartError naming what is missing and how to give it.
    """
    if os.geteuid() != 0:
        raise StartError(
            "The service must be started as root: it builds the sandbox of the sessions, then gives up root "
            "privileges. Let D-Bus or systemd start it, or use sudo",
            ExitStatus.CANNOT_START,
        )
    missing = privileges.missing_capabilities(START_CAPABILITIES)
    if missing:
        names = ", ".join(f"CAP_{name.upper()} ({START_CAPABILITIES[name]})" for name in missing)
        flags = " ".join(f"--cap-add {name.upper()}" for name in missing)
        raise StartError(
            f"The service lacks capabilities that it needs to start: {names}. Grant them: in a systemd unit with "
            f"CapabilityBoundingSet=, in a container with {flags}",
            ExitStatus.CANNOT_START,
        )


@contextmanager
def acting_as(account: pwd.struct_passwd) -> Iterator[None]:
    """Act as `account` in the body, and as root again after it; for a process with one thread.

    Meanwhile the kernel clears the effective capabilities, and restores them (capabilities(7)).  Supplementary groups
    of root stay.
    """
    os.setegid(account.pw_gid)
    try:
        os.seteuid(account.pw_uid)
        try:
            yield
        finally:
            os.seteuid(0)
    finally:
        os.setegid(0)


def _kernel_agrees() -> bool:
    """Whether the kernel shows the same capabilities in all sets, also of those that python-prctl does not know."""
    kept = sum(1 << getattr(prctl, f"CAP_{name.upper()}") for name in SUPERVISOR_CAPABILITIES)
    wanted = {"CapInh": 0, "CapPrm": kept, "CapEff": kept, "CapBnd": kept, "CapAmb": 0}
    lines = Path("/proc/self/status").read_text().splitlines()
    shown = {name: int(value, 16) for name, _, value in (line.partition(":") for line in lines) if name in wanted}
    return shown == wanted


def drop(account: pwd.struct_passwd) -> None:
    """Become `account` with nothing but SUPERVISOR_CAPABILITIES, and the parent of orphaned descendants.

    Raises StartError naming the step that failed.
    """
    try:
        privileges.run_steps(
            [
                ("adopt orphans", lambda: prctl.set_child_subreaper(1), lambda: prctl.get_child_subreaper() == 1),
                *privileges.set_rlimits(HELPER_RLIMITS),
                *privileges.lock_securebits(),
                *privileges.drop_to(account.pw_uid, account.pw_gid, SUPERVISOR_CAPABILITIES),
                *privileges.forbid_new_privileges(),
                *privileges.hide_memory(),
                ("find the same in /proc/self/status", lambda: None, _kernel_agrees),
            ]
        )
    except privileges.ConfinementError as error:
        raise StartError(f"Privileges could not be given up: {error}", ExitStatus.CONFINEMENT) from error
