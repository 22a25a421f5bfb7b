"""The service from start to end."""

import asyncio
import os
import sys
import traceback

import prctl

from ..ipc.exitcodes import Exit
from . import startup
from .errors import StartError
from .log import Log
from .log_destinations import default_destination
from .options import PROGRAM, parse
from .service import serve
from .title import set_title


def run() -> None:
    """Run the service; ends the process with a status of ipc/exitcodes.py."""
    options = parse()
    log: Log | None = None
    try:
        prepared = startup.prepare(options)
        log = prepared.log
        set_title(PROGRAM)
        prctl.set_name("ovpn-sessionmgr")
        status: int = asyncio.run(serve(prepared))
    except StartError as error:
        log = log or _default_log()
        status = _report(error, log)
    except Exception:
        status = Exit.INTERNAL
        if log is None:
            raise
        log.fatal(f"A fault of the service:\n{traceback.format_exc()}")
    if log is not None:
        log.close()
    sys.exit(status)


def _default_log() -> Log:
    """Where an administrator looks when the bus started the service: its standard error goes nowhere then."""
    destination = default_destination()
    return Log(destinations=[destination] if destination else [])


def _report(error: StartError, log: Log) -> int:
    print(f"{PROGRAM}: {error}", file=sys.stderr)
    log.fatal(str(error))
    # dbus-daemon may start two instances at once, one for each name; an error status of the one that finds the other
    # there would fail the call that waits for its name.
    started_by_bus = "DBUS_STARTER_BUS_TYPE" in os.environ
    return Exit.OK if started_by_bus and error.status == Exit.ALREADY_RUNNING else error.status
