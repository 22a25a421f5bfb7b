"""What systemd wants of this service, if that has started it (org.freedesktop.systemd1(5))."""

import asyncio
import os
from pathlib import Path

from ...policy.limits import SERVICE_MANAGER_DEADLINE
from ..bus.connection import BusConnection, BusRefused

_NAME = "org.freedesktop.systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_RUNS = Path("/run/systemd/system")  # sd_booted(3)


async def is_restarted(connection: BusConnection) -> bool:
    """Whether this service is asked to end because it is restarted; False if that is not known.  Raises BusLost."""
    if not _RUNS.is_dir():
        return False
    try:
        async with asyncio.timeout(SERVICE_MANAGER_DEADLINE):
            job = await _property(connection, await _unit(connection), "org.freedesktop.systemd1.Unit", "Job")
            if not (isinstance(job, list | tuple) and len(job) == 2 and job[0]):
                return False
            kind = await _property(connection, str(job[1]), "org.freedesktop.systemd1.Job", "JobType")
            return kind in ("restart", "try-restart")
    except (BusRefused, TimeoutError):
        return False


async def restarts_failed(connection: BusConnection) -> bool:
    """Whether this service is started again when it ends with an error; False as above.  Raises BusLost."""
    try:
        async with asyncio.timeout(SERVICE_MANAGER_DEADLINE):
            unit = await _unit(connection)
            restart = await _property(connection, unit, "org.freedesktop.systemd1.Service", "Restart")
            return restart in ("always", "on-failure")
    except (BusRefused, TimeoutError):
        return False


async def _unit(connection: BusConnection) -> str:
    """The path of this service's unit.  Raises BusRefused, BusLost."""
    (unit,) = await connection.ask(_NAME, "/org/freedesktop/systemd1", _MANAGER, "GetUnitByPID", "u", [os.getpid()])
    return str(unit)


async def _property(connection: BusConnection, path: str, interface: str, name: str) -> object:
    (value,) = await connection.ask(_NAME, path, _PROPERTIES, "Get", "ss", [interface, name])
    return value.value
