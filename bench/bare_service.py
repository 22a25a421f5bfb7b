"""A service of asyncio and dbus-fast and nothing else, as a program: it owns a name, and has a property to be read."""

import asyncio

from dbus_fast import BusType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.service import ServiceInterface, dbus_property

NAME = "org.example.Bare"
PATH = "/org/example/Bare"


class Bare(ServiceInterface):
    """Its one object."""

    def __init__(self) -> None:
        super().__init__(NAME)

    @dbus_property(access=PropertyAccess.READ)
    def version(self) -> "s":  # type: ignore[name-defined]  # noqa: F821
        """Whatever; what is measured is when."""
        return "1"


async def _main() -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.export(PATH, Bare())
    await bus.request_name(NAME)
    await asyncio.get_running_loop().create_future()  # until it is killed


if __name__ == "__main__":
    asyncio.run(_main())
