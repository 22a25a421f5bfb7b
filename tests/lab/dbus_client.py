"""One user's connection to the bus, as a program: a JSON object a line in, replies and signals a line each out.

in:   {"id": 1, "destination": …, "path": …, "interface": …, "member": …, "signature": "…", "arguments": […]}
      {"match": "a match rule"}: also report these signals
out:  {"ready": ":1.5"}   {"id": 1, "reply": […]}   {"id": 1, "error": "name", "text": "…"}
      {"signal": member, "sender", "path", "interface", "arguments"}
A variant is [signature, value] on the way in, and the bare value on the way out.
"""

import asyncio
import json
import sys
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.signature import SignatureTree, SignatureType

_LARGEST_LINE = 64 * 1024 * 1024


def _outgoing(kind: SignatureType, value: Any) -> Any:
    if kind.token == "v":
        inner = SignatureTree(value[0]).types[0]
        return Variant(value[0], _outgoing(inner, value[1]))
    if kind.token == "a":
        child = kind.children[0]
        if child.token == "y":
            return bytes(value)
        if child.token == "{":
            return {key: _outgoing(child.children[1], one) for key, one in value.items()}
        return [_outgoing(child, one) for one in value]
    if kind.token == "(":
        return [_outgoing(child, one) for child, one in zip(kind.children, value, strict=True)]
    return value


def _incoming(value: Any) -> Any:
    if isinstance(value, Variant):
        return _incoming(value.value)
    if isinstance(value, dict):
        return {key: _incoming(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_incoming(one) for one in value]
    return list(value) if isinstance(value, bytes) else value


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _on_message(message: Message) -> None:
    if message.message_type is MessageType.SIGNAL:
        _say(
            signal=message.member,
            sender=message.sender,
            path=message.path,
            interface=message.interface,
            arguments=_incoming(message.body),
        )


async def _call(bus: MessageBus, order: dict[str, Any]) -> None:
    kinds = SignatureTree(order["signature"]).types
    is_signal = order.get("signal", False)
    message = Message(
        message_type=MessageType.SIGNAL if is_signal else MessageType.METHOD_CALL,
        destination=order["destination"],
        path=order["path"],
        interface=order["interface"],
        member=order["member"],
        signature=order["signature"],
        body=[_outgoing(kind, one) for kind, one in zip(kinds, order["arguments"], strict=True)],
    )
    if is_signal:
        await bus.send(message)
        _say(id=order["id"], reply=[])
        return
    reply = await bus.call(message)
    assert reply is not None
    if reply.message_type is MessageType.ERROR:
        text = reply.body[0] if reply.body else ""
        _say(id=order["id"], error=reply.error_name, text=text)
    else:
        _say(id=order["id"], reply=_incoming(reply.body))


async def _match(bus: MessageBus, rule: str) -> None:
    order = {"destination": "org.freedesktop.DBus", "path": "/org/freedesktop/DBus"}
    order |= {"interface": "org.freedesktop.DBus", "member": "AddMatch", "signature": "s"}
    await _call(bus, order | {"arguments": [rule], "id": 0})


async def _main() -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.add_message_handler(_on_message)
    await _match(bus, "type='signal'")
    _say(ready=bus.unique_name)
    orders = asyncio.StreamReader(limit=_LARGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    running = set[asyncio.Task[None]]()
    while line := await orders.readline():
        order = json.loads(line)
        task = asyncio.ensure_future(_match(bus, order["match"]) if "match" in order else _call(bus, order))
        running.add(task)
        task.add_done_callback(running.discard)
    bus.disconnect()


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except (OSError, EOFError) as error:
        sys.exit(f"no bus: {error}")
