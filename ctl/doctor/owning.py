"""Run as the service's account: whether the bus lets it own names.  Prints "yes", or what the bus says.

    python -I -m openvpn3_sessionmgr.ctl.doctor.owning NAME…

A name that nobody owns is this process's until it ends, at once.
"""

import asyncio
import sys
from collections.abc import Sequence

from dbus_fast import BusType, NameFlag
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError


async def _ask(names: Sequence[str]) -> str:
    connection = await MessageBus(bus_type=BusType.SYSTEM).connect()
    try:
        for name in names:
            await connection.request_name(name, NameFlag.DO_NOT_QUEUE)
    except DBusError as error:
        return str(error.text)
    finally:
        connection.disconnect()
    return "yes"


if __name__ == "__main__":
    print(asyncio.run(_ask(sys.argv[1:])))
