"""The program: start, run and end of the service, and its exit status."""

import ctypes
import gc
import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import prctl

from ..policy.exit_status import ExitStatus
from ..policy.import_blocks import unblock_imports
from .errors import StartError, SystemFailure
from .logging.destinations import default_destination
from .logging.log import Log
from .start import privileged
from .start.options import PROGRAM, options, parse
from .start.starter import by_bus

if TYPE_CHECKING:
    from .presence import Presence


def run() -> NoReturn:
    """Run the service; ends the process with a status of policy/exit_status.py."""
    command_line = parse()
    if "unlock" in command_line:
        _end(_unlock())
    log: Log | None = None
    try:
        start = privileged.Start(options(command_line), command_line)
        # While the processes that have been started run.
        serve = _import_clean_up() if "clean-up" in command_line else _import_presence()
        prepared = start.finish()
        log = prepared.log
        _set_title(PROGRAM)
        prctl.set_name("ovpn-sessionmgr")
        status: int = serve(prepared)
    except StartError as error:
        log = log or _default_log()
        status = _report(error, log)
    except Exception:
        status = ExitStatus.INTERNAL
        if log is None:
            raise
        log.fatal(f"Internal error:\n{traceback.format_exc()}")
    if log is not None:
        log.close()
    _end(status)


def _unlock() -> int:
    """End the kill switch: it is in the kernel, so this takes no service."""
    from .network.locking.lock_rules import unlock

    try:
        unlock()
    except SystemFailure as error:
        print(f"{PROGRAM}: The kill switch cannot be switched off: {error}", file=sys.stderr)
        return ExitStatus.CANNOT_START
    return ExitStatus.OK


def _import_presence() -> Callable[[privileged.Prepared], ExitStatus]:
    """Import what it takes to be on the bus; returns the function that runs the service."""
    import asyncio

    from .bus.transport import BusLost
    from .presence import join

    async def serve(prepared: privileged.Prepared) -> ExitStatus:
        presence = await join(prepared)
        try:
            return await _import_service()(presence) if await presence.begin() else ExitStatus.OK
        except BusLost as error:
            raise StartError(f"Connection to the bus lost: {error}", ExitStatus.BUS_LOST) from error

    return lambda prepared: asyncio.run(serve(prepared))


def _import_service() -> "Callable[[Presence], Coroutine[Any, Any, ExitStatus]]":
    """Import all other modules of the running service; returns the function that has its parts serve."""
    from .service import serve

    _all_imported()
    return serve


def _import_clean_up() -> Callable[[privileged.Prepared], ExitStatus]:
    """Import what --clean-up takes; returns the function that does it."""
    import asyncio

    from .clean_up import clean_up

    _all_imported()
    return lambda prepared: asyncio.run(clean_up(prepared))


def _all_imported() -> None:
    unblock_imports()
    gc.freeze()  # all that has been imported: it stays
    gc.enable()


def _set_title(title: str) -> None:
    """Show `title` in place of this process's arguments, as much of it as there is room for (proc(5), cmdline).

    python-prctl has a call for that, which looks into memory that it has freed already: it crashes where what is freed
    is overwritten (start/allocator.py).  The last byte stays 0: otherwise the kernel would show the environment too.
    """
    fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])  # arg_start, arg_end
    shown = title.encode()[: end - begin - 1]
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, shown, len(shown))


def _end(status: int) -> NoReturn:
    """End the process without finalizing the interpreter, which takes half as long as the start."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as where it was closed when the service started
            try:
                stream.flush()
            except OSError:
                pass
    os._exit(status)


def _default_log() -> Log:
    """journald or syslog: when the bus has started the service, its standard error is not shown anywhere."""
    destination = default_destination()
    return Log(destinations=[destination] if destination else [])


def _report(error: StartError, log: Log) -> int:
    print(f"{PROGRAM}: {error}", file=sys.stderr)
    log.fatal(str(error))
    # dbus-daemon may start two instances at once, one for each name; an error status of the one that finds the other
    # there would fail the call that waits for its name.
    return ExitStatus.OK if by_bus() and error.status == ExitStatus.ALREADY_RUNNING else error.status
