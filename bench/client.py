"""A user's connection to the bus that times its own calls, as a program: a JSON order a line in, an answer a line out.

in:   {"order": name, …its arguments}      out:  {"answer": …} or {"error": "text"}
Times are in milliseconds, taken with time.perf_counter inside this process.
"""

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus

_SESSIONS = "net.openvpn.v3.sessions"
_ROOT = "/net/openvpn/v3/sessions"
_CONFIGURATION = "net.openvpn.v3.configuration"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_CONNECTED = (2, 7)
_FAILED = ((2, 10), (2, 11), (2, 12))
_DEADLINE = 120.0  # seconds, for one order's wait: what takes long is a figure, not an error


class Client:
    """The orders are the public methods."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._connected: dict[str, asyncio.Future[float]] = {}
        bus.add_message_handler(self._on_message)

    def _on_message(self, message: Message) -> None:
        if message.member != "StatusChange" or message.message_type is not MessageType.SIGNAL:
            return
        waiting = self._connected.get(message.path or "")
        if waiting is None or waiting.done():
            return
        status = tuple(message.body[:2])
        if status == _CONNECTED:
            waiting.set_result(time.perf_counter())
        elif status in _FAILED:
            waiting.set_exception(RuntimeError(f"{message.path}: {message.body}"))

    async def _call(self, message: Message) -> Any:
        async with asyncio.timeout(_DEADLINE):
            reply = await self._bus.call(message)
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            raise RuntimeError(f"{message.member}: {reply.error_name}: {reply.body}")
        return reply.body[0] if reply.body else None

    async def import_profile(self, name: str, text: str) -> str:
        """Give a profile to the configuration service; its path."""
        body = [name, text, False, False]
        path: str = await self._call(_method("/net/openvpn/v3/configuration", _CONFIGURATION, "Import", "ssbb", body))
        return path

    async def new_tunnel(self, profile: str) -> tuple[float, str]:
        """NewTunnel until the new object has answered a call; milliseconds and the session's path."""
        began = time.perf_counter()
        path = await self._call(_method(_ROOT, _SESSIONS, "NewTunnel", "o", [profile]))
        await self._call(_method(path, _SESSIONS, "Ready"))
        return _since(began), path

    async def connect(self, path: str, forwarded: bool) -> float:
        """Connect until the status says CONNECTED; `forwarded` asks for signals first, as other managers need."""
        if forwarded:
            await self._call(_method(path, _SESSIONS, "LogForward", "b", [True]))
        waiting: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._connected[path] = waiting
        began = time.perf_counter()
        await self._call(_method(path, _SESSIONS, "Connect"))
        async with asyncio.timeout(_DEADLINE):
            done = await waiting
        return (done - began) * 1000

    async def disconnect(self, path: str) -> float:
        """Disconnect until its reply: by then the object and the network settings are gone."""
        began = time.perf_counter()
        await self._call(_method(path, _SESSIONS, "Disconnect"))
        return _since(began)

    async def get(self, path: str, name: str) -> Any:
        """A property of a session."""
        return (await self._call(_get(path, name))).value

    async def gets(self, path: str, seconds: float) -> list[float]:
        """The times of calls of Get for a session's status, one after the other for so many seconds."""
        taken: list[float] = []
        first = time.perf_counter()
        while time.perf_counter() - first < seconds:
            message = _get(path, "status")
            began = time.perf_counter()
            await self._call(message)
            taken.append(_since(began))
        return taken

    async def first_reply(self, name: str, path: str) -> float:
        """Read the version of a service; if it does not run, the bus starts it first."""
        began = time.perf_counter()
        while True:
            try:
                await self._call(
                    Message(
                        destination=name, path=path, interface=_PROPERTIES, member="Get",
                        signature="ss", body=[name, "version"],
                    )
                )  # fmt: skip
            except RuntimeError:  # it may own its name before it has its objects
                if _since(began) > _DEADLINE * 1000:
                    raise
            else:
                return _since(began)

    async def sessions(self) -> list[str]:
        """The paths of the user's sessions."""
        paths: list[str] = await self._call(_method(_ROOT, _SESSIONS, "FetchAvailableSessions"))
        return paths

    async def manager_calls(self, member: str, argument: str | None, count: int) -> list[float]:
        """`count` calls of a method of the session manager with one text, or none; the times."""
        signature, body = ("", []) if argument is None else ("s", [argument])
        taken = []
        for _ in range(count):
            message = _method(_ROOT, _SESSIONS, member, signature, body)
            began = time.perf_counter()
            await self._call(message)
            taken.append(_since(began))
        return taken

    async def round_trips(self, path: str, properties: list[str], count: int) -> dict[str, list[float]]:
        """`count` times, in any order: the bus's own GetId, Get of each property, GetAll; the times of each."""
        calls: dict[str, Callable[[], Message]] = {name: partial(_get, path, name) for name in properties}
        calls["GetId"] = _get_id
        calls["GetAll"] = partial(_method, path, _PROPERTIES, "GetAll", "s", [_SESSIONS])
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for make in calls.values():
            await self._call(make())  # not counted: whatever only the first call does
        for _ in range(count):
            for name, make in random.sample(list(calls.items()), len(calls)):  # none always follows the same other
                message = make()
                began = time.perf_counter()
                await self._bus.call(message)
                taken[name].append(_since(began))
        return taken

    async def pipelined(self, path: str, count: int, window: int) -> dict[str, float]:
        """Calls a second with `window` of them under way all the time: Get of the status, and GetId."""

        async def rate(make: Callable[[], Message]) -> float:
            left = count

            async def caller() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    await self._call(make())

            began = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(window)))
            return count / (time.perf_counter() - began)

        return {"GetId": await rate(_get_id), "Get": await rate(partial(_get, path, "status"))}


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _method(path: str, interface: str, member: str, signature: str = "", body: list[Any] | None = None) -> Message:
    destination = _CONFIGURATION if interface == _CONFIGURATION else _SESSIONS
    return Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=body or []
    )


def _get(path: str, name: str) -> Message:
    return _method(path, _PROPERTIES, "Get", "ss", [_SESSIONS, name])


def _get_id() -> Message:
    bus = "org.freedesktop.DBus"
    return Message(destination=bus, path="/org/freedesktop/DBus", interface=bus, member="GetId")


async def _main() -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    client = Client(bus)
    orders = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    gc.collect()
    gc.freeze()
    gc.disable()
    while line := await orders.readline():
        arguments = json.loads(line)
        order: Callable[..., Awaitable[Any]] = getattr(client, arguments.pop("order"))
        try:
            said = {"answer": await order(**arguments)}
        except (RuntimeError, TimeoutError) as error:
            said = {"error": str(error) or type(error).__name__}
        gc.collect()
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
    bus.disconnect()


if __name__ == "__main__":
    asyncio.run(_main())
