"""One user's connection to the bus, in a process of its own: a JSON object a line in, a line each out.

in:   {"id": 1, "destination": …, "path": …, "interface": …, "member": …, "signature": "…", "arguments": […]}
out:  {"ready": ":1.5"}   {"id": 1, "reply": […]}   {"id": 1, "error": "name", "text": "…"}
      {"signal": member, "sender", "path", "interface", "arguments"}
A variant is [signature, value] on the way in, and the bare value on the way out.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.signature import SignatureTree, SignatureType

_LARGEST_LINE = 64 * 1024 * 1024
_MATCH_SIGNALS = {
    "id": 0, "destination": "org.freedesktop.DBus", "path": "/org/freedesktop/DBus",
    "interface": "org.freedesktop.DBus", "member": "AddMatch", "signature": "s", "arguments": ["type='signal'"],
}  # fmt: skip


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


def _as_line(signal: Message) -> dict[str, Any]:
    return {
        "signal": signal.member,
        "sender": signal.sender,
        "path": signal.path,
        "interface": signal.interface,
        "arguments": _incoming(signal.body),
    }


async def _call(bus: MessageBus, order: dict[str, Any]) -> dict[str, Any]:
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
        return {"id": order["id"], "reply": []}
    reply = await bus.call(message)
    assert reply is not None
    if reply.message_type is MessageType.ERROR:
        return {"id": order["id"], "error": reply.error_name, "text": reply.body[0] if reply.body else ""}
    return {"id": order["id"], "reply": _incoming(reply.body)}


async def _converse(orders: socket.socket) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    reader, writer = await asyncio.open_connection(sock=orders, limit=_LARGEST_LINE)

    def say(line: dict[str, Any]) -> None:
        writer.write(json.dumps(line).encode() + b"\n")

    def on_message(message: Message) -> None:
        if message.message_type is MessageType.SIGNAL:
            say(_as_line(message))

    bus.add_message_handler(on_message)
    await _call(bus, _MATCH_SIGNALS)
    say({"ready": bus.unique_name})
    running = set[asyncio.Task[None]]()

    async def obey(order: dict[str, Any]) -> None:
        say(await _call(bus, order))

    while line := await reader.readline():
        task = asyncio.create_task(obey(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    bus.disconnect()


def main(orders: socket.socket, uid: int, environment: Mapping[str, str]) -> None:
    """Connect as `uid` and do what `orders` says, until it is closed at the other end."""
    os.environ.clear()
    os.environ.update(environment)
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    try:
        asyncio.run(_converse(orders))
    except (OSError, EOFError) as error:
        sys.exit(f"no bus: {error}")
