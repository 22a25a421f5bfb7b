"""Run a command in the lab's own surroundings: `python -m openvpn3_sessionmgr.tests.lab.enter COMMAND…`

The command gets private mount, pid, network, ipc and uts namespaces and a private /run.  When it ends, or this
program is killed in whatever way, the kernel ends every process in them and frees all they had: mounts, devices,
namespaces, files.  A terminal's Ctrl-C reaches the command once, and so does a signal sent to this program; when
who started it dies, the command gets SIGTERM.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from . import kernel
from .surroundings import IMPORT_ROOT, SCRATCH, SHARED, OtherRoot, SurroundingsError, arrange

_MARK = "OPENVPN3_SESSIONMGR_LAB"
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_WATCHED = (*_FORWARDED, signal.SIGCHLD)
_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_CANNOT_START = 125


def inside() -> bool:
    """Whether this process runs in a lab's surroundings."""
    return _MARK in os.environ and SHARED.exists()


def run(
    command: Sequence[str],
    *,
    other_root: OtherRoot | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run `command` inside and return its exit status (128 + number for a signal, as a shell does)."""
    if os.geteuid() != 0:
        print("The lab needs root: it makes namespaces, devices and users of its own.", file=sys.stderr)
        return _CANNOT_START
    parent = os.getppid()
    kernel.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return _CANNOT_START
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    go_read, go_write = os.pipe()
    kernel.unshare(_NAMESPACES)
    init = os.fork()
    if init == 0:
        os.close(go_write)
        kernel.die_with_parent(signal.SIGKILL)
        if os.read(go_read, 1) == b"":  # the parent died before the line above
            os._exit(_CANNOT_START)
        os.close(go_read)
        os._exit(_be_init(command, other_root, directory, environment))
    os.close(go_read)
    os.write(go_write, b"!")
    os.close(go_write)
    return _watch(init)


def _be_init(
    command: Sequence[str],
    other_root: OtherRoot | None,
    directory: Path | None,
    environment: Mapping[str, str] | None,
) -> int:
    """Process 1 of the new pid namespace: arranges it, starts the command, reaps orphans."""
    here = directory or Path.cwd()
    try:
        arrange(other_root)
        os.chdir(here)
    except (SurroundingsError, OSError) as error:
        print(f"The lab cannot be set up: {error}", file=sys.stderr)
        return _CANNOT_START
    child = os.fork()
    if child == 0:
        _become(command, environment)
    return _watch(child)


def _become(command: Sequence[str], environment: Mapping[str, str] | None) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    inherited = os.environ if environment is None else environment
    surroundings = {"PYTHONPATH": str(IMPORT_ROOT), **inherited, _MARK: "1", "TMPDIR": str(SCRATCH)}
    try:
        os.execvpe(command[0], list(command), surroundings)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)


def _watch(child: int) -> int:
    """Hand signals on to `child` and reap until it ends; its exit status."""
    while True:
        event = signal.sigwaitinfo(_WATCHED)
        if event.si_signo != signal.SIGCHLD:
            # A terminal signals its whole foreground group, so the child has that one already (si_code > 0).
            if event.si_code <= 0:
                os.kill(child, event.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def main() -> None:
    """Run the command line's command."""
    if len(sys.argv) < 2:
        sys.exit("usage: enter COMMAND…")
    if inside():
        os.execvp(sys.argv[1], sys.argv[1:])
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
