"""Programs that the tests of the configuration service run as the service's own account.

serve RUNTIME_DIR STATE_DIR    serve the embedded configuration service on the system bus
read PATH UID [used]           ask it as another service would; prints the profile, or what is wrong, as JSON
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from ...policy.access import Caller
from ...supervisor.bus.callers import Callers
from ...supervisor.bus.configuration_api import BUS_NAME
from ...supervisor.bus.connection import BusConnection
from ...supervisor.bus.dispatch import Dispatcher
from ...supervisor.bus.signals import Signals
from ...supervisor.errors import CallerError
from ...supervisor.logging.log import Log, prefixed
from ...supervisor.services.configuration import ConfigurationService
from ...supervisor.services.external_configuration import ExternalConfiguration
from ...supervisor.services.profile_store import ProfileStore


class Printed:
    """A log destination: standard output."""

    def put(self, record) -> None:  # type: ignore[no-untyped-def]
        print(prefixed(record), flush=True)


async def serve(runtime_dir: str, state_dir: str) -> None:
    connection = await BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"]).connect()
    callers = Callers(connection)
    await callers.start()
    log = Log(6, [Printed()])  # type: ignore[list-item]  # it needs no more than put()
    dispatcher = Dispatcher(connection, callers, service_uid=os.getuid(), log=log)
    store = ProfileStore(Path(runtime_dir), Path(state_dir))
    service = ConfigurationService(store, dispatcher, Signals(connection), log, service_uid=os.getuid(), version="v27")
    await service.start()
    dispatcher.open()
    assert await connection.request_names([BUS_NAME]) == {BUS_NAME: True}
    print("ready", flush=True)
    await connection.lost


async def read(path: str, uid: str, used: str = "") -> None:
    connection = await BusConnection(os.environ["DBUS_SYSTEM_BUS_ADDRESS"]).connect()
    external = ExternalConfiguration(connection, Log(6, [Printed()]))  # type: ignore[list-item]
    try:
        profile = await external.profile_for(path, Caller(":1.0", int(uid)))
    except CallerError as error:
        print(json.dumps({"error": type(error).__name__, "text": str(error)}))
        return
    shown = {name: getattr(profile, name) for name in ("name", "owner", "overrides", "single_use")}
    print(json.dumps({**shown, "text": profile.text.decode()}))
    if used:
        await external.used(profile)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    asyncio.run(serve(*arguments) if command == "serve" else read(*arguments))
