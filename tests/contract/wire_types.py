"""A program: the types with which an object's properties travel, as JSON.  `wire_types.py BUS_NAME PATH`."""

import asyncio
import json
import sys

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus


async def main(name: str, path: str) -> None:
    """Print them for the interface that has the bus name's name."""
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    reply = await bus.call(Message(name, path, "org.freedesktop.DBus.Properties", "GetAll", signature="s", body=[name]))
    assert reply is not None and reply.message_type is MessageType.METHOD_RETURN, reply
    print(json.dumps({one: value.signature for one, value in reply.body[0].items()}))
    bus.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
